/**
 * Does a redis start with this redis.conf? Asked of the redis-server that is installed here: in a throw-away folder, without a port, data or
 * replication, until it answers or has ended. Goes on behind a line that it refuses, so that every one is told. Knows no group.
 */
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fatalWords, withoutSecrets, type FatalWord } from '../redis/fatal-words.ts'
import { openRaw } from '../redis/raw.ts'
import { shortLived } from '../redis/short-lived.ts'
import { quoteWord } from '../render/redis-directives.ts'

export interface Refusal {
  /** As redis names it; '' where it names no directive. */
  readonly text: string
  readonly why: string
}

export interface TrialResult {
  readonly refusals: readonly Refusal[]
  /** Every directive that this redis knows; empty: it never came to answer. */
  readonly known: readonly string[]
  /** Why it is not known whether there are more refusals; null: it is known. */
  readonly untried: string | null
}

/** Some 50 ms are usual; on a host that is busy it may be a second. */
const deadlineMs = 5000
const askAgainMs = 10
/** More mistakes than that are told in the next round. */
const maxRounds = 20

/** What would touch the real redis, its data or its log while it is read, and Holdfast's own words on where a member runs. */
const leftOut = /^(#|$|(dir|logfile|replicaof|slaveof|port|bind|bind-source-addr|(replica|slave)-(announce-ip|priority)) )/

/** What of a redis.conf is tried: equal for all members that differ only in where they run. */
export function triedLines(conf: string): readonly string[] {
  return conf.split('\n').filter((line) => !leftOut.test(line))
}

/** `password`: with which it lets somebody in. */
export async function tryRedisConf(redisServer: string, lines: readonly string[], password: string | undefined): Promise<TrialResult> {
  const endMs = performance.now() + deadlineMs
  const refusals: Refusal[] = []
  let left = lines
  for (let round = 0; round < maxRounds; round += 1) {
    const { known, output, late } = await startOnce(redisServer, left, password, endMs)
    if (known !== null) return { refusals, known, untried: null }
    if (late) return { refusals, known: [], untried: `no answer within ${deadlineMs / 1000} s` }
    const found = fatalWords(output)
    refusals.push(...(found.length === 0 ? [{ text: '', why: lastWords(output) }] : found.map(withoutSecrets)))
    const dropped = new Set(found.map((word) => lineOf(left, word)))
    if (found.length === 0 || dropped.has(-1)) break
    left = left.filter((_, index) => !dropped.has(index))
  }
  return { refusals, known: [], untried: null }
}

interface Started {
  /** null: it never answered. */
  readonly known: readonly string[] | null
  readonly output: string
  readonly late: boolean
}

async function startOnce(redisServer: string, lines: readonly string[], password: string | undefined, endMs: number): Promise<Started> {
  const redis = shortLived('holdfast-trial-', (dir) => [redisServer, join(dir, 'redis.conf')])
  try {
    const text = [...lines, ...(await ownLines(redis.dir, lines)), ''].join('\n')
    await writeFile(join(redis.dir, 'redis.conf'), text, { mode: 0o600 })
    redis.start()
    for (;;) {
      const isOver = redis.hasEnded()
      const known = isOver ? null : await directivesOf(join(redis.dir, 'sock'), password, Math.max(1, endMs - performance.now()))
      const late = performance.now() > endMs
      if (known !== null || isOver || late) return { known, output: redis.output(), late: known === null && !isOver }
      await new Promise((resolve) => setTimeout(resolve, askAgainMs))
    }
  } finally {
    await redis.close()
  }
}

/** The last line wins: nothing that stands before these has it listen, write or read anywhere but here. */
async function ownLines(dir: string, lines: readonly string[]): Promise<readonly string[]> {
  // Its certificates are read only if it listens.
  const tls = lines.some((line) => /^tls-port [1-9]/.test(line)) ? ['bind 127.0.0.1', `tls-port ${await freePort()}`] : []
  const own = ['daemonize no', 'port 0', `unixsocket ${quoteWord(join(dir, 'sock'))}`, 'unixsocketperm 700', `dir ${quoteWord(dir)}`, 'logfile ""']
  return [...own, 'syslog-enabled no', 'loglevel notice', 'save ""', 'appendonly no', ...tls]
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}

/** null: it does not answer yet. */
async function directivesOf(path: string, password: string | undefined, withinMs: number): Promise<readonly string[] | null> {
  const opened = await openRaw({ path, password }, withinMs)
  if (!opened.ok) return null
  try {
    const all = await opened.value.call('CONFIG', 'GET', '*')
    return Array.isArray(all) ? all.filter((_, index) => index % 2 === 0).map(String) : []
  } catch {
    return null
  } finally {
    opened.value.close()
  }
}

function lineOf(lines: readonly string[], { line, text }: FatalWord): number {
  if (line !== null) return line <= lines.length ? line - 1 : -1
  return text === '' ? -1 : lines.findIndex((each) => each === text || each.startsWith(`${text} `))
}

/** It ended, and not because of a directive that it names. */
function lastWords(output: string): string {
  const last = output
    .split('\n')
    .map((line) => line.trim())
    .findLast((line) => line !== '')
  return last === undefined ? 'it ended without a word' : last.replace(/^.*? # /, '').slice(0, 300)
}
