/**
 * `holdfast restore GROUP --keys PATTERN`: single keys of a backup back into the running primary. Shows what would be written and beside
 * it what is there now; writes only keys that still are as they were shown, and keeps what it overwrites first. What the primary alone
 * has is left alone. Run again, it compares anew and does what is left.
 */
import { isCancel, text } from '@clack/prompts'
import pc from 'picocolors'
import { OperatorError } from '../model/error.ts'
import type { RawRedis } from '../redis/raw.ts'
import { leastRedisBytes, openThrowaway } from '../redis/throwaway.ts'
import { shown } from '../redis/words.ts'
import { differences, type Differences } from '../replay/diff.ts'
import { returnKeys, type Returned } from '../replay/return.ts'
import { readUndo, undoFile, type Undo } from '../replay/undo.ts'
import { openSession } from './ask.ts'
import type { Vault } from './backup-open.ts'
import { momentWords } from './backup-words.ts'
import { askWords, doneWords, drawDifferences, viewsOf, wouldWords } from './restore-keys-draw.ts'
import { againWords, elsewhere, noRoom, refuseThere, stopped, undoCommand, whyNoRoom, type Asked } from './restore-keys-keep.ts'
import { momentJson, momentRows } from './restore-moment.ts'
import { databasesOf, inWords, openSource, usable, type Begun, type Source } from './restore-source.ts'
import { openPrimary, operator } from './salvage-open.ts'

export interface KeysWish {
  /** As KEYS takes them: `user:*`. */
  readonly pattern: string
  readonly from: { readonly begun: Begun } | { readonly undo: string }
  /** Where what is overwritten is kept; null: in a new file beside. */
  readonly keepIn: string | null
  readonly yes: boolean
  readonly dryRun: boolean
  readonly json: boolean
  /** So many keys are shown. */
  readonly limit: number
}

interface Origin extends Source {
  readonly undo: Undo | null
}

export async function restoreKeys(vault: Vault, wish: KeysWish): Promise<void> {
  const say = (words: string): void => void (wish.json ? process.stderr : process.stdout).write(words)
  if ('begun' in wish.from) {
    const { backup, moment } = wish.from.begun
    if (moment === null) usable(vault, backup, say)
    else for (const [name, words] of momentRows(moment)) say(`${name.padEnd(8)} ${words}\n`)
  }
  const asked: Asked = { group: vault.group.name, pattern: wish.pattern, keepIn: wish.keepIn }
  await refuseThere(asked)
  const undo = await inWords(vault, 'HF819', () => undoOf(vault, wish))
  const session = await openSession({ config: vault.config.file })
  const { host, live } = await openPrimary(session, vault.group.name)
  try {
    const origin = await inWords(vault, 'HF819', () => open(vault, wish.from, undo, live))
    try {
      const found = await inWords(vault, 'HF819', () => compare(vault, wish, origin, live))
      const views = await inWords(vault, 'HF819', () => viewsOf(found.items.slice(0, wish.limit), origin.aside.redis, live, vault.signal))
      say(drawDifferences(found, views, { pattern: wish.pattern, from: origin.id, host, expired: origin.expired, side: sideOf(wish) }))
      const path = wish.keepIn ?? newPath(vault)
      const full = found.items.length === 0 ? null : await whyNoRoom(path, found.keptBytes)
      const decision = await decided(vault, wish, found, { host, full })
      const result = decision === 'write' ? await carryOut(vault, asked, { found, origin, live, path }, say) : null
      if (wish.json) process.stdout.write(`${JSON.stringify(inJson(vault, wish, { found, origin, host, views }, result), null, 2)}\n`)
      if (result !== null) finish(asked, found, result, say)
      if (decision === 'look') say(lookedWords(found, full))
      // A script that believed them written would go on without them.
      if (decision === 'unasked')
        throw new OperatorError('HF818', `${wouldWords(found)}; it was not confirmed: nothing was written`, 'see it with --dry-run; then add --yes')
    } finally {
      await origin.aside.close()
    }
  } finally {
    live.close()
  }
}

function compare({ signal }: Vault, { pattern }: KeysWish, { aside, undo }: Origin, live: RawRedis): Promise<Differences> {
  return differences({ aside: aside.redis, live, pattern: Buffer.from(pattern), absent: undo?.absent ?? [], signal })
}

function sideOf({ from }: KeysWish): 'backup' | 'moment' | 'kept' {
  return 'undo' in from ? 'kept' : from.begun.moment === null ? 'backup' : 'moment'
}

/** null: it is no return that is taken back. */
async function undoOf({ group }: Vault, { from }: KeysWish): Promise<Undo | null> {
  if ('begun' in from) return null
  const undo = await readUndo(from.undo)
  if (undo.head.group !== group.name) throw new OperatorError('HF819', `it was kept from ${undo.head.group}, not from ${group.name}`, 'name its own group')
  return undo
}

async function open(vault: Vault, from: KeysWish['from'], undo: Undo | null, live: RawRedis): Promise<Origin> {
  const { config, signal } = vault
  const prefix = 'holdfast-restore-keys-'
  if ('begun' in from) return { ...(await openSource(vault, from.begun, live, prefix)), undo: null }
  if (undo === null) throw new Error('it was not read')
  const databases = Math.max(await databasesOf(live), ...undo.databases.map((database) => database + 1))
  const fill = ({ start }: { readonly start: () => void }): Promise<void> => Promise.resolve(start())
  const { redisServer } = config.paths
  const aside = await openThrowaway({ redisServer, prefix, signal, databases, capBytes: leastRedisBytes * 8, low: true, more: [], fill })
  try {
    return { id: `before ${undo.head.backup}, ${momentWords(undo.head.atWallMs)}`, aside, undo, expired: await undo.load(aside.redis, signal) }
  } catch (error) {
    await aside.close()
    throw error
  }
}

interface Place {
  readonly host: string
  /** Why what is there cannot be kept; null: it can. */
  readonly full: string | null
}

async function decided({ group: { name }, signal }: Vault, wish: KeysWish, found: Differences, { host, full }: Place): Promise<'write' | 'look' | 'unasked'> {
  if (found.items.length === 0 || wish.dryRun) return 'look'
  if (full !== null) throw noRoom(full)
  if (wish.yes) return 'write'
  if (!process.stdin.isTTY || wish.json) return 'unasked'
  const message = `${askWords(found, host)} What they have now is kept in a file. Type the group's name to go on:`
  const typed = await text({ message, signal })
  if (isCancel(typed) || typed !== name) throw new OperatorError('HF818', 'the name was not typed: nothing was written', 'it can be run again at any time')
  return 'write'
}

function lookedWords(found: Differences, full: string | null): string {
  if (found.items.length === 0) return 'there is nothing to do\n'
  const inTheWay = full === null ? '' : `${pc.yellow('!')} ${full}: ${elsewhere}\n`
  return `${inTheWay}nothing was written (--dry-run): ${wouldWords(found)}, by the same command with --yes in its place\n`
}

interface Result {
  readonly returned: Returned
  /** null: nothing was overwritten. */
  readonly kept: string | null
}

/** A name of its own for each run: none is ever written over. */
function newPath({ group }: Vault): string {
  return `holdfast-undo-${group.name}-${new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '')}.jsonl`
}

interface Work {
  readonly found: Differences
  readonly origin: Origin
  readonly live: RawRedis
}

interface Task extends Work {
  /** Where what is overwritten is kept. */
  readonly path: string
}

async function carryOut({ signal }: Vault, asked: Asked, { found, origin, live, path }: Task, say: (words: string) => void): Promise<Result> {
  const undo = undoFile(path, { format: 1, group: asked.group, backup: origin.id, atWallMs: Date.now(), by: operator() })
  const progress = (done: number, of: number): unknown => (process.stderr.isTTY ? process.stderr.write(`\r\x1b[K${done} of ${of}`) : undefined)
  let changed = 0
  const written = (keys: number): void => {
    changed += keys
  }
  try {
    const returned = await returnKeys(found.items, { live, aside: origin.aside.redis, undo, progress, written, signal })
    return { returned, kept: undo.isMade() ? path : null }
  } catch (error) {
    throw stopped(asked, { path, isMade: undo.isMade(), written: changed, of: found.items.length }, error as Error)
  } finally {
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K')
    await undo.close()
    if (undo.isMade()) say(`what was there is kept in ${path}\n`)
  }
}

interface Told extends Omit<Work, 'live'> {
  readonly host: string
  readonly views: Awaited<ReturnType<typeof viewsOf>>
}

function inJson({ group }: Vault, wish: KeysWish, { found, origin, host, views }: Told, result: Result | null): unknown {
  const { differ, missing, absent, equal, onlyLive } = found
  const wrote = result === null ? null : { ...result.returned, kept: result.kept }
  return {
    group: group.name,
    from: origin.id,
    moment: 'begun' in wish.from && wish.from.begun.moment !== null ? momentJson(wish.from.begun.moment) : null,
    primary: host,
    pattern: wish.pattern,
    differ,
    missing,
    absent,
    equal,
    onlyLive,
    expired: origin.expired,
    keys: views,
    dryRun: result === null,
    wrote,
  }
}

const shownSkipped = 20

function finish(asked: Asked, found: Differences, { returned, kept }: Result, say: (words: string) => void): void {
  const { applied, skipped, interrupted, replicated } = returned
  say(`${doneWords(found, returned)}${replicated === false ? '; no replica has confirmed them yet' : ''}\n`)
  for (const { key, why } of skipped.slice(0, shownSkipped)) say(`  left alone: db${key.database} ${shown([key.key])}: ${why}\n`)
  if (skipped.length > shownSkipped) say(`  … ${skipped.length - shownSkipped} more left alone\n`)
  if (kept !== null) say(`to take it back: ${undoCommand(asked, kept)}\n`)
  if (interrupted)
    throw new OperatorError('HF819', `interrupted: ${found.items.length - applied - skipped.length} keys are left`, againWords(asked, kept !== null))
  if (skipped.length > 0) process.exitCode = 1
}
