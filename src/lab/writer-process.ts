/**
 * The process of the writing client (`holdfast __writer`): it runs in the client's namespace and is steered by JSON lines on
 * its input, answering each with one JSON line on its output. When the input ends, because the controller is gone, it ends
 * too: nothing may go on writing unwatched. The controller is writer.ts; the writing itself is write-loop.ts.
 */
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import type { AckLog } from './ack-log.ts'
import { createAckLog } from './ack-log.ts'
import type { ReadBackOptions } from './read-back.ts'
import { removeKeys, verifyWrites } from './read-back.ts'
import type { WriteLoop } from './write-loop.ts'
import { nowMs, startWriteLoop } from './write-loop.ts'

export interface WriterTarget {
  readonly host: string
  readonly port: number
  readonly passwordFile?: string
  readonly prefix: string
  readonly intervalMs: number
  readonly connectTimeoutMs: number
  readonly commandTimeoutMs: number
  readonly thresholdMs: number
  readonly reconnectOnReadonly: boolean
  readonly identify: boolean
}

export type WriterOrder =
  | { readonly order: 'mark'; readonly label: string }
  | { readonly order: 'stats' }
  | { readonly order: 'stop' }
  | { readonly order: 'verify'; readonly withinMs: number }
  | { readonly order: 'history'; readonly fromSeq: number; readonly count: number }
  | { readonly order: 'cleanup'; readonly withinMs: number }

export interface WriterStats {
  readonly nowMs: number
  readonly sent: number
  readonly acked: number
  readonly errors: number
  readonly streak: number
  readonly lastAckMs: number | null
}

/** A write that was acknowledged. `by`: the redis that did, where the writer was told to identify it. */
export type Ack = readonly [seq: number, atMs: number, sentAtMs: number, by: string]

/** Acknowledged writes only. `by` is a number into `names`, for a name is long and the same a thousand times. */
export interface AckHistory {
  readonly acks: readonly (readonly [seq: number, atMs: number, sentAtMs: number, by: number])[]
  readonly names: readonly string[]
  /** Where to go on, or null at the end. */
  readonly nextSeq: number | null
}

export async function runWriterProcess(target: WriterTarget, input: Readable, output: Writable): Promise<void> {
  const password = target.passwordFile === undefined ? undefined : (await readFile(target.passwordFile, 'utf8')).trim()
  const secret = password === undefined || password === '' ? {} : { password }
  const log = createAckLog(nowMs(), target.thresholdMs)
  const loop = startWriteLoop({ ...target, ...secret }, log)
  let endMs: number | null = null
  const stop = async (): Promise<void> => {
    if (endMs !== null) return
    await loop.stop()
    endMs = nowMs()
  }
  const reading = { host: target.host, port: target.port, prefix: target.prefix, ...secret }
  const lines = createInterface({ input, terminal: false })
  try {
    // A broken output means that the controller is gone: its closed input is what ends this loop.
    output.on('error', () => lines.close())
    for await (const line of lines) {
      const { id, ...order } = JSON.parse(line) as WriterOrder & { readonly id: number }
      let answer: unknown
      try {
        answer = { id, value: await obey(order, { log, loop, stop, reading, endMs: () => endMs ?? nowMs() }) }
      } catch (error) {
        answer = { id, error: (error as Error).message }
      }
      output.write(`${JSON.stringify(answer)}\n`)
    }
  } finally {
    lines.close()
    await stop()
  }
}

interface Running {
  readonly log: AckLog
  readonly loop: WriteLoop
  readonly stop: () => Promise<void>
  readonly reading: Omit<ReadBackOptions, 'withinMs'>
  readonly endMs: () => number
}

async function obey(order: WriterOrder, running: Running): Promise<unknown> {
  const { log } = running
  switch (order.order) {
    case 'mark': {
      const atMs = nowMs()
      log.mark(order.label, atMs)
      return { atMs }
    }
    case 'stats':
      return statsOf(log)
    case 'stop':
      await running.stop()
      return log.report(running.endMs())
    case 'verify':
      await running.stop()
      return verifyWrites(log, { ...running.reading, withinMs: order.withinMs })
    case 'cleanup':
      await running.stop()
      return removeKeys(log, { ...running.reading, withinMs: order.withinMs })
    case 'history':
      return historyOf(log, order.fromSeq, order.count)
  }
}

function statsOf(log: AckLog): WriterStats {
  return {
    nowMs: nowMs(),
    sent: log.sent(),
    acked: log.ackedCount(),
    errors: log.errorCount(),
    streak: log.streak(),
    lastAckMs: log.lastAckMs(),
  }
}

function historyOf(log: AckLog, fromSeq: number, count: number): AckHistory {
  const end = Math.min(fromSeq + count, log.sent() + 1)
  const acks: [number, number, number, number][] = []
  const names: string[] = []
  for (let seq = fromSeq; seq < end; seq += 1) {
    if (log.fateOf(seq) !== 'acked') continue
    const name = log.sentTo(seq)
    const known = names.indexOf(name)
    acks.push([seq, log.atMsOf(seq), log.sentAtMsOf(seq), known >= 0 ? known : names.push(name) - 1])
  }
  return { acks, names, nextSeq: end > log.sent() ? null : end }
}
