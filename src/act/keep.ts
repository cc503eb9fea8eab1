/**
 * Before data are given up (INV-6): exactly the writes that only this redis has, from its replication stream; where that cannot be
 * had, the whole dataset. DURABLE, with its manifest, when the outcome is done: the next action is the one that gives them up.
 * Asked again until then: neither a long stream nor a long save holds up the loop.
 */
import { copyFile, link as hardLink, mkdir, open, readFile, readdir, rename, rm, stat } from 'node:fs/promises'
import type { Fork } from '../model/action.ts'
import type { Kept } from '../model/kept.ts'
import { localIp } from '../model/local-address.ts'
import { done, failed, waiting, type Observed, type Outcome } from '../model/outcome.ts'
import { keptDir } from '../model/paths.ts'
import { childrenOf, isSameProcess, type ProcessId } from '../observe/process.ts'
import { parseInfo, type InfoFields } from '../redis/info.ts'
import { capture, fetchPiece } from '../redis/psync.ts'
import { databaseAtEnd, isWrite, streamParser } from '../salvage/stream.ts'
import { keysOf } from '../salvage/keys.ts'
import { syncFolder, writeDurably } from './durable.ts'
import { command, setting, type RedisHands } from './redis.ts'

const commandDeadlineMs = 1000
/** At 100 MB/s, which loopback exceeds many times, six times the largest backlog that this asks for. */
const captureLimits = { deadlineMs: 60_000, maxBytes: 1024 * 1024 * 1024 }
/** How far back the last SELECT is looked for: first a glance, then, only where it matters, all that one reads in a second. */
const lookBackBytes = [256 * 1024, 64 * 1024 * 1024] as const
/** One cycle waits no longer for a capture than for any other action. */
const patienceMs = 300

interface Job {
  readonly key: string
  readonly ended: Promise<Observed<string>>
  result: Observed<string> | null
}
const jobs = new WeakMap<RedisHands, Job>()

export async function keepWrites(hands: RedisHands, name: string, fork: Fork): Promise<Outcome> {
  const key = `${fork.replid ?? ''}:${fork.fromOffset ?? 0}`
  let job = jobs.get(hands)
  if (job?.key !== key) {
    job = startJob(hands, name, fork, key)
    jobs.set(hands, job)
  }
  if (job.result === null) await Promise.race([job.ended, new Promise((resolve) => setTimeout(resolve, patienceMs))])
  if (job.result === null) return waiting('the diverged writes are being kept')
  if (job.result.ok) {
    jobs.delete(hands)
    if (job.result.value !== '') hands.note(job.result.value, 'kept')
    return done
  }
  const kept = await keepDataset(hands, name, fork)
  if (kept.done) {
    hands.note(`the diverged writes could not be read from the stream (${job.result.why}); the whole dataset was kept instead`, 'kept')
    jobs.delete(hands)
  }
  return kept
}

function startJob(hands: RedisHands, name: string, fork: Fork, key: string): Job {
  const job: Job = {
    key,
    result: null,
    ended: captureWrites(hands, name, fork).catch((error: unknown): Observed<string> => ({ ok: false, why: (error as Error).message })),
  }
  void job.ended.then((result) => {
    job.result = result
  })
  return job
}

/** What was kept, as a sentence; '' where there was nothing (left) to keep. */
async function captureWrites(hands: RedisHands, name: string, fork: Fork): Promise<Observed<string>> {
  const dir = keptDir(hands.config.paths, hands.group.name)
  const info = await infoOf(hands)
  if (!info.ok) return info
  const number = (field: string) => Number(info.value.get(field) ?? Number.NaN)
  const [to, firstByte] = [number('master_repl_offset'), number('repl_backlog_first_byte_offset')]
  const { replid, fromOffset } = fork
  if (replid === null || fromOffset === null) return { ok: false, why: 'the fork is not known' }
  if (info.value.get('role') !== 'master') return { ok: false, why: 'redis is a replica, which gives its stream to nobody' }
  await mkdir(dir, { recursive: true, mode: 0o750 })
  const from = await afterKept(dir, replid, fromOffset)
  // Without a backlog redis counts no bytes: equal offsets would say nothing.
  if (info.value.get('repl_backlog_active') !== '1') return { ok: false, why: 'it has no replication backlog' }
  if (from > to) return { ok: true, value: '' }
  if (!(firstByte <= from)) return { ok: false, why: `its backlog begins at ${firstByte}, the fork is at ${from}` }
  const target = { host: localIp(hands.config, hands.member.host), port: hands.member.port, password: hands.password }
  const onlyFirst = [...info.value.keys()].every((field) => !/^db\d+$/.test(field) || field === 'db0')
  let database: number | null = null
  for (const bytes of onlyFirst ? lookBackBytes.slice(0, 1) : lookBackBytes) {
    const before = await fetchPiece(target, { replid, from: Math.max(firstByte, from - bytes), to: from - 1 }, captureLimits)
    if (before.ok) database ??= databaseAtEnd(before.value.toString('latin1'))
  }
  if (database === null && onlyFirst) database = 0
  if (database === null) return { ok: false, why: 'it uses several databases, and which one was selected at the fork is not known' }
  const id = `${name}-offset-${to}`
  const part = `${dir}/${id}.part`
  const captured = await capture(target, { replid, from, to }, part, captureLimits)
  if (!captured.ok) return captured
  return finishCapture({ hands, dir, id, part, fork: { ...fork, replid, fromOffset: from }, to, database, sha256: captured.value.sha256 })
}

interface Captured {
  readonly hands: RedisHands
  readonly dir: string
  readonly id: string
  readonly part: string
  readonly fork: Fork
  readonly to: number
  readonly database: number
  readonly sha256: string
}

async function finishCapture(captured: Captured): Promise<Observed<string>> {
  const { hands, dir, id, part, fork, to, database } = captured
  const from = fork.fromOffset ?? 0
  const counted = await countIn(part, from, database)
  if (counted.broken !== null || counted.end !== to + 1)
    return { ok: false, why: `the captured stream is not whole (${counted.broken ?? `it ends at ${counted.end - 1}`})` }
  if (counted.commands === 0) {
    await rm(part, { force: true })
    return { ok: true, value: '' }
  }
  await rename(part, `${dir}/${id}.resp`)
  await syncFolder(dir)
  await writeManifest(hands, dir, {
    id,
    kind: 'commands',
    epoch: fork.epoch,
    replid: fork.replid ?? '',
    fromOffset: from,
    toOffset: to,
    bytes: to - from + 1,
    commands: counted.commands,
    keys: counted.keys,
    databases: counted.databases,
    startDatabase: database,
    forkedAtWallMs: fork.forkedAtWallMs,
    sha256: captured.sha256,
    why: `writes of epoch ${fork.epoch} that only ${hands.member.host} had`,
  })
  return { ok: true, value: `${counted.commands} diverged writes (${to - from + 1} bytes) were kept as ${dir}/${id}.resp` }
}

async function countIn(file: string, from: number, database: number) {
  const parser = streamParser(from, database)
  const keys = new Set<string>()
  const databases = new Set<number>()
  let commands = 0
  const handle = await open(file, 'r')
  try {
    for await (const chunk of handle.createReadStream({ autoClose: false })) {
      for (const c of parser.push((chunk as Buffer).toString('latin1'))) {
        if (!isWrite(c)) continue
        commands += 1
        databases.add(c.database ?? 0)
        for (const key of keysOf(c) ?? []) keys.add(`${c.database ?? 0}:${key}`)
      }
    }
  } finally {
    await handle.close()
  }
  return { commands, keys: keys.size, databases: [...databases].sort((a, b) => a - b), end: parser.position(), broken: parser.broken() }
}

/** An agent that died after it had kept something goes on behind it, instead of keeping it twice. */
async function afterKept(dir: string, replid: string, from: number): Promise<number> {
  let next = from
  for (const name of await readdir(dir)) {
    if (!name.endsWith('.json')) continue
    try {
      const kept = JSON.parse(await readFile(`${dir}/${name}`, 'utf8')) as Kept
      if (kept.kind === 'commands' && kept.replid === replid && kept.fromOffset !== null && kept.fromOffset >= from)
        next = Math.max(next, (kept.toOffset ?? 0) + 1)
    } catch {
      // Not a manifest: it says nothing about what was kept.
    }
  }
  return next
}

type ManifestPart = Omit<Kept, 'format' | 'group' | 'host' | 'keptAtWallMs' | 'seenAtWallMs' | 'seenBy'>

async function writeManifest(hands: RedisHands, dir: string, part: ManifestPart): Promise<void> {
  const kept: Kept = { format: 1, group: hands.group.name, host: hands.member.host, keptAtWallMs: Date.now(), seenAtWallMs: null, seenBy: null, ...part }
  await writeDurably(`${dir}/${part.id}.json`, JSON.stringify(kept))
}

async function infoOf(hands: RedisHands): Promise<Observed<InfoFields>> {
  const info = await hands.link()?.call(['INFO'], commandDeadlineMs)
  if (info === undefined) return { ok: false, why: 'no connection to redis' }
  if (!info.ok) return info
  return typeof info.value === 'string' ? { ok: true, value: parseInfo(info.value) } : { ok: false, why: 'INFO: no text' }
}

/** Copies the dataset aside. Asked again until the save has finished; done when the copy exists. */
export async function keepDataset(hands: RedisHands, name: string, fork: Fork): Promise<Outcome> {
  const dir = keptDir(hands.config.paths, hands.group.name)
  const link = hands.link()
  const info = await infoOf(hands)
  if (!info.ok || link === null) return failed(info.ok ? 'no connection to redis' : info.why)
  const fields = info.value
  // What redis itself puts into its stream moves the offset on while the save runs.
  const begun = saves.get(hands)
  const offset = begun?.name === name ? begun.offset : Number(fields.get('master_repl_offset') ?? 0)
  const id = `${name}-offset-${offset}`
  const file = `${dir}/${id}.rdb`
  if (await exists(`${dir}/${id}.json`)) return done
  if (!(await exists(file))) {
    const saved = await savedRdb(hands, fields, { name, offset })
    if (typeof saved !== 'string') return saved
    await mkdir(dir, { recursive: true, mode: 0o750 })
    try {
      await hardLink(saved, file)
    } catch {
      await copyWhole(saved, file) // another file system
    }
    await syncFolder(dir)
  }
  const { size } = await stat(file)
  await writeManifest(hands, dir, {
    id,
    kind: 'dataset',
    epoch: fork.epoch,
    replid: fork.replid ?? fields.get('master_replid') ?? '',
    fromOffset: fork.fromOffset,
    toOffset: offset,
    bytes: size,
    commands: null,
    keys: keysIn(fields),
    databases: [...fields.keys()].flatMap((field) => /^db(\d+)$/.exec(field)?.[1] ?? []).map(Number),
    startDatabase: null,
    forkedAtWallMs: fork.forkedAtWallMs,
    // An RDB carries its own checksum, and may be too large to read here.
    sha256: null,
    why: `the dataset of ${hands.member.host} before it was given up`,
  })
  hands.note(`the dataset with the diverged writes was kept as ${file}`, 'kept')
  return done
}

/** The path of the save that was begun for this and has ended; otherwise what is to be waited for. */
async function savedRdb(hands: RedisHands, fields: InfoFields, wanted: Pick<Save, 'name' | 'offset'>): Promise<string | Outcome> {
  const [dir, rdb] = [await setting(hands, 'dir', commandDeadlineMs), await setting(hands, 'dbfilename', commandDeadlineMs)]
  if (dir === '' || rdb === '') return failed('redis does not say where it saves')
  const file = `${dir}/${rdb}`
  const running = fields.get('rdb_bgsave_in_progress') === '1'
  const begun = saves.get(hands)
  if (begun?.name !== wanted.name) {
    if (running) return waiting('another save is still running')
    const before = await madeAt(file)
    const told = await command(hands, 'BGSAVE')
    if (!told.done) return told
    saves.set(hands, { ...wanted, before, children: childrenOf(Number(fields.get('process_id'))) })
    return waiting('the dataset is being kept')
  }
  if (running) return waiting('the dataset is being kept')
  saves.delete(hands)
  if (fields.get('rdb_last_bgsave_status') !== 'ok') return failed('the save before giving the dataset up failed; it is not given up')
  // One that was ended in the middle (SIGUSR1) counts as no failure: the file there is of an older save.
  return (await madeAt(file)) === begun.before ? waiting('the save was ended before it was done, and is begun anew') : file
}

/** Each save renames a file of its own to this one. */
async function madeAt(file: string): Promise<string> {
  return stat(file).then(
    ({ ino, mtimeMs }) => `${ino} ${mtimeMs}`,
    () => '',
  )
}

interface Save {
  readonly name: string
  readonly offset: number
  /** The file that was there when it was begun. */
  readonly before: string
  readonly children: readonly ProcessId[]
}

/** The save that was begun and has not been taken over yet. */
const saves = new WeakMap<RedisHands, Save>()

/** What a child of redis writes now is what is kept. */
export function isSaving(hands: RedisHands): boolean {
  return saves.get(hands)?.children.some(isSameProcess) === true
}

function keysIn(fields: InfoFields): number {
  return [...fields].reduce((sum, [name, value]) => (/^db\d+$/.test(name) ? sum + Number(/keys=(\d+)/.exec(value)?.[1] ?? 0) : sum), 0)
}

async function exists(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  )
}

async function copyWhole(from: string, to: string): Promise<void> {
  await copyFile(from, `${to}.part`)
  const handle = await open(`${to}.part`, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(`${to}.part`, to)
}
