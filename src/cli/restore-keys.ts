/**
 * `holdfast restore GROUP --keys PATTERN`: single keys of a backup back into the running primary. Shows what would be written and beside
 * it what is there now; writes only keys that still are as they were shown, and keeps what it overwrites first. What the primary alone
 * has is left alone. Run again, it compares anew and does what is left.
 */
import { isCancel, text } from '@clack/prompts'
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
import { drawDifferences, viewsOf } from './restore-keys-draw.ts'
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
  const session = await openSession({ config: vault.config.file })
  const { host, live } = await openPrimary(session, vault.group.name)
  try {
    const origin = await inWords(vault, 'HF819', () => open(vault, wish, live))
    try {
      const found = await inWords(vault, 'HF819', () => compare(vault, wish, origin, live))
      const views = await inWords(vault, 'HF819', () => viewsOf(found.items.slice(0, wish.limit), origin.aside.redis, live, vault.signal))
      say(drawDifferences(found, views, { pattern: wish.pattern, from: origin.id, host, expired: origin.expired }))
      const decision = await decided(vault, wish, found, host)
      const result = decision === 'write' ? await carryOut(vault, wish, { found, origin, live }, say) : null
      if (wish.json) process.stdout.write(`${JSON.stringify(inJson(vault, wish, { found, origin, host, views }, result), null, 2)}\n`)
      if (result !== null) finish(vault, wish, found, result)
      // A script that believed them written would go on without them.
      if (decision === 'unasked')
        throw new OperatorError(
          'HF818',
          `${found.items.length} keys would be written; it was not confirmed: nothing was written`,
          'see it with --dry-run; then add --yes',
        )
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

async function open(vault: Vault, { from }: KeysWish, live: RawRedis): Promise<Origin> {
  const { config, signal, group } = vault
  const prefix = 'holdfast-restore-keys-'
  if ('begun' in from) return { ...(await openSource(vault, from.begun, live, prefix)), undo: null }
  const undo = await readUndo(from.undo)
  if (undo.head.group !== group.name) throw new OperatorError('HF819', `it was kept from ${undo.head.group}, not from ${group.name}`, 'name its own group')
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

async function decided({ group: { name }, signal }: Vault, wish: KeysWish, { items }: Differences, host: string): Promise<'write' | 'look' | 'unasked'> {
  if (items.length === 0 || wish.dryRun) return 'look'
  if (wish.yes) return 'write'
  if (!process.stdin.isTTY || wish.json) return 'unasked'
  const typed = await text({
    message: `Write ${items.length} keys into ${host}? What they have now is kept in a file. Type the group's name to go on:`,
    signal,
  })
  if (isCancel(typed) || typed !== name) throw new OperatorError('HF818', 'the name was not typed: nothing was written', 'it can be run again at any time')
  return 'write'
}

interface Result {
  readonly returned: Returned
  /** null: nothing was overwritten. */
  readonly kept: string | null
}

interface Work {
  readonly found: Differences
  readonly origin: Origin
  readonly live: RawRedis
}

async function carryOut({ group, signal }: Vault, wish: KeysWish, { found, origin, live }: Work, say: (words: string) => void): Promise<Result> {
  const atWallMs = Date.now()
  const path = wish.keepIn ?? `holdfast-undo-${group.name}-${new Date(atWallMs).toISOString().replaceAll(/[-:]|\.\d+/g, '')}.jsonl`
  const undo = undoFile(path, { format: 1, group: group.name, backup: origin.id, atWallMs, by: operator() })
  const progress = (done: number, of: number): unknown => (process.stderr.isTTY ? process.stderr.write(`\r\x1b[K${done} of ${of}`) : undefined)
  try {
    const returned = await returnKeys(found.items, { live, aside: origin.aside.redis, undo, progress, signal })
    return { returned, kept: undo.isMade() ? path : null }
  } catch (error) {
    const hint = `${undo.isMade() ? `what was overwritten is in ${path}` : 'nothing was written'}; run the same command again: it compares anew, and does what is left`
    throw new OperatorError('HF819', `it stopped: ${(error as Error).message}`, hint)
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

function finish({ group }: Vault, wish: KeysWish, { items }: Differences, { returned, kept }: Result): void {
  const say = (words: string): void => void (wish.json ? process.stderr : process.stdout).write(words)
  const { applied, skipped, interrupted, replicated } = returned
  say(`${applied} of ${items.length} keys written${replicated === false ? '; no replica has confirmed them yet' : ''}\n`)
  for (const { key, why } of skipped.slice(0, shownSkipped)) say(`  left alone: db${key.database} ${shown([key.key])}: ${why}\n`)
  if (skipped.length > shownSkipped) say(`  … ${skipped.length - shownSkipped} more left alone\n`)
  if (kept !== null) say(`to take it back: holdfast restore ${group.name} --keys '${wish.pattern}' --undo ${kept}\n`)
  if (interrupted)
    throw new OperatorError('HF819', `interrupted: ${items.length - applied - skipped.length} keys are left`, 'run the same command again: it compares anew')
  if (skipped.length > 0) process.exitCode = 1
}
