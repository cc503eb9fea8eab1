/**
 * "Is it me?": do the addresses of `check_ips` answer from here? Asked when no peer is heard, and now and then in calm, so that one
 * that never answers is known before the day it counts. Any sign of a living kernel will do. Decides nothing.
 */
import { connect } from 'node:net'
import { mayPing, ping } from './ping.ts'

/** A gateway is near, and whoever waits for the answer serves on a lease of a tenth of a second. */
const answerDeadlineMs = 40
/** A process has to be started for it, at least the first time: on a busy host that alone takes some tens of milliseconds. */
const pingDeadlineMs = 80
/** Where gateways and resolvers listen. A refusal is an answer too. */
const ports = [53, 80, 443] as const
/** A process is dear: only for those that drop what they do not serve. */
const pingAfterMs = 10

/** The last answer came by ping: where TCP is dropped it is not waited for again. */
let pingOnly = false

/** true: one of them answered, whatever it said. */
export function askChecks(ips: readonly string[]): Promise<boolean> {
  return new Promise((resolve) => {
    const ended: (() => void)[] = []
    const finish = (by: 'tcp' | 'ping' | null) => {
      for (const end of ended.splice(0)) end()
      if (by !== null) pingOnly = by === 'ping'
      resolve(by !== null)
    }
    const late = setTimeout(() => finish(null), mayPing() ? pingDeadlineMs : answerDeadlineMs)
    const later = setTimeout(
      () => {
        for (const ip of ips) ended.push(ping(ip, () => finish('ping')))
      },
      pingOnly ? 0 : pingAfterMs,
    )
    ended.push(
      () => clearTimeout(late),
      () => clearTimeout(later),
    )
    for (const ip of ips) for (const port of ports) ended.push(knock(ip, port, () => finish('tcp')))
  })
}

function knock(host: string, port: number, answered: () => void): () => void {
  const socket = connect({ host, port })
  socket.once('connect', answered)
  socket.once('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'ECONNREFUSED' || error.code === 'ECONNRESET') answered()
  })
  return () => socket.destroy()
}
