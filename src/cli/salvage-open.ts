/** Finding a kept copy, reading it from its host, and putting it beside the primary: what `salvage show` and `replay` begin with. */
import { open } from 'node:fs/promises'
import { readPassword } from '../config/files.ts'
import { OperatorError } from '../model/error.ts'
import type { Kept, KeptEntry, ReplayLine } from '../model/kept.ts'
import { openRaw, type RawRedis } from '../redis/raw.ts'
import type { SourceItem } from '../replay/items.ts'
import { commandSource, datasetSource, type Source } from '../replay/source.ts'
import { openTap, type Tap } from '../replay/tap.ts'
import { classOf, type ItemClass } from '../salvage/classify.ts'
import { progressOf, type Progress } from '../salvage/progress.ts'
import { ask, askAll, groupOf, statusOf, type Session } from './ask.ts'

const pageBytes = 512 * 1024
const redisDeadlineMs = 30_000
const pageDeadlineMs = 30_000

export const operator = (): string => process.env.SUDO_USER ?? process.env.USER ?? 'root'

export interface KeptList {
  readonly kept: readonly KeptEntry[]
  readonly silent: readonly string[]
}

export async function listKept(session: Session, group: string): Promise<KeptList> {
  const kept: KeptEntry[] = []
  const silent: string[] = []
  for (const { host } of groupOf(session, group).members) {
    try {
      kept.push(...((await ask(session, host, { method: 'GET', path: `/groups/${group}/kept` })) as { kept: KeptEntry[] }).kept)
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error
      silent.push(host)
    }
  }
  if (silent.length === groupOf(session, group).members.length)
    throw new OperatorError('HF301', `no agent of ${group} answers`, 'what is kept lies with the members: start their agents')
  return { kept: kept.sort((a, b) => a.keptAtWallMs - b.keptAtWallMs), silent }
}

/** HOST/ID where two hosts keep something of one name. */
export async function findKept(session: Session, group: string, id: string): Promise<KeptEntry> {
  const { kept, silent } = await listKept(session, group)
  const found = kept.filter((k) => k.id === id || `${k.host}/${k.id}` === id)
  const [one, two] = found
  const unasked = silent.length === 0 ? '' : `; not asked, because no agent answers there: ${silent.join(', ')}`
  if (one === undefined) throw new OperatorError('HF601', `${group} keeps nothing called ${id}${unasked}`, `holdfast salvage list ${group}`)
  if (two !== undefined)
    throw new OperatorError('HF601', `several hosts keep something called ${id}`, `say which: ${found.map((f) => `${f.host}/${f.id}`).join(', ')}`)
  return one
}

export async function markSeen(session: Session, kept: KeptEntry): Promise<void> {
  if (kept.seenAtWallMs === null)
    await ask(session, kept.host, { method: 'POST', path: `/groups/${kept.group}/kept/${kept.id}/seen`, body: { by: operator(), atWallMs: Date.now() } })
}

export async function readJournal(session: Session, kept: KeptEntry): Promise<readonly ReplayLine[]> {
  return ((await ask(session, kept.host, { method: 'GET', path: `/groups/${kept.group}/kept/${kept.id}/journal` })) as { lines: readonly ReplayLine[] }).lines
}

async function* pagesOf(session: Session, kept: Kept): AsyncGenerator<Buffer> {
  for (let offset = 0; offset < kept.bytes; ) {
    const path = `/groups/${kept.group}/kept/${kept.id}/content?offset=${offset}&limit=${pageBytes}`
    const page = (await ask(session, kept.host, { method: 'GET', path, deadlineMs: pageDeadlineMs })) as { base64: string }
    const bytes = Buffer.from(page.base64, 'base64')
    if (bytes.length === 0) throw new OperatorError('HF604', `${kept.id} ends at ${offset} of ${kept.bytes} bytes`, `look at the file on ${kept.host}`)
    offset += bytes.length
    yield bytes
  }
}

export interface Bench {
  readonly kept: KeptEntry
  readonly primary: string
  readonly live: RawRedis
  readonly tap: Tap | null
  /** Why `tap` is null. */
  readonly tapWhy: string
  readonly source: Source
  readonly journal: readonly ReplayLine[]
  readonly progress: Progress
  readonly classOf: (item: SourceItem) => ItemClass
  readonly close: () => Promise<void>
}

export interface Primary {
  readonly host: string
  readonly target: { readonly host: string; readonly port: number; readonly password: string | undefined }
  readonly live: RawRedis
}

/** The one that the agents name. */
export async function openPrimary(session: Session, group: string): Promise<Primary> {
  const [status] = await statusOf(session, group)
  const member = groupOf(session, group).members.find((m) => m.host === status?.primary)
  if (status === undefined || member === undefined)
    throw new OperatorError('HF303', `${group} has no primary: ${status?.because ?? ''}`, 'what is kept is compared with what the primary has')
  const target = { host: session.config.hosts[member.host]?.ip ?? '', port: member.port, password: await readPassword(groupOf(session, group)) }
  const opened = await openRaw(target, redisDeadlineMs)
  if (opened.ok) return { host: member.host, target, live: opened.value }
  throw new OperatorError(
    /WRONGPASS|NOAUTH/.test(opened.why) ? 'HF401' : 'HF605',
    `the redis of ${member.host} (${target.host}:${target.port}): ${opened.why}`,
    'can this machine reach it, with the password of the configuration?',
  )
}

/** The kept items, the primary, and what the primary's history has written since the fork. */
export async function openBench(session: Session, group: string, id: string): Promise<Bench> {
  const kept = await findKept(session, group, id)
  await markSeen(session, kept)
  if (kept.kind === 'aof')
    throw new OperatorError(
      'HF604',
      `${kept.id} is an AOF that redis could not read: there is nothing to replay`,
      `salvage show ${group} ${kept.id} says how to look into it`,
    )
  const journal = await readJournal(session, kept)
  const { host, target, live } = await openPrimary(session, group)
  let tap: Tap | null = null
  try {
    const since = await tapSince(session, group, kept, live, target)
    tap = since.ok ? since.tap : null
    const source =
      kept.kind === 'commands'
        ? await commandSource(kept, pagesOf(session, kept))
        : await datasetSource(kept, session.config.paths.redisServer, (file) => download(session, kept, file), live, tap)
    return {
      kept,
      primary: host,
      live,
      tap,
      tapWhy: since.ok ? '' : since.why,
      source,
      journal,
      progress: progressOf(journal),
      classOf: (item) => classOf(item.nature, tap === null ? 'unknown' : item.keys.some((k) => tap?.touched(k.key) === true)),
      close: async () => {
        tap?.close()
        live.close()
        await source.close()
      },
    }
  } catch (error) {
    tap?.close()
    live.close()
    throw error
  }
}

type Since = { readonly ok: true; readonly tap: Tap } | { readonly ok: false; readonly why: string }

/** Where the accepted history parted from what was kept: the beginning of the next epoch. */
async function tapSince(
  session: Session,
  group: string,
  kept: Kept,
  live: RawRedis,
  target: { host: string; port: number; password: string | undefined },
): Promise<Since> {
  const answers = await askAll(
    session,
    groupOf(session, group).members.map((m) => m.host),
  )
  const states = answers.flatMap((a) => a.groups.filter((g) => g.group === group).flatMap((g) => (g.state === null ? [] : [g.state])))
  const lineage = states.sort((a, b) => b.epoch - a.epoch)[0]?.lineage ?? []
  const after = lineage.filter((e) => e.epoch > kept.epoch)
  const fork = after[0]?.startOffset
  if (fork === undefined || kept.replid === '') return { ok: false, why: 'where it left the accepted history is not known' }
  if (!lineage.some((e) => e.replid === kept.replid) || after.some((e) => e.startOffset < fork))
    return { ok: false, why: 'the history has gone back since, so offsets cannot be compared' }
  const info = String(await live.call('INFO', 'replication'))
  const field = (name: string) => new RegExp(`${name}:(\\S+)`).exec(info)?.[1] ?? ''
  const first = Number(field('repl_backlog_first_byte_offset'))
  if (field('repl_backlog_active') !== '1' || !(first <= fork)) return { ok: false, why: `the primary's backlog begins at ${first}, the fork is at ${fork}` }
  const opened = await openTap(target, field('master_replid'), fork)
  if (!opened.ok) return { ok: false, why: opened.why }
  if (await opened.value.upTo(Number(field('master_repl_offset')), redisDeadlineMs)) return { ok: true, tap: opened.value }
  opened.value.close()
  return { ok: false, why: "the primary's stream could not be read to its end" }
}

async function download(session: Session, kept: Kept, file: string): Promise<void> {
  const handle = await open(file, 'w', 0o600)
  try {
    for await (const page of pagesOf(session, kept)) await handle.write(page)
  } finally {
    await handle.close()
  }
}
