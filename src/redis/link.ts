/**
 * One connection to one redis or Sentinel: open, ask or listen, tell when it closes. The only file that knows the client library.
 * It never reconnects by itself and never queues: whoever holds a link must know at once that it is gone.
 */
import { Redis } from 'ioredis'
import type { SourceTls } from '../model/move.ts'
import type { Observed } from '../model/outcome.ts'
import { tlsOptions } from './tls.ts'

export interface RedisTarget {
  readonly host: string
  readonly port: number
  readonly password: string | undefined
  /** Of an ACL (6.0). Absent: the password alone. */
  readonly user?: string
  /** Absent: without TLS. */
  readonly tls?: SourceTls
}

/** By name, as whoever asks for no password (yet) takes any with a name, and refuses one without. */
export function sentinelTarget(at: Pick<RedisTarget, 'host' | 'port'>, password: string | undefined): RedisTarget {
  return { ...at, password, user: 'default' }
}

export interface RedisLink {
  /** Sends one command. Never throws; an error reply is `{ ok: false, why: 'ERR …' }`. The deadline may be infinite. */
  readonly call: (args: readonly string[], deadlineMs: number) => Promise<Observed<unknown>>
  /** Several in one write to the socket, so that they arrive together; the answers in their order. Not ok: not all came in time. */
  readonly callAll: (commands: readonly (readonly string[])[], deadlineMs: number) => Promise<Observed<readonly Observed<unknown>[]>>
  readonly isOpen: () => boolean
  readonly close: () => void
}

/** Opens and authenticates. `onClose` fires once, however the connection ends after it was open. */
export async function openRedis(target: RedisTarget, connectDeadlineMs: number, onClose: () => void): Promise<Observed<RedisLink>> {
  const opened = await open(target, connectDeadlineMs, onClose)
  if (!opened.ok) return opened
  const { client, isOpen, close, lastError } = opened.value
  return {
    ok: true,
    value: {
      isOpen,
      close,
      call: async (args, deadlineMs) => {
        const [name, ...rest] = args
        if (name === undefined || !isOpen()) return { ok: false, why: isOpen() ? 'empty command' : lastError() }
        return deadline<Observed<unknown>>(client.call(name, ...rest).then(answered, refused), deadlineMs, late(deadlineMs))
      },
      callAll: async (commands, deadlineMs) => {
        if (!isOpen()) return gone(lastError())
        // Not by the library's pipeline, which copies the list of all commands that there are each time.
        client.stream.cork()
        const replies = commands.map(([name = '', ...rest]) => client.call(name, ...rest).then(reply, failure))
        client.stream.uncork()
        return deadline(Promise.all(replies).then(allAnswered), deadlineMs, late(deadlineMs))
      },
    },
  }
}

type Reply = readonly [error: Error | null, value: unknown]

function reply(value: unknown): Reply {
  return [null, value]
}

function failure(error: Error): Reply {
  return [error, undefined]
}

/** A connection that ends in the middle leaves the rest without an answer: that is no answer to the whole. */
function allAnswered(replies: readonly Reply[]): Observed<readonly Observed<unknown>[]> {
  const broken = replies.find(([error]) => error !== null && error.name !== 'ReplyError')?.[0]
  if (broken != null) return refused(broken)
  return { ok: true, value: replies.map(([error, value]) => (error === null ? answered(value) : refused(error))) }
}

/** What is published on the channels of these patterns. The other end of the connection takes no questions meanwhile. */
export async function openEvents(
  target: RedisTarget,
  connectDeadlineMs: number,
  patterns: readonly string[],
  onEvent: (channel: string, text: string) => void,
  onClose: () => void,
): Promise<Observed<{ readonly close: () => void }>> {
  const opened = await open(target, connectDeadlineMs, onClose)
  if (!opened.ok) return opened
  const { client, close } = opened.value
  client.on('pmessage', (_pattern: string, channel: string, text: string) => onEvent(channel, text))
  const subscribed = await deadline<Observed<unknown>>(client.psubscribe(...patterns).then(answered, refused), connectDeadlineMs, late(connectDeadlineMs))
  if (!subscribed.ok) close()
  return subscribed.ok ? { ok: true, value: { close } } : subscribed
}

interface Open {
  readonly client: Redis
  readonly isOpen: () => boolean
  readonly lastError: () => string
  readonly close: () => void
}

async function open(target: RedisTarget, connectDeadlineMs: number, onClose: () => void): Promise<Observed<Open>> {
  const client = new Redis({
    host: target.host,
    port: target.port,
    ...(target.password === undefined ? {} : { password: target.password, ...(target.user === undefined ? {} : { username: target.user }) }),
    ...(target.tls === undefined ? {} : { tls: tlsOptions(target.host, target.tls) }),
    lazyConnect: true,
    connectTimeout: connectDeadlineMs,
    retryStrategy: () => null,
    enableOfflineQueue: false,
    enableReadyCheck: false,
    maxRetriesPerRequest: 0,
    autoResubscribe: false,
    disableClientInfo: true,
    noDelay: true,
    keepAlive: 10_000,
  })
  let isOpen = false
  let lastError = 'connection closed'
  client.on('error', (error: Error) => {
    lastError = describe(error)
  })
  client.on('close', () => {
    if (!isOpen) return
    isOpen = false
    onClose()
  })
  const why = await deadline(
    client.connect().then(
      () => null,
      (error: Error) => describe(error) || lastError,
    ),
    connectDeadlineMs,
    `no answer within ${connectDeadlineMs} ms`,
  )
  if (why !== null) {
    client.disconnect()
    return { ok: false, why: lastError !== 'connection closed' ? lastError : why }
  }
  isOpen = true
  const close = (): void => {
    isOpen = false
    client.disconnect()
  }
  return { ok: true, value: { client, isOpen: () => isOpen, lastError: () => lastError, close } }
}

function answered(value: unknown): Observed<unknown> {
  return { ok: true, value }
}

function refused(error: Error): Observed<never> {
  return gone(describe(error))
}

function late(deadlineMs: number): Observed<never> {
  return gone(`no answer within ${deadlineMs} ms`)
}

function gone(why: string): Observed<never> {
  return { ok: false, why }
}

function describe(error: Error): string {
  const code = (error as NodeJS.ErrnoException).code
  return code !== undefined && !error.message.includes(code) ? `${code} ${error.message}` : error.message
}

async function deadline<T>(promise: Promise<T>, deadlineMs: number, late: T): Promise<T> {
  if (deadlineMs === Number.POSITIVE_INFINITY) return promise
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<T>((resolve) => {
    timer = setTimeout(resolve, deadlineMs, late)
  })
  try {
    return await Promise.race([promise, timeout])
  } finally {
    clearTimeout(timer)
  }
}
