/**
 * Thins out a store, in two phases: what nothing asks for any more is marked, and removed when the mark is a day old and the verdict is
 * still the same. A backup that is asked for again loses its mark. The manifest GOES FIRST, its mark last: half of a removal is never
 * listed as a backup, and the next run ends it. Two hosts may do this at once: a mark is not renewed, and what is gone is gone.
 */
import { heldFor, type Backup, type Catalog, type Other } from '../backup/catalog.ts'
import { dataName, paperName, type Condemned } from '../backup/manifest.ts'
import { prune, type Verdict } from '../backup/retention.ts'
import type { Keep } from '../model/config.ts'
import type { Observed } from '../model/outcome.ts'
import type { Store } from '../store/store.ts'
import { readFolder } from './catalog.ts'
import { putPaper } from './paper.ts'
import { carryOutStream, planStream, type StreamPruned, type StreamToPrune } from './prune-stream.ts'

const hourMs = 3_600_000
export const graceMs = 24 * hourMs

export interface PruneOptions {
  readonly dryRun: boolean
  /** `mark`: removes nothing. `at-once`: does not wait for the marks to be a day old. */
  readonly phases: 'both' | 'mark' | 'at-once'
  readonly key: Buffer | null
  readonly signal: AbortSignal
  /** What is archived of the stream, for which backups stay. null: none is configured, and what lies there is left alone. */
  readonly stream: StreamToPrune | null
}

/** `leave`: it stays. Of a dry run: what would be done. */
export type PruneStep = 'leave' | 'condemn' | 'wait' | 'remove' | 'pardon'

export interface Pruned extends Verdict {
  readonly step: PruneStep
  readonly bytes: number
  /** null: it was done, or need not be. */
  readonly failed: string | null
}

export interface PruneResult {
  /** Youngest first; then what is no backup. */
  readonly all: readonly Pruned[]
  readonly alarm: string | null
  readonly stream: StreamPruned | null
}

interface Case {
  readonly id: string
  readonly keep: boolean
  readonly why: string
  readonly bytes: number
  readonly condemned: Condemned | null
  readonly keyed: boolean
  readonly leftover: boolean
}

/** The answer is a failure only where the store does not say any more whether it may go on. */
export async function pruneStore(
  store: Store,
  catalog: Catalog,
  keep: Keep,
  dueEveryMs: number,
  nowWallMs: number,
  options: PruneOptions,
): Promise<Observed<PruneResult>> {
  const plan = options.stream === null ? null : planStream(options.stream, catalog.backups, nowWallMs, options.phases === 'at-once' ? 0 : graceMs)
  const { verdicts, alarm, last: lastId } = prune(heldFor(catalog.backups, plan?.holds ?? null), keep, dueEveryMs, nowWallMs)
  const byId = new Map(catalog.backups.map((backup) => [backup.manifest.id, backup]))
  const cases = [
    ...verdicts.flatMap((verdict) => {
      const backup = byId.get(verdict.id)
      return backup === undefined ? [] : [caseOf(verdict, backup)]
    }),
    ...catalog.others.map((other) => leftover(other, nowWallMs)),
  ]
  const last = lastId === null ? undefined : byId.get(lastId)
  // The others would go for one that nobody here can open.
  if (last !== undefined && last.manifest.encryption !== null && !last.byKey)
    return { ok: false, why: `nothing is removed: the last good backup, ${last.manifest.id}, is encrypted, and the key at hand, if any, is not its key` }
  const all: Pruned[] = []
  for (const one of cases) {
    options.signal.throwIfAborted()
    const step = stepOf(one, nowWallMs, options)
    if (step === 'remove' && !one.leftover && !options.dryRun && last !== undefined) {
      const still = await stillGood(store, catalog.group, last, options)
      if (!still.ok) return still
    }
    const done = options.dryRun ? { ok: true as const, value: null } : await carryOut(store, catalog.group, one, step, nowWallMs, options)
    all.push({ id: one.id, keep: one.keep, why: one.why, step, bytes: one.bytes, failed: done.ok ? null : done.why })
  }
  if (plan === null) return { ok: true, value: { all, alarm, stream: null } }
  // Nothing that is restorable has to be there: what is archived stays until there is.
  const isHeldUp = last === undefined || options.phases === 'mark'
  const halted = last === undefined ? (alarm ?? 'there is no good backup: nothing is removed') : 'only marks were asked for'
  const still = async (): Promise<Observed<null>> => (last === undefined ? { ok: false, why: halted } : stillGood(store, catalog.group, last, options))
  const stream = await carryOutStream(store, catalog.group, isHeldUp ? { ...plan, why: plan.why ?? halted } : plan, options, still)
  return { ok: true, value: { all, alarm, stream } }
}

function caseOf(verdict: Verdict, { bytes, condemned, manifest }: Backup): Case {
  return { ...verdict, bytes, condemned, keyed: manifest.encryption !== null, leftover: false }
}

/** An id says when it was begun. An upload that takes longer than a day finds its manifest written before the mark is a day old. */
function leftover({ id, kind, why, bytes, condemned }: Other, nowWallMs: number): Case {
  const one = { id, bytes, condemned, keyed: false, leftover: true }
  if (kind !== 'leftover') return { ...one, keep: true, why }
  return nowWallMs - atOfId(id) > graceMs ? { ...one, keep: false, why } : { ...one, keep: true, why: `${why}, or is under way` }
}

function atOfId(id: string): number {
  return Date.parse(id.slice(0, 16).replace(/^(....)(..)(..T..)(..)(..Z)$/, '$1-$2-$3:$4:$5'))
}

function stepOf({ keep, condemned, leftover: isLeftover }: Case, nowWallMs: number, { phases }: PruneOptions): PruneStep {
  if (keep) return condemned === null ? 'leave' : 'pardon'
  // Not a leftover: it may be an upload that ends in this moment.
  const atOnce = phases === 'at-once' && !isLeftover
  // A mark from the future was made by a clock that was wrong: it is made again.
  if (condemned === null || condemned.atWallMs > nowWallMs + hourMs) return atOnce ? 'remove' : 'condemn'
  return phases !== 'mark' && (atOnce || nowWallMs - condemned.atWallMs >= graceMs) ? 'remove' : 'wait'
}

async function carryOut(store: Store, group: string, one: Case, step: PruneStep, nowWallMs: number, options: PruneOptions): Promise<Observed<null>> {
  const { id, why, keyed } = one
  if (step === 'pardon') return store.remove(paperName(group, id, 'condemned'))
  if (step === 'condemn') {
    if (keyed && options.key === null) return { ok: false, why: 'it is encrypted, and without a key no mark of it counts' }
    const put = await putPaper(store, group, 'condemned', { format: 1, id, atWallMs: nowWallMs, why }, keyed ? options.key : null, options.signal)
    return put.ok ? { ok: true, value: null } : put
  }
  return step === 'remove' ? remove(store, group, one) : { ok: true, value: null }
}

async function remove(store: Store, group: string, { id, leftover: isLeftover }: Case): Promise<Observed<null>> {
  const now = await store.list(`${group}/${id}`)
  if (!now.ok) return now
  // Somebody may have held it since the verdict, or an upload may have ended.
  const names = now.value.map(({ name }) => name)
  if (names.includes(paperName(group, id, 'held'))) return { ok: false, why: 'it is held since a moment ago' }
  if (isLeftover && names.includes(paperName(group, id, 'manifest'))) return { ok: false, why: 'its upload has ended a moment ago' }
  const order = [paperName(group, id, 'manifest'), dataName(group, id), paperName(group, id, 'tested'), paperName(group, id, 'condemned')]
  for (const name of order.filter((wanted) => names.includes(wanted))) {
    const removed = await store.remove(name)
    if (!removed.ok) return removed
  }
  return { ok: true, value: null }
}

/** Looked at again before each removal: it is what the others go for. */
async function stillGood(store: Store, group: string, { manifest: { id, sha256 } }: Backup, { key, signal }: PruneOptions): Promise<Observed<null>> {
  const lost = (why: string): Observed<null> => ({ ok: false, why: `nothing more is removed: the last good backup, ${id}, ${why}` })
  const listed = await store.list(`${group}/${id}`)
  if (!listed.ok) return listed
  const bytes = Object.fromEntries(listed.value.map((object) => [object.name.slice(group.length + id.length + 2), object.bytes]))
  const read = await readFolder(store, group, id, bytes, key, signal)
  if (!read.ok) return read
  const now = read.value
  if (now?.manifest?.ok !== true || now.manifest.value.sha256 !== sha256 || bytes.dataset !== now.manifest.value.stored.bytes)
    return lost('is not there any more')
  return now.tested?.ok === true && now.tested.value.ok ? { ok: true, value: null } : lost('is not good any more')
}
