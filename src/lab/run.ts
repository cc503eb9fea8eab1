/**
 * Runs one outside program and waits for it, always with a deadline; and waits for a condition, always with a deadline.
 * Failure is data here: a program that is missing, fails or hangs gives a non-zero code and says why in `stderr`.
 * It must not decide what a failure means; `must` is for steps that a lab cannot do without.
 */
import { spawn } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { OperatorError } from '../model/error.ts'

export interface RunResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly deadlineMs?: number
  readonly input?: string
  readonly cwd?: string
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>
}

const defaultDeadlineMs = 10_000
/** A program that prints without end must not eat this process's memory. */
const maxOutputBytes = 16 * 1024 * 1024

export function run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const deadlineMs = options.deadlineMs ?? defaultDeadlineMs
  const [program = '', ...args] = argv
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      // Not in the terminal's process group: Ctrl-C is for this process, which then cleans up with such steps.
      detached: true,
      stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.env === undefined ? {} : { env: { ...process.env, ...options.env } }),
    })
    const out: Buffer[] = []
    const err: Buffer[] = []
    let bytes = 0
    let cause = ''
    const give = (code: number): void => {
      clearTimeout(timer)
      // A grandchild may hold the pipes open for ever; what was read so far is the answer.
      child.stdout?.destroy()
      child.stderr?.destroy()
      const stderr = Buffer.concat(err).toString() + cause
      resolve({ code: cause === '' ? code : Math.max(code, 124), stdout: Buffer.concat(out).toString(), stderr })
    }
    const abandon = (why: string): void => {
      cause = why
      child.kill('SIGKILL')
      give(124)
    }
    const timer = setTimeout(() => abandon(`${program}: no end within ${deadlineMs} ms\n`), deadlineMs)
    const take =
      (list: Buffer[]) =>
      (chunk: Buffer): void => {
        bytes += chunk.length
        if (bytes > maxOutputBytes) abandon(`${program}: printed more than ${maxOutputBytes} bytes\n`)
        else list.push(chunk)
      }
    child.stdout?.on('data', take(out))
    child.stderr?.on('data', take(err))
    child.on('error', (error) => {
      cause = `${program}: ${error.message}\n`
      give(127)
    })
    child.on('close', (code, signal) => give(code ?? (signal === null ? 1 : 128)))
    // A program that ends without reading its input closes the pipe; its exit code tells more than the EPIPE.
    child.stdin?.on('error', (error) => err.push(Buffer.from(`${program}: input: ${error.message}\n`)))
    child.stdin?.end(options.input)
  })
}

/** For steps that a lab cannot do without: anything but success is the operator's to know. */
export async function must(argv: readonly string[], what: string, options: RunOptions = {}): Promise<string> {
  const result = await run(argv, options)
  if (result.code === 0) return result.stdout
  const why = result.stderr.trim() || `exit code ${result.code}`
  throw new OperatorError('HF503', `${what}: ${why}`, `The command was: ${argv.join(' ')}`)
}

/** Asks until `condition` gives something, or gives up at the deadline with `undefined`. */
export async function poll<T>(
  condition: () => Promise<T | undefined> | T | undefined,
  limits: { readonly withinMs: number; readonly everyMs?: number },
): Promise<T | undefined> {
  const endMs = performance.now() + limits.withinMs
  for (;;) {
    const value = await condition()
    if (value !== undefined) return value
    if (performance.now() >= endMs) return undefined
    await delay(limits.everyMs ?? 20)
  }
}
