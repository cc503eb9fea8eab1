/** As whom somebody on this host has called one of its ports, as the kernel tells: who may connect to 127.0.0.1 is everybody. Reads only. */
import { readFile, stat } from 'node:fs/promises'

/** null: it is not there any more. */
export async function callerOf(fromPort: number, toPort: number): Promise<number | null> {
  return uidIn(await readFile('/proc/net/tcp', 'utf8').catch(() => ''), fromPort, toPort)
}

/** `sl local_address rem_address st tx:rx tr:when retrnsmt uid …`, addresses as hexadecimal in the order of this machine. PURE. */
export function uidIn(table: string, fromPort: number, toPort: number): number | null {
  const [from, to] = [fromPort, toPort].map((port) => `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`)
  const line = table.split('\n').find((one) => one.includes(` ${from} ${to} `))
  const uid = line?.trim().split(/\s+/)[7]
  return uid === undefined ? null : Number(uid)
}

/** As whom a process runs; null: it does not. */
export async function userOf(pid: number): Promise<number | null> {
  return stat(`/proc/${pid}`).then(
    ({ uid }) => uid,
    () => null,
  )
}
