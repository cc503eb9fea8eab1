/** A file that is either the old one or the new one, whatever happens: written beside it, synced, renamed, the folder synced. */
import { constants, readFileSync } from 'node:fs'
import { open, rename, rm, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'

/** A write ends when it is on disk. Each step less is a way less through the threads of the file system, and clients wait for what is written at a cut-over. */
const throughToDisk = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_DSYNC

export async function writeDurably(file: string, text: string | Buffer, mode = 0o640): Promise<void> {
  const folder = open(dirname(file), 'r')
  folder.catch(() => {})
  try {
    const handle = await open(`${file}.new`, throughToDisk, mode)
    try {
      await handle.writeFile(text)
    } finally {
      closeBeside(handle)
    }
    await rename(`${file}.new`, file)
    await (await folder).sync()
  } finally {
    folder.then(closeBeside, () => {})
  }
}

/** What was written to it is on disk, or was told not to be: its end has no more to say, and is not waited for. */
function closeBeside(handle: FileHandle): void {
  handle.close().catch(() => {})
}

export async function removeDurably(file: string): Promise<void> {
  await rm(file, { force: true })
  await syncFolder(dirname(file))
}

export async function syncFolder(dir: string): Promise<void> {
  const folder = await open(dir, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/** A record that is read once and then known: these are asked for in every cycle. null: there is none, or it says nothing. */
export function knownRecord<T>(known: Map<string, T | null>, file: string): T | null {
  const cached = known.get(file)
  if (cached !== undefined) return cached
  let record: T | null = null
  try {
    record = JSON.parse(readFileSync(file, 'utf8')) as T
  } catch {
    // None, the usual case. It is written whole or not at all.
  }
  known.set(file, record)
  return record
}
