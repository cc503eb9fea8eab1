/**
 * The disk of a redis: looked at while no process runs, where Holdfast starts it; and the note of where its dataset stands, which outlives
 * what redis forgets. Looks only when something has changed, and writes at a calm rhythm: an idle agent reads no file here. The rules
 * are decide/disk.ts and decide/note.ts.
 */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { Config, GroupConfig } from '../model/config.ts'
import type { AofEnd, DataDir, DiskProbe, PositionNote } from '../model/disk.ts'
import { aofToDropFile, positionNoteFile, redisDataDir } from '../model/paths.ts'
import type { State } from '../model/state.ts'
import type { RedisFacts, RedisProbe } from '../model/view.ts'
import { writeDurably } from '../act/durable.ts'
import { appendonlyInFile, isStartedOtherwise } from '../act/start.ts'
import { monotonicMs } from './clock.ts'
import { mustNote, noteOf, restoredFrom } from '../decide/note.ts'
import { checkEnd, lookAtEnd } from '../observe/aof-end.ts'
import { observeDataDir } from '../observe/data-dir.ts'
import { usualFiles, type RedisFiles } from '../observe/redis-files.ts'
import { cutsTornAof, wantsAof } from '../render/redis-conf.ts'

/** While no redis runs, which is not a calm time. */
const lookAgainMs = 1000

type Probe = Omit<RedisProbe, 'fence'>

export interface DiskSense {
  /** The probe with what the disk says: before a start, and of a process whose history redis has forgotten. Never throws. */
  readonly look: (probe: Probe, state: State) => Promise<Probe>
  readonly exited: (failures: number, words: string) => void
  readonly changed: () => void
  /** DURABLE when it returns: from now on the AOF that was noted has less than it had. */
  readonly aofIsCut: () => Promise<void>
}

/** What redis says of an AOF that it does not read. */
const ofTheAof = /append only file/i

export function openDiskSense(
  paths: Config['paths'],
  group: GroupConfig,
  userConf: string | undefined,
  externalFiles: () => RedisFiles | null,
  complain: (why: string) => void,
): DiskSense {
  const ours = usualFiles(redisDataDir(paths, group.name))
  const external = group.process !== 'direct'
  const file = positionNoteFile(paths, group.name)
  const wants = wantsAof(group, userConf)
  const cutsTorn = cutsTornAof(group, userConf)
  let note: PositionNote | null | 'unread' = 'unread'
  /** What the process that is to come, or runs, has found. */
  let found: DataDir | null = null
  let stale = true
  let lookedMs = Number.NEGATIVE_INFINITY
  let failed = { failures: 0, words: '' }
  /** Of the AOF as it was found last. */
  let end: AofEnd | string | null = null
  let check: { readonly of: DataDir; readonly over: boolean } | null = null
  let since = { synced: false, filesChanged: false }
  let last: RedisFacts | null = null
  /** The process whose origin has been settled: by a note, or as unknown. */
  let judged = ''
  /** What the process that does not answer yet is reading. */
  let reading: DiskProbe | null = null
  let otherwise = { runId: '', is: false, file: null as 'yes' | 'no' | null, left: {} as Pick<RedisProbe, 'aofLeft'> }

  async function noted(): Promise<PositionNote | null> {
    if (note === 'unread') note = await readNote(file, complain)
    return note
  }

  async function writeOrThrow(next: PositionNote): Promise<void> {
    await writeDurably(file, JSON.stringify(next))
    note = next
  }

  async function write(next: PositionNote): Promise<void> {
    try {
      await writeOrThrow(next)
      since = { synced: false, filesChanged: false }
    } catch (error) {
      complain(`cannot write ${file}: ${(error as Error).message}`)
    }
  }

  async function beforeStart(): Promise<DiskProbe> {
    const known = await noted()
    // Somebody may mend or replace what could not be read.
    if (stale || found === null || monotonicMs() - lookedMs > lookAgainMs) {
      const seen = await observeDataDir(ours)
      if (found === null || JSON.stringify(found) !== JSON.stringify(seen)) {
        if (found !== null) failed = { failures: 0, words: '' }
        check = null
        found = seen
        end = seen.aof?.ok === true ? await lookAtEnd(ours.dir, seen.aof, known) : null
      }
      stale = false
      lookedMs = monotonicMs()
    }
    if (end === null && failed.failures > 0 && ofTheAof.test(failed.words)) checkAll(found)
    last = null
    judged = ''
    const of = { failures: failed.failures, lastWords: failed.words, aofEnd: end, checking: check?.over === false, cutsTorn }
    return { ...found, wantsAof: wants, note: known, ...of }
  }

  /** Gigabytes may take minutes: never waited for. */
  function checkAll(of: DataDir): void {
    if (check?.of === of || of.aof?.ok !== true) return
    check = { of, over: false }
    const settle = (seen: AofEnd | string): void => {
      if (check?.of !== of) return
      check = { of, over: true }
      end = seen
    }
    // Whatever happens it is over then: as long as it is not, redis is not started.
    void checkEnd(paths.redisServer, ours.dir, of.aof).then(
      (seen) => settle(seen.ok ? seen.value : seen.why),
      (error: unknown) => settle((error as Error).message),
    )
  }

  function remember(facts: RedisFacts): void {
    const before = last?.runId === facts.runId ? last : null
    const rewritten = before !== null && before.aof?.generation !== facts.aof?.generation
    const saved = before !== null && before.savedAtS !== facts.savedAtS
    since = { synced: since.synced || facts.syncing, filesChanged: since.filesChanged || rewritten || saved }
    last = facts
  }

  async function withOrigin(facts: RedisFacts, state: State, files: RedisFiles): Promise<RedisFacts> {
    remember(facts)
    const known = await noted()
    if (mustNote(known, facts, state, since, Date.now())) {
      const next = noteOf(known, facts, state, await observeDataDir(files), Date.now())
      if (next !== null) await write(next)
      return facts
    }
    if (known === null || facts.loading || facts.syncing || state.lineage.some((e) => e.replid === facts.replid)) return facts
    const { restored } = known
    if (restored?.runId === facts.runId) return restored.id === facts.replid || restored.id === facts.replid2 ? { ...facts, restored: restored.value } : facts
    if (judged === facts.runId) return facts
    judged = facts.runId
    // Nobody has looked before somebody else started it.
    if (external || found === null) found = await observeDataDir(files)
    const value = restoredFrom(known, facts, found)
    if (value === null) return facts
    await write({ ...known, restored: { runId: facts.runId, id: facts.replid, value } })
    return { ...facts, restored: value }
  }

  /** Its supervisor starts it from whatever is there: all that can be done is to say it. */
  async function seenOfExternal(files: RedisFiles): Promise<DiskProbe> {
    const known = await noted()
    if (found === null || monotonicMs() - lookedMs > lookAgainMs) {
      found = await observeDataDir(files)
      end = found.aof?.ok === true ? await lookAtEnd(files.dir, found.aof, known) : null
      lookedMs = monotonicMs()
    }
    const loadsAof = typeof known?.aof === 'object' && found.aof !== null
    return { ...found, wantsAof: loadsAof, note: known, failures: 0, lastWords: '', aofEnd: end }
  }

  async function lookAtExternal(probe: Probe, state: State): Promise<Probe> {
    const files = externalFiles()
    if (probe.process === false && files !== null) return { ...probe, disk: await seenOfExternal(files) }
    if (probe.facts === null || probe.factsAgeMs > 1000 || files === null) return probe
    return { ...probe, facts: await withOrigin(probe.facts, state, files) }
  }

  return {
    look: async (probe, state) => {
      if (external) return lookAtExternal(probe, state)
      if (probe.process === false) {
        reading = await beforeStart()
        return { ...probe, disk: reading }
      }
      if (probe.facts !== null && !probe.facts.loading) reading = null
      if (reading !== null) return { ...probe, disk: reading }
      // Whoever ends it: what it leaves is looked at anew.
      if (probe.process === true) stale = true
      const { facts } = probe
      // An old answer of a process that is busy says nothing new.
      if (facts === null || probe.factsAgeMs > 1000) return probe
      if (otherwise.runId !== facts.runId)
        otherwise = {
          runId: facts.runId,
          is: isStartedOtherwise(paths, group.name),
          file: appendonlyInFile(paths, group.name),
          left: existsSync(aofToDropFile(paths, group.name)) ? { aofLeft: true } : {},
        }
      // There the role decides.
      if (group.persistence !== undefined) return { ...probe, facts: await withOrigin(facts, state, ours), persistFile: otherwise.file, ...otherwise.left }
      const owed = otherwise.is && facts.aof != null && facts.aof.enabled !== wants
      return { ...probe, facts: await withOrigin(facts, state, ours), aofOwed: owed ? (wants ? 'yes' : 'no') : null }
    },
    exited: (failures, words) => {
      failed = { failures, words }
      stale = true
    },
    changed: () => {
      failed = { failures: 0, words: '' }
      stale = true
      otherwise = { runId: '', is: false, file: null, left: {} }
    },
    aofIsCut: async () => {
      const known = await noted()
      if (typeof known?.aof === 'object' && known.aof.cut !== true) await writeOrThrow({ ...known, aof: { ...known.aof, cut: true } })
    },
  }
}

/** A note that cannot be read is none: then the data are of unknown history, and nobody is promoted by guesswork. It is said. */
async function readNote(file: string, complain: (why: string) => void): Promise<PositionNote | null> {
  try {
    const value = JSON.parse(await readFile(file, 'utf8')) as Partial<PositionNote> | null
    const numbers = [value?.epoch, value?.offset, value?.sureOffset, value?.atWallMs].every((n) => Number.isFinite(n))
    const aof =
      value?.aof === 'off' ||
      value?.aof === 'unsettled' ||
      (typeof value?.aof === 'object' && typeof value.aof?.base === 'string' && Number.isFinite(value.aof.bytes))
    if (value?.format === 1 && numbers && aof && typeof value.runId === 'string' && typeof value.holder === 'string')
      return { rdb: null, restored: null, served: true, ...value } as PositionNote
    complain(`${file} is damaged or of another version (HF206): what redis reads from an AOF is then of unknown history`)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      complain(`cannot read ${file} (HF206): what redis reads from an AOF is then of unknown history: ${(error as Error).message}`)
  }
  return null
}
