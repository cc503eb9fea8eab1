/**
 * Some keys from the source into the target, as they are at this moment: what is not there is removed there. Each may be done again at any time. Knows nothing of why
 * those keys: a first pass, a difference, a write that was told.
 */
import { OperatorError } from '../model/error.ts'
import { RawError, type RawReply, type Word } from '../redis/raw.ts'
import { shown } from '../redis/words.ts'
import { bytesOf, inDatabase, notNow, type KeysOptions } from './copy-words.ts'
import { Changed, elementary, firstFrom, firstQuestion, piecesOf, takePiece } from './copy-types.ts'
import { listOf, textOf } from './digest.ts'

/** What takes more memory is copied in pieces: DUMP and RESTORE of it would hold both up for milliseconds. */
const wholeMost = 1024 * 1024
/** At once, as the source tells what they take. */
const groupMost = 2 * 1024 * 1024
/** Where it may not be asked. */
const unknownBytes = 8 * 1024
const mostNamed = 10_000

/** One key as it was read. */
export interface Packed {
  readonly key: Buffer
  /** `gone`: it is not at the source. `alone`: it is to be copied by itself, in pieces. */
  readonly kind: 'gone' | 'whole' | 'alone'
  readonly type: string
  readonly commands: readonly (readonly Word[])[]
}

export async function copyKeys(options: KeysOptions, database: number, keys: readonly Buffer[]): Promise<void> {
  for await (const packed of packedIn(options, database, keys)) await writePacked(options, database, packed)
}

/** Of as much memory at a time as neither end has to hold for long: five hundred values of a megabyte would be half a gigabyte on the way to each replica. */
export async function* packedIn(options: KeysOptions, database: number, keys: readonly Buffer[]): AsyncGenerator<readonly Packed[], void, undefined> {
  const { ends, way, hasMemoryUsage } = options
  // By elements only as much of each is read at first as a piece has.
  const asks = hasMemoryUsage && way === 'dump'
  const usages = asks
    ? await inDatabase(
        ends.source,
        database,
        keys.map((key) => ['MEMORY', 'USAGE', key]),
      )
    : []
  const read = way === 'dump' ? readDumps : readValues
  for (const [from, to] of groupsOf(keys.length, (i) => (asks ? Math.min(Number(usages[i]) || 0, wholeMost) : unknownBytes)))
    yield await read(options, database, keys.slice(from, to), usages.slice(from, to))
}

function groupsOf(count: number, bytes: (i: number) => number): readonly (readonly [from: number, to: number])[] {
  const groups: (readonly [number, number])[] = []
  let [from, sum] = [0, 0]
  for (let i = 0; i < count; i += 1) {
    if (i > from && sum + bytes(i) > groupMost) {
      groups.push([from, i])
      ;[from, sum] = [i, 0]
    }
    sum += bytes(i)
  }
  if (count > from) groups.push([from, count])
  return groups
}

async function readDumps({ ends, absolute }: KeysOptions, database: number, keys: readonly Buffer[], usages: readonly RawReply[]): Promise<readonly Packed[]> {
  const isLarge = (i: number): boolean => Number(usages[i] ?? 0) > wholeMost
  const [time, ...replies] = await inDatabase(ends.source, database, [
    ['TIME'],
    ...keys.flatMap((key, i): (readonly Word[])[] => [[absolute ? 'PEXPIRETIME' : 'PTTL', key], isLarge(i) ? ['TYPE', key] : ['DUMP', key]]),
  ])
  return keys.map((key, i): Packed => {
    const [end, value] = [refuse(replies[i * 2]), refuse(replies[i * 2 + 1])]
    if (end === -2 || value === null || value === 'none') return { key, kind: 'gone', type: '', commands: [] }
    if (!Buffer.isBuffer(value)) return { key, kind: 'alone', type: textOf(value), commands: [] }
    const atMs = endOf(time, end, absolute)
    const restore = atMs === null ? ['RESTORE', key, '0', value, 'REPLACE'] : ['RESTORE', key, String(atMs), value, 'REPLACE', 'ABSTTL']
    return { key, kind: 'whole', type: '', commands: [restore] }
  })
}

async function readValues({ ends, absolute }: KeysOptions, database: number, keys: readonly Buffer[]): Promise<readonly Packed[]> {
  const types = (
    await inDatabase(
      ends.source,
      database,
      keys.map((key) => ['TYPE', key]),
    )
  ).map((type) => textOf(refuse(type)))
  const [time, ...replies] = await inDatabase(ends.source, database, [
    ['TIME'],
    ...keys.flatMap((key, i): (readonly Word[])[] => [
      [absolute ? 'PEXPIRETIME' : 'PTTL', key],
      firstQuestion(types[i] ?? '', key, firstFrom) ?? ['TYPE', key],
    ]),
  ])
  return keys.map((key, i): Packed => {
    const [type, end, value] = [types[i] ?? '', refuse(replies[i * 2]), replies[i * 2 + 1] ?? null]
    if (type === 'none' || end === -2) return { key, kind: 'gone', type, commands: [] }
    if (!elementary.has(type) || value instanceof RawError) {
      // Another type by now than a moment ago: it is looked at by itself.
      if (value instanceof RawError && !value.text.startsWith('WRONGTYPE')) refuse(value)
      return { key, kind: 'alone', type: value instanceof RawError ? '' : type, commands: [] }
    }
    const { piece, next } = takePiece(type, key, value, firstFrom)
    if (next !== null) return { key, kind: 'alone', type, commands: [] }
    const atMs = endOf(time, end, absolute)
    if (piece.length === 0) return { key, kind: 'gone', type, commands: [] }
    // SET is over whatever was there.
    return {
      key,
      kind: 'whole',
      type,
      commands: [...(type === 'string' ? [] : [['DEL', key]]), ...piece, ...(atMs === null ? [] : [['PEXPIREAT', key, String(atMs)]])],
    }
  })
}

/** null: it has none. By the clock of the source. */
function endOf(time: RawReply | undefined, end: RawReply, absolute: boolean): number | null {
  if (typeof end !== 'number' || end < 0) return null
  if (absolute) return end
  const [seconds, micros] = listOf(time).map((one) => Number(textOf(one)))
  return (seconds ?? 0) * 1000 + Math.floor((micros ?? 0) / 1000) + end
}

export async function writePacked(options: KeysOptions, database: number, packed: readonly Packed[]): Promise<void> {
  const { ends, figures, signal } = options
  const commands = packed.flatMap(({ key, kind, commands: its }) => (kind === 'gone' ? [['UNLINK', key]] : its))
  const replies = await inDatabase(ends.target, database, commands)
  let [at, bytes] = [0, 0]
  const again: Packed[] = []
  for (const one of packed) {
    const its = replies.slice(at, at + Math.max(one.commands.length, one.kind === 'gone' ? 1 : 0))
    at += its.length
    const refused = its.find((reply) => reply instanceof RawError)
    if (one.kind === 'gone') {
      if (refused instanceof RawError) taken(refused)
      if (its[0] === 1) figures.removed += 1
      options.uncopied.delete(nameOf(database, one.key))
    } else if (one.kind === 'alone') again.push(one)
    else if (refused instanceof RawError) {
      taken(refused)
      // It is packed in a way that this server does not read: by its elements, then.
      if (one.commands[0]?.[0] === 'RESTORE' && /Bad data format|payload version/i.test(refused.text)) again.push(one)
      else note(options, database, one.key, `the target refuses it: ${refused.text}`, true)
    } else {
      figures.copied += 1
      bytes += one.commands.reduce((sum, words) => sum + bytesOf(words), 0)
      options.uncopied.delete(nameOf(database, one.key))
    }
  }
  figures.bytes += bytes
  await ends.after(packed.length, bytes)
  for (const { key, type } of again) {
    signal.throwIfAborted()
    await copyAlone(options, database, key, type)
  }
}

/** In pieces, each at the pace of the target. */
async function copyAlone(options: KeysOptions, database: number, key: Buffer, knownType: string): Promise<void> {
  const { ends, figures, absolute, signal } = options
  const ask = async (...words: readonly Word[]): Promise<RawReply> => (await inDatabase(ends.source, database, [words]))[0] ?? null
  const write = async (commands: readonly (readonly Word[])[]): Promise<void> => {
    for (const reply of await inDatabase(ends.target, database, commands)) {
      if (!(reply instanceof RawError)) continue
      taken(reply)
      throw new Changed(`the target refuses it: ${reply.text}`)
    }
    const bytes = commands.reduce((sum, words) => sum + bytesOf(words), 0)
    figures.bytes += bytes
    await ends.after(1, bytes)
  }
  const type = knownType === '' ? textOf(refuse(await ask('TYPE', key))) : knownType
  if (type === 'none') return write([['UNLINK', key]])
  if (!elementary.has(type) && type !== 'stream') return note(options, database, key, `its type is ${type}, which only a module reads`, true)
  try {
    await write([['UNLINK', key]])
    for await (const piece of piecesOf(ask, type, key)) {
      signal.throwIfAborted()
      await write(piece)
    }
    const [time, end] = await inDatabase(ends.source, database, [['TIME'], [absolute ? 'PEXPIRETIME' : 'PTTL', key]])
    if (end === -2) return await write([['UNLINK', key]])
    const atMs = endOf(time, refuse(end), absolute)
    if (atMs !== null) await write([['PEXPIREAT', key, String(atMs)]])
    figures.copied += 1
    options.uncopied.delete(nameOf(database, key))
  } catch (error) {
    if (!(error instanceof Changed)) throw error
    // Written to meanwhile: a round comes to it again. What stays so is named.
    note(options, database, key, error.message, false)
  }
}

function note({ uncopied }: KeysOptions, database: number, key: Buffer, why: string, forGood: boolean): void {
  if (uncopied.size < mostNamed) uncopied.set(nameOf(database, key), { database, key: key.toString('latin1'), why, forGood })
}

function nameOf(database: number, key: Buffer): string {
  return `${database}:${key.toString('latin1')}`
}

/** What the target says to a write: whether it takes nothing at all. */
function taken({ text }: RawError): void {
  if (notNow.test(text)) throw new Error(`the target takes nothing: ${text}`)
  if (text.startsWith('OOM'))
    throw new OperatorError(
      'HF923',
      `the group has no memory left: ${text}`,
      'raise maxmemory of the group; the same command with --overwrite RUN_ID does what is left',
    )
  if (text.startsWith('NOPERM'))
    throw new OperatorError('HF923', `the group does not let it be written: ${text}`, 'the password of the group is of a user who may')
}

/** An answer of the source that is none. */
function refuse(reply: RawReply | undefined): RawReply {
  if (!(reply instanceof RawError)) return reply ?? null
  if (notNow.test(reply.text)) throw new Error(`the source does not answer now: ${reply.text}`)
  throw new OperatorError(
    'HF922',
    `the source refuses: ${shown([reply.text])}`,
    'its user needs +scan +type +ttl +pttl +pexpiretime +time +select +info +watch +unwatch +multi +exec, and +dump or the commands that read each type',
  )
}
