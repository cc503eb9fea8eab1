/**
 * What a return of keys overwrites, kept before it is overwritten: a line of JSON for each key, with what DUMP and its time to live said,
 * durable BEFORE the write, and a line more for a key that then was not written: whoever takes it back must not undo what a client did.
 * Read back, its values are keys of a redis aside again, and are compared and written as any others.
 */
import { open, type FileHandle } from 'node:fs/promises'
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

/** Made with the first key that is kept. Throws what the file system says. */
export function undoFile(path: string, said: UndoHead): UndoFile {
  let handle: FileHandle | null = null
  return {
    path,
    isMade: () => handle !== null,
    keep: async (live, items) => {
      const lines: UndoEntry[] = []
      for (const { keys } of items) for (const key of keys) lines.push(await lineOf(live, key))
      try {
        const isFirst = handle === null
        // Never over another one: that may be all that is left of what was there.
        handle ??= await open(path, 'wx', 0o600)
        await handle.appendFile(linesOfJson([...(isFirst ? [said] : []), ...lines]))
        await handle.sync()
      } catch (error) {
        throw new Error(`what is there cannot be kept in ${path} (${(error as Error).message}), and without that nothing is overwritten`)
      }
    },
    cancel: async (items) => {
      const lines = items.flatMap(({ keys }) => keys.map(({ database, key }): Cancelling => ({ database, key: base64Of(key), cancelled: true })))
      try {
        await handle?.appendFile(linesOfJson(lines))
        await handle?.sync()
      } catch (error) {
        throw new Error(`${path} names keys that were left alone, and cannot say so (${(error as Error).message})`)
      }
    },
    close: async () => handle?.close(),
  }
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
  const handle = await open(path, 'r').catch((error: Error) => {
    throw unreadable(path, error.message)
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
