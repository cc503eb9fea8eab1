/**
 * When the whole machine stood still, all hosts of a lab and their clients at once: a hypervisor that took its processors away. It is seen by a
 * process of real-time priority, which programs that merely compete for a processor do not hold up; so a busy machine excuses nothing here.
 * An outage may be longer by as much: no group of hosts could have served in that time. Must not be used where hosts are judged by each other.
 */
import { spawn, type ChildProcess } from 'node:child_process'

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
  readonly #child: ChildProcess
  readonly #seen: (readonly [fromMs: number, toMs: number])[] = []
  #rest = ''

  constructor() {
    this.#child = spawn('chrt', ['--fifo', '50', process.execPath, '-e', watcher], { stdio: ['pipe', 'pipe', 'ignore'] })
    // Without the right to that priority nothing is seen, and nothing excused.
    this.#child.on('error', () => {})
    this.#child.stdout?.on('data', (data: Buffer) => {
      const lines = `${this.#rest}${data.toString()}`.split('\n')
      this.#rest = lines.pop() ?? ''
      for (const line of lines) this.#seen.push(JSON.parse(line) as [number, number])
    })
  }

  /** How long the machine stood still between two moments of the wall clock, all in all. */
  betweenMs(fromMs: number, toMs: number): number {
    return this.#seen.reduce((sum, [from, to]) => sum + Math.max(0, Math.min(to, toMs) - Math.max(from, fromMs)), 0)
  }

  end(): void {
    this.#child.stdin?.end()
    this.#child.kill('SIGKILL')
  }
}
