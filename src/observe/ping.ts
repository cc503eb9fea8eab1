/**
 * Does an address answer `ping`? One process per address that goes on for as long as it is asked about, and its lines are read: one process
 * for each question was too late too often on a busy host. Where `ping` cannot do that (not iputils', not root), one for each all the same.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process'

const everyS = '0.02'
/** Not asked about for so long: it ends. Longer than it takes between two questions. */
const idleMs = 600
/** So that one whose agent was killed does not go on for ever. */
const livesS = '60'

interface Pinger {
  readonly child: ChildProcess
  readonly waiting: Set<Waiting>
  idle: NodeJS.Timeout
}

interface Waiting {
  readonly fromWallMs: number
  readonly answered: () => void
}

const pingers = new Map<string, Pinger>()
let missing = false
let oneByOne = process.getuid?.() !== 0

process.once('exit', () => {
  for (const { child } of pingers.values()) child.kill('SIGKILL')
})

export function mayPing(): boolean {
  return !missing
}

/** Returns how to stop waiting. */
export function ping(ip: string, answered: () => void): () => void {
  if (missing) return () => {}
  if (oneByOne) return pingOnce(ip, answered)
  const pinger = pingers.get(ip) ?? start(ip)
  clearTimeout(pinger.idle)
  pinger.idle = setTimeout(() => end(ip, pinger), idleMs).unref()
  const waiting = { fromWallMs: Date.now(), answered }
  pinger.waiting.add(waiting)
  return () => void pinger.waiting.delete(waiting)
}

/** Who asks from now on gets another one. */
function end(ip: string, pinger: Pinger): void {
  if (pingers.get(ip) === pinger) pingers.delete(ip)
  pinger.child.kill('SIGKILL')
}

function start(ip: string): Pinger {
  const child = spawn('ping', ['-n', '-D', '-i', everyS, '-w', livesS, ip], { stdio: ['ignore', 'pipe', 'pipe'] })
  const pinger: Pinger = { child, waiting: new Set(), idle: setTimeout(() => {}, 0) }
  pingers.set(ip, pinger)
  let rest = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = `${rest}${text}`.split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) heard(pinger, echoSentAtMs(line))
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    if (/usage|option/i.test(text)) oneByOne = true
  })
  child.once('error', (error: NodeJS.ErrnoException) => {
    missing ||= error.code === 'ENOENT'
    pingers.delete(ip)
  })
  child.once('close', () => {
    clearTimeout(pinger.idle)
    if (pingers.get(ip) === pinger) pingers.delete(ip)
  })
  return pinger
}

/** Lines may be read long after they were written, by an agent that stood still: what counts is when that echo was asked for. */
function heard(pinger: Pinger, sentAtMs: number | null): void {
  if (sentAtMs === null) return
  for (const waiting of [...pinger.waiting]) {
    if (sentAtMs < waiting.fromWallMs) continue
    pinger.waiting.delete(waiting)
    waiting.answered()
  }
}

/** `[1700000000.123456] 64 bytes from 10.0.0.1: icmp_seq=1 ttl=64 time=0.05 ms`. null: no echo. */
export function echoSentAtMs(line: string): number | null {
  const match = /^\[(\d+\.\d+)\] \d+ bytes from .* time=([\d.]+) ms/.exec(line)
  return match === null ? null : Number(match[1]) * 1000 - Number(match[2])
}

function pingOnce(ip: string, answered: () => void): () => void {
  const child = execFile('ping', ['-n', '-q', '-c', '1', '-W', '1', ip], (error) => {
    if (error === null) answered()
    else missing ||= (error as NodeJS.ErrnoException).code === 'ENOENT'
  })
  return () => child.kill('SIGKILL')
}
