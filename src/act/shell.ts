/**
 * A shell that waits for the short programs on the way of a failover (ip, arping, nft). A process of its own for each costs the agent 4 ms in which
 * its loop stands still, and 6 ms until it has ended; this one is there before, and takes 2. It runs one after the other. Must not be given anything
 * that is not idempotent: where the shell has died, the program is run again without it.
 */
import { execFile, spawn, type ChildProcessByStdio } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'

export interface Ran {
  /** Its exit code; null: it could not be run, or not within its deadline. */
  readonly code: number | null
  /** What it wrote, both streams, at most 8 KiB. */
  readonly said: string
}

interface Shell {
  readonly child: ChildProcessByStdio<Writable, Readable, null>
  /** In the order in which they were given: it runs one after the other. */
  readonly waiting: { readonly resolve: (ran: Ran | null) => void; readonly mark: string }[]
  said: string
}

const mostSaid = 8192
let open: Shell | null = null
let count = 0

/** Until it has ended, at most `deadlineMs`. Never throws. */
export async function runShort(words: readonly string[], deadlineMs: number): Promise<Ran> {
  return (await inShell(words, deadlineMs)) ?? alone(words, deadlineMs)
}

/** Nobody waits for it, and nobody misses it where there is no such program. */
export function runBeside(words: readonly string[]): void {
  shell().child.stdin.write(`${quoted(words)} > /dev/null 2>&1 &\n`)
}

function inShell(words: readonly string[], deadlineMs: number): Promise<Ran | null> {
  const now = shell()
  count += 1
  const mark = `holdfast:${count}`
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      resolve({ code: null, said: `not within ${deadlineMs} ms` })
      end(now)
    }, deadlineMs)
    now.waiting.push({
      mark,
      resolve: (ran) => {
        clearTimeout(timer)
        resolve(ran)
      },
    })
    // On a line of its own, also after a program that ends without one.
    now.child.stdin.write(`${quoted(words)} 2>&1 < /dev/null; printf '\\n%s %s\\n' ${mark} "$?"\n`)
  })
}

function shell(): Shell {
  if (open !== null) return open
  // Of a session of its own: Ctrl-C at a terminal is for the agent, which may still have an address to take off. It ends with its input.
  const child = spawn('sh', [], { stdio: ['pipe', 'pipe', 'ignore'], detached: true, cwd: '/' })
  const now: Shell = { child, waiting: [], said: '' }
  const gone = (): void => {
    if (open === now) open = null
    for (const { resolve } of now.waiting.splice(0)) resolve(null)
  }
  child.once('error', gone).once('exit', gone)
  child.stdin.on('error', gone)
  child.stdout.setEncoding('utf8').on('data', (text: string) => take(now, text))
  for (const held of [child, child.stdin, child.stdout] as readonly { unref?: () => void }[]) held.unref?.()
  open = now
  return now
}

function take(now: Shell, text: string): void {
  now.said += text
  for (;;) {
    const first = now.waiting[0]
    const at = first === undefined ? -1 : now.said.indexOf(`\n${first.mark} `)
    const endAt = at < 0 ? -1 : now.said.indexOf('\n', at + 1)
    if (first === undefined || endAt < 0) return
    const line = now.said.slice(at + 1, endAt)
    const said = now.said.slice(0, at).trim().slice(0, mostSaid)
    now.said = now.said.slice(endAt + 1)
    now.waiting.shift()
    first.resolve({ code: Number(line.slice(first.mark.length + 1)), said })
  }
}

/** With what hangs in it. */
function end({ child }: Shell): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}

function alone(words: readonly string[], deadlineMs: number): Promise<Ran> {
  const [program = '', ...args] = words
  return new Promise((resolve) => {
    execFile(program, args, { timeout: deadlineMs, killSignal: 'SIGKILL' }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : null
      resolve({ code, said: (`${stdout}${stderr}`.trim() || (error?.message ?? '')).slice(0, mostSaid) })
    })
  })
}

function quoted(words: readonly string[]): string {
  return words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')
}
