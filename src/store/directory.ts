/**
 * Backups in a directory: a disk of this host, or what is mounted there. A file is written beside its name, synced, and renamed, so a
 * crash leaves a `.part` at the most. Those of writers that are gone are removed by whoever lists.
 */
import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, readdir, rename, rm, rmdir, stat, type FileHandle } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { assert } from '../model/assert.ts'
import type { Observed } from '../model/outcome.ts'
import { given, patience, Silent, tidied, whole, within, type Patience } from './patience.ts'
import { byName, isName, partSuffix, type Store, type StoredObject } from './store.ts'

/** Nobody writes to a part for so long without having ended. */
const abandonedMs = 24 * 3_600_000

/** Of a gigabyte in pieces of 64 KiB, reading, handing on and writing cost four times as much as its SHA-256; of this size, as much. A larger one only takes more memory. */
const readBytes = 512 * 1024

/** `path` must be there: a directory that is made where a disk should be mounted would fill the disk below. */
export function openDirectory(path: string, { silentMs }: Patience = patience): Store {
  const fileOf = (name: string): string => {
    assert(isName(name), `a name in a store: ${name}`)
    return join(path, name)
  }
  const tried = async <T>(signal: AbortSignal | undefined, work: (patient: Patient) => Promise<T>): Promise<Observed<T>> => {
    const patient: Patient = (step) => within(silentMs, signal, step)
    try {
      await patient(stat(path))
      return { ok: true, value: await work(patient) }
    } catch (error) {
      return { ok: false, why: inWords(error, path) }
    }
  }
  return {
    where: `directory ${path}`,
    list: (under, signal) =>
      tried(signal, async (patient) => {
        const dir = under === '' ? path : fileOf(under)
        return (await filesBelow(path, dir, patient)).sort(byName)
      }),
    put: (name, chunks, signal) => tried(signal, (patient) => put({ root: path, file: fileOf(name), patient }, given(chunks, signal))),
    get: (name, signal) =>
      tried(signal, async (patient) => {
        const file = fileOf(name)
        const { handle, bytes } = await opened(file, patient)
        const stream = createReadStream(file, { fd: handle, highWaterMark: Math.min(Math.max(bytes, 1), readBytes) })
        const gone = (): void => void stream.destroy()
        return whole(stream, { bytes, silentMs, signal, inWords: (error) => inWords(error, path), hangUp: gone })
      }),
    remove: (name, signal) =>
      tried(signal, async (patient) => {
        const file = fileOf(name)
        await patient(rm(file, { force: true }))
        await patient(removeEmpty(path, dirname(file)))
        return null
      }),
    close: () => Promise.resolve(),
  }
}

/** One step on the disk, with a bound. */
type Patient = <T>(step: Promise<T>) => Promise<T>

function inWords(thrown: unknown, path: string): string {
  const error = thrown as NodeJS.ErrnoException
  const place = error.path ?? path
  if (error instanceof Silent) return `the disk or network share of ${path} hangs: ${error.message}`
  if (error.code === 'ENOENT') return place === path ? `the directory ${path} is not there (a disk that is not mounted?)` : `${place} is not there`
  if (error.code === 'ENOTDIR') return `${place} cannot be, because a part of that path is a file and no directory`
  if (error.code === 'EACCES' || error.code === 'EPERM') return `no permission for ${place}`
  if (error.code === 'EROFS') return `${path} is mounted read-only`
  if (error.code === 'ENOSPC' || error.code === 'EDQUOT') return `no space is left in ${path}`
  if (error.code === 'EIO' || error.code === 'ESTALE') return `the disk or network share of ${path} fails (${error.code})`
  return error.message
}

interface Target {
  readonly root: string
  readonly file: string
  readonly patient: Patient
}

async function put({ root, file, patient }: Target, chunks: AsyncIterable<Buffer>): Promise<null> {
  const dir = dirname(file)
  await patient(mkdir(dir, { recursive: true, mode: 0o700 }))
  const part = `${file}.${randomBytes(4).toString('hex')}${partSuffix}`
  const handle = await openedIn(patient, open(part, 'wx', 0o600))
  try {
    for await (const chunk of chunks) {
      // write may take less than it was given, when the disk is nearly full.
      for (let at = 0; at < chunk.length; ) at += (await patient(handle.write(chunk, at))).bytesWritten
    }
    await patient(handle.sync())
    await patient(handle.close())
    await patient(rename(part, file))
  } catch (error) {
    const close = handle.close().catch(() => undefined)
    await tidied(close.then(() => rm(part, { force: true })).then(() => removeEmpty(root, dir)))
    throw error
  }
  // Every folder between, too: a name that is not on the disk is no name after a power cut.
  for (let at = dir; ; at = dirname(at)) {
    await patient(syncDir(at))
    if (at === root || at === dirname(at)) return null
  }
}

async function syncDir(dir: string): Promise<void> {
  const handle = await open(dir, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Where it opens after all, when nobody waits any more, it is closed again. */
async function openedIn(patient: Patient, opening: Promise<FileHandle>): Promise<FileHandle> {
  return patient(opening).catch((error: unknown) => {
    void opening.then((handle) => handle.close()).catch(() => undefined)
    throw error
  })
}

async function opened(file: string, patient: Patient): Promise<{ readonly handle: FileHandle; readonly bytes: number }> {
  const handle = await openedIn(patient, open(file, 'r'))
  try {
    return { handle, bytes: (await patient(handle.stat())).size }
  } catch (error) {
    await tidied(handle.close())
    throw error
  }
}

async function filesBelow(root: string, dir: string, patient: Patient): Promise<StoredObject[]> {
  const found: StoredObject[] = []
  const entries = await patient(readdir(dir, { withFileTypes: true })).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  for (const entry of entries) {
    const path = join(dir, entry.name)
    const name = relative(root, path)
    if (entry.isDirectory()) found.push(...(await filesBelow(root, path, patient)))
    else if (entry.name.endsWith(partSuffix)) await patient(removeAbandoned(path))
    else if (entry.isFile() && isName(name)) {
      const bytes = await patient(sizeOf(path))
      if (bytes !== null) found.push({ name, bytes })
    }
  }
  return found
}

/** null: somebody has removed it meanwhile. */
async function sizeOf(path: string): Promise<number | null> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw error
  })
  return found?.size ?? null
}

async function removeAbandoned(part: string): Promise<void> {
  const found = await stat(part).catch(() => null)
  if (found !== null && Date.now() - found.mtimeMs > abandonedMs) await rm(part, { force: true })
}

async function removeEmpty(root: string, dir: string): Promise<void> {
  for (let at = dir; at !== root && at !== dirname(at); at = dirname(at)) {
    try {
      await rmdir(at)
    } catch {
      return
    }
  }
}
