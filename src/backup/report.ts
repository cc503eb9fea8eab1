/** What an agent tells of the backups of a group. PURE: words only. */
import type { Alarm, Attempt, Glance } from './due.ts'
import type { Archived, JobPhase } from './job.ts'

export interface JobProgress {
  readonly phase: JobPhase
  readonly bytes: number
  readonly of: number | null
  /** Since this phase began. */
  readonly forMs: number
}

export interface RunningBackup extends JobProgress {
  readonly id: string
  readonly what: 'take' | 'test'
  readonly by: Attempt['by']
  readonly source: string
  readonly why: string
  readonly beganWallMs: number
  /** As large as the last one was; null: not known. */
  readonly about: number | null
}

export interface EndedBackup {
  readonly id: string
  readonly ok: boolean
  readonly text: string
  readonly tookMs: number
}

export interface BackupReport {
  readonly source: string | null
  /** Why that one, or why nobody. */
  readonly why: string
  /** Who would take one for whoever asks now: that one does not wait for a replica to become fit. */
  readonly now: { readonly host: string | null; readonly why: string }
  /** When the schedule names the next one; null: it has none. */
  readonly nextMs: number | null
  readonly running: RunningBackup | null
  readonly ended: EndedBackup | null
  /** What this agent saw in the store; null: it has not looked, for it is not the one. */
  readonly glance: Omit<Glance, 'bases'> | null
  readonly last: Attempt | null
  readonly alarms: readonly Alarm[]
  /** null: the stream is not archived. */
  readonly stream: StreamReport | null
}

/** What an agent tells of the archive of the stream. */
export interface StreamReport {
  /** Who is to archive it; null: nobody. */
  readonly host: string | null
  readonly why: string
  /** By this agent; null: it does not. */
  readonly running: RunningStream | null
  /** Since this agent was started. */
  readonly gaps: number
  readonly alarms: readonly Alarm[]
}

export interface RunningStream extends Archived {
  readonly source: string
  readonly role: 'primary' | 'replica'
  /** What the group has written and the store has not; null: not known. */
  readonly lagBytes: number | null
  /** Every moment since then can be restored; null: none can before the next backup, or the store has not been looked into. */
  readonly sinceWallMs: number | null
}

export type TakeAnswer =
  | { readonly ok: true; readonly id: string; readonly source: string; readonly why: string }
  | { readonly ok: false; readonly why: string }
