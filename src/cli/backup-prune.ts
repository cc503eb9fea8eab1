/** `holdfast backup prune|hold|release`: what may go, shown before it goes; and what an operator holds on to. */
import { isCancel, text } from '@clack/prompts'
import type { Command } from '@commander-js/extra-typings'
import Table from 'cli-table3'
import pc from 'picocolors'
import { paperName, type Hold, type Manifest, type Said } from '../backup/manifest.ts'
import { putPaper } from '../dump/paper.ts'
import { graceMs, pruneStore, type Pruned, type PruneOptions, type PruneResult } from '../dump/prune.ts'
import { OperatorError } from '../model/error.ts'
import { catalogIn, dueEveryMs, findBackup, keyFor, streamIn, withVault, type Vault } from './backup-open.ts'
import { drawAlarms } from './backup-draw.ts'
import { prunedWords } from './backup-stream.ts'
import { sizeWords } from './backup-words.ts'
import { operator } from './salvage-open.ts'

export function registerPrune(backup: Command): void {
  backup
    .command('prune')
    .description('thin them out as `keep` says; shows what would go, and removes only with --yes')
    .argument('<group>')
    .option('--yes', 'do it')
    .option('--condemn-only', 'mark what may go, and remove nothing')
    .option('--now', 'do not wait for a day between mark and removal; asks for the name of the group')
    .option('--yes-i-mean <group>', 'the answer to that')
    .option('--json', 'machine-readable')
    .action((group, options, command) => withVault(command, group, (vault) => pruneCommand(vault, options)))
  backup
    .command('hold')
    .description('never remove this one')
    .argument('<group>')
    .argument('<id>')
    .requiredOption('--reason <text>', 'why, for whoever wonders later')
    .option('--json', 'machine-readable')
    .action((group, id, options, command) =>
      withVault(command, group, async (vault) => {
        const { manifest } = findBackup(await catalogIn(vault), id)
        const said = await hold(vault, manifest, options.reason)
        tell(options.json, { id: manifest.id, held: said }, `${manifest.id} is held: it is never removed until it is released\n`)
      }),
    )
  backup
    .command('release')
    .description('let it go when nothing else asks for it')
    .argument('<group>')
    .argument('<id>')
    .option('--json', 'machine-readable')
    .action((group, id, options, command) =>
      withVault(command, group, async (vault) => {
        const { manifest, held } = findBackup(await catalogIn(vault), id)
        written(vault, await vault.store.remove(paperName(group, manifest.id, 'held')))
        tell(options.json, { id: manifest.id, held: null }, held === null ? `${manifest.id} was not held\n` : `${manifest.id} is released\n`)
      }),
    )
}

export async function hold(vault: Vault, manifest: Manifest, reason: string): Promise<Said<Hold>> {
  const said = { format: 1 as const, id: manifest.id, atWallMs: Date.now(), by: operator(), reason }
  written(vault, await putPaper(vault.store, vault.group.name, 'held', said, keyFor(manifest, vault), vault.signal))
  return said
}

interface PruneWish {
  readonly yes?: true | undefined
  readonly condemnOnly?: true | undefined
  readonly now?: true | undefined
  readonly yesIMean?: string | undefined
  readonly json?: true | undefined
}

async function pruneCommand(vault: Vault, wish: PruneWish): Promise<void> {
  if (wish.now === true && wish.condemnOnly === true) throw new OperatorError('HF817', '--now and --condemn-only contradict each other', 'choose one', 2)
  const phases = wish.now === true ? 'at-once' : wish.condemnOnly === true ? 'mark' : 'both'
  const planned = await pruned(vault, { phases, dryRun: true, key: vault.key, signal: vault.signal })
  const show = (result: PruneResult, dryRun: boolean): void =>
    tell(
      wish.json,
      { group: vault.group.name, dryRun, steps: result.all, alarm: result.alarm, stream: result.stream },
      drawPruned(result, vault.group.name, dryRun),
    )
  if (wish.yes !== true) return show(planned, true)
  if (phases === 'at-once') await confirmed(vault.group.name, planned, wish)
  const result = await pruned(vault, { phases, dryRun: false, key: vault.key, signal: vault.signal })
  show(result, false)
  const failed = result.all.filter((one) => one.failed !== null)
  if (failed.length > 0)
    throw new OperatorError(
      'HF817',
      failed.map(({ id, step, failed: why }) => `${id} (${step}): ${why}`).join('; '),
      'run the same command again: what was begun is ended by the next run',
    )
}

async function pruned(vault: Vault, options: Omit<PruneOptions, 'stream'>): Promise<PruneResult> {
  const nowWallMs = Date.now()
  const { store, backup } = vault
  const catalog = await catalogIn(vault)
  const stream = backup.stream === null ? null : { stored: await streamIn(vault), keepMs: backup.stream.keepMs }
  const result = await pruneStore(store, catalog, backup.keep, dueEveryMs(backup, nowWallMs), nowWallMs, { ...options, stream })
  if (vault.signal.aborted) throw new OperatorError('HF817', 'broken off', 'what was begun is ended by the next run')
  if (!result.ok) throw new OperatorError('HF817', result.why, `see: holdfast backup list ${vault.group.name}`)
  return result.value
}

async function confirmed(group: string, { all, stream }: PruneResult, { yesIMean }: PruneWish): Promise<void> {
  const going = all.filter(({ step }) => step === 'remove')
  const segments = stream?.removed.segments ?? 0
  if (going.length + segments === 0 || yesIMean === group) return
  const and = segments === 0 ? '' : `, and ${segments} segments of its stream, ${sizeWords(stream?.removed.bytes ?? 0)}`
  const what = `${going.length} of the backups of ${group} are removed at once, ${sizeWords(bytesOf(going))}${and}; nobody brings them back.`
  if (yesIMean !== undefined || !process.stdin.isTTY)
    throw new OperatorError('HF817', `${what} It was not confirmed.`, `see it without --yes; then add --yes-i-mean ${group}`)
  const typed = await text({ message: `${what} Type the group's name to go on:` })
  if (isCancel(typed) || typed !== group)
    throw new OperatorError('HF817', 'the name was not typed: nothing was removed', 'without --now they go a day after they are marked')
}

const stepWords: Readonly<Record<Pruned['step'], string>> = {
  leave: 'stays',
  pardon: 'stays, its mark is taken away',
  condemn: 'is marked',
  wait: 'is marked already',
  remove: pc.red('is removed'),
}

function drawPruned({ all, alarm, stream }: PruneResult, group: string, dryRun: boolean): string {
  const table = new Table({ head: ['id', 'bytes', dryRun ? 'would be so' : 'done', 'because'], style: { head: [], border: [] } })
  for (const { id, bytes, step, why, failed } of all)
    table.push([id, sizeWords(bytes), failed === null ? stepWords[step] : pc.red(`${step} failed`), failed ?? why])
  const of = (...steps: readonly Pruned['step'][]): readonly Pruned[] => all.filter(({ step, failed }) => failed === null && steps.includes(step))
  const sum = (what: string, some: readonly Pruned[]): string => (some.length === 0 ? '' : `${what}: ${some.length}, ${sizeWords(bytesOf(some))}\n`)
  const sums = [
    sum('stay', of('leave', 'pardon')),
    sum(`marked (removed when the mark is ${graceMs / 3_600_000} hours old)`, of('condemn', 'wait')),
    sum(dryRun ? 'would be removed' : 'removed', of('remove')),
  ].join('')
  const ofStream = stream === null ? '' : `stream: ${prunedWords(stream, dryRun)}\n`
  const goes = of('remove', 'condemn', 'pardon').length + (stream === null ? 0 : stream.removed.segments + stream.doubles.segments + stream.papers)
  const more = dryRun && goes > 0 ? `nothing was changed: holdfast backup prune ${group} --yes\n` : ''
  return `${all.length === 0 ? '' : `${table.toString()}\n`}${sums}${ofStream}${drawAlarms(alarm === null ? [] : [alarm])}${more}`
}

function bytesOf(some: readonly Pruned[]): number {
  return some.reduce((sum, { bytes }) => sum + bytes, 0)
}

function written({ store }: Vault, done: { readonly ok: true } | { readonly ok: false; readonly why: string }): void {
  if (!done.ok) throw new OperatorError('HF814', `${store.where}: ${done.why}`, 'mend that, and run the same command again')
}

function tell(json: true | undefined, result: unknown, inWords: string): void {
  process.stdout.write(json === true ? `${JSON.stringify(result, null, 2)}\n` : inWords)
}
