/**
 * A TCP connection of the model world, between somebody who asks and a process that answers. What is sent arrives in its order, late where the
 * way is slow, after a retransmission where it was cut, and once a process reads again that stood still. Knows nothing of what is said.
 */
import type { Network } from './model-network.ts'

/** What a wire needs of the world. */
export interface Ground {
  readonly nowMs: number
  readonly network: Network
  readonly after: (ms: number, what: () => void) => void
  /** Of those to whom words have come while they stood still; looked at when anything changes. */
  readonly held: Set<Way>
}

export interface End {
  readonly host: string
  /** The process reads what has come. */
  readonly turns: () => boolean
}

/** The kernel tries again to send what was not acknowledged. */
const retransmitMs = 200
const sameHostMs = 0.1
/** How often one looks again whether a command that redis holds back is taken. */
const stuckMs = 20

interface Word {
  readonly atMs: number
  /** false: not taken yet, and nothing that comes after it is read before. */
  readonly said: () => boolean
}

/** One direction. */
export class Way {
  private readonly ground: Ground
  private readonly wire: Wire
  private readonly from: End
  private readonly to: End
  private readonly words: Word[] = []
  private due = false

  constructor(ground: Ground, wire: Wire, from: End, to: End) {
    this.ground = ground
    this.wire = wire
    this.from = from
    this.to = to
  }

  send(said: () => boolean): void {
    const { ground, words } = this
    const delayMs = this.from.host === this.to.host ? sameHostMs : ground.network.way(this.from.host, this.to.host).delayMs
    const atMs = Math.max(words.at(-1)?.atMs ?? 0, ground.nowMs + delayMs)
    words.push({ atMs, said })
    this.lookIn(atMs - ground.nowMs)
  }

  look(): void {
    const { ground, words, wire } = this
    ground.held.delete(this)
    for (let next = words[0]; next !== undefined && wire.open; next = words[0]) {
      if (!ground.network.connected(this.from.host, this.to.host, 'redis')) this.lookIn(retransmitMs)
      else if (!this.to.turns()) ground.held.add(this)
      // Sums of fractions are not exact.
      else if (next.atMs > ground.nowMs + 0.001) this.lookIn(next.atMs - ground.nowMs)
      else {
        if (next.said()) {
          words.shift()
          continue
        }
        this.lookIn(stuckMs)
      }
      return
    }
  }

  private lookIn(ms: number): void {
    if (this.due) return
    this.due = true
    this.ground.after(ms, () => {
      this.due = false
      this.look()
    })
  }
}

export class Wire {
  open = true
  /** Questions without an answer. */
  pending = 0
  private readonly there: Way
  private readonly back: Way
  private readonly ground: Ground
  private readonly from: End
  private readonly to: End
  private readonly accepted: () => boolean

  /** `accepted`: the process that took this connection lives. */
  constructor(ground: Ground, from: End, to: End, accepted: () => boolean) {
    this.ground = ground
    this.from = from
    this.to = to
    this.accepted = accepted
    this.there = new Way(ground, this, from, to)
    this.back = new Way(ground, this, to, from)
  }

  /** The question reaches whoever took the connection, or nobody. `held`: no answer yet, nor to any later question. */
  ask<T>(question: () => T | 'held', heard: (answer: T) => void): void {
    this.pending += 1
    this.there.send(() => {
      if (!this.accepted()) return true
      const answer = question()
      if (answer === 'held') return false
      this.back.send(() => {
        this.pending -= 1
        heard(answer)
        return true
      })
      return true
    })
  }

  /** What was subscribed to. */
  push(heard: () => void): void {
    if (!this.accepted()) return
    this.back.send(() => {
      heard()
      return true
    })
  }

  /** The other side has ended, and says so. */
  hasEnded(): boolean {
    return !this.accepted() && this.ground.network.connected(this.from.host, this.to.host, 'redis')
  }

  end(): void {
    this.open = false
  }
}
