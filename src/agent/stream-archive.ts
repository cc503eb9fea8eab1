/**
 * The archive of one group's stream on this host, beside its loop: looks every second whether this host is the one that archives, and has it done
 * by a process of its own. Must not delay the loop, and MUST NOT LET ANYTHING BE ATTACHED to a redis that is being promoted: for the first seconds
 * it would count as a replica that acknowledges (min-replicas-to-write), and a write would be acknowledged that no replica has.
 */
import { firstMoment, archiverAlarms, whoArchives, whyNoBase } from '../backup/archiver.ts'
import type { Base } from '../backup/chain.ts'
import type { NoBase } from '../backup/due.ts'
import type { ArchiveJob, ArchivedRun } from '../backup/job.ts'
import type { RunningStream, StreamReport } from '../backup/report.ts'
import { whyStop, type Choice } from '../backup/source.ts'
import type { Event } from '../model/action.ts'
import type { Phase } from '../model/state.ts'
import { monotonicMs } from './clock.ts'
import type { GroupSnapshot } from './group.ts'
import { sourceWatch, type Heard } from './source-watch.ts'
import { startArchiver, type Archiver } from './stream-process.ts'

const tickMs = 1000
/** Another one is to archive for so long, and this one is not fit for it any more: a moment of it is no reason to change. */
const otherMs = 10_000
const firstWaitMs = 1000
const lastWaitMs = 60_000
const justNowMs = 5000
/** Who has run for so long begins with the shortest wait again. */
const soundMs = 60_000
/** What is worth an event: as long as what is worth an alarm. */
const nobodyMs = 30_000

export interface StreamOptions {
  readonly host: string
  readonly durability: 'available' | 'safe'
  readonly snapshot: () => GroupSnapshot | null
  readonly note: (kind: Event['kind'], text: string) => void
  /** For whoever archives from this host. */
  readonly job: (source: ArchiveJob['source'], epoch: number) => ArchiveJob
  /** That were seen in the store; null: nobody has looked. */
  readonly bases: () => readonly Base[] | null
}

export interface StreamCare {
  readonly report: () => StreamReport
  readonly archives: () => boolean
  /** It does, and nothing is in its way. */
  readonly isWell: () => boolean
  /** Told in each cycle of the loop BEFORE anything is done by it: what may not be attached any more is ended within this call. */
  readonly phaseIs: (phase: Phase) => void
  /** What this host archives has no backup to begin at. null: it has one, or nothing is archived here, or nobody has looked. */
  readonly noBase: () => NoBase | null
  readonly close: () => void
}

interface Run {
  readonly archiver: Archiver
  readonly role: 'primary' | 'replica'
  readonly epoch: number
  readonly sinceMs: number
}

export function careForStream(options: StreamOptions): StreamCare {
  const { host, note } = options
  const hear = sourceWatch(options.snapshot)
  let choice: Choice = { host: null, why: 'this agent knows nothing of the group yet' }
  let run: Run | null = null
  let isChosen = false
  let otherSinceMs: number | null = null
  let endedMs = Number.NEGATIVE_INFINITY
  let failures = 0
  let lastWhy: string | null = null
  let startMs = Number.NEGATIVE_INFINITY
  let nothingSinceMs: number | null = null
  let isTold = false
  let gaps = 0
  let known: { readonly key: string; readonly sinceWallMs: number } | null = null
  let isClosed = false

  function tick(): void {
    const heard = hear()
    if (heard === null) return
    choice = whoArchives(heard.members, heard.words, heard.noReplicaForMs, options.durability)
    const wasChosen = isChosen
    isChosen = choice.host === host
    if (run !== null) watch(run, heard)
    // Who was chosen a second ago as well, or archived just now: what the others say of themselves is as old as that.
    else if (choice.host === host && (wasChosen || monotonicMs() - endedMs < justNowMs) && monotonicMs() >= startMs) begin(choice)
    remember()
  }

  function watch({ archiver, role, epoch }: Run, { words }: Heard): void {
    const nowMs = monotonicMs()
    if (choice.host === null || choice.host === host) otherSinceMs = null
    else otherSinceMs ??= nowMs
    const now = words.get(host)?.epoch ?? epoch
    const why =
      whyStop(host, role, words) ??
      (now !== epoch ? `epoch ${now} has begun` : null) ??
      (otherSinceMs !== null && nowMs - otherSinceMs > otherMs ? `${choice.host} archives it` : null)
    if (why !== null) archiver.stop(why)
  }

  function begin({ role, why, epoch }: Choice & { readonly host: string }): void {
    const archiver = startArchiver(options.job({ host, role, why }, epoch), ({ what, text }) => {
      if (what === 'gap') gaps += 1
      note(what === 'gap' ? 'stream-gap' : 'stream-began', text)
    })
    const begun: Run = { archiver, role, epoch, sinceMs: monotonicMs() }
    run = begun
    otherSinceMs = null
    void archiver.ended.then((end) => {
      run = null
      const nowMs = monotonicMs()
      endedMs = nowMs
      if (end.isWanted || nowMs - begun.sinceMs > soundMs) failures = 0
      if (!end.isWanted) failures += 1
      lastWhy = end.isWanted ? null : end.why
      startMs = end.isWanted ? nowMs : nowMs + Math.min(lastWaitMs, firstWaitMs * 2 ** (failures - 1))
      if (!isClosed) tick()
    })
  }

  /** Since when nothing is archived, and which run it is. */
  function remember(): void {
    const archived = run?.archiver.archived() ?? null
    const isMissing = choice.host === host || choice.host === null
    if (archived?.isAttached === true || !isMissing) {
      nothingSinceMs = null
      isTold = false
    } else nothingSinceMs ??= monotonicMs()
    if (nothingSinceMs !== null && monotonicMs() - nothingSinceMs > nobodyMs && !isTold) {
      isTold = true
      note('stream-failed', `the stream is not archived: ${whyNothing()}`)
    }
    if (archived?.run == null) return
    const key = `${archived.run.legs[0]?.replid} ${archived.run.from}`
    if (known?.key !== key) known = { key, sinceWallMs: Date.now() }
  }

  function whyNothing(): string {
    return run?.archiver.archived()?.trouble ?? lastWhy ?? (choice.host === null ? choice.why : `${host} begins with it`)
  }

  function archivedRun(): ArchivedRun | null {
    return run?.archiver.archived()?.run ?? null
  }

  function noBase(): NoBase | null {
    const [now, bases] = [archivedRun(), options.bases()]
    if (now === null || bases === null || known === null) return null
    const why = whyNoBase(now, bases[0] ?? null)
    return why === null ? null : { why, sinceWallMs: known.sinceWallMs }
  }

  function running(): RunningStream | null {
    const archived = run?.archiver.archived() ?? null
    if (run === null || archived === null) return null
    const bases = options.bases()
    const sinceWallMs = archived.run === null || bases === null ? null : firstMoment(archived.run, bases)
    return { ...archived, source: host, role: run.role, lagBytes: lagBytes(archived.stored, archived.run), sinceWallMs }
  }

  /** Of what the primary has written, where it is heard: a replica that is behind is not told from its own offset. */
  function lagBytes(stored: number | null, now: ArchivedRun | null): number | null {
    const replid = now?.legs.at(-1)?.replid
    const offsets = [...(hear()?.words.values() ?? [])].flatMap(({ redis }) => (redis !== null && redis.replid === replid ? [redis.offset] : []))
    return stored === null || offsets.length === 0 ? null : Math.max(0, Math.max(...offsets) - stored)
  }

  const timer = setInterval(tick, tickMs)
  return {
    report: () => {
      const nothingForMs = nothingSinceMs === null ? null : monotonicMs() - nothingSinceMs
      const archived = run?.archiver.archived() ?? null
      const alarms = archiverAlarms({ archived, nothingForMs, why: whyNothing(), noBase: noBase()?.why ?? null }, Date.now())
      return { host: choice.host, why: choice.why, running: running(), gaps, alarms }
    },
    archives: () => run !== null,
    isWell: () => {
      const archived = run?.archiver.archived() ?? null
      return archived?.isAttached === true && archived.trouble === null
    },
    phaseIs: (phase) => {
      if (run === null || phase === run.role) return
      run.archiver.kill(`${host} is ${phase}`)
    },
    noBase,
    close: () => {
      isClosed = true
      clearInterval(timer)
      run?.archiver.stop('its agent is being stopped')
    },
  }
}
