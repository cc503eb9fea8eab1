/**
 * One connection to one redis: open, ask, tell when it closes. The only file that knows the client library.
 * It never reconnects by itself and never queues: whoever holds a link must know at once that it is gone.
 */
import { Redis } from 'ioredis'
import type { Observed } from '../model/outcome.ts'

export interface RedisTarget {
  readonly host: string
  readonly port: number
  readonly password: string | undefined
}

export interface RedisLink {
  /** Sends one command. Never throws; an error reply is `{ ok: false, why: 'ERR …' }`. The deadline may be infinite. */
  readonly call: (args: readonly string[], deadlineMs: number) => Promise<Observed<unknown>>
  readonly isOpen: () => boolean
  readonly close: () => void
}

/** Opens and authenticates. `onClose` fires once, however the connection ends after it was open. */
export async function openRedis(target: RedisTarget, connectDeadlineMs: number, onClose: () => void): Promise<Observed<RedisLink>> {
  const client = new Redis({
    host: target.host,
    port: target.port,
    ...(target.password === undefined ? {} : { password: target.password }),
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
  let open = false
  let lastError = 'connection closed'
  client.on('error', (error: Error) => {
    lastError = describe(error)
  })
  client.on('close', () => {
    if (!open) return
    open = false
    onClose()
  })
  const refused = await deadline(
    client.connect().then(
      () => null,
      (error: Error) => describe(error) || lastError,
    ),
    connectDeadlineMs,
    `no answer within ${connectDeadlineMs} ms`,
  )
  if (refused !== null) {
    client.disconnect()
    return { ok: false, why: lastError !== 'connection closed' ? lastError : refused }
  }
  open = true
  return {
    ok: true,
    value: {
      isOpen: () => open,
      close: () => {
        open = false
        client.disconnect()
      },
      call: async (args, deadlineMs) => {
        const [name, ...rest] = args
        if (name === undefined || !open) return { ok: false, why: open ? 'empty command' : lastError }
        return deadline<Observed<unknown>>(
          client.call(name, ...rest).then(
            (value) => ({ ok: true, value }),
            (error: Error) => ({ ok: false, why: describe(error) }),
          ),
          deadlineMs,
          { ok: false, why: `no answer within ${deadlineMs} ms` },
        )
      },
    },
  }
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
