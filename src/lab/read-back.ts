/**
 * The loss checker: after the writing it asks the address for every key again and compares. An acknowledged write whose key
 * is gone or has another value is LOST; a write that was never answered is neither, only counted. It reads through the same
 * address as the writer wrote, with a bounded number of tries, and says so when it could not read everything: unread is
 * never reported as safe. Also removes the keys afterwards.
 */
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { AckLog } from './ack-log.ts'
import { createReplyReader, encodeCommand, isReplyError, type Reply } from './resp.ts'
import { nowMs } from './write-loop.ts'

export interface ReadBackOptions {
  readonly host: string
  readonly port: number
  readonly password?: string
  readonly prefix: string
  /** For the whole of it, reconnecting included. */
  readonly withinMs: number
}

export interface LostWrite {
  readonly seq: number
  readonly ackedAtMs: number
}

export interface VerifyReport {
  /** false: not everything could be read; `lost` counts only what was. */
  readonly complete: boolean
  readonly why: string | null
  readonly acked: number
  readonly checked: number
  readonly lost: number
  readonly firstLost: LostWrite | null
  readonly lastLost: LostWrite | null
  /** Runs of lost writes, first and last number of each. */
  readonly lostRuns: readonly (readonly [first: number, last: number])[]
  /** Lost writes by the index of the mark in which they were acknowledged; before the first mark: -1. */
  readonly lostByMark: Readonly<Record<number, number>>
  /** Of the writes without an answer: how many took place. */
  readonly indeterminate: { readonly count: number; readonly present: number }
  /** Refused with an error, and there all the same: must be 0. */
  readonly rejectedPresent: number
}

const batchKeys = 500
const callWithinMs = 5000
const retryPauseMs = 50

type Ask = (args: readonly string[]) => Promise<Reply>

export async function verifyWrites(log: AckLog, options: ReadBackOptions): Promise<VerifyReport> {
  const result = {
    complete: true,
    why: null as string | null,
    acked: log.ackedCount(),
    checked: 0,
    lost: 0,
    firstLost: null as LostWrite | null,
    lastLost: null as LostWrite | null,
    lostRuns: [] as (readonly [number, number])[],
    lostByMark: {} as Record<number, number>,
    indeterminate: { count: 0, present: 0 },
    rejectedPresent: 0,
  }
  const judge = (seq: number, value: Reply): void => {
    const present = value === String(seq)
    const fate = log.fateOf(seq)
    if (fate === 'acked') {
      result.checked += 1
      if (present) return
      const ackedAtMs = log.atMsOf(seq)
      const mark = log.markAt(ackedAtMs) ?? -1
      result.lost += 1
      result.firstLost ??= { seq, ackedAtMs }
      result.lastLost = { seq, ackedAtMs }
      const run = result.lostRuns.at(-1)
      if (run !== undefined && run[1] === seq - 1) result.lostRuns[result.lostRuns.length - 1] = [run[0], seq]
      else result.lostRuns.push([seq, seq])
      result.lostByMark[mark] = (result.lostByMark[mark] ?? 0) + 1
    } else if (fate === 'rejected') {
      if (present) result.rejectedPresent += 1
    } else {
      result.indeterminate.count += 1
      if (present) result.indeterminate.present += 1
    }
  }
  const failure = await inBatches(log.sent(), options, async (seqs, ask) => {
    const reply = await ask(['MGET', ...seqs.map((seq) => `${options.prefix}:${seq}`)])
    if (!Array.isArray(reply) || reply.length !== seqs.length) throw new Error(describe(reply))
    for (const [index, seq] of seqs.entries()) judge(seq, reply[index] as Reply)
  })
  return failure === null ? result : { ...result, complete: false, why: failure }
}

export async function removeKeys(log: AckLog, options: ReadBackOptions): Promise<{ readonly deleted: number; readonly why: string | null }> {
  let deleted = 0
  const why = await inBatches(log.sent(), options, async (seqs, ask) => {
    // DEL and not UNLINK: the values are tiny, and Redis 3 knows no UNLINK.
    const reply = await ask(['DEL', ...seqs.map((seq) => `${options.prefix}:${seq}`)])
    if (typeof reply !== 'number') throw new Error(describe(reply))
    deleted += reply
  })
  return { deleted, why }
}

/** Does `work` for each batch of 1..count, on as many connections as it takes. null: all done; else why not. */
async function inBatches(count: number, options: ReadBackOptions, work: (seqs: readonly number[], ask: Ask) => Promise<void>): Promise<string | null> {
  const endMs = nowMs() + options.withinMs
  let next = 1
  let why = 'no time was given'
  while (next <= count) {
    if (nowMs() >= endMs) return `not finished within ${options.withinMs} ms: ${why}`
    try {
      await onConnection(options, async (ask) => {
        while (next <= count && nowMs() < endMs) {
          const seqs = Array.from({ length: Math.min(batchKeys, count - next + 1) }, (_, index) => next + index)
          await work(seqs, ask)
          next += seqs.length
        }
      })
      why = 'too slow'
    } catch (error) {
      why = (error as Error).message
      await delay(retryPauseMs)
    }
  }
  return null
}

async function onConnection(options: ReadBackOptions, use: (ask: Ask) => Promise<void>): Promise<void> {
  const socket = connect({ host: options.host, port: options.port, noDelay: true })
  const reader = createReplyReader()
  let give: ((reply: Reply) => void) | undefined
  let refuse: ((error: Error) => void) | undefined
  let broken: Error | undefined
  const fail = (error: Error): void => {
    broken ??= error
    refuse?.(broken)
  }
  socket.on('error', fail)
  socket.on('close', () => fail(new Error('the connection was closed')))
  socket.on('data', (chunk) => {
    try {
      for (const reply of reader.push(chunk)) give?.(reply)
    } catch (error) {
      fail(error as Error)
    }
  })
  const ask: Ask = (args) =>
    new Promise((resolve, reject) => {
      if (broken !== undefined) {
        reject(broken)
        return
      }
      const timer = setTimeout(() => fail(new Error(`no answer within ${callWithinMs} ms`)), callWithinMs)
      give = (reply) => {
        clearTimeout(timer)
        resolve(reply)
      }
      refuse = (error) => {
        clearTimeout(timer)
        reject(error)
      }
      socket.write(encodeCommand(args))
    })
  try {
    if (options.password !== undefined) {
      const reply = await ask(['AUTH', options.password])
      if (isReplyError(reply)) throw new Error(describe(reply))
    }
    await use(ask)
  } finally {
    socket.destroy()
  }
}

function describe(reply: Reply): string {
  return isReplyError(reply) ? reply.error : `an unexpected answer: ${JSON.stringify(reply)?.slice(0, 80)}`
}
