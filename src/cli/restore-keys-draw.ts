/** Keys of a backup beside those of the primary, for people. Decides nothing. */
import pc from 'picocolors'
import type { RawRedis } from '../redis/raw.ts'
import { preview } from '../replay/apply.ts'
import type { Difference, Differences } from '../replay/diff.ts'
import { bytesOf } from '../replay/items.ts'
import type { Returned } from '../replay/return.ts'
import { shown } from '../redis/words.ts'
import { spanWords } from './backup-words.ts'

export interface KeyView {
  readonly database: number
  readonly key: string
  readonly kind: Difference['kind']
  readonly type: string
  /** null: it lives on. */
  readonly expiresInMs: number | null
  readonly backup: string
  readonly live: string
}

export async function viewsOf(found: readonly Difference[], aside: RawRedis, live: RawRedis, signal: AbortSignal): Promise<readonly KeyView[]> {
  const views: KeyView[] = []
  for (const at of found) {
    signal.throwIfAborted()
    const { kind } = at
    const from = kind === 'absent' ? live : aside
    const [, type, leftMs] = await from.pipeline([
      ['SELECT', String(at.database)],
      ['TYPE', bytesOf(at.key)],
      ['PTTL', bytesOf(at.key)],
    ])
    views.push({
      database: at.database,
      key: shown([at.key]),
      kind,
      type: String(type),
      expiresInMs: typeof leftMs === 'number' && leftMs >= 0 ? leftMs : null,
      backup: await preview(aside, at),
      live: await preview(live, at),
    })
  }
  return views
}

interface About {
  readonly pattern: string
  readonly from: string
  readonly host: string
  readonly expired: number | null
  /** What the values of the other side are called. */
  readonly side: 'backup' | 'moment' | 'kept'
}

type Counts = Pick<Differences, 'differ' | 'missing' | 'absent'>

/** Who takes a return back removes what it had brought: that is no writing of keys. */
function counted(write: string | null, remove: string | null, verbs: readonly [write: string, remove: string]): string {
  if (write === null && remove !== null) return `${remove} keys ${verbs[1]}`
  return `${write ?? 0} keys ${verbs[0]}${remove === null ? '' : `, ${remove} ${verbs[1].replace('would be ', '')}`}`
}

export function wouldWords({ differ, missing, absent }: Counts): string {
  const write = differ + missing
  return counted(write === 0 ? null : String(write), absent === 0 ? null : String(absent), ['would be written', 'would be removed'])
}

export function doneWords({ differ, missing, absent }: Counts, { applied, removed }: Pick<Returned, 'applied' | 'removed'>): string {
  const write = differ + missing
  return counted(write === 0 ? null : `${applied - removed} of ${write}`, absent === 0 ? null : `${removed} of ${absent}`, ['written', 'removed'])
}

export function askWords({ differ, missing, absent }: Counts, host: string): string {
  const write = differ + missing
  if (write === 0) return `Remove ${absent} keys from ${host}?`
  return `Write ${write} keys into ${host}${absent === 0 ? '' : `, and remove ${absent}`}?`
}

export function drawDifferences(found: Differences, views: readonly KeyView[], { pattern, from, host, expired, side }: About): string {
  const lines = [
    `${pc.bold(pattern)} of ${from}, beside what ${host} has now:`,
    `  ${found.missing} missing there, ${found.differ} with other values, ${found.equal} equal${found.absent > 0 ? `, ${found.absent} that were not there` : ''}`,
    ...(found.onlyLive > 0 ? [`  ${found.onlyLive} only there: left alone`] : []),
    ...(expired !== null && expired > 0 ? [`  of its keys, of any name, ${expired} expired since: left out`] : []),
    ...views.flatMap((view) => drawOne(view, side)),
    ...(found.items.length > views.length ? [`  … ${found.items.length - views.length} more: --limit N`] : []),
  ]
  return `${lines.join('\n')}\n`
}

function drawOne(view: KeyView, side: About['side']): readonly string[] {
  const ttl = view.expiresInMs === null ? '' : `, expires in ${spanWords(view.expiresInMs)}`
  return [
    `  db${view.database} ${pc.bold(view.key)} (${view.type}${ttl})`,
    `      ${`${side}:`.padEnd(8)}${view.backup}`,
    `      ${'now:'.padEnd(8)}${view.live}`,
  ]
}
