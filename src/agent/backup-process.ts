/**
 * The process that makes a backup: one job, from its beginning to its end. Must not know when a backup is due, nor why one is ended.
 */
import type { Job, JobLine, JobPhase } from '../backup/job.ts'
import type { Glance } from '../backup/due.ts'
import type { JobProgress } from '../backup/report.ts'
import { monotonicMs } from './clock.ts'
import { startWorker } from './worker.ts'

export type JobEnd = { readonly ok: true; readonly glance: Glance; readonly text: string } | { readonly ok: false; readonly why: string }

export interface JobProcess {
  readonly progress: () => JobProgress
  /** Never rejects. */
  readonly ended: Promise<JobEnd>
  /** The first word counts: it is what the end is explained by. */
  readonly stop: (why: string) => void
}

/** It tells nothing for so long: a redis that loads many gigabytes in a test is silent, and so is a store that hangs. */
const silentMs = 60 * 60_000

/** Of the processors and of the disk it has what nobody else wants: nobody waits for a backup. */
export function startJob(job: Job): JobProcess {
  let now = { phase: (job.job === 'look' ? 'looking' : 'taking') as JobPhase, bytes: 0, of: null as number | null, sinceMs: monotonicMs() }
  let end: JobEnd | null = null
  const take = (told: unknown): void => {
    const line = told as JobLine
    if (line.t === 'phase') now = { phase: line.phase, bytes: 0, of: null, sinceMs: monotonicMs() }
    else if (line.t === 'progress') now = { ...now, bytes: line.bytes, of: line.of }
    else if (line.t === 'done') end = { ok: true, glance: line.glance, text: line.text }
    else end = { ok: false, why: line.why }
  }
  const worker = startWorker(job, { nice: 10, idleDisk: true, silentMs, take })
  const ended = worker.ended.then(({ stopped, how }): JobEnd => {
    if (end?.ok === true) return end
    if (stopped !== null) return { ok: false, why: stopped }
    return end ?? { ok: false, why: `the process that makes backups ${how}` }
  })
  return { progress: () => ({ phase: now.phase, bytes: now.bytes, of: now.of, forMs: monotonicMs() - now.sinceMs }), ended, stop: worker.stop }
}
