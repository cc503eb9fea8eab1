/**
 * Backups of one group on this host, beside its loop: looks now and then whether this host is the one that takes them and whether one is due,
 * and has it made in a process of its own. Must not delay the loop, and must not load what only that process needs. Nothing is remembered: what
 * is due follows from what lies in the store.
 */
import { randomBytes } from 'node:crypto'
import { alarmsOf, whatIsDue, type Attempt, type Look, type Times } from '../backup/due.ts'
import type { JobBase, TakeJob, TestJob } from '../backup/job.ts'
import { backupId } from '../backup/manifest.ts'
import type { BackupReport, EndedBackup, JobProgress, RunningBackup, TakeAnswer } from '../backup/report.ts'
import { chooseSource, chooseThis, whyStop, type Choice } from '../backup/source.ts'
import { scheduleAt } from '../config/schedule.ts'
import type { Event } from '../model/action.ts'
import type { BackupConfig, Config, GroupConfig, MemberConfig } from '../model/config.ts'
import { localIp } from '../model/local-address.ts'
import { startJob, type JobEnd, type JobProcess } from './backup-process.ts'
import { monotonicMs } from './clock.ts'
import type { GroupLoop, GroupSnapshot } from './group.ts'
import { roomFor, type Room } from './room.ts'
import { sourceWatch, wordsOf } from './source-watch.ts'
import { careForStream, type StreamCare } from './stream-archive.ts'

/** From what is in memory: costs next to nothing, and a clock that jumps is noticed. */
const tickMs = 3000
/** The store is asked so often at least, for what others did there. */
const lookEveryMs = 15 * 60_000
const lookAgainMs = 2 * 60_000
/** The store could not be read, and something is put into it. */
const lookSoonMs = 10_000
/** Before a backup is begun, it must be known that nobody has made one just now. */
const lookFreshMs = 30_000
/** While one is being made: who is promoted meanwhile must not wait for it. */
const watchMs = 200
/** After one that was called off: not at once again from the same place. */
const restMs = 10_000

export interface BackupOptions {
  readonly config: Config
  readonly group: GroupConfig
  readonly backup: BackupConfig
  readonly member: MemberConfig
  readonly host: string
  readonly snapshot: () => GroupSnapshot | null
  readonly note: (kind: Event['kind'], text: string) => void
  readonly rooms: Rooms
}

/** Of all groups of this host: a hundred of them are due at the same full hour, and each restore test takes the memory that the others were shown. */
export interface Rooms {
  readonly looks: Room
  readonly work: Room
}

export interface BackupCare {
  readonly report: () => BackupReport
  /** `from` null: the best source, if that is this host. */
  readonly take: (order: { readonly from: string | null; readonly reason: string; readonly by: string }) => TakeAnswer
  /** false: it does not run. */
  readonly stop: (id: string, by: string) => boolean
  /** null: the stream is not archived. */
  readonly stream: Pick<StreamCare, 'archives' | 'phaseIs'> | null
  readonly close: () => void
}

interface Run {
  readonly process: JobProcess
  readonly shown: Omit<RunningBackup, keyof JobProgress>
  /** Of a test: nobody, it reads from the store. */
  readonly choice: Choice
  /** When it was begun. */
  readonly wasReplica: boolean
  calledOff: string | null
}

interface Ordered {
  readonly job: TakeJob | TestJob
  readonly choice: Choice
}

export function careForBackups(options: BackupOptions): BackupCare {
  const { config, group, backup, member, host, note, rooms } = options
  const hear = sourceWatch(options.snapshot)
  let look: Look = null
  let lookedMs = Number.NEGATIVE_INFINITY
  let looking: JobProcess | null = null
  let run: Run | null = null
  let last: Attempt | null = null
  let ended: EndedBackup | null = null
  let restUntilMs = 0
  let known: Times = null
  let isClosed = false

  function times(): Times {
    const { schedule } = backup
    if (schedule === null) return null
    const nowMs = Date.now()
    if (known === null || nowMs < known.lastMs || nowMs >= known.nextMs) known = scheduleAt(schedule, nowMs)
    return known
  }

  function choose(from: string | null, patient: boolean): Choice {
    const heard = hear()
    if (heard === null) return { host: null, why: 'this agent knows nothing of the group yet' }
    const { members, words, noReplicaForMs } = heard
    return from === null ? chooseSource(members, words, patient ? noReplicaForMs : Number.POSITIVE_INFINITY) : chooseThis(from, members, words)
  }

  function base(): JobBase {
    return { group: group.name, backup, everyMs: times()?.everyMs ?? null }
  }

  function tick(): void {
    const choice = choose(null, true)
    const isMine = choice.host === host
    const archives = stream?.archives() === true
    // What others have made meanwhile is not known here.
    if (choice.host !== null && !isMine && !archives) lookedMs = Number.NEGATIVE_INFINITY
    if (run !== null || looking !== null || !(isMine || archives)) return
    // Who archives is the one who knows that a backup is missing, and for that one he need not be the best source.
    const noBase = stream?.noBase() ?? null
    const due = whatIsDue(isMine ? times() : null, isMine && backup.test, look, last, noBase, Date.now())
    const ageMs = monotonicMs() - lookedMs
    const againMs = stream?.isWell() === true ? lookSoonMs : lookAgainMs
    const isOld = look === null || ageMs > (look.ok ? lookEveryMs : againMs)
    if (isOld || (due.what !== 'nothing' && ageMs > lookFreshMs)) {
      if (rooms.looks.enter(tickAgain)) lookNow()
      return
    }
    const own = isMine ? choice : choose(host, false)
    const from = isMine || own.host === null ? own : { ...own, why: 'it archives the stream' }
    if (due.what === 'nothing' || from.host === null || monotonicMs() < restUntilMs || !rooms.work.enter(tickAgain)) return
    begin(due.what === 'test' ? test(due.id, due.why) : take(from, due.why === noBase?.why ? 'stream' : 'schedule'), 'schedule', rooms.work.leave)
  }

  function tickAgain(): void {
    if (!isClosed) tick()
  }

  function lookNow(): void {
    looking = startJob({ ...base(), job: 'look' })
    void looking.ended.then((end) => {
      looking = null
      rooms.looks.leave()
      lookedMs = monotonicMs()
      // Once: it is looked for again and again.
      if (!end.ok && look?.ok !== false && !isClosed) note('backup-failed', `the store cannot be read: ${end.why}`)
      look = end.ok ? { ok: true, value: end.glance } : end
      if (!isClosed) tick()
    })
  }

  function redis(): TakeJob['redis'] {
    return { host: localIp(config, host), port: member.port, passwordFile: group.passwordFile ?? null }
  }

  function take(choice: Choice & { readonly host: string }, reason: string): Ordered & { readonly job: TakeJob } {
    const nonce = randomBytes(4).toString('hex')
    const id = backupId(new Date().toISOString(), nonce)
    const { role, why, epoch } = choice
    return { job: { ...base(), job: 'take', id, reason, source: { host, role, why }, epoch, redis: redis(), redisServer: config.paths.redisServer }, choice }
  }

  function test(id: string, why: string): Ordered {
    return { job: { ...base(), job: 'test', id, redisServer: config.paths.redisServer }, choice: { host: null, why } }
  }

  function begin({ job, choice }: Ordered, by: Attempt['by'], isOver: () => void): void {
    const beganMs = monotonicMs()
    const process = startJob(job)
    const about = look?.ok === true ? (look.value.newest?.rdbBytes ?? null) : null
    const shown = { id: job.id, what: job.job, by, source: host, why: choice.why, beganWallMs: Date.now(), about }
    const begun: Run = { process, shown, choice, wasReplica: isReplica(), calledOff: null }
    run = begun
    const watching = setInterval(() => watch(begun), watchMs)
    void process.ended.then((end) => {
      clearInterval(watching)
      run = null
      isOver()
      if (end.ok) {
        look = { ok: true, value: end.glance }
        lookedMs = monotonicMs()
      }
      if (!isClosed) finish(begun, end, monotonicMs() - beganMs)
    })
  }

  function isReplica(): boolean {
    return options.snapshot()?.state.phase === 'replica'
  }

  /** Who is promoted needs its memory and its cores itself; what it was to be read from must be what it was. */
  function watch(begun: Run): void {
    const seen = options.snapshot()
    if (seen === null || begun.calledOff !== null) return
    const { choice, process } = begun
    const isReading = process.progress().phase === 'taking' && choice.host !== null
    const why = begun.wasReplica && !isReplica() ? `${host} is no replica any more` : isReading ? whyStop(host, choice.role, wordsOf(seen)) : null
    if (why !== null) callOff(begun, why)
  }

  function callOff(begun: Run, why: string): void {
    begun.calledOff = why
    begun.process.stop(`it was called off: ${why}`)
  }

  function finish({ shown, process, calledOff }: Run, end: JobEnd, tookMs: number): void {
    const { id, by } = shown
    const bad = end.ok ? [end.glance.newest, end.glance.newestCopy].find((one) => one?.id === id && one.state === 'bad') : null
    const why = end.ok ? (bad == null ? null : `it does not restore: ${bad.found}`) : end.why
    const failures = last?.failures ?? 0
    if (calledOff === null) last = { atWallMs: Date.now(), id, by, failures: why === null ? 0 : failures + 1, why }
    else restUntilMs = monotonicMs() + restMs
    const isThere = shown.what === 'test' || end.ok || process.progress().phase !== 'taking'
    const text = end.ok ? `${end.text}; ${(tookMs / 1000).toFixed(1)} s` : ''
    const failed = `${id} ${isThere ? 'lies in the store, and was not tested' : `was not made (${by === 'schedule' ? 'by the schedule' : 'somebody asked'})`}: ${why}`
    ended = { id, ok: why === null, text: why === null ? text : failed, tookMs }
    note(why === null ? 'backup-taken' : 'backup-failed', ended.text)
  }

  function glance(): BackupReport['glance'] {
    if (look?.ok !== true) return null
    const { bases: _, ...rest } = look.value
    return rest
  }

  const stream: StreamCare | null =
    backup.stream === null
      ? null
      : careForStream({
          ...options,
          durability: group.durability,
          job: (source, epoch) => ({ ...base(), job: 'archive', source, epoch, lineage: options.snapshot()?.state.lineage ?? [], redis: redis() }),
          bases: () => (look?.ok === true ? look.value.bases : null),
        })
  const timer = setInterval(tick, tickMs)
  return {
    stream,
    report: () => {
      const choice = choose(null, true)
      const isMine = choice.host === host
      const isAsked = isMine || stream?.archives() === true
      const nobody = choice.host === null && run === null ? choice.why : null
      return {
        source: choice.host,
        why: choice.why,
        now: choose(null, false),
        nextMs: times()?.nextMs ?? null,
        running: run === null ? null : { ...run.shown, ...run.process.progress() },
        ended,
        glance: isMine ? glance() : null,
        last: isAsked || run !== null ? last : null,
        alarms: isAsked || choice.host === null ? alarmsOf(times(), isMine ? look : null, isAsked ? last : null, nobody, Date.now()) : [],
        stream: stream?.report() ?? null,
      }
    },
    take: ({ from, reason, by }) => {
      if (run !== null) return { ok: false, why: `${host} is making ${run.shown.id} at this moment` }
      const choice = choose(from, false)
      if (choice.host === null) return { ok: false, why: choice.why }
      if (choice.host !== host) return { ok: false, why: `${choice.host} would take it: ${choice.why}` }
      const order = take({ ...choice, why: from === null ? choice.why : `${choice.why} by ${by}` }, reason)
      // Who asks does not stand in line.
      begin(order, 'operator', () => undefined)
      return { ok: true, id: order.job.id, source: host, why: choice.why }
    },
    stop: (id, by) => {
      if (run?.shown.id !== id) return false
      callOff(run, by)
      return true
    },
    close: () => {
      isClosed = true
      clearInterval(timer)
      stream?.close()
      // Not waited for: an agent that is started anew must not stand still for a store that does not answer.
      for (const process of [looking, run?.process]) process?.stop('its agent is being stopped')
    },
  }
}

export interface Backups {
  readonly of: (group: string) => BackupCare | null
  readonly close: () => void
}

/** Of each group that has backups and data on this host. */
export function openBackups(config: Config, host: string, names: readonly string[], loops: ReadonlyMap<string, GroupLoop>): Backups {
  const cares = new Map<string, BackupCare>()
  const rooms: Rooms = { looks: roomFor(1), work: roomFor(1) }
  for (const name of names) {
    const group = config.groups[name]
    const member = group?.members.find((m) => m.host === host)
    if (group?.backup === undefined || member === undefined) continue
    const loop = (): GroupLoop | undefined => loops.get(name)
    const note: BackupOptions['note'] = (kind, text) => loop()?.note(kind, text)
    cares.set(name, careForBackups({ config, group, backup: group.backup, member, host, snapshot: () => loop()?.snapshot() ?? null, note, rooms }))
  }
  return {
    of: (group) => cares.get(group) ?? null,
    close: () => {
      for (const care of cares.values()) care.close()
    },
  }
}
