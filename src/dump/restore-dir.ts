/**
 * The folder that a restore writes into: new or empty, never one with anything in it. What a restore leaves there when it is killed is known
 * by its `.part`, whose name tells the process, and is replaced by the next one. dump.rdb is a file WHOLE AND PROVEN OR NOT AT ALL: until then its name is
 * that of the pipe by which redis reads.
 */
import type { FileHandle } from 'node:fs/promises'
import { mkdir, open, readdir, readlink, rename, rm, rmdir, stat, statfs, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { OperatorError } from '../model/error.ts'
import { makePipe } from './feed.ts'
import { mib } from './needs.ts'

export interface RestoreDir {
  readonly path: string
  readonly pipe: string
  readonly conf: string
  readonly log: string
  readonly socket: string
  /** Half of dump.rdb, until it is whole. */
  readonly part: string
  /** The folder was not there before. */
  readonly isMade: boolean
  /** Gathered until it is worth a write. Returns when what was gathered before is written: the next is made meanwhile. */
  readonly write: (chunk: Buffer) => Promise<void>
  /** All is written: dump.rdb is the file from here on, also after a power cut. */
  readonly commit: () => Promise<void>
  /** redis itself has written dump.rdb, whole and synced: the same. */
  readonly adopt: () => Promise<void>
  /** All of it goes, and the folder where it was made. */
  readonly discard: () => Promise<void>
}

/** Where a redis listens that is only to write its file. */
export const socketName = 'redis.sock'

const part = /^dump\.rdb\.(\d+)\.part$/
/** `temp-PID.rdb`: of a redis that was saving; `redis.sock`: of one that is only to write its file. */
const ours = /^(dump\.rdb|dump\.rdb\.\d+\.part|redis\.conf|redis\.log|redis\.sock|temp-\d+\.rdb)$/
/** Beside the RDB: configuration, log. */
const spareBytes = 16 * 1024 * 1024
/** Written down while the rest still comes: the end need not wait for all of it. */
const syncEveryBytes = 64 * 1024 * 1024
/** A store over a network gives pieces of some KiB, and each write of its own costs as much as many of them. */
const writeBytes = 1024 * 1024

/** Throws where it cannot be used. Changes nothing. */
export async function checkDir(path: string, bytes: number): Promise<void> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => (error.code === 'ENOENT' ? null : error))
  if (found instanceof Error) throw unusable(path, found.message)
  if (found !== null && !found.isDirectory()) throw unusable(path, 'it is no directory')
  const names = found === null ? [] : await readdir(path).catch((error: Error) => Promise.reject(unusable(path, error.message)))
  await refuseOthers(path, names)
  await refuseUnderWay(path, begunBy(names))
  const has = await freeBytes(await nearest(path))
  if (has < bytes + spareBytes)
    throw new OperatorError(
      'HF822',
      `${path} needs ${mib(bytes + spareBytes)}, and ${mib(has)} are free there`,
      'name a directory on another disk with --to: nothing was written',
    )
}

export async function freeBytes(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path)
  return bavail * bsize
}

/** The process of a restore that was begun. */
function begunBy(names: readonly string[]): string | undefined {
  return names.map((name) => part.exec(name)?.[1]).find((pid) => pid !== undefined)
}

/** Whatever is not what a restore that was killed has left. */
async function refuseOthers(path: string, names: readonly string[]): Promise<void> {
  const whole = await stat(join(path, 'dump.rdb'))
    .then((it) => it.isFile())
    .catch(() => false)
  if (names.length > 0 && (begunBy(names) === undefined || whole || !names.every((name) => ours.test(name))))
    throw unusable(path, `it is not empty: ${names.slice(0, 3).join(', ')}`, 'name another with --to: a restore never writes over anything')
}

function unusable(path: string, why: string, hint = 'name another with --to'): OperatorError {
  return new OperatorError('HF821', `${path} cannot be restored into: ${why}`, hint)
}

/** A process may have got the number of one that is gone. */
async function writes(pid: string, file: string): Promise<boolean> {
  const handles = await readdir(`/proc/${pid}/fd`).catch(() => [])
  for (const handle of handles) if ((await readlink(`/proc/${pid}/fd/${handle}`).catch(() => '')) === file) return true
  return false
}

async function nearest(path: string): Promise<string> {
  for (let at = path; ; at = dirname(at)) {
    if (
      at === dirname(at) ||
      (await stat(at).then(
        () => true,
        () => false,
      ))
    )
      return at
  }
}

/** `path`: absolute; checked before. */
export async function openDir(path: string, conf: string, withPipe: boolean): Promise<RestoreDir> {
  const [pipe, confFile, log, socket] = ['dump.rdb', 'redis.conf', 'redis.log', socketName].map((name) => join(path, name)) as [string, string, string, string]
  const file = partOf(path, process.pid)
  let made: string | undefined
  let handle: FileHandle | null = null
  let mine: readonly string[] = []
  const discard = async (): Promise<void> => {
    await handle?.close().catch(() => undefined)
    for (const name of mine) await rm(name, { force: true })
    if (made !== undefined) await removeMade(path, made)
  }
  try {
    made = await mkdir(path, { recursive: true, mode: 0o700 })
    handle = await open(file, 'wx', 0o600)
    mine = [file]
    await clear(path, file)
    // The part last: while it is there, the rest is known to be half of a restore.
    mine = [pipe, confFile, log, socket, file]
    await writeFile(confFile, conf, { mode: 0o600 })
    if (withPipe) await makePipe(pipe)
  } catch (error) {
    await discard()
    throw inWords(error as NodeJS.ErrnoException, path)
  }
  return { path, pipe, conf: confFile, log, socket, part: file, isMade: made !== undefined, discard, ...writer(handle, file, pipe, path) }
}

function partOf(path: string, pid: number | string): string {
  return join(path, `dump.rdb.${pid}.part`)
}

/** What a restore that was killed has left. Two that began at once have both looked before either wrote: the one that looks again and sees the other yields. */
async function clear(path: string, own: string): Promise<void> {
  const names = (await readdir(path)).filter((name) => join(path, name) !== own)
  for (const name of names) await refuseUnderWay(path, part.exec(name)?.[1])
  // The look of `checkDir` is seconds old: what somebody has put there since is not removed.
  await refuseOthers(path, names)
  for (const name of names) await rm(join(path, name), { force: true })
}

async function refuseUnderWay(path: string, pid: string | undefined): Promise<void> {
  if (pid !== undefined && (await writes(pid, partOf(path, pid))))
    throw unusable(path, `another restore writes there (process ${pid})`, 'wait until it has ended, or name another with --to')
}

function writer(handle: FileHandle, file: string, target: string, path: string): Pick<RestoreDir, 'write' | 'commit' | 'adopt'> {
  let unsynced = 0
  let syncing: Promise<unknown> = Promise.resolve()
  let isSyncing = false
  let writing: Promise<unknown> = Promise.resolve()
  let failed: Error | null = null
  const fails = (error: Error): void => {
    failed ??= error
  }
  let gathered: Buffer[] = []
  let gatheredBytes = 0
  const written = async (chunks: readonly Buffer[], bytes: number): Promise<void> => {
    const { bytesWritten } = await handle.writev(chunks)
    // Less than it was given, when the disk is nearly full.
    const rest = bytesWritten === bytes ? null : Buffer.concat(chunks).subarray(bytesWritten)
    for (let at = 0; rest !== null && at < rest.length; ) at += (await handle.write(rest, at)).bytesWritten
  }
  const writeGathered = async (): Promise<void> => {
    await writing
    if (failed !== null) throw failed
    if (gatheredBytes > 0) writing = written(gathered, gatheredBytes).catch(fails)
    gathered = []
    gatheredBytes = 0
  }
  const tried = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work()
    } catch (error) {
      throw inWords(error as NodeJS.ErrnoException, path)
    }
  }
  return {
    write: (chunk) =>
      tried(async () => {
        gathered.push(chunk)
        gatheredBytes += chunk.length
        if (gatheredBytes < writeBytes) return
        unsynced += gatheredBytes
        await writeGathered()
        if (unsynced < syncEveryBytes) return
        unsynced = 0
        if (isSyncing) return
        isSyncing = true
        syncing = handle
          .datasync()
          .catch(fails)
          .finally(() => {
            isSyncing = false
          })
      }),
    commit: () =>
      tried(async () => {
        await writeGathered()
        await Promise.all([writing, syncing])
        if (failed !== null) throw failed
        await handle.sync()
        await handle.close()
        await rename(file, target)
        await syncFolder(path)
      }),
    adopt: () =>
      tried(async () => {
        await handle.close()
        // Since 7.0 redis has done it.
        await syncFolder(path)
        await rm(file)
        await syncFolder(path)
      }),
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  await folder.sync().finally(() => folder.close())
}

/** What was made, and is empty again. */
async function removeMade(path: string, first: string): Promise<void> {
  for (let at = path; ; at = dirname(at)) {
    // Not there any more: somebody else has removed it.
    const removed = await rmdir(at).then(
      () => true,
      (error: NodeJS.ErrnoException) => error.code === 'ENOENT',
    )
    if (!removed || at === first || at === dirname(at)) return
  }
}

export function noSpace(path: string): OperatorError {
  return new OperatorError('HF822', `no space is left in ${path}`, 'name a directory on another disk with --to: what was written has been removed')
}

function inWords(error: NodeJS.ErrnoException, path: string): Error {
  if (error.code === 'ENOSPC' || error.code === 'EDQUOT') return noSpace(path)
  return error instanceof OperatorError ? error : unusable(path, error.message)
}
