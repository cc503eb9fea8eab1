/**
 * `holdfast salvage replay`: writes kept items into the primary, class by class, as far as the operator says. What is safe and
 * what is not is classify.ts; how it is written so that nothing is applied twice is replay/apply.ts.
 */
import { confirm, isCancel } from '@clack/prompts'
import type { Command } from '@commander-js/extra-typings'
import { OperatorError } from '../model/error.ts'
import type { ReplayLine } from '../model/kept.ts'
import { applyItems, fingerprint, type Applied } from '../replay/apply.ts'
import type { SourceItem } from '../replay/items.ts'
import { classWords, itemClasses, type ItemClass } from '../salvage/classify.ts'
import { ask, openSession, type Session } from './ask.ts'
import { openBench, operator, type Bench } from './salvage-open.ts'
import { drawClasses, drawItem, viewOf } from './salvage-draw.ts'

const shownWhenAsked = 20

export function registerReplay(salvage: Command): void {
  salvage
    .command('replay')
    .description('write what was kept into the primary; asks for each class, and applies nothing twice')
    .argument('<group>')
    .argument('<id>')
    .option('--class <classes>', `which: ${itemClasses.join(', ')}, several with commas, or all (default: safe)`)
    .option('--item <ids...>', 'only these items (their ids are in show --json)')
    .option('--dry-run', 'say what would be done')
    .option('--yes', 'do not ask')
    .option('--json', 'machine-readable')
    .action(async (group, id, options, command) => {
      const wanted = classesOf(options.class)
      const session = await openSession(command.optsWithGlobals() as unknown as { config: string })
      const bench = await openBench(session, group, id)
      try {
        await replay(session, bench, { ...options, wanted })
      } finally {
        await bench.close()
      }
    })
}

interface Wish {
  /** null: the operator named none, and is asked. */
  readonly wanted: readonly ItemClass[] | null
  readonly item?: readonly string[] | undefined
  readonly dryRun?: true | undefined
  readonly yes?: true | undefined
  readonly json?: true | undefined
}

function classesOf(text: string | undefined): readonly ItemClass[] | null {
  if (text === undefined) return null
  if (text === 'all') return itemClasses
  return text.split(',').map((word) => {
    const known = itemClasses.find((c) => c === word.trim())
    if (known === undefined) throw new OperatorError('HF303', `there is no class ${word}`, `classes: ${itemClasses.join(', ')}, all`, 2)
    return known
  })
}

async function replay(session: Session, bench: Bench, wish: Wish): Promise<void> {
  const { kept, source, progress } = bench
  const say = (text: string): void => void (wish.json === true ? process.stderr : process.stdout).write(text)
  const left = source.items.filter((item) => !progress.applied.has(item.id) && (wish.item === undefined || wish.item.includes(item.id)))
  if (left.length === 0)
    throw new OperatorError(
      'HF602',
      `${kept.id}: all ${progress.applied.size > 0 ? `${progress.applied.size} items have been applied already` : 'of it is in the primary already'}`,
      `holdfast salvage show ${kept.group} ${kept.id}`,
    )
  say(drawClasses(bench))
  const classes = await chosenClasses(bench, left, wish, say)
  // Once: what the operator was told is what counts, also of a key that is written in the next moment.
  const asTold = new Map(left.map((item) => [item, bench.classOf(item)]))
  const chosen = left.filter((item) => classes.some((c) => c === asTold.get(item)))
  const untouched = new Set(chosen.filter((item) => asTold.get(item) === 'safe' || asTold.get(item) === 'deletion'))
  const settled = await settleInterrupted(bench, chosen)
  if (wish.dryRun === true) {
    say(
      `would apply ${settled.ready.length} of ${left.length} items (${classes.join(', ')})${settled.doubtful.length > 0 ? `; ${settled.doubtful.length} may have been applied before an interruption and would be left alone` : ''}${settled.ready.length < left.length && wish.wanted === null ? '; the others: --class' : ''}\n`,
    )
    if (wish.json === true)
      process.stdout.write(`${JSON.stringify({ dryRun: true, id: kept.id, classes, wouldApply: settled.ready.map((i) => i.id), left: left.length })}\n`)
    return
  }
  if (settled.ready.length === 0 && settled.doubtful.length === 0)
    throw new OperatorError(
      'HF602',
      `${kept.id}: nothing of class ${classes.join(', ')} is left; ${left.length} items of other classes are`,
      `holdfast salvage show ${kept.group} ${kept.id} --keys`,
    )
  await carryOut(session, bench, settled, { classes, untouched, left: left.length }, wish.json === true, say)
}

/** Named by --class or --item; else asked for one by one; else (--yes alone) only what is safe. */
async function chosenClasses(bench: Bench, left: readonly SourceItem[], wish: Wish, say: (text: string) => void): Promise<readonly ItemClass[]> {
  const present = itemClasses.filter((c) => left.some((item) => bench.classOf(item) === c))
  const named = wish.wanted ?? (wish.item === undefined ? null : itemClasses)
  if (wish.dryRun === true || wish.yes === true) return named ?? ['safe']
  if (!process.stdin.isTTY)
    throw new OperatorError('HF603', `${left.length} items would be written into ${bench.kept.group}; it was not confirmed`, 'see --dry-run; then add --yes')
  const chosen: ItemClass[] = []
  for (const one of present.filter((c) => named?.includes(c) ?? true)) {
    const items = left.filter((item) => bench.classOf(item) === one)
    if (one !== 'safe') {
      for (const item of items.slice(0, shownWhenAsked)) say(drawItem(await viewOf(bench, item)))
      if (items.length > shownWhenAsked) say(`  … ${items.length - shownWhenAsked} more: salvage show --keys\n`)
    }
    const answer = await confirm({ message: `Apply ${items.length} of class ${one} (${classWords[one]})?`, initialValue: one === 'safe' })
    if (isCancel(answer)) throw new OperatorError('HF603', 'broken off: nothing was written', 'see --dry-run')
    if (answer) chosen.push(one)
  }
  if (chosen.length === 0) throw new OperatorError('HF603', 'no class was chosen: nothing was written', 'see --dry-run')
  return chosen
}

interface Settled {
  readonly ready: readonly SourceItem[]
  /** Begun before an interruption, and not as they were then: they may have been applied. */
  readonly doubtful: readonly SourceItem[]
}

/** An item whose keys are as they were before it was begun was not applied. Any other one is never applied again by itself. */
async function settleInterrupted(bench: Bench, chosen: readonly SourceItem[]): Promise<Settled> {
  const doubtful: SourceItem[] = []
  const ready: SourceItem[] = []
  for (const item of chosen) {
    const before = bench.progress.open.get(item.id)
    if (before === undefined || before === (await fingerprint(bench.live, item.keys))) ready.push(item)
    else doubtful.push(item)
  }
  return { ready, doubtful }
}

async function carryOut(
  session: Session,
  bench: Bench,
  settled: Settled,
  { classes, untouched, left }: { readonly classes: readonly ItemClass[]; readonly untouched: ReadonlySet<SourceItem>; readonly left: number },
  json: boolean,
  say: (text: string) => void,
): Promise<void> {
  const { kept } = bench
  const run = `${Date.now().toString(36)}-${process.pid}`
  let lines = bench.progress.lines
  const journal = async (line: Pick<ReplayLine, 'what' | 'items' | 'text'> & { readonly before?: readonly string[] }): Promise<void> => {
    const full: ReplayLine = { atWallMs: Date.now(), by: operator(), run, ...line }
    const answer = (await ask(session, kept.host, {
      method: 'POST',
      path: `/groups/${kept.group}/kept/${kept.id}/journal`,
      body: { line: full, expectLines: lines },
      deadlineMs: 10_000,
    })) as { lines: number | null }
    if (answer.lines === null)
      throw new OperatorError('HF605', `somebody else replays ${kept.id} at this moment`, 'nothing more is written by this one; wait for the other to end')
    lines = answer.lines
  }
  const interrupt = new AbortController()
  const abort = (): void => interrupt.abort()
  process.on('SIGINT', abort)
  process.on('SIGTERM', abort)
  try {
    await journal({ what: 'begin', items: [], text: `${settled.ready.length} items of class ${classes.join(', ')} into ${bench.primary}` })
    if (settled.doubtful.length > 0)
      for (let at = 0; at < settled.doubtful.length; at += 50)
        await journal({ what: 'applied', items: settled.doubtful.slice(at, at + 50).map((i) => i.id), text: 'found changed after an interruption' })
    const result = await applyItems(settled.ready, {
      live: bench.live,
      tap: bench.tap,
      onlyIfUntouched: untouched,
      journal,
      progress: (done, of) => (process.stderr.isTTY ? process.stderr.write(`\r\x1b[K${done} of ${of}`) : undefined),
      signal: interrupt.signal,
    })
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K')
    const rest = left - result.applied.length - settled.doubtful.length
    await journal({ what: 'end', items: [], text: rest === 0 && settled.doubtful.length === 0 ? 'complete' : `${result.applied.length} applied, ${rest} left` })
    report(bench, result, settled, rest, json, say)
  } catch (error) {
    if (error instanceof OperatorError) throw error
    throw new OperatorError('HF605', `the replay stopped: ${(error as Error).message}`, 'run the same command again: nothing is applied twice')
  } finally {
    process.off('SIGINT', abort)
    process.off('SIGTERM', abort)
  }
}

function report(bench: Bench, result: Applied, settled: Settled, rest: number, json: boolean, say: (text: string) => void): void {
  const skipped = result.skipped.map(({ item, why }) => ({ id: item.id, keys: item.keys.map((k) => k.key), why }))
  if (json)
    process.stdout.write(
      `${JSON.stringify({ id: bench.kept.id, applied: result.applied.map((i) => i.id), skipped, doubtful: settled.doubtful.map((i) => i.id), left: rest, interrupted: result.interrupted, onReplica: result.replicated })}\n`,
    )
  say(`${result.applied.length} items applied${rest > 0 ? `, ${rest} left` : ''}${result.replicated === false ? '; no replica has confirmed them yet' : ''}\n`)
  for (const { id, keys, why } of skipped.slice(0, shownWhenAsked)) say(`  left alone: ${keys.join(' ')} (item ${id}): ${why}\n`)
  for (const item of settled.doubtful)
    say(`  may have been applied before the interruption, compare it yourself: ${item.keys.map((k) => k.key).join(' ')} (item ${item.id})\n`)
  if (result.interrupted) throw new OperatorError('HF605', `interrupted: ${rest} items are left`, 'run the same command again: nothing is applied twice')
}
