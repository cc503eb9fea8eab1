/** `holdfast history`: each failover and switchover with its measured timeline, put together from the event logs of all members. */
import type { Command } from '@commander-js/extra-typings'
import Table from 'cli-table3'
import type { LoggedEvent } from '../agent/log-files.ts'
import { OperatorError } from '../model/error.ts'
import { ask, groupOf, openSession, type Session } from './ask.ts'

export interface FailoverRecord {
  readonly epoch: number
  readonly kind: 'failover' | 'switchover' | 'bootstrap' | 'forced' | 'restart'
  readonly from: string | null
  readonly to: string
  readonly why: string
  readonly startedAtMs: number
  /** ms after the first sign. Between hosts these are only as exact as their clocks agree. */
  readonly timeline: { readonly detectedMs?: number; readonly fencedMs?: number; readonly promotedMs?: number; readonly vipUpMs?: number }
  /** Bytes that the old primary had and the new one has not; null: not known. */
  readonly notReplicatedBytes: number | null
}

export function register(program: Command): void {
  program
    .command('history')
    .description('show past failovers and switchovers with their measured timelines')
    .argument('<group>')
    .option('--json', 'machine-readable')
    .option('--events', 'every event instead of a line per failover')
    .option('--limit <n>', 'how many, newest last', '20')
    .action(async (group, options, command) => {
      const session = await openSession(command.optsWithGlobals() as unknown as { config: string })
      const limit = Number(options.limit)
      if (!Number.isInteger(limit) || limit < 1) throw new OperatorError('HF303', `--limit takes a whole number above 0, not ${options.limit}`, '', 2)
      const { events, silent } = await collect(session, group)
      const failovers = failoversFrom(events).slice(-limit)
      if (options.json === true) {
        process.stdout.write(
          `${JSON.stringify({ group, failovers, silentHosts: silent, ...(options.events === true ? { events: events.slice(-limit) } : {}) }, null, 2)}\n`,
        )
        return
      }
      process.stdout.write(options.events === true ? drawEvents(events.slice(-limit)) : drawFailovers(failovers))
      if (silent.length > 0) process.stdout.write(`not asked, because no agent answers there: ${silent.join(', ')}\n`)
    })
}

async function collect(session: Session, group: string): Promise<{ readonly events: readonly LoggedEvent[]; readonly silent: readonly string[] }> {
  const events: LoggedEvent[] = []
  const silent: string[] = []
  for (const member of groupOf(session, group).members) {
    try {
      const answer = (await ask(session, member.host, { method: 'GET', path: `/groups/${group}/events?limit=5000` })) as { events: LoggedEvent[] }
      events.push(...answer.events)
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error
      silent.push(member.host)
    }
  }
  if (silent.length === groupOf(session, group).members.length)
    throw new OperatorError('HF301', `no agent of ${group} answers`, 'history is kept by the agents')
  return { events: events.sort((a, b) => a.atWallMs - b.atWallMs), silent }
}

/** One record per promotion. What belongs to it is what carries its epoch, on whichever host it was seen. */
export function failoversFrom(events: readonly LoggedEvent[]): readonly FailoverRecord[] {
  return events
    .filter((e) => e.kind === 'promoted')
    .map((promoted): FailoverRecord => {
      const same = events.filter((e) => e.epoch === promoted.epoch)
      const before = (kind: LoggedEvent['kind']) =>
        same.findLast((e) => e.kind === kind && e.atWallMs <= promoted.atWallMs && e.atWallMs > promoted.atWallMs - 60_000)
      const source = String(promoted.data?.['source'] ?? 'failover') as FailoverRecord['kind']
      const detected =
        source === 'switchover'
          ? before('handover')
          : same.find((e) => e.kind === 'detected' && e.atWallMs <= promoted.atWallMs && e.atWallMs > promoted.atWallMs - 60_000)
      const fenced = before('fenced') ?? same.find((e) => e.kind === 'fenced' && e.atWallMs > promoted.atWallMs)
      // VRRP may have given the address away before any agent had its proof.
      const vipUp = events.find((e) => e.kind === 'vip-up' && e.host === promoted.host && e.atWallMs > promoted.atWallMs - 1000)
      const startedAtMs = Math.min(...[promoted, detected, fenced, vipUp].map((e) => e?.atWallMs ?? Number.MAX_SAFE_INTEGER))
      const rejoined = same.find((e) => e.kind === 'rejoined' && typeof e.data?.['divergedBytes'] === 'number')
      const after = (event: LoggedEvent | undefined) => (event === undefined ? undefined : event.atWallMs - startedAtMs)
      return {
        epoch: promoted.epoch,
        kind: source,
        from: (promoted.data?.['from'] as string | null | undefined) ?? null,
        to: promoted.host,
        why: promoted.text,
        startedAtMs,
        timeline: withoutUndefined({ detectedMs: after(detected), fencedMs: after(fenced), promotedMs: after(promoted), vipUpMs: after(vipUp) }),
        notReplicatedBytes: source === 'switchover' ? 0 : greatest(rejoined?.data?.['divergedBytes'], promoted.data?.['notReplicatedBytes']),
      }
    })
}

function withoutUndefined(timeline: Record<string, number | undefined>): FailoverRecord['timeline'] {
  return Object.fromEntries(Object.entries(timeline).filter(([, v]) => v !== undefined)) as FailoverRecord['timeline']
}

function drawFailovers(failovers: readonly FailoverRecord[]): string {
  if (failovers.length === 0) return 'nothing has happened yet\n'
  const table = new Table({
    head: ['when', 'epoch', 'what', 'from → to', 'detected', 'fenced', 'promoted', 'address up', 'not replicated'],
    style: { head: [], border: [] },
  })
  const ms = (value: number | undefined) => (value === undefined ? '' : `${value} ms`)
  for (const f of failovers) {
    table.push([
      new Date(f.startedAtMs).toISOString().replace('T', ' ').slice(0, 23),
      String(f.epoch),
      f.kind,
      `${f.from ?? '–'} → ${f.to}`,
      ms(f.timeline.detectedMs),
      ms(f.timeline.fencedMs),
      ms(f.timeline.promotedMs),
      ms(f.timeline.vipUpMs),
      f.notReplicatedBytes === null ? 'unknown' : `${f.notReplicatedBytes} bytes`,
    ])
  }
  return `${table.toString()}\n${failovers.map((f) => `epoch ${f.epoch}: ${f.why}`).join('\n')}\n`
}

function drawEvents(events: readonly LoggedEvent[]): string {
  return events.map((e) => `${new Date(e.atWallMs).toISOString()} ${e.host} epoch ${e.epoch} ${e.kind}: ${e.text}\n`).join('')
}

/** What the former primary had when it came back, and what it had told before: its disk may have had less, and its last word was not its last write. */
function greatest(...bytes: readonly unknown[]): number | null {
  const known = bytes.filter((b): b is number => typeof b === 'number')
  return known.length === 0 ? null : Math.max(...known)
}
