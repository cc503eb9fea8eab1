/**
 * The double-writer check. PURE. It merges what several clients were told, each acknowledgement with the redis that gave it, and
 * says whether two members accepted writes at the same time and what became of each acknowledged write: at the address, in a kept
 * copy, gone with a process that was killed, or gone without a trace. Must not excuse anything by itself: who killed what is told.
 *
 * Who acknowledged is RUN_ID/REPLICATION_ID: a process that is promoted again goes on under a new replication id, so each turn at
 * being primary is a term of its own, and one that comes back later does not look as if it had never stopped.
 */
import type { Ack } from './writer-process.ts'

export interface ClientHistory {
  readonly client: string
  readonly prefix: string
  readonly acks: readonly Ack[]
  /** Acknowledged, and not at the address afterwards: first and last number of each run. */
  readonly lostRuns: readonly (readonly [first: number, last: number])[]
}

/** A process that was killed. What it alone had acknowledged in this time may be gone with it. */
export interface Death {
  readonly runId: string
  readonly fromMs: number
  readonly toMs: number
  /**
   * Only the last answer that each client had of it. In one turn of its loop redis writes to whoever has an answer waiting, in the order of a
   * queue in which a client can stand before the replicas (networking.c, handleClientsWithPendingWrites): killed between the two, it took the
   * write with it. Seen with bare redis 7.0.15: in 2 of 55 kills under four writers. A client has one such answer at most.
   */
  readonly lastOnly?: boolean
}

export interface Term {
  readonly runId: string
  readonly replid: string
  readonly clients: readonly string[]
  readonly acked: number
  /**
   * It accepted writes at least in this time: the first acknowledgement had come, the last acknowledged write had not been sent
   * yet. An answer that TCP delivered late, after a heal, proves nothing about the time of its arrival.
   */
  readonly fromMs: number
  readonly toMs: number
}

export interface Overlap {
  readonly runIds: readonly [string, string]
  readonly fromMs: number
  readonly toMs: number
}

export interface Verdict {
  readonly acked: number
  /** Acknowledged by nobody knows whom: not in any term. */
  readonly unidentified: number
  readonly terms: readonly Term[]
  readonly overlaps: readonly Overlap[]
  /** For how long two members accepted writes at the same time, all overlaps together, and the longest. */
  readonly overlapMs: number
  readonly worstOverlapMs: number
  /** Acknowledged and not at the address; the three below are the parts of it. */
  readonly lost: number
  readonly kept: number
  readonly withProcess: number
  readonly untraced: number
  /** Some of those without a trace, for people who look for them. */
  readonly examples: readonly { readonly key: string; readonly client: string; readonly atMs: number; readonly by: string }[]
}

const maxExamples = 10

export function judge(histories: readonly ClientHistory[], keptKeys: ReadonlySet<string>, deaths: readonly Death[] = []): Verdict {
  const terms = termsOf(histories)
  const overlaps = overlapsOf(terms)
  const found = { lost: 0, kept: 0, withProcess: 0, untraced: 0, examples: [] as Verdict['examples'][number][] }
  for (const history of histories) {
    for (const ack of lostOf(history)) {
      const [seq, atMs, , by] = ack
      const key = `${history.prefix}:${seq}`
      found.lost += 1
      if (keptKeys.has(key)) found.kept += 1
      else if (deaths.some((death) => diedWith(death, ack, history))) found.withProcess += 1
      else {
        found.untraced += 1
        if (found.examples.length < maxExamples) found.examples.push({ key, client: history.client, atMs, by })
      }
    }
  }
  return {
    acked: histories.reduce((sum, history) => sum + history.acks.length, 0),
    unidentified: histories.reduce((sum, history) => sum + history.acks.filter(([, , , by]) => by === '').length, 0),
    terms,
    overlaps,
    overlapMs: unionMs(overlaps),
    worstOverlapMs: Math.max(0, ...overlaps.map((overlap) => overlap.toMs - overlap.fromMs)),
    ...found,
  }
}

function diedWith(death: Death, [seq, atMs, , by]: Ack, { acks }: ClientHistory): boolean {
  const its = (who: string): boolean => who.startsWith(`${death.runId}/`)
  if (!its(by) || atMs < death.fromMs || atMs > death.toMs) return false
  return death.lastOnly !== true || acks.findLast(([, , , who]) => its(who))?.[0] === seq
}

export function termsOf(histories: readonly ClientHistory[]): readonly Term[] {
  const terms = new Map<string, { clients: Set<string>; acked: number; fromMs: number; toMs: number }>()
  for (const { client, acks } of histories) {
    for (const [, atMs, sentAtMs, by] of acks) {
      if (by === '') continue
      const term = terms.get(by) ?? { clients: new Set(), acked: 0, fromMs: Infinity, toMs: -Infinity }
      term.clients.add(client)
      term.acked += 1
      term.fromMs = Math.min(term.fromMs, atMs)
      term.toMs = Math.max(term.toMs, sentAtMs)
      terms.set(by, term)
    }
  }
  return [...terms]
    .map(([by, term]) => ({ runId: by.split('/')[0] ?? '', replid: by.split('/')[1] ?? '', ...term, clients: [...term.clients] }))
    .sort((a, b) => a.fromMs - b.fromMs)
}

/** A term of one write has no length and so cannot be shown to overlap. */
function overlapsOf(terms: readonly Term[]): readonly Overlap[] {
  return terms.flatMap((one, index) =>
    terms.slice(index + 1).flatMap((two): Overlap[] => {
      const fromMs = Math.max(one.fromMs, two.fromMs)
      const toMs = Math.min(one.toMs, two.toMs)
      return one.runId === two.runId || fromMs >= toMs ? [] : [{ runIds: [one.runId, two.runId], fromMs, toMs }]
    }),
  )
}

function unionMs(overlaps: readonly Overlap[]): number {
  let [sumMs, reachedMs] = [0, -Infinity]
  for (const { fromMs, toMs } of [...overlaps].sort((a, b) => a.fromMs - b.fromMs)) {
    sumMs += Math.max(0, toMs - Math.max(fromMs, reachedMs))
    reachedMs = Math.max(reachedMs, toMs)
  }
  return sumMs
}

function lostOf({ acks, lostRuns }: ClientHistory): readonly Ack[] {
  if (lostRuns.length === 0) return []
  let run = 0
  return acks.filter(([seq]) => {
    while (run < lostRuns.length && (lostRuns[run]?.[1] ?? 0) < seq) run += 1
    return (lostRuns[run]?.[0] ?? Infinity) <= seq
  })
}

export function describeVerdict(verdict: Verdict): string {
  const parts = [
    `${verdict.acked} acknowledged by ${verdict.terms.length} terms`,
    verdict.overlapMs === 0 ? 'never two writers' : `two writers for ${verdict.overlapMs.toFixed(0)} ms (longest ${verdict.worstOverlapMs.toFixed(0)})`,
    verdict.lost === 0
      ? 'all there'
      : `${verdict.lost} not at the address: ${verdict.kept} kept, ${verdict.withProcess} gone with a killed process, ${verdict.untraced} WITHOUT A TRACE`,
  ]
  return parts.join('; ')
}
