/**
 * What a return of keys overwrites, kept before it is overwritten: a line of JSON for each key, with what DUMP and its time to live said,
 * durable BEFORE the write, and a line more for a key that then was not written: whoever takes it back must not undo what a client did.
 * Read back, its values are keys of a redis aside again, and are compared and written as any others.
 */
import { open, rm, type FileHandle } from 'node:fs/promises'
import * as z from 'zod'
import { OperatorError } from '../model/error.ts'
import { RawError, type RawRedis, type RawReply } from '../redis/raw.ts'
import type { ItemKey } from '../salvage/classify.ts'
import { bytesOf, type SourceItem } from './items.ts'

/** `backup`: what was returned over them. */
const head = z.object({ format: z.literal(1), group: z.string(), backup: z.string(), atWallMs: z.int(), by: z.string() })
/** `value` and `key`: base64. `value` null: it was not there. */
const entry = z.object({ database: z.int().min(0), key: z.base64(), value: z.base64().nullable(), expiresAtMs: z.int().nullable() })
/** Kept above, and left alone after all. */
const cancelling = z.object({ database: z.int().min(0), key: z.base64(), cancelled: z.literal(true) })

export type UndoHead = z.infer<typeof head>
type UndoEntry = z.infer<typeof entry>
type Cancelling = z.infer<typeof cancelling>

export interface UndoFile {
  readonly path: string
  /** It holds something. */
  readonly isMade: () => boolean
  /** To be called before its keys are written. */
  readonly keep: (live: RawRedis, items: readonly SourceItem[]) => Promise<void>
  /** They were not written. */
  readonly cancel: (items: readonly SourceItem[]) => Promise<void>
  readonly close: () => Promise<void>
}

/** What is there could not be kept, so nothing was overwritten; what was overwritten before is kept whole. */
export class NotKept extends Error {}

/** Made with the first key that is kept. `keep` throws NotKept. */
export function undoFile(path: string, said: UndoHead): UndoFile {
  let handle: FileHandle | null = null
  let whole = 0
  const append = async (lines: readonly object[]): Promise<void> => {
    const bytes = linesOfJson(lines)
    await handle?.appendFile(bytes)
    await handle?.sync()
    whole += Buffer.byteLength(bytes)
  }
  /** What came to the disk of keys that then were not written: taken back, it would undo what a client has done since. */
  const cutOff = async (): Promise<void> => {
    if (handle === null) return
    await handle.truncate(whole)
    if (whole > 0) return
    await handle.close()
    handle = null
    await rm(path, { force: true })
  }
  return {
    path,
    isMade: () => handle !== null,
    keep: async (live, items) => {
      const lines: UndoEntry[] = []
      for (const { keys } of items) for (const key of keys) lines.push(await lineOf(live, key))
      try {
        // Never over another one: that may be all that is left of what was there.
        handle ??= await open(path, 'ax', 0o600)
        await append([...(whole === 0 ? [said] : []), ...lines])
      } catch (error) {
        await cutOff().catch(() => undefined)
        throw new NotKept(`what is there cannot be kept in ${path} (${fileWords(error as NodeJS.ErrnoException)}), and without that nothing is overwritten`)
      }
    },
    cancel: async (items) => {
      const lines = items.flatMap(({ keys }) => keys.map(({ database, key }): Cancelling => ({ database, key: base64Of(key), cancelled: true })))
      try {
        await append(lines)
      } catch (error) {
        throw new Error(`${path} names keys that were left alone, and cannot say so (${fileWords(error as NodeJS.ErrnoException)})`)
      }
    },
    close: async () => handle?.close(),
  }
}

/** As many bytes as a key takes in the file, at the most. `value`: of its DUMP. */
export function keptBytes(key: number, value: number): number {
  return lineFrame.length + Math.ceil(key / 3) * 4 + Math.ceil(value / 3) * 4
}

const lineFrame = JSON.stringify({ database: 1_000_000, key: '', value: 'null', expiresAtMs: 10_000_000_000_000 } satisfies UndoEntry)

/** What the file system said of one, where a person can do something about it. */
export function fileWords({ code, message }: NodeJS.ErrnoException): string {
  const known: Readonly<Record<string, string>> = {
    EEXIST: 'it is there already',
    ENOSPC: 'no space is left on its disk',
    EDQUOT: 'the quota of its disk is used up',
    ENOENT: 'there is no such directory',
    ENOTDIR: 'there is no such directory',
    EACCES: 'it may not be written there',
    EROFS: 'its disk is read-only',
  }
  return known[code ?? ''] ?? message
}

function linesOfJson(lines: readonly object[]): string {
  return lines.map((line) => `${JSON.stringify(line)}\n`).join('')
}

function base64Of(key: string): string {
  return bytesOf(key).toString('base64')
}

async function lineOf(live: RawRedis, { database, key }: ItemKey): Promise<UndoEntry> {
  const [, value, leftMs] = await live.pipeline([
    ['SELECT', String(database)],
    ['DUMP', bytesOf(key)],
    ['PTTL', bytesOf(key)],
  ])
  if (value instanceof RawError) throw new Error(`redis does not give what ${key} has: ${value.text}`)
  return {
    database,
    key: base64Of(key),
    value: Buffer.isBuffer(value) ? value.toString('base64') : null,
    expiresAtMs: typeof leftMs === 'number' && leftMs >= 0 ? Date.now() + leftMs : null,
  }
}

export interface Undo {
  readonly head: UndoHead
  /** Those that were not there. */
  readonly absent: readonly ItemKey[]
  readonly databases: readonly number[]
  /** Makes the others keys of this redis. The answer: how many have expired since. */
  readonly load: (aside: RawRedis, signal: AbortSignal) => Promise<number>
}

const maxLineChars = 512 * 1024 * 1024

export async function readUndo(path: string): Promise<Undo> {
  const absent = new Map<string, ItemKey>()
  const cancelled = new Set<string>()
  const databases = new Set<number>()
  const lines = linesOf(path)
  const first = await lines.next()
  const said = first.done === true ? null : head.safeParse(parsed(first.value))
  if (said?.success !== true) throw unreadable(path, 'it is not what a return of keys has kept')
  for await (const line of lines) {
    const one = entryOf(path, line)
    const { database, key } = one
    databases.add(database)
    if ('cancelled' in one) {
      cancelled.add(nameOf(one))
      absent.delete(nameOf(one))
    } else if (one.value === null) absent.set(nameOf(one), { database, key: Buffer.from(key, 'base64').toString('latin1') })
  }
  return { head: said.data, absent: [...absent.values()], databases: [...databases], load: (aside, signal) => load(path, { aside, cancelled, signal }) }
}

function unreadable(path: string, why: string): OperatorError {
  return new OperatorError('HF819', `${path}: ${why}`, 'name the file that an earlier return of keys has written')
}

function nameOf({ database, key }: { readonly database: number; readonly key: string }): string {
  return `${database}:${key}`
}

function entryOf(path: string, line: string): UndoEntry | Cancelling {
  const said = z.union([entry, cancelling]).safeParse(parsed(line))
  if (!said.success) throw unreadable(path, 'a line of it is damaged')
  return said.data
}

interface Loading {
  readonly aside: RawRedis
  readonly cancelled: ReadonlySet<string>
  readonly signal: AbortSignal
}

async function load(path: string, { aside, cancelled, signal }: Loading): Promise<number> {
  let expired = 0
  const lines = linesOf(path)
  await lines.next()
  for await (const line of lines) {
    const one = entryOf(path, line)
    signal.throwIfAborted()
    if ('cancelled' in one || one.value === null || cancelled.has(nameOf(one))) continue
    if (one.expiresAtMs !== null && one.expiresAtMs <= Date.now()) {
      expired += 1
      continue
    }
    const ttl = one.expiresAtMs === null ? ['0'] : [String(one.expiresAtMs)]
    const more = one.expiresAtMs === null ? ['REPLACE'] : ['REPLACE', 'ABSTTL']
    const replies = await aside.pipeline([
      ['SELECT', String(one.database)],
      ['RESTORE', Buffer.from(one.key, 'base64'), ...ttl, Buffer.from(one.value, 'base64'), ...more],
    ])
    const refused = replies.find((reply: RawReply): reply is RawError => reply instanceof RawError)
    if (refused !== undefined)
      throw new OperatorError(
        'HF819',
        `${path}: redis does not take a value of it: ${refused.text}`,
        'run it with a redis-server as new as the one it was kept from',
      )
  }
  return expired
}

/** The last one without its end was being written when its writer ended: nothing had been overwritten yet. */
async function* linesOf(path: string): AsyncGenerator<string, void, undefined> {
  const handle = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'ENOENT' || error.code === 'ENOTDIR'
      ? new OperatorError(
          'HF812',
          `there is no file ${path}`,
          'name the one that an earlier return of keys has written: holdfast-undo-GROUP-TIME.jsonl, or its --keep-in',
          2,
        )
      : unreadable(path, error.message)
  })
  try {
    let rest = ''
    for await (const chunk of handle.createReadStream({ encoding: 'utf8', autoClose: false }) as AsyncIterable<string>) {
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      if (rest.length > maxLineChars) throw unreadable(path, 'a line of it has no end')
      yield* lines
    }
  } finally {
    await handle.close()
  }
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return null
  }
}
