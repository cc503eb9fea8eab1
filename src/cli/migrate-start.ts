/** `holdfast migrate start`: the plan once more, the source made known to every host of the group, and the sync, with its progress until all have all. */
import type { Command } from '@commander-js/extra-typings'
import { openSession, type Session } from './ask.ts'
import { tookWords } from './backup-words.ts'
import { askedP99, askedWindow, costOf, costWords, termsOf } from './migrate-care.ts'
import { beginMove, prepareMove, standing, wayBackWarning } from './migrate-begin.ts'
import { unheard, type MoveStatus } from './migrate-found.ts'
import { acceptedTrap, askedSeconds } from './migrate-plan.ts'
import { looksAtSync } from './migrate-progress.ts'
import { overLine } from './one-line.ts'
import { withoutPassword } from './migrate-source.ts'

export function registerStart(migrate: Command): void {
  migrate
    .command('start')
    .description('have the group follow the redis that is to be moved; its clients notice nothing')
    .argument('<from>', 'redis://[USER@]HOST:PORT, rediss://…, or a group')
    .argument('<group>', 'where it is to go')
    .option('--source-password-file <file>', 'of the source')
    .option('--tls-ca <file>', 'who has signed the certificate of a rediss:// source')
    .option('--tls-cert <file>', 'our own certificate, where the source asks for one')
    .option('--tls-key <file>', 'its key')
    .option('--accept <id>', 'this trap is known and may be so, e.g. P6; may be repeated', acceptedTrap, [] as readonly string[])
    .option('--overwrite <run-id>', 'what the target has may go (a copy is kept): its run id, as the plan tells it')
    .option('--plain-way-back', 'after the cut-over a rediss:// source may follow the group without TLS')
    .option('--seconds <n>', 'over how long the rate of writes is measured', askedSeconds, 5)
    .option('--window <from-to>', 'a full sync begins only then, e.g. 01:00-05:00+02:00; off: at any time', askedWindow)
    .option('--max-p99 <ms>', 'a sync beside which a client of the source feels more is given up and tried again later; off: it is only told', askedP99)
    .option('--dry-run', 'the plan, and whether it would begin')
    .option('--no-wait', 'return as soon as it has begun')
    .option('--json', 'machine-readable, one line per look')
    .action(async (from, name, options, command) => {
      const session = await openSession(command.optsWithGlobals() as unknown as { config: string })
      const prepared = await prepareMove(session, from, name, options)
      if ('against' in prepared) {
        process.stdout.write(options.json === true ? `${JSON.stringify({ plan: prepared.json })}\n` : prepared.drawn)
        throw standing(prepared.against)
      }
      const { holder, at, plan } = prepared.ready
      const warned = wayBackWarning(plan)
      if (warned !== null) process.stderr.write(`${warned}\n`)
      if (options.dryRun === true) {
        process.stdout.write(`would begin: nothing stands against it; ${holder} would follow ${at.host}:${at.port}, the others ${holder}\n`)
        return
      }
      process.stderr.write(`${await beginMove(session, prepared.ready, termsOf(options))}\n`)
      if (options.wait) await untilInSync(session, name, withoutPassword(from), options.json === true)
    })
}

/** Ctrl-C ends the looking only. */
async function untilInSync(session: Session, group: string, from: string, json: boolean): Promise<void> {
  const leave = (): void => {
    process.stderr.write(`\nit goes on without this command: holdfast migrate status ${group} (--watch)\n`)
    process.exit(130)
  }
  process.once('SIGINT', leave)
  const startedMs = performance.now()
  try {
    for await (const { status, stage, line } of looksAtSync(session, group, new AbortController().signal)) {
      const cost = costOf(status.move, status.source, Date.now())
      if (json) process.stdout.write(`${JSON.stringify({ stage, ...line, sync: cost, because: status.because })}\n`)
      else tell([`${stage}  ${line.words}`, ...costWords(cost, stage === 'PREPARED' || stage === 'SYNCING'), ...silence(status)].join(';  '))
    }
  } finally {
    process.off('SIGINT', leave)
  }
  if (!json) process.stderr.write(`\nin sync after ${tookWords(performance.now() - startedMs)}; prove it next: holdfast migrate verify ${from} ${group}\n`)
}

/** Who looks on must not take a progress that stands still for a slow one. */
function silence(move: MoveStatus): readonly string[] {
  return move.because === null ? [`${unheard(move)}: start it again`] : []
}

let told = ''
function tell(line: string): void {
  if (line === told) return
  told = line
  process.stderr.write(process.stderr.isTTY ? overLine(line, process.stderr.columns) : `${line}\n`)
}
