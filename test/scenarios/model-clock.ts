/** A virtual clock: what is due happens in its order, nothing waits in real time. The world that ticks by it extends it. */
interface Due {
  readonly atMs: number
  readonly order: number
  readonly what: () => void
}

export abstract class VirtualClock {
  nowMs = 1000
  private queue: Due[] = []
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
    let low = 0
    let high = this.queue.length
    while (low < high) {
      const middle = (low + high) >> 1
      const other = this.queue[middle]
      if (other !== undefined && (other.atMs < due.atMs || (other.atMs === due.atMs && other.order < due.order))) low = middle + 1
      else high = middle
    }
    this.queue.splice(low, 0, due)
  }

  run(ms: number): void {
    const untilMs = this.nowMs + ms
    for (let steps = 0; steps < 2_000_000; steps += 1) {
      const next = this.queue[0]
      const physicsMs = this.nowMs + 5
      const atMs = Math.min(untilMs, physicsMs, next?.atMs ?? untilMs)
      this.nowMs = Math.max(this.nowMs, atMs)
      if (next !== undefined && next.atMs <= this.nowMs) {
        this.queue.shift()
        next.what()
      }
      this.changed()
      this.afterEach()
      if (this.nowMs >= untilMs && (this.queue[0] === undefined || this.queue[0].atMs > untilMs)) return
    }
    throw new Error('the world does not come to rest')
  }

  /** Runs until it is so; an error with the story when it does not become so. */
  until(what: string, isSo: () => boolean, limitMs = 10_000): void {
    const endMs = this.nowMs + limitMs
    while (!isSo()) {
      if (this.nowMs >= endMs) throw new Error(`not within ${limitMs} ms: ${what}\n${this.tale()}`)
      this.run(1)
    }
  }
}
