/**
 * May this redis be moved to that group, what stands against it, and what the move comes to? PURE: all traps over what was looked at. Red stops; yellow
 * and what could not be seen stop until the operator has said `--accept ID` of each.
 */
import { trapNames, type Trap, type TrapId } from './check.ts'
import type { Instance, Source, Target, Wish } from './facts.ts'
import { differing, settingsTrap, type Differs } from './settings.ts'
import { bufferTrap, sizingOf, type Sizing } from './sizing.ts'
import { dataTraps, scriptTrap } from './traps-data.ts'
import { wayTraps } from './traps-way.ts'
import { capabilitiesOf, rdbFormatOf, readsFormat } from './versions.ts'

/** How writes are held at the cut-over: what they wait for, or are refused with. */
export type Fence = 'CLIENT PAUSE WRITE' | 'min-replicas-to-write'
/** What becomes of the old primary afterwards, until the move is committed. */
export type WayBack = 'replica' | 'feed' | 'fenced copy'

export interface MigrationPlan {
  readonly traps: readonly Trap[]
  /** In the order of their numbers. */
  readonly stops: readonly TrapId[]
  readonly settings: readonly Differs[] | null
  readonly sizing: Sizing
  readonly fence: Fence
  readonly wayBack: WayBack
  /** Why it is that one. */
  readonly wayBackWhy: string
  /** The old primary is to follow without TLS, and can. */
  readonly plainWayBack: boolean
  /** `--accept` that names no trap, or one that is not yellow: a script that was written for another state. */
  readonly needless: readonly string[]
}

export function planOf(source: Source, target: Target, wish: Wish): MigrationPlan {
  const from = source.redis
  const first = firstOf(target)
  const tables = target.members.map(({ host, redis }) => ({ host, table: redis.ok ? differing(from, redis.value) : null, why: redis.ok ? null : redis.why }))
  const table = tables.find(({ host }) => host === target.first)?.table ?? null
  const sizing = sizingOf(from, target.members.length)
  const all = [
    ...dataTraps(source, target, wish.overwrite),
    scriptTrap(source, target),
    settingsTrap(from, tables),
    bufferTrap(from, sizing),
    ...wayTraps(source, target),
  ]
  const accepted = new Set(wish.accepted.map((id) => id.toUpperCase()))
  const traps = all
    .map((one) => ({ ...one, accepted: mayBeAccepted(one) && accepted.has(one.id) }))
    .sort((a, b) => Number(a.id.slice(1)) - Number(b.id.slice(1)))
  const back = wayBackOf(source, first, wish.plainWayBack === true)
  return {
    traps,
    stops: traps.filter(stops).map(({ id }) => id),
    settings: table,
    sizing,
    fence: capabilitiesOf(from.version).pausesWrites ? 'CLIENT PAUSE WRITE' : 'min-replicas-to-write',
    ...back,
    plainWayBack: source.tls && back.wayBack === 'replica',
    needless: wish.accepted.filter((id) => !traps.some((one) => one.id === id.toUpperCase() && mayBeAccepted(one))),
  }
}

export function firstOf({ members, first }: Target): Instance | null {
  const redis = members.find(({ host }) => host === first)?.redis
  return redis?.ok === true ? redis.value : null
}

function mayBeAccepted({ level }: Trap): boolean {
  return level === 'yellow' || level === 'unseen'
}

/** It stands against the move, until it is mended or accepted. */
export function stops({ level, accepted }: Trap): boolean {
  return level === 'red' || (level !== 'green' && !accepted)
}

export function isTrap(id: string): boolean {
  return Object.hasOwn(trapNames, id.toUpperCase())
}

/** A replica that cannot read what its primary sends is emptied at once (facts A3.1): then the old primary must never follow. */
function wayBackOf({ redis: from, tls }: Source, to: Instance | null, plain: boolean): Pick<MigrationPlan, 'wayBack' | 'wayBackWhy'> {
  const [own, other] = [rdbFormatOf(from.version), to === null ? null : rdbFormatOf(to.version)]
  if (own === null || other === null)
    return { wayBack: 'fenced copy', wayBackWhy: 'which formats the two read is not known, and a replica that cannot read its primary loses all it has' }
  const speaksTls = from.settings.ok ? from.settings.value.get('tls-replication') : undefined
  if (tls && plain && speaksTls !== 'no')
    return {
      wayBack: 'fenced copy',
      wayBackWhy: `tls-replication of the old primary is ${speaksTls === undefined ? 'not told' : 'on'}, and the new one speaks no TLS`,
    }
  if (tls && !plain)
    return {
      wayBack: 'fenced copy',
      wayBackWhy: 'the old primary is reached over TLS, and would follow the new one without: it does not, unless that is said (--plain-way-back)',
    }
  if (!readsFormat(from.version, own, other)) {
    const why = `the old primary reads up to format ${own}, and the new one writes ${other}: as its replica it would lose all it has`
    return capabilitiesOf(from.version).psync2
      ? { wayBack: 'feed', wayBackWhy: `${why}; what is written is translated for it` }
      : { wayBack: 'fenced copy', wayBackWhy: `${why}, and before 4.0 it can be told nothing else` }
  }
  if (!capabilitiesOf(from.version).psync2)
    return { wayBack: 'replica', wayBackWhy: 'it follows the new primary, after a full sync: its version has no shared history' }
  return { wayBack: 'replica', wayBackWhy: 'it follows the new primary by the history that both share' }
}
