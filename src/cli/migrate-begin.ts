/** How a move begins: the plan once more, the source made known to every host of the group, and the order. Nothing is touched before nothing stands against it. */
import { isIP } from 'node:net'
import type { Instance } from '../migrate/facts.ts'
import type { Trap } from '../migrate/check.ts'
import { planOf, stops, type MigrationPlan } from '../migrate/plan.ts'
import type { GroupConfig } from '../model/config.ts'
import { OperatorError } from '../model/error.ts'
import { isUnderWay, type SourceRecord } from '../model/move.ts'
import type { SyncTerms } from '../model/sync-terms.ts'
import { ask, groupOf, refusal, send, statusOf, type GroupStatus, type Session } from './ask.ts'
import { drawPlan } from './migrate-draw.ts'
import { planInJson } from './migrate-plan.ts'
import { addressOf, lookAtSource, lookAtTarget, nameSource, type Endpoint, type SourceOptions } from './migrate-source.ts'

export interface BeginOptions extends SourceOptions {
  readonly accept: readonly string[]
  readonly overwrite?: string | undefined
  readonly seconds: number
  readonly plainWayBack?: boolean | undefined
}

export interface Ready {
  readonly from: Endpoint
  readonly group: GroupConfig
  /** The member that is to follow. */
  readonly holder: string
  readonly at: { readonly host: string; readonly port: number }
  readonly plan: MigrationPlan
  readonly priority: NonNullable<SourceRecord['priority']> | null
  readonly overwrite: string | null
}

/** The plan, where something stands against it: for the eye, and as JSON. */
export type Prepared = { readonly ready: Ready } | { readonly against: readonly Trap[]; readonly drawn: string; readonly json: object }

export async function prepareMove(session: Session, from: string, name: string, options: BeginOptions): Promise<Prepared> {
  const group = groupOf(session, name)
  const named = await nameSource(session, from, options)
  const look = { overMs: options.seconds * 1000, signal: new AbortController().signal }
  const [source, target] = await Promise.all([lookAtSource(named, look), lookAtTarget(session, name, named.endpoint, look)])
  const plainWayBack = options.plainWayBack === true
  const wish = { accepted: options.accept, overwrite: options.overwrite ?? null, plainWayBack }
  const plan = planOf(source, target, wish)
  // Whoever counts on a way back is not to find out after the cut-over that there is none.
  if (plainWayBack && !plan.plainWayBack)
    throw new OperatorError(
      'HF904',
      `--plain-way-back: ${source.tls ? plan.wayBackWhy : 'the source is reached without TLS as it is'}`,
      'leave it out; holdfast migrate plan tells what the way back is',
    )
  const at = { host: await addressOf(named.endpoint.host), port: named.endpoint.port }
  const [status] = await statusOf(session, name)
  const move = status?.move?.move ?? null
  // It has begun: what stood against it was looked at then, and comparing the two has left its traces since (P7).
  const begun = isUnderWay(move) && move.source.host === at.host && move.source.port === at.port && options.overwrite === undefined
  if (plan.stops.length > 0 && !begun)
    return { against: plan.traps.filter(stops), drawn: drawPlan(source, target, plan), json: planInJson(source, target, plan) }
  const holder = status === undefined ? null : (status.primary ?? status.move?.holder ?? founderOf(group, status))
  if (status === undefined || holder === null) throw new OperatorError('HF904', `${name} has no primary: ${status?.because ?? ''}`, `holdfast status ${name}`)
  const priority = group.sentinel === undefined ? null : priorityOf(source.redis)
  return { ready: { from: named.endpoint, group, holder, at, plan, priority, overwrite: options.overwrite ?? null } }
}

/** Its name of before redis 5 is another. */
function priorityOf({ settings }: Instance): NonNullable<SourceRecord['priority']> {
  const found = (['replica-priority', 'slave-priority'] as const).flatMap((name) => {
    const value = settings.ok ? settings.value.get(name) : undefined
    return value === undefined ? [] : [{ name, value }]
  })
  const [first] = found
  if (first !== undefined) return first
  throw new OperatorError(
    'HF906',
    `the source does not tell its replica-priority${settings.ok ? '' : `: ${settings.why}`}`,
    'the Sentinels of this group would promote it while it follows, so it must be possible to set that there: CONFIG GET and SET',
  )
}

/** A source that is fed loses nothing on the way back: who is told otherwise moves at another hour, or not at all. null: it follows. */
export function wayBackWarning({ wayBack, wayBackWhy }: Pick<MigrationPlan, 'wayBack' | 'wayBackWhy'>): string | null {
  if (wayBack === 'replica') return null
  return wayBack === 'feed'
    ? `after the cut-over the source is fed, and migrate status tells what could not be told to it: ${wayBackWhy}`
    : `after the cut-over there is no way back without loss: ${wayBackWhy}`
}

export function standing(against: readonly Trap[]): OperatorError {
  const verb = against.length === 1 ? 'stands' : 'stand'
  return new OperatorError('HF904', `${against.map(({ id }) => id).join(', ')} ${verb} against it`, 'the plan above says what to mend, or --accept')
}

/** What the agent answered. Asked twice it is begun once. */
export async function beginMove(
  session: Session,
  { from, group, holder, at, plan, priority, overwrite }: Ready,
  terms: Partial<SyncTerms> = {},
): Promise<string> {
  const hosts = group.members.map((m) => m.host)
  await makeKnown(session, group.name, hosts, at, from, { raises: plan.sizing.raises ?? [], ...(priority === null ? {} : { priority }) })
  const plain = plan.plainWayBack ? { plainWayBack: true as const } : {}
  const order = { verb: 'start', source: at, overwrite, terms, ...plain } as const
  const result = await send(session, holder, group.name, { kind: 'move', to: null, dryRun: false, move: order })
  if (!result.ok) throw refusal(result, group.name)
  return result.message
}

/** Of a group that waits for its first data: whom an election would take. */
function founderOf(group: GroupConfig, { members }: GroupStatus): string | null {
  if (group.migration?.awaits !== true) return null
  const able = group.members.filter((m) => !m.neverPrimary && members.some((one) => one.host === m.host && one.agent === 'up'))
  return able.toSorted((a, b) => b.priority - a.priority || (a.host < b.host ? -1 : 1))[0]?.host ?? null
}

/** Whoever holds the group later must be able to act for the source as well: all are asked, and all must be let in. */
async function makeKnown(
  session: Session,
  group: string,
  hosts: readonly string[],
  at: { readonly host: string; readonly port: number },
  { password, user, host: name, ...more }: Endpoint,
  changes: Pick<SourceRecord, 'raises' | 'priority'>,
): Promise<void> {
  const tls = 'tls' in more && more.tls !== undefined ? { tls: { ...more.tls, ...(isIP(name) === 0 ? { name } : {}) } } : {}
  const record = { ...at, user: user ?? null, password: password ?? null, ...changes, ...tls }
  const failed = await Promise.all(
    hosts.map(async (host) => {
      try {
        const known = (await ask(session, host, { method: 'POST', path: `/groups/${group}/source`, body: record })) as {
          readonly ok: boolean
          readonly why?: string
        }
        return known.ok ? null : `${host}: ${known.why ?? ''}`
      } catch (error) {
        if (!(error instanceof OperatorError)) throw error
        return `${host}: ${error.message}`
      }
    }),
  )
  const words = failed.filter((why) => why !== null)
  if (words.length > 0)
    throw new OperatorError('HF906', words.join('; '), 'every member must reach the source: after a failover it is the new primary that acts for it')
}
