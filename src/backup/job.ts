/** What an agent orders of the process that makes its backups, and what that one answers: JSON, a line each. PURE: words only. */
import type { BackupConfig } from '../model/config.ts'
import type { Lineage } from '../model/state.ts'
import type { Glance } from './due.ts'
import type { Manifest } from './manifest.ts'

/** Files that hold secrets are named, and read by whoever needs them. */
export interface JobBase {
  readonly group: string
  readonly backup: BackupConfig
  /** null: there is no schedule. */
  readonly everyMs: number | null
}

export interface LookJob extends JobBase {
  readonly job: 'look'
}

export interface TakeJob extends JobBase {
  readonly job: 'take'
  readonly id: string
  readonly reason: string
  readonly source: Manifest['source']
  readonly epoch: number
  readonly redis: { readonly host: string; readonly port: number; readonly passwordFile: string | null }
  readonly redisServer: string
}

/** One that lies in the store already. */
export interface TestJob extends JobBase {
  readonly job: 'test'
  readonly id: string
  readonly redisServer: string
}

/** Has no end: the replication stream of a redis is archived as it comes, until the input closes. `backup.stream` is set. */
export interface ArchiveJob extends JobBase {
  readonly job: 'archive'
  readonly source: Manifest['source']
  /** When the group is served in another one, it is ended and begun anew. */
  readonly epoch: number
  /** Of the group, as its agent knows it: by it the way is found through promotions that happened while nobody archived. */
  readonly lineage?: Lineage
  readonly redis: TakeJob['redis']
}

export type Job = LookJob | TakeJob | TestJob

export type JobLine =
  | { readonly t: 'phase'; readonly phase: JobPhase }
  /** `of`: null while nobody knows. */
  | { readonly t: 'progress'; readonly bytes: number; readonly of: number | null }
  | { readonly t: 'done'; readonly glance: Glance; readonly text: string }
  | { readonly t: 'failed'; readonly why: string }

export type ArchiveLine =
  | ({ readonly t: 'archived' } & Archived)
  | { readonly t: 'failed'; readonly why: string }
  /** For the history of the group: something begins at which the archive can be read on, or cannot. Not for each time that it is attached again. */
  | { readonly t: 'stream'; readonly what: 'began' | 'forked' | 'gap'; readonly text: string }

export type JobPhase = 'looking' | 'taking' | 'testing' | 'thinning out'

/** Where an archiver stands: told every second, whatever happens, and at once when it is attached, has put something, or is in trouble. */
export interface Archived {
  /** Redis sends, or has nothing to send. */
  readonly isAttached: boolean
  /** Offset of the last byte that has come; null: none yet. */
  readonly came: number | null
  /** Offset of the last byte that lies in the store. */
  readonly stored: number | null
  /** All that redis had sent until then lies in the store. */
  readonly storedWallMs: number | null
  /** What it goes on with: since when, by which way through the histories, nothing is missing. null: it has not been attached yet. */
  readonly run: ArchivedRun | null
  /** What it tries again after; null: all is well. */
  readonly trouble: string | null
}

export interface ArchivedRun {
  /** Offset of its first byte, and when it had come. */
  readonly from: number
  readonly fromWallMs: number
  /** As `pathTo` says it; `to` null: without an end. */
  readonly legs: readonly { readonly replid: string; readonly from: number; readonly to: number | null }[]
}
