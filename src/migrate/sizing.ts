/**
 * How large the source's buffers must be for the first sync to end, and about how long that takes. PURE. Too small ones make a loop in which the source
 * saves and sends everything again and again: the most frequent end of a migration (redis/redis#11534, RedisShake#293).
 */
import { bufferIn } from '../model/replica-buffer.ts'
import { secondsOf, sizeOf } from '../doctor/say.ts'
import { green, trap, unseen, yellow, type Judged, type Trap } from './check.ts'
import type { Instance } from './facts.ts'
import { setting, words } from './traps-data.ts'

const mib = 1024 ** 2
/** Saving and sending, and loading, one after the other: measured at 119 MB/s on two cores, taken for less. */
const syncBytesPerS = 100_000_000
/** The rate that was seen in some seconds is not the highest of the day. */
const rateFactor = 3
const leastBacklogBytes = 64 * mib
const leastBufferBytes = 256 * mib
const awayS = 60
const leastTimeoutS = 60

export interface Raise {
  readonly name: string
  readonly from: string
  readonly to: string
}

export interface Sizing {
  /** Of the stream, at the most that is reckoned with. */
  readonly bytesPerS: number
  /** Until the first member has all, and the next ones after it. */
  readonly firstSyncS: number
  readonly allSyncedS: number
  /** What is raised on the source by CONFIG SET before it begins, and put back afterwards. null: its settings could not be read. */
  readonly raises: readonly Raise[] | null
}

/** `members`: how many are filled, one after the other, the second and later from the first. */
export function sizingOf(from: Instance, members: number): Sizing {
  const bytesPerS = Math.ceil(from.bytesPerS * rateFactor)
  const firstSyncS = Math.ceil((2 * from.usedBytes) / syncBytesPerS) + 1
  return { bytesPerS, firstSyncS, allSyncedS: firstSyncS * Math.max(1, members), raises: from.settings.ok ? raises(from, bytesPerS, firstSyncS) : null }
}

function raises(from: Instance, bytesPerS: number, syncS: number): readonly Raise[] {
  const found: Raise[] = []
  const backlog = roundUp(Math.max(leastBacklogBytes, bytesPerS * (syncS / 2 + awayS)))
  const hasBacklog = setting(from, 'repl-backlog-size')
  if (hasBacklog !== null && hasBacklog < backlog) found.push({ name: 'repl-backlog-size', from: String(hasBacklog), to: String(backlog) })
  const buffer = roundUp(Math.max(leastBufferBytes, 2 * bytesPerS * syncS))
  const has = bufferIn(words(from, 'client-output-buffer-limit') ?? '')
  if (has !== null && ((has.hardBytes > 0 && has.hardBytes < buffer) || (has.softBytes > 0 && has.softBytes < buffer)))
    // `slave` is the name that every version takes; `replica` is refused before 5.0.
    found.push({ name: 'client-output-buffer-limit', from: `slave ${has.hardBytes} ${has.softBytes} ${has.softS}`, to: `slave ${buffer} ${buffer} 0` })
  const timeoutS = Math.max(leastTimeoutS, 2 * syncS)
  const hasTimeout = setting(from, 'repl-timeout')
  if (hasTimeout !== null && hasTimeout < timeoutS) found.push({ name: 'repl-timeout', from: String(hasTimeout), to: String(timeoutS) })
  const delay = setting(from, 'repl-diskless-sync-delay')
  if (delay !== null && delay > 0 && words(from, 'repl-diskless-sync') === 'yes') found.push({ name: 'repl-diskless-sync-delay', from: String(delay), to: '0' })
  const ttl = setting(from, 'repl-backlog-ttl')
  // A backlog that is given up an hour after the last replica has gone takes the way back with it.
  if (ttl !== null && ttl > 0) found.push({ name: 'repl-backlog-ttl', from: String(ttl), to: '0' })
  return found
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / mib) * mib
}

export function writtenWords({ bytesPerS, uncounted }: Pick<Instance, 'bytesPerS' | 'uncounted'>): string {
  return uncounted === true ? `at most ${sizeOf(bytesPerS)}/s written (it has no replica and counts none: what came in)` : `${sizeOf(bytesPerS)}/s written`
}

export function bufferTrap(from: Instance, sizing: Sizing): Trap {
  const why = 'a buffer that is too small for what is written during the sync ends it, and it begins anew, for ever'
  return trap('P10', why, [judged(from, sizing)])
}

function judged(from: Instance, { raises: todo, bytesPerS, firstSyncS }: Sizing): Judged {
  if (todo === null) return unseen('the buffers of the source', from.settings.ok ? '' : from.settings.why)
  const rate = `${writtenWords(from)}, seen over ${secondsOf(from.overS)}, reckoned as ${sizeOf(bytesPerS)}/s for ${secondsOf(firstSyncS)}`
  const room = from.machineBytes === 0 ? null : from.machineBytes - from.rssBytes
  const most = todo
    .flatMap(({ name, to }) => (name === 'client-output-buffer-limit' ? [Number(to.split(' ')[1])] : name === 'repl-backlog-size' ? [Number(to)] : []))
    .reduce((a, b) => a + b, 0)
  if (room !== null && most > room)
    return yellow(`${rate}: its buffers may take ${sizeOf(most)}, and its machine has ${sizeOf(room)} left`, 'at the hour of the least traffic')
  return green(
    todo.length === 0
      ? `${rate}; enough as it is`
      : `${rate}; raised for the time of the migration: ${todo.map(({ name, from: was, to }) => `${name} ${was} → ${to}`).join(', ')}`,
  )
}
