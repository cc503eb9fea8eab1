/** A file that is either the old one or the new one, whatever happens: written beside it, synced, renamed, the folder synced. */
import { readFileSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'

export async function writeDurably(file: string, text: string | Buffer, mode = 0o640): Promise<void> {
  const handle = await open(`${file}.new`, 'w', mode)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(`${file}.new`, file)
  await syncFolder(dirname(file))
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
