/**
 * `holdfast restore GROUP --over`: all that a redis aside holds into the running primary, as ordinary commands (../replay/over.ts). Shows
 * what it would do, asks for the group's name, and has the agents keep a copy of what is there before the first write. Where the data
 * come from is handed in. Run again, it compares anew and does what is left.
 */
import { isCancel, text } from '@clack/prompts'
import type { Backup } from '../backup/catalog.ts'
import { copyReason } from '../backup/over-copy.ts'
import type { Moment } from '../dump/moment.ts'
import { mib } from '../dump/needs.ts'
import { OperatorError } from '../model/error.ts'
import type { RawRedis } from '../redis/raw.ts'
import { functionsStand, isEmpty, keysIn, memoryLimitOf, nothingDone, survey, wouldTake, writeOver, type Done, type Tally } from '../replay/over.ts'
import { paced, replicasOf } from '../replay/pace.ts'
import { openSession, statusOf, type Session } from './ask.ts'
import { tryOne } from './backup-check.ts'
import { catalogIn, findBackup, type Vault } from './backup-open.ts'
import { hold } from './backup-prune.ts'
import { chosenHost, takeNow } from './backup-take.ts'
import { momentJson } from './restore-moment.ts'
import { drawOverDone, drawOverPlan, noCopy, otherWords, stepLine, type OverPlan, type OverResult } from './restore-over-draw.ts'
import { inWords, momentId, openSource, type Begun, type Source } from './restore-source.ts'
import { openPrimary } from './salvage-open.ts'

export interface OverFrom {
  readonly id: string
  /** As the same command names it again, for good: `latest` may be another one by then. */
  readonly words: string
  /** What it takes in a redis; 0: not known. */
  readonly usedBytes: number
  /** null: it is a backup. */
  readonly moment: Moment | null
  /** Into a redis aside, with as many databases as the primary has. */
  readonly open: (live: RawRedis) => Promise<Source>
}

export interface OverWish {
  readonly from: OverFrom
  /** What has to be typed, said beforehand; null: it is asked for. */
  readonly yesIMean: string | null
  /** Of what is there, kept first. */
  readonly copy: boolean
  readonly keepOthers: boolean
  readonly maxKeysPerS: number | null
  readonly dryRun: boolean
  readonly json: boolean
}

export function overFrom(vault: Vault, begun: Begun): OverFrom {
  const { backup, moment } = begun
  const { id, seen } = backup.manifest
  const usedBytes = Math.max(seen.before?.usedBytes ?? 0, seen.after?.usedBytes ?? 0)
  const open = (live: RawRedis): Promise<Source> => openSource(vault, begun, live, 'holdfast-restore-over-')
  return moment === null
    ? { id, words: `--backup ${id}`, usedBytes, moment, open }
    : { id: momentId(moment), words: `--offset ${moment.to} --timeline ${moment.archive.legs.at(-1)?.replid}`, usedBytes, moment, open }
}

interface Bench {
  readonly vault: Vault
  readonly wish: OverWish
  readonly session: Session
  /** The primary. */
  readonly host: string
  readonly live: RawRedis
  readonly say: (words: string) => void
}

export async function restoreOver(vault: Vault, wish: OverWish): Promise<void> {
  const say = (words: string): void => void (wish.json ? process.stderr : process.stdout).write(words)
  const session = await openSession({ config: vault.config.file })
  const { host, live } = await openPrimary(session, vault.group.name)
  try {
    const bench = { vault, wish, session, host, live, say }
    const copy = await inWords(vault, 'HF839', () => copyPlanned(bench))
    await inWords(vault, 'HF839', () => checkRoom(bench))
    const source = await inWords(vault, 'HF838', () => wish.from.open(live))
    try {
      await work(bench, source, copy)
    } finally {
      await source.aside.close()
    }
  } finally {
    live.close()
  }
}

/** Whether one is kept, and by whom it is taken. Refuses where one is wanted, and nobody could. */
async function copyPlanned({ vault, wish, session, live }: Bench): Promise<OverPlan['copy']> {
  if (await isEmpty(live)) return { kind: 'empty' }
  if (!wish.copy) return { kind: 'unwanted' }
  try {
    return { kind: 'taken', by: await chosenHost(session, vault.group.name) }
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error
    throw new OperatorError('HF839', `no copy of what is there can be kept first: ${error.message}`, `${error.hint}; --no-copy goes without one`)
  }
}

/** Buffers of replicas are in what a source tells, and not in what redis holds against its limit. */
const moreThanLimit = 1.25

async function checkRoom({ host, live, wish: { from } }: Bench): Promise<void> {
  const most = await memoryLimitOf(live)
  if (most === 0 || from.usedBytes <= most * moreThanLimit) return
  throw new OperatorError(
    'HF839',
    `${from.id} takes ${mib(from.usedBytes)} in a redis, and ${host} may have ${mib(most)} (maxmemory)`,
    'raise redis.maxmemory in the configuration, and holdfast apply',
  )
}

async function work(bench: Bench, source: Source, copy: OverPlan['copy']): Promise<void> {
  const { vault, wish, host, say } = bench
  const plan = await inWords(vault, 'HF838', () => planned(bench, source, copy))
  say(drawOverPlan(plan, wish.from.moment))
  const changes = plan.before.differs + plan.before.missing + (wish.keepOthers ? 0 : plan.before.alone) + (plan.functions === 'differ' ? 1 : 0)
  const write = changes > 0 && !wish.dryRun
  if (!write) say(changes === 0 ? 'there is nothing to do\n' : 'nothing was done (--dry-run)\n')
  let result: OverResult | null = null
  if (write) {
    await confirmed(bench, plan)
    const copyId = copy.kind === 'taken' ? await kept(bench) : null
    result = await withFreshPrimary(bench, (fresh) => carryOut(fresh, source, plan, copyId))
  }
  const moment = wish.from.moment === null ? null : momentJson(wish.from.moment)
  const told = { group: vault.group.name, from: source.id, moment, primary: host, dryRun: wish.dryRun, ...plan, wrote: result }
  if (wish.json) process.stdout.write(`${JSON.stringify(told, null, 2)}\n`)
  if (result === null) return
  say(drawOverDone(plan, result))
  if (result.done.refused > 0)
    throw new OperatorError(
      'HF838',
      `${host} did not take ${result.done.refused} of the keys`,
      `the first of them are named above; ${takeBack(bench, result.copy)}`,
    )
}

async function planned(bench: Bench, { id, aside, expired }: Source, copy: OverPlan['copy']): Promise<OverPlan> {
  const { vault, wish, host, live } = bench
  await wouldTake(aside.redis, live)
  const beganMs = performance.now()
  const line = stepLine()
  try {
    const before = await survey({ aside: aside.redis, live, tell: line.tell, signal: vault.signal }, 'comparing')
    const changes = before.differs + before.missing + (wish.keepOthers ? 0 : before.alone)
    return {
      id,
      host,
      keys: { backup: await keysIn(aside.redis), now: await keysIn(live) },
      before,
      functions: await functionsStand(aside.redis, live, wish.keepOthers),
      expired: expired === null ? null : expired + before.expired,
      keepOthers: wish.keepOthers,
      copy,
      replicas: (await replicasOf(live)).filter(({ online }) => online).length,
      expectedMs: expectedFor(changes, performance.now() - beganMs, wish.maxKeysPerS),
    }
  } finally {
    line.end()
  }
}

/** It is compared twice more, at the same rate as just now, and written. */
const writtenPerS = 60_000

function expectedFor(changes: number, comparedMs: number, maxKeysPerS: number | null): number {
  return Math.round(comparedMs * 2 + (changes / Math.min(writtenPerS, maxKeysPerS ?? writtenPerS)) * 1000)
}

async function confirmed({ vault, wish, host }: Bench, { before, copy, keepOthers }: OverPlan): Promise<void> {
  const { name } = vault.group
  const wanted = copy.kind === 'unwanted' ? `${name} without a copy` : name
  if (wish.yesIMean === wanted) return
  const again = copy.kind === 'taken' ? 'what is there is kept first' : copy.kind === 'empty' ? 'nothing is there' : 'nothing of what is there is kept'
  const what = `${before.differs + before.missing} keys are written into ${host}${keepOthers ? '' : `, ${before.alone} are removed`}; ${again}.`
  if (wish.yesIMean !== null) throw otherWords(what, wish.yesIMean, wanted)
  if (!process.stdin.isTTY || wish.json)
    throw new OperatorError('HF837', `${what} It was not confirmed: nothing was written`, `see it with --dry-run; then add --yes-i-mean '${wanted}'`)
  const typed = await text({ message: `${what} Type "${wanted}" to go on:`, signal: vault.signal })
  if (isCancel(typed) || typed !== wanted) throw new OperatorError('HF837', `"${wanted}" was not typed: nothing was written`, 'it can be run again at any time')
}

/** A backup of what is there, held. The answer: its id. */
async function kept({ vault, wish, session, say }: Bench): Promise<string> {
  const { name } = vault.group
  const reason = copyReason(wish.from.id)
  return inWords(vault, 'HF838', async () => {
    const id = await takeNow(session, name, reason).catch((error: unknown) => {
      if (!(error instanceof OperatorError)) throw error
      throw noCopy(error, vault.signal.aborted)
    })
    vault.signal.throwIfAborted()
    const { manifest, state, found } = await testedCopy(vault, id)
    vault.signal.throwIfAborted()
    if (state !== 'good')
      throw new OperatorError(
        'HF838',
        `the copy of what is there, ${id}, is ${state}: ${found}`,
        `nothing was written, and ${id} lies in the store; mend that, and run it again, or keep none: --no-copy`,
      )
    await hold(vault, manifest, reason)
    say(`what is there is kept as ${id}, and held\n`)
    return id
  })
}

/** The agents have tested it, unless they are not to (`test: false`): a copy that no redis has loaded is none. */
async function testedCopy(vault: Vault, id: string): Promise<Backup & { readonly found: string }> {
  const copy = findBackup(await catalogIn(vault), id)
  if (copy.state !== 'untested') return { ...copy, found: copy.tested?.found ?? '' }
  const one = await tryOne(vault, copy)
  return { ...findBackup(await catalogIn(vault), id), found: one.found }
}

/** A redis with `timeout` has hung up meanwhile on who was silent for so long: while the copy was taken, or the operator thought. */
async function withFreshPrimary<T>(bench: Bench, use: (bench: Bench) => Promise<T>): Promise<T> {
  const { host, live } = await openPrimary(bench.session, bench.vault.group.name)
  try {
    if (host !== bench.host)
      throw new OperatorError('HF838', `${host} has become the primary meanwhile: nothing was written`, 'run the same command again: it compares anew')
    return await use({ ...bench, live })
  } finally {
    live.close()
  }
}

async function carryOut(bench: Bench, source: Source, { before, keepOthers }: OverPlan, copy: string | null): Promise<OverResult> {
  const { vault, wish, live } = bench
  const { signal } = vault
  const done = nothingDone()
  const line = stepLine()
  const beganMs = performance.now()
  const sides = { aside: source.aside.redis, live, tell: line.tell, signal }
  const stillPrimary = (): Promise<void> => isStillPrimary(bench)
  const pace = paced({ live, maxKeysPerS: wish.maxKeysPerS, stillPrimary, waits: line.waits, signal })
  try {
    await writeOver({ ...sides, keepOthers, pace, done })
    const replicas = await pace.settled()
    const tookMs = Math.round(performance.now() - beganMs)
    const after = await survey(sides, 'checking')
    await stillPrimary()
    return { done, replicas, tookMs, after, copy }
  } catch (error) {
    line.end()
    throw stopped(bench, { error: error as Error, done, before, copy })
  } finally {
    line.end()
  }
}

/** Where somebody else was promoted, what is written here is nobody's. */
async function isStillPrimary({ session, vault, host }: Bench): Promise<void> {
  const [status] = await statusOf(session, vault.group.name)
  if (status?.primary !== host) throw new Error(`${host} is not the primary any more: ${status?.primary ?? status?.because ?? 'nobody is'}`)
}

interface Stopped {
  readonly error: Error
  readonly done: Done
  readonly before: Tally
  readonly copy: string | null
}

function stopped(bench: Bench, { error, done, before, copy }: Stopped): OperatorError {
  const why = bench.vault.signal.aborted ? 'broken off' : `it stopped: ${error.message}`
  const far = `${done.written} of ${before.differs + before.missing} keys were written, ${done.removed} removed, and stay so`
  return new OperatorError(
    'HF838',
    `${why}; ${far}`,
    `holdfast restore ${bench.vault.group.name} --over ${bench.wish.from.words}, with the same options, compares anew and does what is left; ${takeBack(bench, copy)}`,
  )
}

function takeBack({ vault }: Bench, copy: string | null): string {
  return copy === null ? 'nothing was kept of what was there' : `what was there before: holdfast restore ${vault.group.name} --over --backup ${copy}`
}
