/**
 * What a migration must know of the redis that it comes from and of those that it goes to, before it touches anything. PURE words. `null` or `ok: false`
 * is not known, with its reason where there is one, and is never taken for good.
 */
import type { Observed } from '../model/outcome.ts'
import type { ServerVersion } from './versions.ts'

/** One redis, as it was looked at. */
export interface Instance {
  /** `host:port`, as the operator or the configuration names it. */
  readonly at: string
  readonly host: string
  readonly port: number
  readonly version: ServerVersion
  readonly runId: string
  readonly role: 'primary' | 'replica'
  /** Of a replica: whom it follows. */
  readonly upstream: { readonly host: string; readonly port: number } | null
  readonly replid: string
  readonly offset: number
  /** Of its stream, in the busiest second that was seen, and over how long it was looked at. */
  readonly bytesPerS: number
  readonly overS: number
  /** It has no replica and counts no writes: `bytesPerS` is what came in, which is more. */
  readonly uncounted?: boolean
  readonly usedBytes: number
  readonly rssBytes: number
  /** 0: the server does not say (before 3.2). */
  readonly machineBytes: number
  readonly keys: number
  /** Number of the highest database that has a key; -1: there is none. */
  readonly highestDb: number
  readonly isCluster: boolean
  readonly loading: boolean
  /** How long its last fork held it up; 0: none since it runs. */
  readonly forkUs: number
  readonly clients: number
  /** It could not save or write its AOF the last time: redis refuses writes, or will. */
  readonly failed: readonly string[]
  /** Has it connections that only a Sentinel makes? */
  readonly watchedBySentinels: Observed<boolean>
  readonly replicas: readonly { readonly ip: string; readonly port: number }[]
  /** Its clock minus ours, in ms, and by how much that may be wrong. */
  readonly clock: Observed<{ readonly aheadMs: number; readonly withinMs: number }>
  /** CONFIG GET *; not ok: it may not be asked (a cloud, an ACL). */
  readonly settings: Observed<ReadonlyMap<string, string>>
  /** Names in lower case, of those that answer to their own name. */
  readonly commands: Observed<ReadonlySet<string>>
  /** Those that have another name here, or none (rename-command). */
  readonly renamed: readonly string[]
  /** How often each was called since it runs, in lower case. */
  readonly calls: Observed<ReadonlyMap<string, number>>
  readonly modules: Observed<readonly string[]>
  /** Null: this version has none. */
  readonly users: Observed<readonly string[]> | null
  /** May whoever we came as read the stream? null: that was not told. */
  readonly psync: { readonly may: boolean | null; readonly why: string }
  /** The format of what DUMP answers; not ok: there was nothing small to ask for. */
  readonly rdbFormat: Observed<number>
  /** Libraries of functions; null: this version has none. */
  readonly functions: Observed<number> | null
}

/** Where it goes: the group, and the redis of each member that was reached. */
export interface Target {
  readonly group: string
  /** What keeps the group from being moved to, in words; null: it is well. */
  readonly unwell: string | null
  /** Its voters are Sentinels that somebody else runs. */
  readonly externalSentinels: boolean
  readonly members: readonly { readonly host: string; readonly redis: Observed<Instance> }[]
  /** Who would follow the source: the one that the group has chosen. null: none. */
  readonly first: string | null
  readonly hasPassword: boolean
  /** That of the source is this one; null: one of them has none. */
  readonly samePassword: boolean | null
}

export interface Source {
  readonly redis: Instance
  readonly tls: boolean
  readonly user: string | null
  readonly hasPassword: boolean
  /** The youngest good backup of it that is known of; null: none is. */
  readonly backup: { readonly id: string; readonly ageMs: number } | null
}

/** `overwrite`: the run id of the target whose data may go, as the operator typed it. */
export interface Wish {
  readonly accepted: readonly string[]
  readonly overwrite: string | null
  /** A source that is reached over TLS may follow the group without it. */
  readonly plainWayBack?: boolean
}
