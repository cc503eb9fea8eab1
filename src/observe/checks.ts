/**
 * "Is it me?": do the addresses of `check_ips` answer from here? Asked when no peer is heard, and now and then in calm, so that one
 * that never answers is known before the day it counts. Any sign of a living kernel will do. Decides nothing.
 */
import { execFile } from 'node:child_process'
import { connect } from 'node:net'

/** A gateway is near, and whoever waits for the answer serves on a lease of a tenth of a second. */
const answerDeadlineMs = 40
/** Where gateways and resolvers listen. A refusal is an answer too. */
const ports = [53, 80, 443] as const
/** A process is dear: only for those that drop what they do not serve. */
const pingAfterMs = 10

let pingMissing = false

/** true: one of them answered, whatever it said. */
export function askChecks(ips: readonly string[]): Promise<boolean> {
  return new Promise((resolve) => {
    const ended: (() => void)[] = []
    const finish = (answers: boolean) => {
      for (const end of ended.splice(0)) end()
      resolve(answers)
    }
    const late = setTimeout(() => finish(false), answerDeadlineMs)
    const ping = setTimeout(() => {
      for (const ip of ips) ended.push(pingOnce(ip, () => finish(true)))
    }, pingAfterMs)
    ended.push(
      () => clearTimeout(late),
      () => clearTimeout(ping),
    )
    for (const ip of ips) for (const port of ports) ended.push(knock(ip, port, () => finish(true)))
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

function pingOnce(ip: string, answered: () => void): () => void {
  if (pingMissing) return () => {}
  const child = execFile('ping', ['-n', '-q', '-c', '1', '-W', '1', ip], (error) => {
    if (error === null) answered()
    else if ((error as NodeJS.ErrnoException).code === 'ENOENT') pingMissing = true
  })
  return () => child.kill('SIGKILL')
}
