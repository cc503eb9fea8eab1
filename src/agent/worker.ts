/**
 * A process of its own for what must not delay this agent: started at low priority with one order, heard line by line, ended by closing its
 * input (so it ends with this agent, however that ends). Must not know what it does.
 */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { dirname, join } from 'node:path'

export interface WorkerOptions {
  /** How much of the machine it gives way to others. */
  readonly nice: number
  /** Whether it uses a disk only while nobody else does. */
  readonly idleDisk: boolean
  /** Beside the agent's own bundle; absent: what makes backups. */
  readonly program?: string
  /** For what is text in it; what passes through are buffers outside of it. */
  readonly heapMb?: number
  /** Without a word for so long it is ended. */
  readonly silentMs: number
  /** A line that it told; what this throws counts as words of a process that is lost. */
  readonly take: (line: unknown) => void
}

export interface WorkerEnd {
  /** Why it was stopped, by the first word; null: nobody stopped it. */
  readonly stopped: string | null
  /** `ended with 1: …`, `could not be started (…)`. */
  readonly how: string
}

export interface Worker {
  /** Never rejects. */
  readonly ended: Promise<WorkerEnd>
  /** It may end what it has begun, for a few seconds. */
  readonly stop: (why: string) => void
  /** It does nothing any more from now on. */
  readonly kill: (why: string) => void
}

const lettingGoMs = 10_000
const maxLineChars = 1_048_576
const maxWordsChars = 4096

const usualHeapMb = 96
const lowered =
  'echo 500 2>/dev/null >/proc/self/oom_score_adj; n=$1 idle=$2; shift 2; if [ "$idle" = yes ] && command -v ionice >/dev/null 2>&1; then exec nice -n "$n" ionice -c 3 "$@"; else exec nice -n "$n" "$@"; fi'

function program(name: string): string {
  return join(dirname(process.argv[1] ?? ''), name)
}

export function startWorker(order: object, options: WorkerOptions): Worker {
  // Of buffers that several threads let go of, the allocator keeps less with fewer arenas.
  const env = { ...process.env, MALLOC_ARENA_MAX: '2' }
  const priority = [String(options.nice), options.idleDisk ? 'yes' : 'no']
  const nodeOptions = ['--max-semi-space-size=2', `--max-old-space-size=${options.heapMb ?? usualHeapMb}`, '--expose-gc']
  let child: ChildProcessWithoutNullStreams
  try {
    child = spawn('sh', ['-c', lowered, 'sh', ...priority, process.execPath, ...nodeOptions, program(options.program ?? 'backup.js')], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env,
    })
    // Without descriptors for its pipes it is handed over without any, and says why later than it would be needed.
    child.once('error', () => undefined)
    if ((child.stdin as unknown) === undefined) throw new Error('there are no descriptors for its pipes')
  } catch (error) {
    return notStarted((error as Error).message)
  }
  return hear(order, child, options)
}

/** Too little memory, or too many files: that ends this one and not the agent. */
function notStarted(why: string): Worker {
  return { ended: Promise.resolve({ stopped: null, how: `could not be started (${why})` }), stop: () => undefined, kill: () => undefined }
}

function hear(order: object, child: ChildProcessWithoutNullStreams, { silentMs, take }: WorkerOptions): Worker {
  let stopped: string | null = null
  let words = ''
  let rest = ''
  let timer: NodeJS.Timeout | undefined

  const stop = (why: string): void => {
    if (stopped !== null) return
    stopped = why
    child.stdin.end()
    setTimeout(() => child.kill('SIGKILL'), lettingGoMs).unref()
  }
  const kill = (why: string): void => {
    stopped ??= why
    child.kill('SIGKILL')
  }
  const heard = (): void => {
    clearTimeout(timer)
    timer = setTimeout(() => stop(`it told nothing for ${silentMs < 60_000 ? `${silentMs / 1000} s` : `${silentMs / 60_000} minutes`}`), silentMs).unref()
  }

  heard()
  // What it did not read, it does not need: its end says why.
  child.stdin.on('error', () => undefined)
  child.stdin.write(`${JSON.stringify(order)}\n`)
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    words = (words + chunk).slice(-maxWordsChars)
  })
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    heard()
    rest += chunk
    for (let at = rest.indexOf('\n'); at >= 0; at = rest.indexOf('\n')) {
      const line = rest.slice(0, at)
      rest = rest.slice(at + 1)
      try {
        take(JSON.parse(line))
      } catch {
        words = (words + line).slice(-maxWordsChars)
      }
    }
    if (rest.length > maxLineChars) stop('it told a line without end')
  })

  const ended = new Promise<WorkerEnd>((resolve) => {
    const finish = (how: string): void => {
      clearTimeout(timer)
      const said = words.trim().split('\n').at(-1) ?? ''
      resolve({ stopped, how: `${how}${said === '' ? '' : `: ${said}`}` })
    }
    child.once('error', (error) => finish(`could not be started (${error.message})`))
    child.once('close', (code, signal) => finish(signal === null ? `ended with ${code}` : `was ended by ${signal}`))
  })
  return { ended, stop, kill }
}
