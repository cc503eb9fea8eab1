/**
 * A virtual clock: what is due happens in its order, and calm time is jumped over. The world that ticks by it extends it, and
 * makes everything that time alone brings about (a load that ends, an advert that fails to come) due like all the rest.
 */
interface Due {
  readonly atMs: number
  readonly order: number
  readonly what: () => void
}

export abstract class VirtualClock {
  nowMs = 1000
  /** A heap: the first is due next. */
  private readonly queue: Due[] = []
  private order = 0
  /** Looked at after every step; it may throw. */
  afterEach: () => void = () => {}

  /** Whatever follows from the state of things without anybody's doing. */
  abstract changed(): void
  /** What has happened so far, for the message of a failure. */
  abstract tale(): string

  after(ms: number, what: () => void): void {
    this.order += 1
    const due: Due = { atMs: this.nowMs + ms, order: this.order, what }
    const { queue } = this
    let at = queue.length
    queue.push(due)
    while (at > 0) {
      const above = (at - 1) >> 1
      const other = queue[above] as Due
      if (!isBefore(due, other)) break
      queue[at] = other
      at = above
    }
    queue[at] = due
  }

  private takeNext(): Due | undefined {
    const { queue } = this
    const first = queue[0]
    const last = queue.pop()
    if (first === undefined || last === undefined || queue.length === 0) return first
    let at = 0
    for (;;) {
      let below = 2 * at + 1
      if (below >= queue.length) break
      if (below + 1 < queue.length && isBefore(queue[below + 1] as Due, queue[below] as Due)) below += 1
      if (!isBefore(queue[below] as Due, last)) break
      queue[at] = queue[below] as Due
      at = below
    }
    queue[at] = last
    return first
  }

  /** The next thing that is due up to then; false: nothing is, and it is then. */
  private step(untilMs: number): boolean {
    const next = this.queue[0]
    if (next === undefined || next.atMs > untilMs) {
      this.nowMs = Math.max(this.nowMs, untilMs)
      return false
    }
    this.takeNext()
    this.nowMs = Math.max(this.nowMs, next.atMs)
    next.what()
    this.afterEach()
    return true
  }

  run(ms: number): void {
    this.runUntil(this.nowMs + ms, never)
  }

  /** Until it is so or then; whether it is. Asked after every step. */
  runUntil(untilMs: number, isSo: () => boolean): boolean {
    // What was done from outside since the last step.
    this.changed()
    this.afterEach()
    for (let steps = 0; steps < 2_000_000; steps += 1) {
      if (isSo()) return true
      if (!this.step(untilMs)) {
        this.changed()
        this.afterEach()
        return isSo()
      }
    }
    throw new Error(`the world does not come to rest\n${this.tale()}`)
  }

  /** Runs until it is so; an error with the story when it does not become so. */
  until(what: string, isSo: () => boolean, limitMs = 10_000): void {
    if (!this.runUntil(this.nowMs + limitMs, isSo)) throw new Error(`not within ${limitMs} ms: ${what}\n${this.tale()}`)
  }
}

function never(): boolean {
  return false
}

function isBefore(a: Due, b: Due): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}
