/**
 * A file that is on disk before anything is done, and is written in the middle of a failover. A record goes ahead of it, into room beside it
 * (`FILE.ahead`) that the disk has given already: nothing but its data is synced, where a file that is replaced commits the journal of the file
 * system, with what others wrote to it. The file is replaced later, whole, and nobody waits for that. ADR 36.
 * Must not know what is in the file.
 */
import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { open, readFile, rm, stat, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { assert } from '../model/assert.ts'
import { aheadFile, hashOf, lookAt, recordOf, roomBytes } from '../observe/ahead.ts'
import { syncFolder, writeDurably } from './durable.ts'

/** A failover and a cut-over have ended by then, most of the time: what they need of disk and processor is theirs alone. */
const replaceAfterMs = 250

export interface DurableFile {
  /** Returns when `value` is on disk, as JSON with a field `save`, which makes no two of them alike. One at a time. Throws what the file system says. */
  readonly write: (value: object) => Promise<void>
  /** Returns when the file holds what was written last, or cannot. Nothing is written after it. */
  readonly close: () => Promise<void>
}

export function openDurable(file: string): DurableFile {
  const life = randomUUID()
  let nth = 0
  let isWriting = false
  let room: FileHandle | null = null
  let makingRoom: Promise<void> | null = null
  /** Hashes of what the file may hold now, whatever happens. */
  let mayHold: readonly string[] = []
  let hasFailed = false
  /** What the file is to hold, and does not hold yet. */
  let next: string | null = null
  let later: NodeJS.Timeout | null = null
  let replacing: Promise<void> | null = null
  const begun = begin()

  /** What an earlier life left ahead comes into the file first: whoever looks at it later, or mends it by hand, is to have what counts. */
  async function begin(): Promise<void> {
    try {
      const { text, ahead } = lookAt(file)
      if (ahead === null) mayHold = [hashOf(text)]
      else await replace(ahead)
    } catch {
      return // None yet; or the first write tells what is wrong.
    }
    await makeRoom()
  }

  async function write(value: object): Promise<void> {
    assert(!isWriting, `${file} is written by two at once`)
    isWriting = true
    try {
      await begun
      nth += 1
      const text = JSON.stringify({ ...value, save: `${life}-${nth}` })
      if (await goesAhead(text)) {
        next = text
        later ??= setTimeout(replaceNow, replaceAfterMs)
        return
      }
      next = null
      await replacing
      await replace(text)
      if (room === null) makingRoom ??= makeRoom()
    } finally {
      isWriting = false
    }
  }

  async function goesAhead(text: string): Promise<boolean> {
    // A disk that does not take the file is to be heard of at the next write, not when both records are lost.
    if (room === null || hasFailed) return false
    const over = [...mayHold, ...(next === null ? [] : [hashOf(next)])]
    const record = recordOf({ nth, over, text })
    if (record.length > roomBytes) return false
    try {
      const [{ bytesWritten }, counts] = await Promise.all([room.write(record, 0, record.length, (nth % 2) * roomBytes), isFound(room, over)])
      if (bytesWritten === record.length && counts) return true
    } catch {
      // Whatever it is, the file itself is tried, and tells it.
    }
    leaveRoom()
    return false
  }

  /** By the rule of who reads it. Somebody may have removed the room, the file or their folder, or mended the file. */
  async function isFound(own: FileHandle, over: readonly string[]): Promise<boolean> {
    const [here, there, text] = await Promise.all([own.stat(), stat(aheadFile(file)), readFile(file)])
    return here.ino === there.ino && here.dev === there.dev && over.includes(hashOf(text))
  }

  function replaceNow(): void {
    if (later !== null) clearTimeout(later)
    later = null
    if (next !== null) replacing ??= replaceBeside()
  }

  async function replaceBeside(): Promise<void> {
    try {
      while (next !== null) {
        const text = next
        next = null
        await replace(text)
      }
    } catch {
      // The record ahead of it counts, and the next write tells what is wrong with the disk.
    } finally {
      replacing = null
    }
  }

  async function replace(text: string): Promise<void> {
    const is = hashOf(text)
    // Nothing goes ahead before one has succeeded, and an agent whose disk is full tries again in every cycle.
    if (!hasFailed) mayHold = [...mayHold, is]
    try {
      await writeDurably(file, text)
    } catch (error) {
      hasFailed = true
      throw error
    }
    hasFailed = false
    mayHold = [is]
  }

  /** Only where there is none, and no record counts: it is written over. */
  async function makeRoom(): Promise<void> {
    let handle: FileHandle | null = null
    try {
      handle = await open(aheadFile(file), constants.O_RDWR | constants.O_CREAT | constants.O_DSYNC, 0o640)
      // First the name of the room, and of the file: an agent that was killed may have renamed it a moment ago, and the record that is about to go is of use until
      // that is on disk.
      await syncFolder(dirname(file))
      // Zeros that were written: room that is only promised would be changed to given room by the first record, in the journal.
      const { bytesWritten } = await handle.write(Buffer.alloc(2 * roomBytes), 0, 2 * roomBytes, 0)
      if (bytesWritten === 2 * roomBytes) {
        room = handle
        handle = null
      }
    } catch {
      // Without it every write replaces the file: slower, and as safe.
    } finally {
      makingRoom = null
      handle?.close().catch(() => {})
    }
  }

  function leaveRoom(): void {
    room?.close().catch(() => {})
    room = null
  }

  async function closeOnce(): Promise<void> {
    await begun
    replaceNow()
    await makingRoom
    await replacing
    leaveRoom()
    // Whoever puts a copy of the file back while nobody writes it means that copy, whatever was written over the like of it.
    const isWhole = next === null && !hasFailed && mayHold.length === 1
    if (isWhole) await rm(aheadFile(file), { force: true }).catch(() => {})
  }

  // By the second time somebody else may write it: an agent whose configuration changes stops its loops and begins anew.
  let closing: Promise<void> | null = null
  return { write, close: () => (closing ??= closeOnce()) }
}
