/**
 * The process that archives the stream of one redis: it has no end of its own, and tells every second where it stands. Must not know who is to
 * archive, nor why it is ended.
 */
import type { Archived, ArchiveJob, ArchiveLine } from '../backup/job.ts'
import { startWorker } from './worker.ts'

export interface ArchiverEnd {
  /** It was told to. */
  readonly isWanted: boolean
  readonly why: string
}

export interface Archiver {
  /** What it told last; null: nothing yet. */
  readonly archived: () => Archived | null
  /** Never rejects. */
  readonly ended: Promise<ArchiverEnd>
  /** It puts what has come, and goes. */
  readonly stop: (why: string) => void
  /** It does nothing any more from now on. */
  readonly kill: (why: string) => void
}

/** It tells something every second; a store that hangs does not keep it from that. */
const silentMs = 30_000
/**
 * More of the processor than a backup, and the disk like everybody else: a backup that is late is late, but what the archive has not put
 * within a second is lost with its site. It needs little of both.
 */
const priority = { nice: 5, idleDisk: false } as const

type Told = Extract<ArchiveLine, { readonly t: 'stream' }>

export function startArchiver(job: ArchiveJob, told: (line: Told) => void): Archiver {
  let archived: Archived | null = null
  let failed: string | null = null
  let wanted: string | null = null
  const take = (heard: unknown): void => {
    const line = heard as ArchiveLine
    if (line.t === 'archived') archived = standing(line)
    else if (line.t === 'stream') told(line)
    else failed = line.why
  }
  const worker = startWorker(job, { ...priority, silentMs, take })
  return {
    archived: () => archived,
    ended: worker.ended.then(({ stopped, how }) => {
      if (wanted !== null) return { isWanted: true, why: wanted }
      return { isWanted: false, why: failed ?? stopped ?? `the process that archives it ${how}` }
    }),
    stop: (why) => {
      wanted ??= why
      worker.stop(why)
    },
    kill: (why) => {
      wanted ??= why
      worker.kill(why)
    },
  }
}

function standing({ t: _, ...archived }: Extract<ArchiveLine, { readonly t: 'archived' }>): Archived {
  return archived
}
