/**
 * The archived stream behind a backup into the redis that has loaded it: this process plays its primary and hands over the bytes up to the
 * cut, never further. redis applies them as a replica does: nothing expires on its own, and its own offset says where it is. It stays a
 * replica, and as it is, while `frozen` runs; ONLY THEN it takes writes. Each segment is proven once more before a byte of it is sent.
 */
import { absolute } from '../backup/absolute.ts'
import { cameAt } from '../backup/marks.ts'
import { OperatorError } from '../model/error.ts'
import { follow, openAsPrimary, type Answer } from '../redis/as-primary.ts'
import { parseInfo } from '../redis/info.ts'
import { encode } from '../redis/psync.ts'
import { RawError, type RawRedis } from '../redis/raw.ts'
import { streamParser } from '../salvage/stream.ts'
import { along } from './along.ts'
import type { Moment } from './moment.ts'

/** No PING comes from this process while a segment is fetched, or while redis saves. */
const replTimeoutS = 24 * 3600
const [leastPauseMs, mostPauseMs] = [2, 200]

/** `redis`: has loaded the backup as a replica of nobody. Throws OperatorError, FetchFailed, what a lost connection throws, and the reason of `signal`. */
export async function replay<T>(redis: RawRedis, moment: Moment, progress: (bytes: number) => void, signal: AbortSignal, frozen: () => Promise<T>): Promise<T> {
  const kept = await quieted(redis)
  const sent = { bytes: 0, all: false }
  const asked = (what: { readonly replid: string; readonly offset: number }): Answer => {
    const { replid, offset } = moment.backup.manifest.position
    // After a lost connection it would ask for less: it is not known to this process whether what lies between was applied whole.
    if (sent.bytes > 0 || what.replid !== replid || what.offset !== offset + 1) return { refuse: `the backup stands at ${replid}, offset ${offset}` }
    return { continue: counted(moment.isRelative ? inPointsOfTime(moment) : raw(moment), sent) }
  }
  const primary = await openAsPrimary(asked)
  try {
    await follow(redis, primary)
    await untilApplied(redis, primary, moment, sent, progress, signal)
    await refuseErrors(redis)
    if (moment.isRelative) await leaveHistory(redis)
    const result = await frozen()
    for (const [name, value] of kept) await must(redis, 'CONFIG', 'SET', name, value)
    await must(redis, 'REPLICAOF', 'NO', 'ONE')
    return result
  } finally {
    await primary.close()
  }
}

/**
 * Other bytes were sent than the archive has, so its offset means nothing in that history: saved with its id, it would be continued at another byte, by a
 * primary or by an archive, and nobody would notice. At once, so that nobody writes and no time is over in between.
 */
async function leaveHistory(redis: RawRedis): Promise<void> {
  for (const words of [['MULTI'], ['REPLICAOF', 'NO', 'ONE'], ['REPLICAOF', '127.0.0.1', '1']]) await must(redis, ...words)
  const done = await must(redis, 'EXEC')
  const failed = Array.isArray(done) ? done.find((one) => one instanceof RawError) : null
  if (failed !== undefined) throw new Error('redis does not leave the history that it was restored from')
}

/** It neither saves what is half, nor misses its primary. As it was configured before: by name. */
async function quieted(redis: RawRedis): Promise<ReadonlyMap<string, string>> {
  const kept = new Map<string, string>()
  for (const name of ['masterauth', 'repl-timeout', 'save']) {
    const answer = await must(redis, 'CONFIG', 'GET', name)
    kept.set(name, Array.isArray(answer) ? String(answer[1] ?? '') : '')
  }
  await must(redis, 'CONFIG', 'SET', 'save', '')
  await must(redis, 'CONFIG', 'SET', 'repl-timeout', String(replTimeoutS))
  return kept
}

export async function must(redis: RawRedis, ...words: readonly string[]): Promise<Awaited<ReturnType<RawRedis['call']>>> {
  const answer = await redis.call(...words)
  if (answer instanceof RawError) throw new Error(`redis refuses ${words.slice(0, 3).join(' ')}: ${answer.text}`)
  return answer
}

interface Sent {
  bytes: number
  all: boolean
}

async function untilApplied(
  redis: RawRedis,
  primary: Awaited<ReturnType<typeof openAsPrimary>>,
  { backup, to }: Moment,
  sent: Sent,
  progress: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const { offset } = backup.manifest.position
  const failed: { why: Error | null } = { why: null }
  // It says so itself only once a second; what goes wrong is known at once.
  primary.until(Number.MAX_SAFE_INTEGER).catch((error: Error) => (failed.why = error))
  for (let pauseMs = leastPauseMs; ; pauseMs = Math.min(mostPauseMs, pauseMs * 1.5)) {
    signal.throwIfAborted()
    if (failed.why !== null) throw failed.why
    const fields = parseInfo(String(await must(redis, 'INFO', 'replication')))
    const applied = Number(fields.get('slave_repl_offset')) - offset
    // As many as were sent; of a stream whose times to live became points in time that is another number than it has in the archive.
    progress(Math.min(applied, to - offset))
    if (sent.all && applied === sent.bytes) return
    if (applied > sent.bytes) throw new Error(`redis says that it has applied ${applied} bytes, and ${sent.bytes} were sent`)
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
}

/** Each was applied by the primary that wrote it, so each is applied here; redis counts those that it answered with an error, and goes on. */
async function refuseErrors(redis: RawRedis): Promise<void> {
  const count = parseInfo(String(await must(redis, 'INFO', 'stats'))).get('unexpected_error_replies')
  if (Number(count) === 0) return
  throw new OperatorError(
    'HF823',
    `this redis-server answered ${count} commands of the stream with an error: what it holds is not what the group held`,
    'use a redis-server of the version of the group, with its modules; paths.redis_server names one',
  )
}

async function* counted(pieces: AsyncIterable<Buffer>, sent: Sent): AsyncGenerator<Buffer, void, undefined> {
  for await (const piece of pieces) {
    sent.bytes += piece.length
    yield piece
  }
  sent.all = true
}

async function* raw({ archive, backup, to }: Moment): AsyncGenerator<Buffer, void, undefined> {
  for await (const { bytes } of along(archive, backup.manifest.position.offset + 1, to)) yield bytes
}

/** What counts from "now" counts from when it came. All else stays as it is. */
async function* inPointsOfTime({ archive, backup, to }: Moment): AsyncGenerator<Buffer, void, undefined> {
  const from = backup.manifest.position.offset + 1
  const parser = streamParser(from, null)
  let rest: Buffer = Buffer.alloc(0)
  let at = from
  for await (const piece of along(archive, from, to)) {
    rest = Buffer.concat([rest, piece.bytes])
    const commands = parser.push(piece.bytes.toString('latin1'))
    let done = 0
    for (const [index, command] of commands.entries()) {
      const end = commands[index + 1]?.offset ?? parser.position()
      const instead = absolute(command, cameAt(piece.marks, end - 1) ?? 0)
      if (instead === null) continue
      yield rest.subarray(done, command.offset - at)
      for (const words of instead) yield encode(words.map((word) => Buffer.from(word, 'latin1')))
      done = end - at
    }
    yield rest.subarray(done, parser.position() - at)
    rest = rest.subarray(parser.position() - at)
    at = parser.position()
  }
}
