/**
 * The torn end of an AOF is cut off: by redis' own check tool, ON A COPY, which then takes the place of the file by one rename. The file
 * as it was, and what was cut, are kept (INV-6). Decides nothing: only exactly that is cut that was decided.
 */
import { constants } from 'node:fs'
import { copyFile, link, mkdir, open, rename, rm, stat, statfs, truncate } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import type { AofEnd } from '../model/disk.ts'
import type { Kept } from '../model/kept.ts'
import { done, failed, waiting, type Outcome } from '../model/outcome.ts'
import { keptDir, redisDataDir } from '../model/paths.ts'
import { missingTool, runCheckAof } from '../redis/check-aof.ts'
import { syncFolder, writeDurably } from './durable.ts'
import type { RedisHands } from './redis.ts'
import { keptFile } from './set-aside.ts'

/** One cycle waits no longer for a copy than for any other action. */
const patienceMs = 300
/** A disk that is full, say: who has made room is not to wait long. */
const tryAgainMs = 5000
/** What is left free: the agent must be able to remember what it does. */
const spareBytes = 4 * 1024 * 1024

interface Job {
  readonly key: string
  readonly ended: Promise<Outcome>
  result: Outcome | null
  endedMs: number
}
const jobs = new WeakMap<RedisHands, Job>()

export async function mendAof(hands: RedisHands, end: AofEnd): Promise<Outcome> {
  const key = `${end.file} ${end.bytes} ${end.wholeBytes}`
  let job = jobs.get(hands)
  if (job?.key !== key || (job.result !== null && performance.now() - job.endedMs > tryAgainMs)) {
    job = startJob(hands, end, key)
    jobs.set(hands, job)
  }
  if (job.result === null) await Promise.race([job.ended, new Promise((resolve) => setTimeout(resolve, patienceMs))])
  if (job.result === null) return waiting('the torn end of the AOF is being cut off a copy')
  if (job.result.done) jobs.delete(hands)
  return job.result
}

function startJob(hands: RedisHands, end: AofEnd, key: string): Job {
  const ended = cutOff(hands, end).catch((error: unknown) => failed(`the torn end of the AOF is not cut off: ${(error as Error).message}`))
  const job: Job = { key, ended, result: null, endedMs: 0 }
  void ended.then((result) => {
    job.result = result
    job.endedMs = performance.now()
  })
  return job
}

async function cutOff(hands: RedisHands, end: AofEnd): Promise<Outcome> {
  const { paths } = hands.config
  const file = `${redisDataDir(paths, hands.group.name)}/${end.file}`
  const copy = `${file}.mended`
  const before = await stat(file)
  const changed = async (): Promise<Outcome | null> => {
    const now = await stat(file)
    const isSame = now.size === end.bytes && now.ino === before.ino && now.mtimeMs === before.mtimeMs
    if (isSame && hands.link() === null) return null
    hands.diskChanged()
    return failed(isSame ? `redis runs, and may have ${end.file} open` : `${end.file} has changed since it was looked at`)
  }
  const early = await changed()
  if (early !== null) return early
  await rm(copy, { force: true })
  const { bavail, bsize } = await statfs(dirname(file))
  if (bavail * bsize < end.bytes + spareBytes)
    return failed(`the torn end of ${end.file} is cut off a copy, and there is no room for one: it takes ${end.bytes} bytes, ${bavail * bsize} are free`)
  try {
    await copyFile(file, copy, constants.COPYFILE_FICLONE)
    const how = await cut(paths.redisServer, copy, end)
    if (!how.ok) return failed(`the torn end of ${end.file} is not cut off: ${how.why}`)
    await sync(copy)
    // A copy of gigabytes takes minutes, in which somebody may have mended the file by hand and started redis: its writes would go with the file.
    const first = await changed()
    if (first !== null) return first
    const kept = await keep(hands, file, end)
    const last = await changed()
    if (last !== null) return last
    // BEFORE the file is another: what loads it must not pass for all that was acknowledged (INV-4).
    await hands.aofIsCut()
    await rename(copy, file)
    await syncFolder(dirname(file))
    hands.note(`the end of ${end.file} was torn: ${words(end)}; ${how.value}. The file as it was, and what was cut, were kept as ${kept}`, 'kept')
    hands.diskChanged()
    return done
  } finally {
    await rm(copy, { force: true })
  }
}

/** By whom, in words. */
async function cut(redisServer: string, copy: string, end: AofEnd): Promise<{ ok: true; value: string } | { ok: false; why: string }> {
  const ran = await runCheckAof(redisServer, copy, end.bytes, true)
  if (!ran.ok && ran.why !== missingTool) return ran
  // What was read here was read to the last byte, and redis reads all of it before it serves any.
  if (!ran.ok) await truncate(copy, end.wholeBytes)
  const { size } = await stat(copy)
  if (size !== end.wholeBytes) return { ok: false, why: `redis-check-aof would leave ${size} bytes of it, and it was found whole up to byte ${end.wholeBytes}` }
  return { ok: true, value: ran.ok ? 'redis-check-aof has cut it off a copy' : `it was cut off a copy (${missingTool})` }
}

function words({ bytes, wholeBytes, why, commands, last }: AofEnd): string {
  return `${bytes - wholeBytes} bytes, ${why}${commands > 1 ? ` (${commands} commands)` : ''}${last === '' ? '' : `: ${last}`}`
}

/** Without taking the file away: until the copy takes its place, it is what there is. */
async function keep(hands: RedisHands, file: string, end: AofEnd): Promise<string> {
  const dir = keptDir(hands.config.paths, hands.group.name)
  const id = `torn-from-${hands.member.host}-${Date.now()}`
  const folder = `${dir}/${id}.aof`
  await mkdir(folder, { recursive: true, mode: 0o750 })
  await link(file, `${folder}/${basename(file)}`).catch(() => copyFile(file, `${folder}/${basename(file)}`)) // another file system
  const handle = await open(file, 'r')
  try {
    const bytes = end.bytes - end.wholeBytes
    const { buffer } = await handle.read(Buffer.alloc(bytes), 0, bytes, end.wholeBytes)
    await writeDurably(`${folder}/cut`, buffer)
  } finally {
    await handle.close()
  }
  await writeDurably(`${dir}/${id}.json`, JSON.stringify(manifest(hands, id, end)))
  return folder
}

async function sync(file: string): Promise<void> {
  const handle = await open(file, 'r+')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function manifest(hands: RedisHands, id: string, end: AofEnd): Kept {
  const cutBytes = end.bytes - end.wholeBytes
  const why = `the end of ${end.file} was torn, and was cut off: ${words(end)}`
  return {
    ...keptFile(hands, id, { kind: 'aof', bytes: end.bytes + cutBytes, why }),
    commands: end.commands,
    cut: { file: basename(end.file), fromByte: end.wholeBytes, bytes: cutBytes, what: end.why, first: end.first, last: end.last },
  }
}
