/**
 * Runs one program for a step of script/test: its output goes to a file, a sign of life to the terminal, and it has a
 * deadline. It ends only what it has started itself: the program's own process group.
 */
import { spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'

export interface Ended {
  readonly code: number
  readonly timedOut: boolean
}

export interface CommandOptions {
  readonly logFile: string
  readonly deadlineMs: number
  readonly env?: Readonly<Record<string, string>>
  readonly say: (line: string) => void
  readonly signal: AbortSignal
}

const beatEveryMs = 15_000
const graceMs = 15_000

export function runCommand(argv: readonly string[], options: CommandOptions): Promise<Ended> {
  const [program = '', ...args] = argv
  const startedMs = performance.now()
  const log = openSync(options.logFile, 'a')
  return new Promise((resolve) => {
    // A group of its own: a test runner has workers, and at the deadline they must end with it.
    const child = spawn(program, args, {
      detached: true,
      stdio: ['ignore', log, log],
      env: { ...process.env, FORCE_COLOR: '0', NO_COLOR: '1', ...options.env },
    })
    let timedOut = false
    let killer: NodeJS.Timeout | undefined
    const end = (signal: NodeJS.Signals): void => {
      signalGroup(child.pid, signal)
      killer ??= setTimeout(() => signalGroup(child.pid, 'SIGKILL'), graceMs)
    }
    const interrupt = (): void => end('SIGINT')
    options.signal.addEventListener('abort', interrupt)
    const beat = setInterval(
      () => options.say(`still running, ${Math.round((performance.now() - startedMs) / 1000)} s: ${lastLine(options.logFile)}`),
      beatEveryMs,
    )
    const timer = setTimeout(() => {
      timedOut = true
      end('SIGTERM')
    }, options.deadlineMs)
    const finish = (code: number): void => {
      for (const pending of [timer, killer]) clearTimeout(pending)
      clearInterval(beat)
      options.signal.removeEventListener('abort', interrupt)
      closeSync(log)
      resolve({ code: timedOut && code === 0 ? 124 : code, timedOut })
    }
    child.once('error', (error) => {
      options.say(`${program} cannot be started: ${error.message}`)
      finish(127)
    })
    child.once('exit', (code, signal) => finish(code ?? (signal === null ? 1 : 128)))
  })
}

export function tailOf(file: string, lines: number): string {
  return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-lines).join('\n')
}

function lastLine(file: string): string {
  return tailOf(file, 1).trim().slice(0, 120)
}

function signalGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal)
  } catch (error) {
    // It has ended in the meantime, which is what was wanted.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
