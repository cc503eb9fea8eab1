/** `holdfast backup list|show`: what there is, for people to look at. */
import type { Command } from '@commander-js/extra-typings'
import { baseOf } from '../backup/catalog.ts'
import { coverageOf, reachOf } from '../backup/coverage.ts'
import { alarmsIn, catalogIn, findBackup, streamIn, withVault } from './backup-open.ts'
import { drawList, drawShow } from './backup-draw.ts'
import { pruningIn, reachWords, streamAlarmsIn, streamLine } from './backup-stream.ts'

export function registerList(backup: Command): void {
  backup
    .command('list')
    .description('all of them, the youngest first, with what is known of each')
    .argument('<group>')
    .option('--json', 'machine-readable')
    .action((group, options, command) =>
      withVault(command, group, async (vault) => {
        const catalog = await catalogIn(vault)
        const nowWallMs = Date.now()
        const stream = await streamIn(vault)
        const coverage = coverageOf(stream, catalog.backups.map(baseOf))
        const alarms = [...alarmsIn(vault, catalog, nowWallMs), ...streamAlarmsIn(vault, stream, coverage, nowWallMs)]
        const { verdicts } = pruningIn(vault, catalog, stream, nowWallMs)
        const { backups, others } = catalog
        const { spans, gaps, segments, bytes } = coverage
        const result = { group, store: vault.store.where, backups, others, verdicts, stream: { spans, gaps, segments, bytes }, alarms }
        const drawn = (): string => drawList(catalog, vault.store.where, verdicts, streamLine(coverage), alarms, nowWallMs)
        process.stdout.write(options.json === true ? `${JSON.stringify(result, null, 2)}\n` : drawn())
      }),
    )
  backup
    .command('show')
    .description('all of one: its manifest, and what came of its test')
    .argument('<group>')
    .argument('<id>', 'or the beginning of it, or latest: the youngest good one')
    .option('--json', 'machine-readable')
    .action((group, id, options, command) =>
      withVault(command, group, async (vault) => {
        const found = findBackup(await catalogIn(vault), id)
        const stream = await streamIn(vault)
        const result = { ...found, stream: reachOf(stream, baseOf(found)) }
        const drawn = (): string => drawShow(found, vault.store.where, reachWords(stream, found), Date.now())
        process.stdout.write(options.json === true ? `${JSON.stringify(result, null, 2)}\n` : drawn())
      }),
    )
}
