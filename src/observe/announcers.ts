/**
 * Who announces an address on this segment, between two looks at the neighbour table: two that claim it may announce it milliseconds apart, once a second
 * each, and whoever looks at the table now and then sees the later one for ever (seen: a stranger that was not named in ten seconds). The kernel tells each
 * change, `ip monitor neigh` passes it on: one process for each interface, for as long as somebody asks. Reads only; where it cannot run, the table is all.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { Socket } from 'node:net'

/** Not asked for so long, or ended by itself: none, or not at once another one. */
const idleMs = 10_000
/** It knows its interface by a number: of one that was made anew it would hear nothing any more. */
const livesMs = 5 * 60_000
/** More than can be of interest: a loop in the network shows any number. */
const maxAnnouncers = 32

interface Monitor {
  readonly child: ChildProcess
  readonly startedMs: number
  readonly heard: Map<string, Set<string>>
  readonly idle: NodeJS.Timeout
}

const monitors = new Map<string, Monitor>()
let missing = false

// One whose agent is killed ends at the next change: nobody reads it any more.
process.once('exit', () => {
  for (const { child } of monitors.values()) child.kill('SIGKILL')
})

/** The hardware addresses that have announced `ip` on `device` since this was asked for the last time. The first question only begins to listen. */
export function announcers(device: string, ip: string): readonly string[] {
  if (missing) return []
  const monitor = monitors.get(device) ?? start(device)
  if (monitor === null) return []
  const heard = [...(monitor.heard.get(ip) ?? [])]
  monitor.heard.set(ip, new Set())
  const { child, idle, startedMs } = monitor
  const runs = child.pid !== undefined && child.exitCode === null && child.signalCode === null
  if (runs && performance.now() - startedMs < livesMs) idle.refresh()
  else if (runs) end(device, monitor)
  return heard
}

function end(device: string, { child, idle }: Monitor): void {
  clearTimeout(idle)
  monitors.delete(device)
  child.kill('SIGKILL')
}

/** null: not even begun (no process, or no descriptor, is to be had). */
function start(device: string): Monitor | null {
  let child: ChildProcess
  try {
    child = spawn('ip', ['-4', 'monitor', 'neigh', 'dev', device], { stdio: ['ignore', 'pipe', 'ignore'] })
  } catch {
    return null
  }
  child.once('error', (error: NodeJS.ErrnoException) => (missing ||= error.code === 'ENOENT'))
  const monitor: Monitor = { child, startedMs: performance.now(), heard: new Map(), idle: setTimeout(() => end(device, monitor), idleMs).unref() }
  monitors.set(device, monitor)
  let rest = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    const lines = `${rest}${text}`.split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const announced = parseChange(line)
      const macs = announced === null ? undefined : monitor.heard.get(announced.ip)
      if (announced !== null && macs !== undefined && macs.size < maxAnnouncers) macs.add(announced.mac)
    }
  })
  // An agent that has ended does not stay for what it has begun here.
  child.unref()
  if (child.stdout instanceof Socket) child.stdout.unref()
  return monitor
}

/** `10.0.0.9 lladdr 02:00:00:00:00:01 STALE`. null: an entry that went, or has no hardware address yet. */
export function parseChange(line: string): { readonly ip: string; readonly mac: string } | null {
  const [, ip, mac] = /^(\d+\.\d+\.\d+\.\d+) (?:dev \S+ )?lladdr ([0-9a-f:]{17}) /.exec(line) ?? []
  return ip === undefined || mac === undefined ? null : { ip, mac }
}
