/**
 * What `holdfast doctor` sees of a machine and of the redis on it, and what it says. PURE words. What could not be seen is said with its reason and is never
 * taken for good: whoever reads a page of green must know what was not looked at.
 */
import type { Observed } from './outcome.ts'
import type { Persistence, PersistenceByRole } from './persistence.ts'

/** `unseen`: it could not be looked at. */
export type Level = 'red' | 'yellow' | 'green' | 'unseen'

export interface DoctorFinding {
  readonly check: string
  /** null: of the machine as a whole. */
  readonly group: string | null
  readonly level: Level
  readonly measured: string
  /** Which accident it is about, in one sentence. */
  readonly why: string
  /** The command or the line that mends it; null: nothing is to be done. */
  readonly fix: string | null
}

export interface MachineFacts {
  /** 0: by guess, 1: always, 2: never more than there is. */
  readonly overcommit: Observed<number>
  readonly hugePages: Observed<'always' | 'madvise' | 'never'>
  readonly swap: Observed<{ readonly totalBytes: number; readonly usedBytes: number; readonly swappiness: number }>
  /** `totalBytes`: of the machine, or what its container may use. */
  readonly memory: Observed<{ readonly totalBytes: number; readonly availableBytes: number }>
  readonly somaxconn: Observed<number>
  readonly clock: Observed<{ readonly synchronized: boolean; readonly by: string }>
}

/** null: it is not installed, or tells no version. */
export interface InstalledPrograms {
  readonly redisServer: { readonly path: string; readonly said: string | null }
  /** Absent: this host needs none. */
  readonly keepalived?: { readonly path: string; readonly said: string | null }
}

/** Of the process, as the kernel has it. */
export interface ProcessLook {
  readonly openFiles: number | null
  readonly swappedBytes: number | null
  /** Whether the kernel may give it huge pages; null: this kernel does not say. */
  readonly hugePages: boolean | null
}

export interface RedisLook {
  readonly version: string
  readonly role: 'primary' | 'replica'
  readonly process: ProcessLook
  readonly usedBytes: number
  readonly maxmemoryBytes: number
  readonly connectedClients: number
  readonly maxclients: number
  /** Between two looks at its replication offset. */
  readonly bytesPerS: number
  readonly overS: number
  readonly backlogBytes: number
  /** client-output-buffer-limit of replicas; 0: none. */
  readonly replicaBuffer: { readonly hardBytes: number; readonly softBytes: number; readonly softS: number } | null
  readonly replTimeoutS: number
  readonly replPingS: number
  readonly tcpBacklog: number
  readonly rdbChecksum: boolean
  readonly persistence: Persistence
  /** What redis says has failed the last time that it was tried. */
  readonly failed: readonly ('save' | 'AOF write' | 'AOF rewrite')[]
  /** 0: it has not forked yet. */
  readonly forkUs: number
  /** What the last save or rewrite had to copy, the larger of the two; 0: none yet. */
  readonly copiedBytes: number
  readonly dir: string
}

export interface DiskSpeed {
  /** What was written, and how long it took until it was on disk. */
  readonly bytes: number
  readonly bytesPerS: number
  /** Of a few bytes, each until it was on disk. */
  readonly fsyncMs: { readonly median: number; readonly worst: number }
}

export interface DiskLook {
  readonly path: string
  readonly device: number
  readonly totalBytes: number
  readonly freeBytes: number
  /** null: this file system does not count them. */
  readonly freeFiles: number | null
  /** null: not asked for. */
  readonly speed: Observed<DiskSpeed> | null
}

/** The member of one group on this host. */
export interface GroupLook {
  readonly group: string
  readonly port: number
  readonly isExternal: boolean
  readonly usesSentinels: boolean
  readonly unresponsiveMs: number
  /** Absent: not by role. */
  readonly persistence?: PersistenceByRole
  readonly redis: Observed<RedisLook>
  readonly disk: Observed<DiskLook>
  /** What its agent knows; null: it was not reached. */
  readonly agent: {
    /** The highest write rate that it has seen. */
    readonly highestBytesPerS: number
    /** How long the longest of the last full syncs took; null: none that anybody remembers. */
    readonly syncMs: number | null
  } | null
  /** Where backups go; absent: not into a directory. */
  readonly backupDisk?: Observed<{ readonly path: string; readonly device: number }>
}

export interface HostLook {
  readonly host: string
  readonly machine: MachineFacts
  readonly programs: InstalledPrograms
  readonly groups: readonly GroupLook[]
}
