/**
 * Starts the writing client as a process of its own, in a lab's client namespace or on this machine, and steers it. Of its
 * own process, so that the controller's work (starting programs, reading status) cannot delay a write and look like an outage.
 * Every order has a deadline; when the handle is closed, or this process dies, the writer ends.
 */
import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { OperatorError } from '../model/error.ts'
import type { WriterReport } from './ack-log.ts'
import { ownEntry } from './entry.ts'
import { nodeOf } from './faults.ts'
import type { Lab } from './lab.ts'
import type { VerifyReport } from './read-back.ts'
import type { Ack, AckHistory, WriterOrder, WriterStats } from './writer-process.ts'

/** Where the writer runs. */
export type WriterPlace = { readonly kind: 'lab'; readonly lab: Lab; readonly client?: string } | { readonly kind: 'local'; readonly entry?: readonly string[] }

export interface WriterOptions {
  readonly host: string
  readonly port: number
  readonly passwordFile?: string
  readonly intervalMs?: number
  /** Of the keys; a random one unless given, so that two runs never touch each other's keys. */
  readonly prefix?: string
  readonly connectTimeoutMs?: number
  readonly commandTimeoutMs?: number
  readonly thresholdMs?: number
  readonly reconnectOnReadonly?: boolean
  /** The history then says which redis acknowledged each write. Costs one INFO per connection. */
  readonly identify?: boolean
}

export interface WriterHandle {
  readonly pid: number
  /** Its keys are PREFIX:1, PREFIX:2, …, and their values the numbers. */
  readonly prefix: string
  /** Opens a new interval of the report, until the next mark or the end. */
  readonly mark: (label: string) => Promise<{ readonly atMs: number }>
  readonly stats: () => Promise<WriterStats>
  /** Waits for `acks` more acknowledged writes, in a row, without error or gap. false: not within the time. */
  readonly steady: (limits: { readonly acks: number; readonly withinMs: number }) => Promise<boolean>
  readonly stop: () => Promise<WriterReport>
  /** Stops, then reads every acknowledged write back through the address. */
  readonly verify: (withinMs?: number) => Promise<VerifyReport>
  /** Every acknowledged write with its times, and with who acknowledged it. */
  readonly history: () => Promise<readonly Ack[]>
  readonly cleanup: (withinMs?: number) => Promise<{ readonly deleted: number; readonly why: string | null }>
  /** Ends the process. Idempotent. */
  readonly close: () => Promise<void>
}

const orderWithinMs = 10_000
const readBackWithinMs = 30_000
const endWithinMs = 8000
const historyBatch = 50_000

export async function startWriter(place: WriterPlace, options: WriterOptions): Promise<WriterHandle> {
  const argv =
    place.kind === 'lab'
      ? ['ip', 'netns', 'exec', nodeOf(place.lab.record, place.client ?? 'client').netns, ...place.lab.record.entry]
      : [...(place.entry ?? ownEntry())]
  const prefix = options.prefix ?? `holdfast-drill:${process.pid}-${Math.random().toString(36).slice(2, 10)}`
  const [program = '', ...args] = [...argv, '__writer', ...writerArgs({ ...options, prefix })]
  // Not in the terminal's process group: Ctrl-C is for the controller, which then still wants to verify and clean up.
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true })
  const ask = createLink(child)
  const handle = createHandle(child, ask, prefix)
  try {
    await ask({ order: 'stats' }, orderWithinMs)
  } catch (error) {
    await handle.close()
    throw error
  }
  return handle
}

function writerArgs(options: WriterOptions & { readonly prefix: string }): string[] {
  return [
    '--host',
    options.host,
    '--port',
    String(options.port),
    '--prefix',
    options.prefix,
    '--interval-ms',
    String(options.intervalMs ?? 1),
    '--connect-timeout-ms',
    String(options.connectTimeoutMs ?? 5000),
    '--command-timeout-ms',
    String(options.commandTimeoutMs ?? 5000),
    '--threshold-ms',
    String(options.thresholdMs ?? 20),
    ...(options.passwordFile === undefined ? [] : ['--password-file', options.passwordFile]),
    ...(options.reconnectOnReadonly === true ? ['--reconnect-on-readonly'] : []),
    ...(options.identify === true ? ['--identify'] : []),
  ]
}

type Ask = (order: WriterOrder, withinMs: number) => Promise<unknown>

interface Waiting {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

function createLink(child: ChildProcess): Ask {
  const waiting = new Map<number, Waiting>()
  let nextId = 1
  let ended: string | undefined
  let stderr = ''
  const end = (why: string): void => {
    ended ??= why
    for (const { reject } of waiting.values()) reject(writerFailure(ended))
    waiting.clear()
  }
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr = (stderr + chunk.toString()).slice(-2000)
  })
  child.on('error', (error) => end(error.message))
  child.on('close', (code, signal) => end(`it ended (${signal ?? `exit code ${code}`}) ${stderr.trim()}`))
  // It has ended: how it did follows, and tells more than the EPIPE.
  child.stdin?.on('error', () => undefined)
  if (child.stdout !== null) {
    createInterface({ input: child.stdout, terminal: false }).on('line', (line) => {
      const answer = parseAnswer(line)
      const found = waiting.get(answer.id)
      waiting.delete(answer.id)
      if (answer.error === undefined) found?.resolve(answer.value)
      else found?.reject(writerFailure(answer.error))
    })
  }
  return (order, withinMs) =>
    new Promise((resolve, reject) => {
      if (ended !== undefined) {
        reject(writerFailure(ended))
        return
      }
      const id = nextId
      nextId += 1
      const timer = setTimeout(() => {
        waiting.delete(id)
        reject(writerFailure(`no answer to ${order.order} within ${withinMs} ms`))
      }, withinMs)
      const settle =
        <T>(give: (value: T) => void) =>
        (value: T): void => {
          clearTimeout(timer)
          give(value)
        }
      waiting.set(id, { resolve: settle(resolve), reject: settle(reject) })
      child.stdin?.write(`${JSON.stringify({ id, ...order })}\n`)
    })
}

function createHandle(child: ChildProcess, ask: Ask, prefix: string): WriterHandle {
  const stats = async (): Promise<WriterStats> => (await ask({ order: 'stats' }, orderWithinMs)) as WriterStats
  return {
    pid: child.pid ?? 0,
    prefix,
    mark: async (label) => (await ask({ order: 'mark', label }, orderWithinMs)) as { atMs: number },
    stats,
    steady: async ({ acks, withinMs }) => {
      const endMs = performance.now() + withinMs
      // Only what comes from now on counts: the streak from before a fault would call its first moments steady.
      const before = (await stats()).acked
      for (;;) {
        const { acked, streak, lastAckMs, nowMs } = await stats()
        if (acked - before >= acks && streak >= acks && lastAckMs !== null && nowMs - lastAckMs < 100) return true
        if (performance.now() >= endMs) return false
        await delay(20)
      }
    },
    stop: async () => (await ask({ order: 'stop' }, orderWithinMs)) as WriterReport,
    verify: async (withinMs = readBackWithinMs) => (await ask({ order: 'verify', withinMs }, withinMs + 2 * orderWithinMs)) as VerifyReport,
    history: async () => {
      const acks: Ack[] = []
      for (let fromSeq: number | null = 1; fromSeq !== null; ) {
        const part = (await ask({ order: 'history', fromSeq, count: historyBatch }, orderWithinMs)) as AckHistory
        for (const [seq, atMs, sentAtMs, by] of part.acks) acks.push([seq, atMs, sentAtMs, part.names[by] ?? ''])
        fromSeq = part.nextSeq
      }
      return acks
    },
    cleanup: async (withinMs = readBackWithinMs) =>
      (await ask({ order: 'cleanup', withinMs }, withinMs + 2 * orderWithinMs)) as { deleted: number; why: string | null },
    close: () => closeChild(child),
  }
}

function closeChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return Promise.resolve()
  return new Promise((resolve) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), endWithinMs)
    child.once('close', () => {
      clearTimeout(timer)
      resolve()
    })
    child.stdin?.end()
  })
}

function parseAnswer(line: string): { readonly id: number; readonly value?: unknown; readonly error?: string } {
  try {
    return JSON.parse(line) as { id: number; value?: unknown; error?: string }
  } catch (error) {
    return { id: 0, error: `${(error as Error).message}: ${line.slice(0, 80)}` }
  }
}

function writerFailure(why: string): OperatorError {
  return new OperatorError('HF503', `the writing client: ${why}`, 'Is the address reachable from where the writer runs?')
}
