/**
 * The writing client: one address, one connection, one write at a time, as an unmodified application with a plain library
 * has it. It knows nothing of groups, roles or failovers; what it sees is what users see. It opens its own socket instead
 * of using a Redis library, because it must measure what happens and not smooth it over: no queue, no retry of a write, no
 * pause but the ones written here. What became of each write goes into the log (ack-log.ts).
 */
import type { Socket } from 'node:net'
import { connect } from 'node:net'
import type { AckLog } from './ack-log.ts'
import { createReplyReader, encodeCommand, errorKind, isReplyError, type Reply } from './resp.ts'

export interface WriteLoopOptions {
  readonly host: string
  readonly port: number
  readonly password?: string
  readonly prefix: string
  /** The least time from one write to the next. */
  readonly intervalMs: number
  readonly connectTimeoutMs: number
  readonly commandTimeoutMs: number
  /** Many libraries keep the connection when a server says READONLY, so that is the default; some reconnect. */
  readonly reconnectOnReadonly: boolean
  /** Asks each connection once which redis it reached, before its first write; the answer goes into the log with every write. */
  readonly identify?: boolean
}

export interface WriteLoop {
  /** Sends nothing more, and waits for the answer to the write under way (at most the command timeout). */
  readonly stop: () => Promise<void>
}

/** Reconnecting at once is what libraries do; without this pause a refused connection would spin the CPU. */
const reconnectPauseMs = 1

export function nowMs(): number {
  return performance.timeOrigin + performance.now()
}

export function startWriteLoop(options: WriteLoopOptions, log: AckLog): WriteLoop {
  let socket: Socket | undefined
  let timer: NodeJS.Timeout | undefined
  let deadline: NodeJS.Timeout | undefined
  let awaited: number | 'auth' | 'who' | undefined
  let reached = ''
  let sentAtMs = 0
  let stopping: (() => void) | undefined

  const drop = (kind: string): void => {
    if (socket === undefined) return
    const gone = socket
    socket = undefined
    gone.removeAllListeners()
    // A late error of a socket that was given up tells nothing new, but unheard it would end the process.
    gone.on('error', () => undefined)
    gone.destroy()
    clearTimeout(deadline)
    clearTimeout(timer)
    log.error(kind, nowMs())
    if (typeof awaited === 'number') log.settle(awaited, 'indeterminate', nowMs())
    awaited = undefined
    if (stopping !== undefined) stopping()
    else timer = setTimeout(open, reconnectPauseMs)
  }

  const write = (): void => {
    if (socket === undefined || stopping !== undefined) return
    sentAtMs = performance.now()
    const seq = log.send(nowMs(), reached)
    // The log is full: the report says so, and what was measured until here stays true.
    if (seq === null) return
    awaited = seq
    socket.write(encodeCommand(['SET', `${options.prefix}:${seq}`, String(seq)]))
    deadline = setTimeout(drop, options.commandTimeoutMs, 'timeout')
  }

  const writeWhenDue = (): void => {
    const restMs = sentAtMs + options.intervalMs - performance.now()
    if (restMs <= 0) write()
    else timer = setTimeout(write, restMs)
  }

  const take = (reply: Reply): void => {
    const what = awaited
    if (what === undefined) {
      drop('unasked')
      return
    }
    clearTimeout(deadline)
    awaited = undefined
    const kind = isReplyError(reply) ? errorKind(reply) : null
    if (what === 'auth' && kind === null && options.identify === true) {
      askWho()
      return
    }
    if (what === 'who') reached = typeof reply === 'string' ? whoAnswers(reply) : ''
    if (typeof what === 'number') log.settle(what, kind === null ? 'acked' : 'rejected', nowMs())
    if (kind !== null && (what === 'auth' || (kind === 'READONLY' && options.reconnectOnReadonly))) drop(kind)
    else if (kind !== null) log.error(kind, nowMs())
    if (stopping !== undefined) stopping()
    else if (socket !== undefined) writeWhenDue()
  }

  const askWho = (): void => {
    awaited = 'who'
    socket?.write(encodeCommand(['INFO']))
    deadline = setTimeout(drop, options.commandTimeoutMs, 'timeout')
  }

  const open = (): void => {
    reached = ''
    const reader = createReplyReader()
    const opened = connect({ host: options.host, port: options.port, noDelay: true })
    socket = opened
    deadline = setTimeout(drop, options.connectTimeoutMs, 'connect-timeout')
    opened.on('connect', () => {
      clearTimeout(deadline)
      if (options.password === undefined) {
        if (options.identify === true) askWho()
        else writeWhenDue()
        return
      }
      awaited = 'auth'
      opened.write(encodeCommand(['AUTH', options.password]))
      deadline = setTimeout(drop, options.commandTimeoutMs, 'timeout')
    })
    opened.on('data', (chunk) => {
      let replies: Reply[]
      try {
        replies = reader.push(chunk)
      } catch (error) {
        drop(`protocol: ${(error as Error).message.slice(0, 60)}`)
        return
      }
      for (const reply of replies) if (socket === opened) take(reply)
    })
    opened.on('error', (error: NodeJS.ErrnoException) => drop(error.code ?? error.message))
    opened.on('end', () => drop('closed'))
    opened.on('close', () => drop('closed'))
  }

  open()
  return {
    stop: () =>
      new Promise((resolve) => {
        const finish = (): void => {
          clearTimeout(timer)
          clearTimeout(deadline)
          stopping = finish
          socket?.removeAllListeners()
          socket?.on('error', () => undefined)
          socket?.destroy()
          socket = undefined
          resolve()
        }
        if (typeof awaited === 'number') stopping = finish
        else finish()
      }),
  }
}

/** RUN_ID/REPLICATION_ID: a process, and the history that it goes on with. '' where it does not say (a redis from before 2.8). */
function whoAnswers(info: string): string {
  const field = (name: string): string => new RegExp(`^${name}:(\\w+)`, 'm').exec(info)?.[1] ?? ''
  return field('run_id') === '' ? '' : `${field('run_id')}/${field('master_replid')}`
}
