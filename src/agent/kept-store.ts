/**
 * The kept copies of one group on this host, for people: list, read in pages, note that somebody has looked, keep the journal
 * of a replay. Changes nothing of what was kept, and deletes nothing (that is the budget's affair).
 */
import { open, readFile, readdir, stat } from 'node:fs/promises'
import type { Config } from '../model/config.ts'
import { isKeptId, type Kept, type KeptEntry, type KeptKind, type ReplayLine } from '../model/kept.ts'
import { keptDir } from '../model/paths.ts'
import { writeDurably } from '../act/durable.ts'
import { bytesIn } from '../act/set-aside.ts'

const maxListed = 1000
const maxPageBytes = 1024 * 1024
const maxJournalBytes = 64 * 1024 * 1024

export interface KeptPage {
  readonly offset: number
  readonly totalBytes: number
  readonly base64: string
}

export interface KeptStore {
  readonly list: () => Promise<readonly KeptEntry[]>
  /** null: no such copy. */
  readonly page: (id: string, offset: number, limit: number) => Promise<KeptPage | null>
  readonly seen: (id: string, by: string, atWallMs: number) => Promise<boolean>
  readonly journal: (id: string) => Promise<readonly ReplayLine[] | null>
  /**
   * Durable when it returns, with the number of lines there are then. `overtaken`: there are not as many lines as its writer
   * believes, so somebody else writes too, and nothing was added.
   */
  readonly append: (id: string, line: ReplayLine, expectLines: number) => Promise<number | 'missing' | 'overtaken'>
}

export function keptStore(paths: Config['paths'], group: string, host: string, tell: (text: string) => void): KeptStore {
  const dir = keptDir(paths, group)
  /** One writer at a time for each journal. */
  const turns = new Map<string, Promise<void>>()
  const one = async (id: string): Promise<Kept | null> => (isKeptId(id) ? readKept(dir, id, group, host) : null)
  const readJournal = async (id: string): Promise<readonly ReplayLine[]> => parseJournal(await readFile(`${dir}/${id}.journal`, 'utf8').catch(() => ''))
  return {
    list: async () => {
      const names = await readdir(dir).catch((): string[] => [])
      const ids = [...new Set(names.flatMap((name) => /^(.+)\.(?:resp|rdb|aof)$/.exec(name)?.[1] ?? []))].filter(isKeptId).slice(0, maxListed)
      const entries = await Promise.all(ids.map(async (id) => ({ kept: await one(id), journal: await readJournal(id) })))
      return entries
        .flatMap(({ kept, journal }) => (kept === null ? [] : [{ ...kept, file: fileOf(dir, kept), replay: summaryOf(journal) }]))
        .sort((a, b) => a.keptAtWallMs - b.keptAtWallMs)
    },
    page: async (id, offset, limit) => {
      const kept = await one(id)
      // An AOF is a folder, and nobody who asks could read it.
      if (kept === null || kept.kind === 'aof') return null
      const file = await open(fileOf(dir, kept), 'r')
      try {
        const buffer = Buffer.alloc(Math.min(maxPageBytes, Math.max(1, limit)))
        const { bytesRead } = await file.read(buffer, 0, buffer.length, Math.max(0, offset))
        return { offset, totalBytes: kept.bytes, base64: buffer.toString('base64', 0, bytesRead) }
      } finally {
        await file.close()
      }
    },
    seen: async (id, by, atWallMs) => {
      const kept = await one(id)
      if (kept === null) return false
      if (kept.seenAtWallMs === null) await writeDurably(`${dir}/${id}.json`, JSON.stringify({ ...kept, seenAtWallMs: atWallMs, seenBy: by }))
      return true
    },
    journal: async (id) => ((await one(id)) === null ? null : readJournal(id)),
    append: async (id, line, expectLines) => {
      if ((await one(id)) === null) return 'missing'
      const turn = turns.get(id) ?? Promise.resolve()
      const mine = turn.then(() => appendLine(dir, id, line, expectLines))
      if (line.what === 'begin' || line.what === 'end')
        void mine.then(
          (lines) => lines !== 'overtaken' && tell(`${id}: ${line.by} ${line.what === 'begin' ? 'replays' : 'ended the replay:'} ${line.text}`),
          () => {},
        )
      turns.set(
        id,
        mine.then(
          () => {},
          () => {},
        ),
      )
      return mine
    },
  }
}

async function appendLine(dir: string, id: string, line: ReplayLine, expectLines: number): Promise<number | 'overtaken'> {
  const known = parseJournal(await readFile(`${dir}/${id}.journal`, 'utf8').catch(() => ''))
  if (known.length !== expectLines) return 'overtaken'
  const file = await open(`${dir}/${id}.journal`, 'a', 0o640)
  try {
    if ((await file.stat()).size > maxJournalBytes) throw new Error(`${dir}/${id}.journal has grown past ${maxJournalBytes} bytes`)
    // A line of its own, whatever a crash has left before it.
    await file.writeFile(`\n${JSON.stringify(line)}\n`)
    await file.sync()
  } finally {
    await file.close()
  }
  return known.length + 1
}

const endings = { commands: 'resp', dataset: 'rdb', aof: 'aof' } as const

export function fileOf(dir: string, kept: Pick<Kept, 'id' | 'kind'>): string {
  return `${dir}/${kept.id}.${endings[kept.kind]}`
}

/** The manifest; for a copy without one, what can be said of its file. null: neither. */
async function readKept(dir: string, id: string, group: string, host: string): Promise<Kept | null> {
  try {
    const kept = JSON.parse(await readFile(`${dir}/${id}.json`, 'utf8')) as Kept
    if (kept.format === 1 && kept.id === id) return kept
  } catch {
    // No manifest, or half of one: below.
  }
  const kind: KeptKind = (await bytesIn(`${dir}/${id}.aof`)) === null ? 'dataset' : 'aof'
  const file = fileOf(dir, { id, kind })
  const [found, bytes] = [await stat(file).catch(() => null), await bytesIn(file)]
  if (found === null || bytes === null) return null
  return {
    format: 1,
    id,
    group,
    host,
    kind,
    epoch: Number(/^epoch-(\d+)-/.exec(id)?.[1] ?? 0),
    replid: '',
    fromOffset: null,
    toOffset: Number(/-offset-(\d+)$/.exec(id)?.[1] ?? Number.NaN) || null,
    bytes,
    commands: null,
    keys: null,
    databases: null,
    startDatabase: null,
    forkedAtWallMs: null,
    keptAtWallMs: Math.round(found.mtimeMs),
    sha256: null,
    why: kind === 'aof' ? 'redis could not read it; its manifest is lost' : 'kept by an earlier version: no manifest',
    ...(kind === 'aof' ? { unreadable: true } : {}),
    seenAtWallMs: null,
    seenBy: null,
  }
}

export function parseJournal(text: string): readonly ReplayLine[] {
  const lines: ReplayLine[] = []
  for (const line of text.split('\n')) {
    if (line === '') continue
    try {
      lines.push(JSON.parse(line) as ReplayLine)
    } catch {
      // Half a line of a crash: what it would have said was not confirmed to anybody.
    }
  }
  return lines
}

function summaryOf(journal: readonly ReplayLine[]): KeptEntry['replay'] {
  const last = journal.at(-1)
  if (last === undefined) return null
  const applied = new Set(journal.filter((l) => l.what === 'applied').flatMap((l) => l.items))
  return { applied: applied.size, lastAtWallMs: last.atWallMs, by: last.by, complete: journal.findLast((l) => l.what === 'end')?.text === 'complete' }
}
