/**
 * A client of the reader address: asks all the time who answers there, and says for how long nobody did. With it, who has that address, by the
 * hosts' own interfaces. Knows nothing of what is broken, and asserts nothing.
 */
import type { Rig } from './rig.ts'

export const readerVip = '192.168.77.10'
const hosts = ['red-a', 'red-b', 'red-c']

export interface Reads {
  readonly longestGapMs: number
  readonly answers: Readonly<Record<string, number>>
  readonly last: string
}

/** An ordinary client: one connection, a new one when that ends, one question every 5 ms. Asks for the role of whoever answers. */
const client = `
const [host, forMs] = process.argv.slice(1)
const seen = { longestGapMs: 0, answers: {}, last: '' }
const startedMs = performance.now()
let lastMs = startedMs
const end = () => { console.log(JSON.stringify(seen)); process.exit(0) }
setTimeout(end, Number(forMs))
function begin() {
  const socket = require('node:net').connect({ host, port: 6379 })
  let timer
  socket.setNoDelay(true)
  socket.on('connect', () => { timer = setInterval(() => socket.write('ROLE\\r\\n'), 5) })
  socket.on('data', (chunk) => {
    const role = /(master|slave)/.exec(String(chunk))?.[1]
    if (role === undefined) return
    const nowMs = performance.now()
    seen.longestGapMs = Math.max(seen.longestGapMs, nowMs - lastMs)
    lastMs = nowMs
    seen.answers[role] = (seen.answers[role] ?? 0) + 1
    seen.last = role
  })
  socket.on('error', () => {})
  socket.on('close', () => { clearInterval(timer); setTimeout(begin, 5) })
}
begin()
`

/** Reads for `forMs`; `act` happens half a second after the beginning. */
export async function readsThrough(rig: Rig, forMs: number, act: () => Promise<unknown>): Promise<Reads> {
  const reading = rig.lab.exec('client', [process.execPath, '-e', client, readerVip, String(forMs)], { deadlineMs: forMs + 5000 })
  await new Promise((resolve) => setTimeout(resolve, 500))
  await act()
  const { stdout } = await reading
  const reads = JSON.parse(stdout) as Reads
  console.info(`reads: longest gap ${reads.longestGapMs.toFixed(0)} ms, ${JSON.stringify(reads.answers)}, at last from a ${reads.last}`)
  return reads
}

/** Well, and reads come from a replica. */
export async function settled(rig: Rig): Promise<{ readonly primary: string; readonly reader: string; readonly third: string }> {
  const status = await rig.until(
    'well, and the reader address on a replica',
    'sessions',
    (s) => s.health === 'ok' && s.members.every((m) => m.role !== 'none') && s.reader?.holder != null && s.reader.holder !== s.primary,
  )
  const primary = status.primary ?? ''
  const reader = status.reader?.holder ?? ''
  const third = hosts.find((host) => host !== primary && host !== reader) ?? ''
  return { primary, reader, third }
}

export async function holders(rig: Rig): Promise<readonly string[]> {
  const found = await Promise.all(
    hosts.map(async (host) => {
      const { stdout } = await rig.lab.exec(host, ['ip', '-4', '-o', 'addr', 'show', 'dev', 'eth0'])
      return stdout.includes(`${readerVip}/`) ? [host] : []
    }),
  )
  return found.flat()
}
