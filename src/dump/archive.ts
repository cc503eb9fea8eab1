/**
 * Archives the replication stream of one redis as it comes, until it is called off. Where to go on, and by which way through the histories, is decided in
 * ../backup/archiving.ts; what has come is put by archive-put.ts. Whatever fails is told in words and tried again: nothing ends this but whoever began it.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { beginAnew, continueAt, historyOf, legAt, toTakeUp, type ArchiveLimits } from '../backup/archiving.ts'
import { pathTo, runsOn, type Base, type Leg, type TimelineFact } from '../backup/chain.ts'
import type { ArchivedRun, ArchiveLine } from '../backup/job.ts'
import type { Said } from '../backup/manifest.ts'
import { timelineName, type StoredSegment, type Timeline } from '../backup/stream.ts'
import type { LineageEntry } from '../model/state.ts'
import type { Observed } from '../model/outcome.ts'
import type { RedisTarget } from '../redis/link.ts'
import { Held } from './archive-held.ts'
import { Putter, type Putting } from './archive-put.ts'
import { attachTo, openEye, readFrom, type Eye, type Looked } from './archive-source.ts'
import { keyId } from './seal.ts'
import { readSegment } from './segment.ts'
import { readStream, type StreamStored } from './stream.ts'

export interface ArchiveOrder extends Omit<Putting, 'changed' | 'limits'> {
  readonly flushMs: number
  /** Asked each time: a password may be another one by then. */
  readonly target: () => Promise<Observed<RedisTarget>>
  readonly epoch: number
  readonly lineage: readonly LineageEntry[]
  /** What there is to begin at. */
  readonly bases: () => Promise<Observed<readonly Base[]>>
  readonly tell: (line: ArchiveLine) => void
  readonly signal: AbortSignal
}

const tellEveryMs = 1000
/** In memory; then nothing more is read until some of it is put. */
const maxHeldBytes = 20 * 1024 * 1024
const roomBytes = 12 * 1024 * 1024
/** What has passed is let go of: left to itself, the runtime waits until there are 64 MiB of it. */
const collectEveryBytes = 4 * 1024 * 1024
const backOffMs = { first: 100, most: 3000 }
const closingMs = 3000

export async function archive(order: ArchiveOrder): Promise<void> {
  const archiver = new Archiver(order)
  const timer = setInterval(() => archiver.tell(), tellEveryMs)
  try {
    let waitMs = 0
    while (!order.signal.aborted) {
      const { why, cameBytes } = await archiver.session()
      if (order.signal.aborted) break
      // Redis hangs up on every reader that acknowledges nothing, once a minute: that is no trouble.
      if (cameBytes > 0) {
        waitMs = 0
        continue
      }
      archiver.failed(why)
      await delay(waitMs, undefined, { signal: order.signal }).catch(() => undefined)
      waitMs = Math.min(backOffMs.most, Math.max(backOffMs.first, waitMs * 2))
    }
  } finally {
    clearInterval(timer)
    await archiver.close()
  }
}

/** The way on: decided anew each time that it is attached. */
interface Plan {
  readonly from: number
  readonly history: readonly Leg[]
  readonly legs: readonly Leg[]
  /** To be told when it is attached: whoever is refused has not begun. */
  readonly news: readonly ArchiveLine[]
}

class Archiver {
  readonly #order: ArchiveOrder
  readonly #limits: ArchiveLimits
  readonly #putter: Putter
  /** Of the histories that are new, written before their first byte. */
  readonly #papers: Said<Timeline>[] = []
  /** What lies in the store, and what will: null until it was read. */
  #known: { readonly timelines: TimelineFact[]; readonly ends: Map<string, number> } | null = null
  #came: number | null = null
  #run: ArchivedRun | null = null
  #isAttached = false
  #uncollectedBytes = 0
  #storedWallMs: number | null = null
  #trouble: string | null = null
  #resume: () => void = () => undefined

  constructor(order: ArchiveOrder) {
    this.#order = order
    this.#limits = { flushMs: order.flushMs, pingsMs: 60_000, wholeMs: 600_000, wholeBytes: 8 * 1024 * 1024 }
    const changed = (): void => {
      if (this.#putter.heldBytes < roomBytes) this.#resume()
      this.tell()
    }
    this.#putter = new Putter({ ...order, limits: this.#limits, changed })
  }

  /** Attaches once, and reads until that ends. */
  async session(): Promise<{ readonly why: string; readonly cameBytes: number }> {
    let eye: Eye | null = null
    try {
      const target = need(await this.#order.target())
      eye = openEye(target)
      const looked = need(await eye.look())
      const plan = await this.#plan(looked)
      const attached = need(await attachTo(target, looked, askedAs(looked, plan), plan.from))
      this.#putter.follow({ from: plan.from, legs: plan.legs, serverVersion: looked.version, timelines: this.#papers })
      // It goes on from there also where it is hung up on before anything has come.
      const leg = legAt(plan.legs, plan.from)
      if (leg !== null) this.#known?.ends.set(leg.replid, plan.from - 1)
      plan.news.forEach(this.#order.tell)
      ;[this.#isAttached, this.#trouble, this.#came] = [true, null, plan.from - 1]
      this.tell()
      const { socket } = attached
      this.#resume = () => socket.resume()
      const take = (chunk: Buffer): void => {
        this.#take(chunk, plan)
        if (this.#putter.heldBytes >= maxHeldBytes) socket.pause()
      }
      const why = await readFrom(attached, eye, take, this.#order.signal)
      return { why, cameBytes: (this.#came ?? 0) + 1 - plan.from }
    } catch (error) {
      return { why: (error as Error).message, cameBytes: 0 }
    } finally {
      this.#storedWallMs = this.#storedUntil()
      this.#isAttached = false
      this.#resume = () => undefined
      eye?.close()
    }
  }

  failed(why: string): void {
    this.#trouble = `${this.#order.host}: ${why}`
    this.tell()
  }

  tell(): void {
    this.#storedWallMs = this.#storedUntil()
    const troubles = [this.#putter.trouble, this.#trouble].filter((why) => why !== null)
    this.#order.tell({
      t: 'archived',
      isAttached: this.#isAttached,
      came: this.#came,
      stored: this.#putter.stored,
      storedWallMs: this.#storedWallMs,
      run: this.#run,
      trouble: troubles.length === 0 ? null : troubles.join('; '),
    })
  }

  async close(): Promise<void> {
    await this.#putter.close(closingMs)
    this.tell()
  }

  #storedUntil(): number | null {
    const waitingMs = this.#putter.waitingSinceWallMs()
    if (waitingMs !== null) return waitingMs
    return this.#isAttached ? this.#order.now().wallMs : this.#storedWallMs
  }

  #take(chunk: Buffer, { legs }: Plan): void {
    this.#putter.append(chunk)
    this.#uncollectedBytes += chunk.length
    if (this.#uncollectedBytes >= collectEveryBytes) {
      this.#uncollectedBytes = 0
      globalThis.gc?.()
    }
    const from = (this.#came ?? 0) + 1
    this.#came = from + chunk.length - 1
    for (const leg of legs) if (leg.from <= this.#came && leg.to >= from) this.#known?.ends.set(leg.replid, Math.min(this.#came, leg.to))
  }

  async #plan(looked: Looked): Promise<Plan> {
    const history = historyOf(looked, this.#order.lineage)
    if (this.#known !== null) {
      // What has come counts, put or not: this process puts it.
      const next = continueAt(history, this.#known.ends, looked)
      if (next.kind === 'wait') throw new Error(next.why)
      const isKnown = legsFrom(history, next.kind === 'go' ? next.from : 0).every(({ replid }) => this.#known?.timelines.some((one) => one.replid === replid))
      if (next.kind === 'go' && isKnown) return { from: next.from, history, legs: legsFrom(history, next.from), news: [] }
    }
    const stored = need(await readStream(this.#order.store, this.#order.group, this.#order.key, this.#order.signal))
    const ends = endsOf(stored.segments, this.#known?.ends ?? new Map<string, number>())
    const next = continueAt(history, ends, looked)
    if (next.kind === 'wait') throw new Error(next.why)
    const anew = next.kind === 'go' ? null : beginAnew(history, looked, need(await this.#order.bases()))
    const from = next.kind === 'go' ? next.from : (anew?.from ?? 0)
    const legs = legsFrom(history, from)
    const papers = this.#newTimelines(stored, history, legs, from)
    this.#papers.push(...papers)
    const all: TimelineFact[] = [...stored.timelines, ...this.#papers]
    const isFirst = this.#known === null
    this.#run = this.#runOf(all, legs, from, next.kind === 'go', stored.segments)
    this.#known = { timelines: all, ends }
    if (isFirst) void this.#tidy(stored.segments.filter(({ replid }) => replid === legs[0]?.replid))
    const news = next.kind === 'lost' ? [this.#begunAnew(next.had, next.why, from, anew?.base ?? null)] : papers.flatMap(forked)
    return { from, history, legs, news }
  }

  /** A paper that is broken is written anew: what lies under it is of no use without. One of a newer Holdfast is not ours to go on with. */
  #newTimelines({ timelines, broken }: StreamStored, history: readonly Leg[], legs: readonly Leg[], from: number): readonly Said<Timeline>[] {
    const { group, host, epoch, lineage, key, now } = this.#order
    return legs.flatMap((leg): readonly Said<Timeline>[] => {
      if ([...timelines, ...this.#papers].some(({ replid }) => replid === leg.replid)) return []
      const newer = broken.find((one) => one.newer && one.name === timelineName(group, leg.replid))
      if (newer !== undefined) throw new Error(`a newer Holdfast has archived here: ${newer.name}: ${newer.why}`)
      const before = history[history.indexOf(leg) - 1]
      const told = lineage.findLast(({ replid }) => replid === leg.replid)
      const why = before === undefined ? 'the archive begins here' : (told?.why ?? `${host} goes on from ${before.replid}`)
      const parent = before === undefined ? null : { replid: before.replid }
      const said = { format: 1, group, replid: leg.replid, epoch: told?.epoch ?? epoch, from: parent === null ? from : leg.from, parent } as const
      return [{ ...said, atWallMs: now().wallMs, host, why, keyId: key === null ? null : keyId(key) }]
    })
  }

  #runOf(timelines: readonly TimelineFact[], legs: readonly Leg[], from: number, goesOn: boolean, segments: readonly StoredSegment[]): ArchivedRun {
    const path = pathTo(timelines, legs.at(-1)?.replid ?? '')
    const stored = goesOn ? runsOn(path, segments).find((run) => run.from < from && run.to >= from - 1) : undefined
    const own = goesOn && this.#run !== null && this.#run.from < from ? this.#run : undefined
    const found = stored ?? (own === undefined ? undefined : { from: own.from, firstWallMs: own.fromWallMs })
    return {
      from: found?.from ?? from,
      fromWallMs: found?.firstWallMs ?? this.#order.now().wallMs,
      legs: path.map((leg) => ({ ...leg, to: leg.to === Number.POSITIVE_INFINITY ? null : leg.to })),
    }
  }

  #begunAnew(had: boolean, why: string, from: number, base: Base | null): ArchiveLine {
    const behind = base === null ? `at offset ${from}, and no backup is there that could be read on from it` : `at offset ${from}, behind the backup ${base.id}`
    return had
      ? { t: 'stream', what: 'gap', text: `a gap in the archive: ${this.#order.host}: ${why}; it begins again ${behind}` }
      : { t: 'stream', what: 'began', text: `the archive begins ${behind}` }
  }

  /** What somebody who was ended has left at the end of this history: small segments, made one of beside all else. Those that lie in a larger one go with what retention removes, which proves that first. */
  async #tidy(segments: readonly StoredSegment[]): Promise<void> {
    const { store, group, key, signal, now } = this.#order
    let held: Held | null = null
    for (const segment of toTakeUp(segments, this.#limits)) {
      const read = await readSegment(store, group, segment, key, signal).catch(() => null)
      if (signal.aborted) return
      // What cannot be read stays as it is, for whoever verifies; so does what is in front of it.
      if (read === null || (held !== null && held.origin.serverVersion !== read.head.serverVersion)) held = null
      if (read === null) continue
      held ??= new Held({ replid: segment.replid, from: segment.from, serverVersion: read.head.serverVersion, timeline: null }, now())
      held.takeUp(read.bytes, read.head.marks, segment.name)
    }
    if (held !== null) this.#putter.takeUp(held)
  }
}

function need<T>(observed: Observed<T>): T {
  if (!observed.ok) throw new Error(observed.why)
  return observed.value
}

function forked({ replid, parent, from }: Said<Timeline>): readonly ArchiveLine[] {
  if (parent === null) return []
  return [{ t: 'stream', what: 'forked', text: `a new timeline, ${replid.slice(0, 8)}: it left ${parent.replid.slice(0, 8)} at offset ${from}` }]
}

/** By the old id as long as redis itself says that it goes on with that: then its answer is the proof that nothing lies between. */
function askedAs({ replid, replid2, secondOffset }: Looked, { from, history }: Plan): string {
  return replid2 !== '' && from <= secondOffset && legAt(history, from - 1)?.replid === replid2 ? replid2 : replid
}

function legsFrom(history: readonly Leg[], from: number): readonly Leg[] {
  return history.filter(({ to }) => to >= from)
}

function endsOf(segments: readonly StoredSegment[], more: ReadonlyMap<string, number>): Map<string, number> {
  const ends = new Map(more)
  for (const { replid, to } of segments) ends.set(replid, Math.max(to, ends.get(replid) ?? -1))
  return ends
}
