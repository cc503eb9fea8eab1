/**
 * When the machine stood still: a hypervisor that took a processor away, and with it whoever ran there, a redis or the writing client. It is seen by one
 * process of real-time priority on each processor, which programs that merely compete for it do not hold up; so a busy machine excuses nothing here.
 * It is told beside a failure, for whoever looks for its cause. It excuses nothing by itself: who ran on that processor is not known.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { cpus } from 'node:os'

const everyMs = 10
/** Less than this is a timer. */
const stallMs = 30

const watcher = `
let last = performance.now()
setInterval(() => {
  const now = performance.now()
  if (now - last > ${everyMs + stallMs}) process.stdout.write(JSON.stringify([Date.now() - (now - last), Date.now()]) + '\\n')
  last = now
}, ${everyMs})
process.stdin.resume().on('end', () => process.exit())
`

export class Stalls {
  readonly #children: readonly ChildProcess[]
  readonly #seen: (readonly [fromMs: number, toMs: number])[] = []

  constructor() {
    this.#children = cpus().map((_, cpu) => this.#watch(cpu))
  }

  #watch(cpu: number): ChildProcess {
    const child = spawn('taskset', ['-c', String(cpu), 'chrt', '--fifo', '50', process.execPath, '-e', watcher], { stdio: ['pipe', 'pipe', 'ignore'] })
    // Without the right to that priority nothing is seen.
    child.on('error', () => {})
    let rest = ''
    child.stdout.on('data', (data: Buffer) => {
      const lines = `${rest}${data.toString()}`.split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) this.#seen.push(JSON.parse(line) as [number, number])
    })
    return child
  }

  /** How long one processor or another stood still between two moments of the wall clock, all in all. */
  betweenMs(fromMs: number, toMs: number): number {
    let [sumMs, countedMs] = [0, fromMs]
    for (const [from, to] of this.#seen.toSorted((a, b) => a[0] - b[0])) {
      const [begin, end] = [Math.max(from, countedMs), Math.min(to, toMs)]
      if (end <= begin) continue
      sumMs += end - begin
      countedMs = end
    }
    return sumMs
  }

  end(): void {
    for (const child of this.#children) child.kill('SIGKILL')
  }
}
