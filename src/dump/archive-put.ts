/**
 * Puts what has come of a stream into a store, in its order: a byte is never put before the one in front of it, so what lies there never has a hole, whenever
 * this ends. Small segments soon, whole ones later in their place. A store that fails is tried again; what waits for it is bounded by whoever reads.
 */
import { legAt, whatToPut, type ArchiveLimits } from '../backup/archiving.ts'
import type { Leg } from '../backup/chain.ts'
import type { Compression, Said } from '../backup/manifest.ts'
import type { Timeline } from '../backup/stream.ts'
import type { Observed } from '../model/outcome.ts'
import type { Store } from '../store/store.ts'
import { Held, type Now } from './archive-held.ts'
import { each, packSegment } from './segment.ts'
import { putTimeline } from './stream.ts'

export interface Putting {
  readonly group: string
  readonly host: string
  readonly store: Store
  readonly key: Buffer | null
  readonly compression: Compression
  readonly limits: ArchiveLimits
  readonly now: () => Now
  /** Something was put, or could not be. */
  readonly changed: () => void
}

/** What comes next, and what is to be written before it. */
export interface Following {
  readonly from: number
  /** The way that it takes from there on; the last one has no end. */
  readonly legs: readonly Leg[]
  readonly serverVersion: string
  /** Of the legs that are new. */
  readonly timelines: readonly Said<Timeline>[]
}

const lookMs = 1000
const retryMs = { first: 250, most: 5000 }
const removingAtOnce = 4
const maxToRemove = 10_000

export class Putter {
  readonly #order: Putting
  /** In their order; only the last one grows. */
  readonly #queue: Held[] = []
  readonly #abort = new AbortController()
  readonly #ran: Promise<void>
  #following: Following | null = null
  #next = 0
  #stored: number | null = null
  #merging: Promise<void> | null = null
  #trouble: string | null = null
  #mergeTrouble: string | null = null
  #retryInMs: number = retryMs.first
  #mergeAgainMs = 0
  #closing = false
  #wake: () => void = () => undefined
  #sleepsUntilMs = 0
  /** Histories whose paper was seen to. */
  readonly #begun = new Set<string>()
  /** Put again in a whole one. */
  #toRemove: string[] = []

  constructor(order: Putting) {
    this.#order = order
    this.#ran = this.#run()
  }

  /** In memory. */
  get heldBytes(): number {
    return this.#queue.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  /** Offset of the last byte that lies in the store, on the way that is followed. */
  get stored(): number | null {
    return this.#stored
  }

  get trouble(): string | null {
    return this.#trouble ?? this.#mergeTrouble
  }

  /** null: nothing waits but what redis says to show that it is there. */
  waitingSinceWallMs(): number | null {
    for (const held of this.#queue) {
      const sinceMs = held.waitingSinceWallMs()
      if (sinceMs !== null) return sinceMs
    }
    return null
  }

  /** From now on this comes. Where it goes on just behind what is here, that grows. */
  follow(following: Following): void {
    const last = this.#queue.at(-1)
    const leg = legAt(following.legs, following.from)
    const goesOn = last !== undefined && last.to + 1 === following.from && last.origin.replid === leg?.replid && !last.ended
    if (last !== undefined && !(goesOn && last.origin.serverVersion === following.serverVersion)) last.ended = true
    this.#following = following
    this.#next = following.from
    if (this.#stored === null || this.#queue.every(({ stored, to }) => stored === to)) this.#stored = following.from - 1
  }

  /** What lies in the store in small segments, to be put as one. */
  takeUp(held: Held): void {
    held.ended = true
    this.#queue.unshift(held)
    this.#wake()
  }

  append(chunk: Buffer): void {
    const now = this.#order.now()
    for (let at = 0; at < chunk.length; ) {
      const held = this.#growing(now)
      const room = Math.min(this.#order.limits.wholeBytes - held.bytes, this.#legEnd() - this.#next + 1)
      const piece = chunk.subarray(at, at + room)
      held.append(piece, now)
      this.#next += piece.length
      at += piece.length
      if (held.bytes >= this.#order.limits.wholeBytes || this.#next > this.#legEndOf(held)) held.ended = true
      if (held.ended) this.#wake()
    }
    if (now.nowMs + this.#order.limits.flushMs < this.#sleepsUntilMs) this.#wake()
  }

  /** What is here is put, as far as it goes within this time. */
  async close(withinMs: number): Promise<void> {
    this.#closing = true
    this.#wake()
    const timer = setTimeout(() => {
      this.#abort.abort(new Error('broken off'))
      this.#wake()
    }, withinMs)
    await this.#ran
    clearTimeout(timer)
    this.#abort.abort(new Error('broken off'))
    await this.#merging
  }

  #legEnd(): number {
    return legAt(this.#following?.legs ?? [], this.#next)?.to ?? Number.POSITIVE_INFINITY
  }

  #legEndOf({ origin }: Held): number {
    return this.#following?.legs.find(({ replid }) => replid === origin.replid)?.to ?? Number.POSITIVE_INFINITY
  }

  #growing(now: Now): Held {
    const { legs, serverVersion, timelines } = this.#following as Following
    const last = this.#queue.at(-1)
    const replid = legAt(legs, this.#next)?.replid ?? ''
    if (last !== undefined && !last.ended && last.to + 1 === this.#next && last.origin.replid === replid) return last
    if (last !== undefined) last.ended = true
    // Once: after that it is in front of it in the queue, or in the store.
    const timeline = this.#begun.has(replid) ? null : (timelines.find((one) => one.replid === replid) ?? null)
    this.#begun.add(replid)
    const held = new Held({ replid, from: this.#next, serverVersion, timeline }, now)
    this.#queue.push(held)
    return held
  }

  async #run(): Promise<void> {
    for (;;) {
      const step = this.#abort.signal.aborted ? 'done' : await this.#step()
      if (step === 'done') return
      if (step === 'more') continue
      const ms = step === 'failed' ? this.#retryInMs : this.#dueInMs()
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms)
        this.#sleepsUntilMs = this.#order.now().nowMs + ms
        this.#wake = () => {
          // A store that fails is not asked more often because more comes.
          if (step === 'failed' && !this.#closing) return
          clearTimeout(timer)
          resolve()
        }
      })
      this.#wake = () => undefined
    }
  }

  async #step(): Promise<'more' | 'failed' | 'idle' | 'done'> {
    const { nowMs } = this.#order.now()
    const limits = this.#closing ? { ...this.#order.limits, flushMs: 0, pingsMs: 0 } : this.#order.limits
    for (const held of [...this.#queue]) {
      const what = whatToPut(held.facts(nowMs), limits)
      if (what === 'nothing') break
      // It is old, or large, enough: what comes goes into another one.
      if (what !== 'rest') held.ended = true
      // Its small ones are there; whoever archives next makes one of them.
      const isInTheWay = this.#mergeTrouble !== null && this.#merging === null && held.stored === held.to && this.heldBytes > 2 * limits.wholeBytes
      if (what === 'leave' || isInTheWay) {
        this.#queue.splice(this.#queue.indexOf(held), 1)
        this.#order.changed()
      } else if (held.stored === held.to) this.#mergeBeside(held)
      else return (await this.#putPart(held, what)) ? 'more' : 'failed'
    }
    return this.#closing ? 'done' : 'idle'
  }

  #dueInMs(): number {
    const last = this.#queue.at(-1)
    if (last === undefined) return lookMs
    const { restBytes, restIsPings, restAgeMs } = last.facts(this.#order.now().nowMs)
    return restBytes === 0 || restIsPings ? lookMs : Math.max(1, Math.min(lookMs, this.#order.limits.flushMs - restAgeMs))
  }

  async #putPart(held: Held, which: 'rest' | 'whole'): Promise<boolean> {
    const { origin } = held
    const part = held.part(which)
    const done = await this.#tried(async () => {
      if (origin.timeline !== null && !held.isTimelinePut) {
        const written = await putTimeline(this.#order.store, origin.timeline, this.#order.key, this.#abort.signal)
        if (!written.ok) return written
        held.isTimelinePut = true
      }
      return this.#put(held, part, which)
    })
    this.#trouble = done.ok ? null : `${this.#order.store.where}: ${done.why}`
    this.#retryInMs = done.ok ? retryMs.first : Math.min(retryMs.most, this.#retryInMs * 2)
    if (done.ok) {
      held.put(part.to)
      this.#stored = part.to
      const smalls = held.smalls.splice(0)
      if (which === 'rest') held.smalls.push(...smalls, done.value)
      else {
        this.#queue.splice(this.#queue.indexOf(held), 1)
        void this.remove(smalls)
      }
    }
    this.#order.changed()
    return done.ok
  }

  /** All of it lies in small segments already: what comes does not wait for it. */
  #mergeBeside(held: Held): void {
    if (this.#merging !== null || this.#closing || this.#order.now().nowMs < this.#mergeAgainMs) return
    this.#merging = this.#tried(() => this.#put(held, held.part('whole'), 'whole')).then(async (done) => {
      this.#mergeTrouble = done.ok ? null : `${this.#order.store.where}: ${done.why}`
      this.#mergeAgainMs = done.ok ? 0 : this.#order.now().nowMs + retryMs.most
      if (done.ok) {
        this.#queue.splice(this.#queue.indexOf(held), 1)
        await this.remove(held.smalls)
      }
      this.#merging = null
      this.#order.changed()
      this.#wake()
    })
  }

  /** A small one is as it came: it is put again within minutes, and to compress all of it twice would cost the redis beside it. */
  async #put({ origin }: Held, { from, to, chunks, marks }: ReturnType<Held['part']>, which: 'rest' | 'whole'): Promise<Observed<string>> {
    const { group, host, store, key } = this.#order
    const compression = which === 'whole' ? this.#order.compression : 'none'
    const said = { group, replid: origin.replid, from, to, lastWallMs: marks.at(-1)?.[1] ?? 0, host, serverVersion: origin.serverVersion, marks }
    const packed = await packSegment(said, chunks, compression, key)
    if (to - from >= this.#order.limits.wholeBytes / 2) globalThis.gc?.()
    const put = await store.put(packed.name, each(packed.chunks), this.#abort.signal)
    return put.ok ? { ok: true, value: packed.name } : put
  }

  /** What cannot be removed does no harm: it is tried again with the next ones, and by whoever archives next. */
  async remove(names: readonly string[]): Promise<void> {
    const left = [...this.#toRemove, ...names]
    this.#toRemove = []
    const work = async (): Promise<void> => {
      for (let name = left.pop(); name !== undefined && !this.#abort.signal.aborted; name = left.pop()) {
        const target = name
        const removed = await this.#tried(() => this.#order.store.remove(target, this.#abort.signal))
        if (!removed.ok && this.#toRemove.length < maxToRemove) this.#toRemove.push(name)
      }
    }
    await Promise.all(Array.from({ length: removingAtOnce }, work))
  }

  async #tried<T>(work: () => Promise<Observed<T>>): Promise<Observed<T>> {
    try {
      return await work()
    } catch (error) {
      return { ok: false, why: (error as Error).message }
    }
  }
}
