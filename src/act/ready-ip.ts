/**
 * An `ip` that stands ready: begun in calm times, it waits for its one line. To begin one takes 3 to 9 ms on a host that has other things to do, and at a
 * cut-over the clients wait for the address with all else done. It ends with its input, so no agent that dies leaves one behind. Decides nothing.
 */
import { spawn, type ChildProcessByStdio } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import { runShort, type Ran } from './shell.ts'

type Ip = ChildProcessByStdio<Writable, Readable, Readable>

let ready: Ip | null = null
let endedMs = Number.NEGATIVE_INFINITY
/** One that ends by itself (a program that knows no such lines) is not begun again and again. */
const againMs = 60_000

/** Returns at once, and does nothing where one stands ready. */
export function readyIp(): void {
  if (ready !== null || performance.now() - endedMs < againMs) return
  const child = spawn('ip', ['-batch', '-'], { stdio: ['pipe', 'pipe', 'pipe'], detached: true, cwd: '/' })
  const gone = (): void => {
    if (ready !== child) return
    ready = null
    endedMs = performance.now()
  }
  child.once('error', gone).once('exit', gone)
  child.stdin.on('error', gone)
  for (const held of [child, child.stdin, child.stdout, child.stderr] as readonly { unref?: () => void }[]) held.unref?.()
  ready = child
}

/** `words` without `ip`, and without blanks in them. By the shell where none stands ready, or where it has died: they must be idempotent. */
export async function runIp(words: readonly string[], deadlineMs: number): Promise<Ran> {
  const child = ready
  ready = null
  const ran = child === null ? null : await told(child, words, deadlineMs)
  return ran ?? runShort(['ip', ...words], deadlineMs)
}

function told(child: Ip, words: readonly string[], deadlineMs: number): Promise<Ran | null> {
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (said += text))
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      resolve({ code: null, said: `not within ${deadlineMs} ms` })
    }, deadlineMs)
    const end = (ran: Ran | null): void => {
      clearTimeout(timer)
      resolve(ran)
    }
    child.once('error', () => end(null))
    child.once('close', (code) => end(code === null ? null : { code, said: said.trim() }))
    child.stdin.end(`${words.join(' ')}\n`)
  })
}
