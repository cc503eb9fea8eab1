/**
 * Kept items into the primary. The order is what makes a replay safe to repeat: the intent with the keys' fingerprints is DURABLE
 * BEFORE anything is written, the write happens only on keys that still have that fingerprint (WATCH, MULTI), and what was
 * written is durable before the next. It decides no class; it is handed the items that the operator wants.
 */
import { createHash } from 'node:crypto'
import { OperatorError } from '../model/error.ts'
import type { ReplayLine } from '../model/kept.ts'
import { RawError, type RawRedis, type RawReply } from '../redis/raw.ts'
import type { ItemKey } from '../salvage/classify.ts'
import { shown } from '../redis/words.ts'
import { bytesOf, type SourceItem } from './items.ts'
import type { Tap } from './tap.ts'

/** One round trip to the journal for so many items; with their fingerprints they stay far below the limit of a request. */
const batchItems = 50
/** What a redis says that would answer every other write so as well. */
export const takesNothing = /READONLY|NOREPLICAS|MASTERDOWN|LOADING|NOPERM|MISCONF|OOM/
const tapDeadlineMs = 5000
const replicasDeadlineMs = '1000'

export interface ApplyOptions {
  readonly live: RawRedis
  /** null: what the accepted history has written since is not known. */
  readonly tap: Tap | null
  /** Items of which the operator was told that nobody has touched their keys: fixed then, so that a write in between cannot make them free. */
  readonly onlyIfUntouched: ReadonlySet<SourceItem>
  /** Fingerprints that the operator has seen the values of: an item whose keys have others now is left alone. */
  readonly asShown?: ReadonlyMap<SourceItem, string>
  readonly journal: (line: Pick<ReplayLine, 'what' | 'items' | 'text'> & { readonly before?: readonly string[] }) => Promise<void>
  readonly progress: (applied: number, of: number) => void
  /** Ctrl-C: the batch that is under way is finished, and no other begun. */
  readonly signal: AbortSignal
}

export interface Applied {
  readonly applied: readonly SourceItem[]
  /** Left alone, with the reason. */
  readonly skipped: readonly { readonly item: SourceItem; readonly why: string }[]
  readonly interrupted: boolean
  /** At least one replica has all that was written; null: there is none. */
  readonly replicated: boolean | null
}

export async function fingerprint(live: RawRedis, keys: readonly ItemKey[]): Promise<string> {
  const dumps: RawReply[] = []
  for (const { database, key } of keys) {
    const [, dump] = await live.pipeline([
      ['SELECT', String(database)],
      ['DUMP', bytesOf(key)],
    ])
    dumps.push(dump ?? null)
  }
  return fingerprintOf(dumps)
}

export function fingerprintOf(dumps: readonly RawReply[]): string {
  const hash = createHash('sha256')
  for (const dump of dumps) hash.update(Buffer.isBuffer(dump) ? dump : Buffer.from('none'))
  return hash.digest('hex').slice(0, 16)
}

export async function applyItems(items: readonly SourceItem[], options: ApplyOptions): Promise<Applied> {
  const applied: SourceItem[] = []
  const skipped: { item: SourceItem; why: string }[] = []
  let replicated: boolean | null = null
  for (let at = 0; at < items.length; at += batchItems) {
    if (options.signal.aborted) return { applied, skipped, interrupted: true, replicated }
    const batch = items.slice(at, at + batchItems)
    const result = await applyBatch(batch, options)
    applied.push(...result.applied)
    skipped.push(...result.skipped)
    replicated = result.replicated
    options.progress(Math.min(items.length, at + batchItems), items.length)
  }
  return { applied, skipped, interrupted: false, replicated }
}

async function applyBatch(batch: readonly SourceItem[], options: ApplyOptions): Promise<Omit<Applied, 'interrupted'>> {
  const { live, journal } = options
  const skipped: { item: SourceItem; why: string }[] = []
  const looked: { readonly item: SourceItem; readonly before: string }[] = []
  for (const item of batch) looked.push({ item, before: await fingerprint(live, item.keys) })
  // Looked at first, the stream read up to here after: a change that came before the look is in the stream, one after it is seen by WATCH.
  const current = await isCurrent(options)
  const wanted = looked.filter(({ item, before }) => {
    const seen = options.asShown?.get(item)
    if (seen !== undefined && seen !== before) {
      skipped.push({ item, why: 'it has been written since it was shown' })
      return false
    }
    if (!options.onlyIfUntouched.has(item)) return true
    const why = !current
      ? 'it cannot be said any more whether its keys were written since'
      : item.keys.some((k) => options.tap?.touched(k.key))
        ? 'its keys have been written meanwhile'
        : null
    if (why !== null) skipped.push({ item, why })
    return why === null
  })
  if (wanted.length === 0) return { applied: [], skipped, replicated: null }
  await journal({ what: 'intent', items: wanted.map((w) => w.item.id), before: wanted.map((w) => w.before), text: '' })
  const applied: SourceItem[] = []
  for (const [index, { item, before }] of wanted.entries()) {
    const why = await applyOne(live, item, before).catch(async (error: unknown) => {
      const notBegun = wanted.slice(index + 1).map((w) => w.item.id)
      if (notBegun.length > 0) await journal({ what: 'not-applied', items: notBegun, text: '' }).catch(() => undefined)
      throw error
    })
    if (why === null) applied.push(item)
    else skipped.push({ item, why })
  }
  const replicated = await reachedReplica(live)
  if (applied.length > 0) await journal({ what: 'applied', items: applied.map((i) => i.id), text: '' })
  const left = wanted.filter((w) => !applied.includes(w.item)).map((w) => w.item.id)
  if (left.length > 0) await journal({ what: 'not-applied', items: left, text: '' })
  return { applied, skipped, replicated }
}

async function isCurrent({ live, tap }: ApplyOptions): Promise<boolean> {
  if (tap === null) return false
  const info = String(await live.call('INFO', 'replication'))
  return tap.upTo(Number(/master_repl_offset:(\d+)/.exec(info)?.[1] ?? Number.NaN), tapDeadlineMs)
}

/** null: applied. Throws only where it is not known whether it was. */
async function applyOne(live: RawRedis, item: SourceItem, before: string): Promise<string | null> {
  const commands = await item.commands()
  if (commands.length === 0) return 'it has expired meanwhile'
  for (const { database, key } of item.keys) {
    await live.pipeline([
      ['SELECT', String(database)],
      ['WATCH', bytesOf(key)],
    ])
  }
  if ((await fingerprint(live, item.keys)) !== before) {
    await live.call('UNWATCH')
    return 'its keys were written at this very moment'
  }
  const words = commands.flatMap(({ database, words: w }) => [['SELECT', String(database)], w])
  const replies = await live.pipeline([['MULTI'], ...words, ['EXEC']])
  const result = replies.at(-1) ?? null
  if (result === null) return 'its keys were written at this very moment'
  if (result instanceof RawError) {
    const refused = replies.find((r): r is RawError => r instanceof RawError)
    if (takesNothing.test(refused?.text ?? ''))
      throw new OperatorError('HF605', `the primary refuses writes: ${refused?.text ?? result.text}`, 'see holdfast status; then run the same command again')
    return `redis refuses it: ${refused?.text ?? result.text}`
  }
  const failed = (result as readonly RawReply[]).find((r): r is RawError => r instanceof RawError)
  // A command that fails at its execution changes nothing; the others of its transaction have been applied.
  return failed === undefined || commands.length > 1 ? null : `redis answers: ${failed.text}`
}

async function reachedReplica(live: RawRedis): Promise<boolean | null> {
  const info = String(await live.call('INFO', 'replication'))
  // What reads the stream for us is listed too, with port 0, and confirms nothing.
  if (!/,port=[1-9]\d*,state=online/.test(info)) return null
  const reached = await live.call('WAIT', '1', replicasDeadlineMs)
  return typeof reached === 'number' && reached >= 1
}

const previewBytes = 80

/** What the primary has of a key, for people. */
export async function preview(live: RawRedis, { database, key }: ItemKey): Promise<string> {
  const name = bytesOf(key)
  const [, type] = await live.pipeline([
    ['SELECT', String(database)],
    ['TYPE', name],
  ])
  const text = (reply: RawReply | undefined) => (Buffer.isBuffer(reply) ? shown([reply.toString('latin1')], previewBytes) : String(reply))
  if (type === 'none') return '(not there)'
  if (type === 'string') return text(await live.call('GETRANGE', name, '0', '200'))
  const sizes: Readonly<Record<string, string>> = { list: 'LLEN', hash: 'HLEN', set: 'SCARD', zset: 'ZCARD', stream: 'XLEN' }
  const size = sizes[String(type)]
  const ends = type === 'list' ? (((await live.call('LRANGE', name, '-3', '-1')) ?? []) as readonly RawReply[]).map((r) => text(r)).join(' ') : ''
  return `${String(type)}${size === undefined ? '' : ` of ${text(await live.call(size, name))}`}${ends === '' ? '' : `, ends with ${ends}`}`
}
