/**
 * The second opinion on a silent host: does its redis answer from here? Asked only under suspicion. Any byte that comes
 * back proves a living process; a refusal proves a living kernel without that process; silence proves nothing alone.
 */
import { connect } from 'node:net'
import type { PeerProbe } from '../model/view.ts'

/** Long enough for a busy host in one network, short enough that a lost host is known before VRRP gives up on it. */
const reachDeadlineMs = 60

export type Reach = Exclude<PeerProbe['redisReach'], 'not asked' | 'primary' | 'replica'>

export function askReach(host: string, port: number): Promise<Reach> {
  return new Promise((resolve) => {
    const socket = connect({ host, port })
    const finish = (answer: Reach) => {
      clearTimeout(timer)
      socket.destroy()
      resolve(answer)
    }
    const timer = setTimeout(() => finish('silent'), reachDeadlineMs)
    socket.once('connect', () => socket.write('PING\r\n'))
    socket.once('data', () => finish('answers'))
    socket.once('error', (error: NodeJS.ErrnoException) => finish(error.code === 'ECONNREFUSED' ? 'refused' : 'silent'))
    // Accepted and closed without a word: a dying process, or one that is over maxclients and therefore alive.
    socket.once('end', () => finish('silent'))
  })
}
