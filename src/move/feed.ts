/**
 * Feeds an older redis on the way back: reads the stream of the group's primary as a replica would, translates it
 * (migrate/feed-tell.ts), and plays a primary to the old one. NEVER A FULL SYNC: where it cannot go on it says so, and the old redis keeps what it has.
 * Each byte comes once: what is asked for says what the old redis has, and the translation from the last anchor finds the same bytes again.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { historyOf } from '../backup/archiving.ts'
import { isOnPath, type Leg } from '../backup/chain.ts'
import type { OldRedis } from '../migrate/feed-translate.ts'
import { tellFrom, type Teller } from '../migrate/feed-tell.ts'
import { fedReplid, withAnchor, type FeedJob, type FeedLine, type FeedPoint } from '../model/feed.ts'
import type { Observed } from '../model/outcome.ts'
import type { RedisFacts } from '../model/view.ts'
import { openAsPrimary, type Answer, type Door } from '../redis/as-primary.ts'
import { factsFromInfo } from '../redis/info.ts'
import type { RedisTarget } from '../redis/link.ts'
import { attach, encode, type Attached } from '../redis/psync.ts'
import { openRaw } from '../redis/raw.ts'
import type { Asked } from '../redis/replica-talk.ts'

export interface FeedOrder extends Pick<FeedJob, 'anchors' | 'lineage'> {
  readonly target: () => Promise<Observed<RedisTarget>>
  readonly door: Door
  readonly old: OldRedis
  readonly tell: (line: FeedLine) => void
  readonly signal: AbortSignal
}

const deadlineMs = 5000
const tellEveryMs = 1000
/** What a replica of the group has not got within this time dies with its primary; told to the old redis before, it would have writes that nobody else has. */
const settleMs = 50
const maxHeldBytes = 8 * 1024 * 1024
const retryMs = 100
const maxPoints = 200
const limits = { greetingMs: 10_000, standstillMs: 60_000 }

export async function feed(order: FeedOrder): Promise<void> {
  const feeder = new Feeder(order)
  const primary = await openAsPrimary((what) => feeder.answer(what), limits, order.door)
  const tell = (): void => order.tell(feeder.standing(primary.port, primary.acked()))
  feeder.changed = tell
  const timer = setInterval(() => {
    tell()
    feeder.acknowledge(primary.acked())
  }, tellEveryMs)
  tell()
  try {
    await new Promise<void>((resolve) => {
      if (order.signal.aborted) resolve()
      order.signal.addEventListener('abort', () => resolve())
    })
  } finally {
    clearInterval(timer)
    await primary.close()
  }
}

class Feeder {
  readonly #order: FeedOrder
  #anchors: readonly FeedPoint[]
  /** Not yet said to be there by the old redis. */
  #points: FeedPoint[] = []
  #now: Begun | null = null
  #trouble: string | null = 'the old redis has not asked yet'
  changed: () => void = () => undefined

  constructor(order: FeedOrder) {
    this.#order = order
    this.#anchors = order.anchors
  }

  standing(port: number, acked: number): FeedLine {
    const had = this.#points.findLast(({ fed }) => fed <= acked)
    if (had !== undefined) {
      this.#points = this.#points.filter(({ fed }) => fed > acked)
      this.#anchors = withAnchor(this.#anchors, had)
    }
    return { t: 'feed', port, point: this.#now?.teller.point() ?? null, anchor: this.#anchors.at(-1) ?? null, trouble: this.#trouble }
  }

  /** Only what the old redis has said to have: where acknowledged writes are counted, it counts as the source that followed would, and not as more. */
  acknowledge(acked: number): void {
    const anchor = this.#anchors.at(-1)
    if (acked >= 0 && anchor !== undefined && anchor.fed <= acked) this.#now?.reader.acknowledge(anchor.offset)
  }

  async answer(asked: Asked): Promise<Answer> {
    const begun = await begin(asked, this.#anchors, this.#order).catch((error: Error) => ({ ok: false, why: error.message }) as const)
    this.#points = []
    this.#now = begun.ok ? begun.value : null
    this.#trouble = begun.ok ? null : begun.why
    this.changed()
    return begun.ok ? { continue: this.#pieces(begun.value), replid: fedReplid(begun.value.replid) } : { refuse: begun.why }
  }

  async *#pieces(begun: Begun): AsyncGenerator<Buffer, void, undefined> {
    const { reader, teller, first } = begun
    let why = 'the old redis is not attached'
    try {
      if (first !== '') yield Buffer.from(first, 'latin1')
      for (;;) {
        const told = teller.push((await reader.take(settleMs)).toString('latin1'))
        const broken = teller.broken()
        if (broken !== null) throw new Error(`the stream of the group is not understood ${broken}`)
        if (this.#points.length < maxPoints) this.#points.push(teller.point())
        this.changed()
        if (told !== '') yield Buffer.from(told, 'latin1')
      }
    } catch (error) {
      why = (error as Error).message
      throw error
    } finally {
      reader.close()
      if (this.#now === begun) {
        this.#trouble = why
        this.changed()
      }
    }
  }
}

interface Begun {
  readonly replid: string
  readonly reader: Reader
  readonly teller: Teller
  /** That was made on the way, and the old redis has not got. */
  readonly first: string
}

/** Up to exactly what the old redis has: what is in front of it is translated once more, and comes out the same. */
async function begin(asked: Asked, anchors: readonly FeedPoint[], order: FeedOrder): Promise<Observed<Begun>> {
  const looked = await look(order.target)
  if (!looked.ok) return looked
  const { replid, offset } = looked.value
  const has = asked.offset - 1
  const chosen = whereFrom(asked.replid, has, historyOf({ ...looked.value, backlogFrom: -1 }, order.lineage), anchors)
  if (!chosen.ok) return chosen
  const { from, end } = chosen.value
  const reader = new Reader(order.target, replid, from.offset + 1)
  const teller = tellFrom(from, replid, order.old)
  try {
    await reader.attach()
    // What was made of what comes behind is no longer the same.
    const last = Math.min(end, offset)
    let first = ''
    while (teller.fed() < has) {
      if (reader.position() > last)
        throw new Error(`it has writes that the group has lost in a failover (${has - teller.fed()} bytes): it is not fed over them`)
      const come = await reader.take(0, last)
      first = teller.push(come.toString('latin1'))
    }
    return { ok: true, value: { replid, reader, teller, first: first.slice(first.length - (teller.fed() - has)) } }
  } catch (error) {
    reader.close()
    return { ok: false, why: (error as Error).message }
  }
}

/** `end`: of the history that it was fed from, the last byte that belongs to the present one. */
export function whereFrom(
  asked: string,
  has: number,
  history: readonly Leg[],
  anchors: readonly FeedPoint[],
): Observed<{ readonly from: FeedPoint; readonly end: number }> {
  const [cutOver] = anchors
  if (cutOver === undefined) return { ok: false, why: 'the offset of the cut-over is not known' }
  if (asked === cutOver.replid)
    return has === cutOver.fed
      ? { ok: true, value: { from: cutOver, end: Number.POSITIVE_INFINITY } }
      : { ok: false, why: `it is at offset ${has} of its own history, and the cut-over was at ${cutOver.fed}` }
  const leg = history.find(({ replid }) => fedReplid(replid) === asked)
  if (leg === undefined)
    return { ok: false, why: `it was started anew without its place in the stream, or was given other data (history ${asked.slice(0, 8)})` }
  const from = anchors.findLast((anchor) => anchor.fed <= has && isOnPath(history, anchor))
  return from === undefined
    ? { ok: false, why: `it is at offset ${has}, and what was translated before ${anchors[1]?.fed ?? cutOver.fed} is not known any more` }
    : { ok: true, value: { from, end: leg.to } }
}

async function look(target: FeedOrder['target']): Promise<Observed<RedisFacts>> {
  const told = await target()
  if (!told.ok) return told
  const opened = await openRaw(told.value, deadlineMs)
  if (!opened.ok) return opened
  try {
    const info = await opened.value.call('INFO')
    const facts = Buffer.isBuffer(info) ? factsFromInfo(info.toString('latin1')) : null
    if (facts === null || facts.loading) return { ok: false, why: 'the redis of the group is loading, or does not answer INFO' }
    return facts.role === 'primary' ? { ok: true, value: facts } : { ok: false, why: 'the redis of this host does not serve' }
  } catch (error) {
    return { ok: false, why: (error as Error).message }
  } finally {
    opened.value.close()
  }
}

/** The stream of one history from a byte on. Where redis hangs up, it is attached again, at the next byte. */
class Reader {
  readonly #target: FeedOrder['target']
  readonly #replid: string
  #next: number
  #held: Buffer[] = []
  #heldBytes = 0
  #attached: Attached | null = null
  #wake: () => void = () => undefined
  #isClosed = false

  constructor(target: FeedOrder['target'], replid: string, from: number) {
    this.#target = target
    this.#replid = replid
    this.#next = from
  }

  /** Of the byte that `take` gives next. */
  position(): number {
    return this.#next
  }

  async attach(): Promise<void> {
    const from = this.#next + this.#heldBytes
    const target = await this.#target()
    const attached = target.ok ? await attach(target.value, this.#replid, from, deadlineMs) : target
    if (!attached.ok)
      throw new Error(attached.why.startsWith('only a full sync') ? `the backlog of the group does not reach back to offset ${from} any more` : attached.why)
    const { socket, first, replid } = attached.value
    if (replid !== this.#replid || this.#isClosed) {
      socket.destroy()
      throw new Error(this.#isClosed ? 'closed' : 'the redis of the group has become another history')
    }
    this.#attached = attached.value
    socket.setKeepAlive(true, 10_000)
    socket.on('error', () => undefined) // `close` tells it as well.
    socket.once('close', () => {
      this.#attached = null
      this.#wake()
    })
    socket.on('data', (chunk: Buffer) => this.#hold(chunk))
    if (first.length > 0) this.#hold(first)
    socket.resume()
  }

  #hold(chunk: Buffer): void {
    this.#held.push(chunk)
    this.#heldBytes += chunk.length
    if (this.#heldBytes > maxHeldBytes) this.#attached?.socket.pause()
    this.#wake()
  }

  /** All that has come and is older than `restMs`, not beyond `last`. */
  async take(restMs: number, last = Number.POSITIVE_INFINITY): Promise<Buffer> {
    while (this.#heldBytes === 0) {
      if (this.#isClosed) throw new Error('closed')
      if (this.#attached === null) {
        await delay(retryMs)
        await this.attach()
        continue
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    const bytes = this.#heldBytes
    if (restMs > 0) await delay(restMs)
    const all = Buffer.concat(this.#held)
    const size = Math.min(bytes, last - this.#next + 1)
    const rest = all.subarray(size)
    this.#held = rest.length === 0 ? [] : [rest]
    this.#heldBytes = rest.length
    this.#next += size
    if (this.#heldBytes <= maxHeldBytes) this.#attached?.socket.resume()
    return all.subarray(0, size)
  }

  acknowledge(offset: number): void {
    this.#attached?.socket.write(encode(['REPLCONF', 'ACK', String(offset)]))
  }

  close(): void {
    this.#isClosed = true
    this.#attached?.socket.destroy()
    this.#wake()
  }
}
