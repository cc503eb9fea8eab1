/** `holdfast migrate status`: how far a move is, who follows whom, what stands before the next step, and who still talks to the old redis. */
import type { Command } from '@commander-js/extra-typings'
import pc from 'picocolors'
import { stageOf, type StageName } from '../migrate/stage.ts'
import { isReceiving } from '../model/move.ts'
import type { ListedClient } from '../model/relay.ts'
import { ask, groupOf, openSession, statusOf, type GroupStatus, type Session } from './ask.ts'
import type { MoveStatus } from './migrate-found.ts'
import { momentWords, spanWords } from './backup-words.ts'
import { costOf, costWords } from './migrate-care.ts'
import { movingOf, unheard } from './migrate-found.ts'
import { progressOf } from './migrate-progress.ts'

export function registerMoveStatus(migrate: Command): void {
  migrate
    .command('status')
    .description('how far a move is, and who still talks to the old redis')
    .argument('<group>')
    .option('--watch', 'draw it anew every second until Ctrl-C')
    .option('--json', 'machine-readable')
    .action(async (group, options, command) => {
      const session = await openSession(command.optsWithGlobals() as unknown as { config: string })
      groupOf(session, group)
      const progress = progressOf()
      const page = async (): Promise<string> => {
        const [status] = await statusOf(session, group)
        const move = movingOf(status, group)
        const left = await clientsLeft(session, group, move)
        const stage = stageOf(move.move, {
          members: move.members,
          hasAddress: hasAddress(status),
          clientsLeft: left?.length ?? null,
          arrivals: move.source?.arrivals ?? null,
          forMs: Date.now() - move.move.stageWallMs,
        })
        const line = progress(move, performance.now())
        if (options.json === true)
          return `${JSON.stringify({ group, stage, holder: move.holder, because: move.because, move: move.move, source: move.source, members: line.members, sync: costOf(move.move, move.source, Date.now()), clientsLeft: left })}\n`
        return drawMove(group, stage, move, line.words, left)
      }
      if (options.watch !== true) {
        process.stdout.write(await page())
        return
      }
      const stop = new AbortController()
      process.once('SIGINT', () => stop.abort())
      while (!stop.signal.aborted) {
        const text = await page()
        process.stdout.write(`${process.stdout.isTTY ? '\x1b[H\x1b[2J' : ''}${text}`)
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, 1000)
          stop.signal.addEventListener('abort', () => {
            clearTimeout(timer)
            resolve()
          })
        })
      }
    })
}

function hasAddress(status: GroupStatus | undefined): boolean {
  return status?.vip === null || status?.vip === undefined || (status.vipHolder !== null && status.vipHolder === status.primary)
}

/** null: it is not asked (before the cut-over all clients are there), or does not tell. */
export async function clientsLeft(session: Session, group: string, { move, holder }: MoveStatus): Promise<readonly ListedClient[] | null> {
  if (move.stage !== 'moved' || holder === null) return null
  try {
    const answer = (await ask(session, holder, { method: 'GET', path: `/groups/${group}/source/clients` })) as { readonly clients?: readonly ListedClient[] }
    return answer.clients ?? null
  } catch {
    return null
  }
}

/** What is waited for; null: nothing that the other lines do not say. */
export function waitsFor({ move, holder, because, members }: MoveStatus): string | null {
  if (because === null || because === '' || because === move.last || move.last.startsWith(because) || !isReceiving(move) || move.stage === 'aborted')
    return null
  const follows = members.find(({ host }) => host === holder)?.redis?.linkUp === true
  return follows && move.armed === null ? null : `${holder ?? ''}: ${because}`
}

export function drawMove(group: string, stage: StageName, found: MoveStatus, words: string, left: readonly ListedClient[] | null): string {
  const { move, holder, source, because } = found
  const who = isReceiving(move) && because === null ? pc.red(`(${unheard(found)}: start it again)`) : holder === null ? '' : `(${holder} sees to it)`
  const now = waitsFor(found)
  const at = `${move.source.host}:${move.source.port}${move.source.tls === true ? ' (TLS)' : ''}`
  const facts = source?.facts ?? null
  const seen =
    facts === null
      ? (source?.trouble ?? 'not asked')
      : `redis ${facts.version}, ${facts.role}${facts.upstream === null ? '' : facts.upstream.port === 1 ? ' of nobody (refuses writes)' : ` of ${facts.upstream.host}:${facts.upstream.port}`}, ${facts.keys} keys, offset ${facts.offset}${source?.trouble == null ? '' : `; ${source.trouble}`}`
  const lines = [
    `${pc.bold(group)}  ${stage === 'ABORTED' || stage === 'ROLLED_BACK' ? pc.yellow(stage) : pc.green(stage)}  since ${momentWords(move.stageWallMs)} (${spanWords(Date.now() - move.stageWallMs)})`,
    `source      ${at}  ${seen}`,
    `group       ${words}  ${who}`,
    ...costWords(costOf(move, source, Date.now()), stage === 'PREPARED' || stage === 'SYNCING').map((text) => `sync        ${text}`),
    `proof       ${move.verified === null ? 'none yet: holdfast migrate verify' : `${move.verified.keys} keys compared without a difference, ${momentWords(move.verified.atWallMs)}`}`,
    ...(move.armed === null
      ? []
      : [
          `cut-over    postponed ${move.armed.onFile ? `until the go-ahead file is laid${source?.goAheadFile === undefined ? '' : `: touch ${source.goAheadFile}, on ${holder}`}` : `until ${momentWords(move.armed.fromWallMs ?? 0)}`}${move.armed.untilWallMs === null ? '' : `, given up at ${momentWords(move.armed.untilWallMs)}`}`,
        ]),
    `way back    ${wayBackWords(move, source)}`,
    `last        ${move.last}`,
    ...(now === null ? [] : [`now         ${now}`]),
  ]
  if (left !== null) {
    lines.push(`old redis   ${leftWords(stage, left, source)}${left.length === 0 ? '' : ':'}`)
    for (const one of left.slice(0, 20))
      lines.push(`            ${one.address.padEnd(22)} ${(one.name === '' ? '-' : one.name).padEnd(20)} ${one.command.padEnd(12)} idle ${one.idleS} s`)
    if (left.length > 20) lines.push(`            and ${left.length - 20} more`)
  }
  return `${lines.join('\n')}\n`
}

export function leftWords(stage: StageName, left: readonly ListedClient[], source: MoveStatus['source']): string {
  const { count, overMs } = source?.arrivals ?? { count: 0, overMs: 0 }
  const came = count === 0 ? '' : `${count} connections came to it in ${spanWords(overMs)}, and what they write is refused`
  if (left.length > 0) return `${pc.yellow(`${left.length} still connected`)}${came === '' ? '' : `; ${came}`}`
  if (came !== '') return pc.yellow(`${came}: point those clients at the group`)
  return stage === 'DRAINED' ? pc.green('nobody talks to it any more') : 'nobody is connected now; whether somebody comes back is looked at for some seconds'
}

function wayBackWords({ stage, wayBack, source: of }: MoveStatus['move'], source: MoveStatus['source']): string {
  if (stage === 'done') return 'none: the move is final'
  if (stage === 'aborted') return 'none is needed: the source serves'
  if (wayBack === 'feed')
    return stage === 'moved' ? fedWords(source) : 'after the cut-over what is written is translated for the source, which is older, until commit'
  if (stage !== 'moved')
    return wayBack === 'replica'
      ? 'after the cut-over the source follows the group until commit'
      : `after the cut-over the source keeps what it had, and nothing of what is written then: ${of.tls === true ? 'it would follow the group without TLS' : 'it could not read the format of the group'}`
  if (wayBack === 'replica' && source?.trouble != null) return pc.yellow('none until the source answers')
  return wayBack === 'replica'
    ? 'the source follows the group: holdfast migrate rollback loses nothing'
    : 'the source keeps what it had at the cut-over, and nothing of what was written since'
}

/** What a way back would lose is said before anybody asks for one. */
function fedWords(source: MoveStatus['source']): string {
  const { feed, facts } = source ?? {}
  if (feed === undefined) return 'the source is about to be fed'
  const { point } = feed
  const untold = point?.untold ?? { count: 0, first: [] }
  const lost =
    untold.count === 0
      ? 'loses nothing'
      : `loses ${untold.count} writes that could not be told to it: ${untold.first.join('; ')}${untold.count > untold.first.length ? '; …' : ''}`
  if (feed.trouble !== null || point === null)
    return pc.yellow(`the source is not fed${feed.trouble === null ? ' yet' : `: ${feed.trouble}`}; it keeps what it had then`)
  return `the source is fed, ${Math.max(0, point.fed - (facts?.offset ?? 0))} bytes behind: holdfast migrate rollback ${lost}`
}
