/**
 * A redis-server for one purpose, in a folder of its own. Both go with this process, however this process ends: a shell between the two
 * kills it when its input closes. Must not know what it is for.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'

/** Of what it says, the end is kept. */
const maxOutputChars = 65_536

/**
 * Waits for the word to begin, then for the end of its input; whatever it is that ends, redis and the folder go. It lets go of the output, so
 * that this ends with redis.
 */
const keeper = [
  'pid=; if read -r go; then ulimit -v "$1"; if [ "$2" = low ]; then echo 1000 >/proc/self/oom_score_adj; renice -n 10 -p $$; ionice -c 3 -p $$; fi >/dev/null 2>&1; shift 2',
  'if command -v "$1" >/dev/null; then "$@" </dev/null 2>&1 & pid=$!; else echo "Fatal error: $1 is not there"; fi',
  'exec >/dev/null 2>&1; cat; fi',
  'if [ -n "$pid" ]; then kill -9 "$pid"; wait "$pid"; fi',
  'rm -rf "$HOLDFAST_DIR"',
].join('\n')

export interface ShortLived {
  readonly dir: string
  /** What it needs lies in the folder now. */
  readonly start: () => void
  readonly output: () => string
  /** It runs no more: it ended, or could not be started. */
  readonly hasEnded: () => boolean
  readonly close: () => Promise<void>
}

interface Restraint {
  /** Of its memory. */
  readonly capKiB?: number
  /** It steps back for everybody else, where this machine has the programs for that. */
  readonly low?: boolean
}

/** `argv`: with the folder at hand. */
export function shortLived(prefix: string, argv: (dir: string) => readonly string[], { capKiB, low }: Restraint = {}): ShortLived {
  // Nothing is waited for between the two: whoever is killed there would leave the folder behind.
  const dir = mkdtempSync(join(tmpdir(), prefix))
  const remove = (): void => rmSync(dir, { recursive: true, force: true })
  // Not in the terminal's process group: after Ctrl-C it is the shell that cleans up.
  const child = removingOnThrow(remove, () =>
    spawn('sh', ['-c', keeper, 'sh', String(capKiB ?? 'unlimited'), low === true ? 'low' : 'as it is', ...argv(dir)], {
      stdio: ['pipe', 'pipe', 'ignore'],
      detached: true,
      env: { ...process.env, HOLDFAST_DIR: dir },
    }),
  )
  let output = ''
  let isOver = false
  const gone = new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
    // No shell, so nobody else removes the folder. Without a listener this would end the process.
    child.once('error', (error) => {
      output = `Fatal error: sh cannot be started: ${error.message}`
      isOver = true
      remove()
      resolve()
    })
  })
  // Where this process has no more files to open, it has none of the two.
  const { stdin, stdout }: { readonly stdin?: Writable; readonly stdout?: Readable } = child
  stdin?.on('error', () => undefined) // It is gone already: its output says why.
  stdout?.setEncoding('utf8')
  stdout?.on('data', (chunk: string) => {
    output = (output + chunk).slice(-maxOutputChars)
  })
  stdout?.once('end', () => {
    isOver = true
  })
  return {
    dir,
    start: () => void stdin?.write('go\n'),
    output: () => output,
    hasEnded: () => isOver,
    close: async () => {
      stdin?.end()
      await gone
    },
  }
}

/** What this machine has no memory for is thrown at once. */
function removingOnThrow<T>(remove: () => void, work: () => T): T {
  try {
    return work()
  } catch (error) {
    remove()
    throw error
  }
}
