/**
 * What a backup is, as its manifest tells it. PURE: words only. It is written last: what has no manifest is no backup. What is learnt later
 * (that it restores) stands in a file of its own, so that a manifest never changes.
 */

export type Compression = 'none' | 'gzip' | 'zstd'

/** What every paper beside a dataset ends with: by it a changed one is noticed. */
export interface Proof {
  /** Over all before it, with a key that is derived from the operator's: nobody else can change it unnoticed. null: not encrypted. */
  readonly hmac: string | null
  /** Over all before it, `hmac` included: for whoever has no key, and as the paper's own name. */
  readonly sha256: string
}

export interface Manifest extends Proof {
  readonly format: 1
  readonly id: string
  readonly group: string
  /** When redis began its snapshot: about the moment that it holds. */
  readonly atWallMs: number
  readonly endedAtWallMs: number
  /** `schedule`, or the words of whoever asked for it. */
  readonly reason: string
  readonly source: { readonly host: string; readonly role: 'primary' | 'replica'; readonly why: string }
  readonly server: { readonly version: string; readonly rdbFormat: number }
  /** Where its data stand in the group's history: the last byte of the stream that they contain. */
  readonly position: { readonly epoch: number; readonly replid: string; readonly offset: number }
  /** What its source said of itself just before it was asked for its data, and just after it had begun to give them: the snapshot lies between. null: it did not say. */
  readonly seen: { readonly before: Seen | null; readonly after: Seen | null }
  /** The RDB as redis gave it. */
  readonly rdb: { readonly bytes: number; readonly sha256: string }
  /** As it lies in the store. */
  readonly stored: { readonly name: string; readonly bytes: number; readonly sha256: string }
  readonly compression: Compression
  /** null: it is not encrypted. */
  readonly encryption: { readonly cipher: 'aes-256-gcm'; readonly keyId: string } | null
}

/** A redis at one moment, as far as it is needed to say what a snapshot beside that moment must hold. */
export interface Seen {
  readonly runId: string
  readonly replid: string
  readonly offset: number
  /** Every change moves `offset`. Without a backlog redis counts none. */
  readonly counting: boolean
  readonly databases: readonly DatabaseCount[]
  readonly usedBytes: number
  /** Keys that it has let expire or has evicted since it was started. */
  readonly dropped: number
  /** Calls, since it was started, of commands of which a few bytes change any number of keys: FLUSHALL, SWAPDB, a script that replicates as such. */
  readonly sweeps: number
  /** Of commands that give a key another name or place, or let it live on, without making it anew: RENAME, MOVE, RESTORE, PERSIST. */
  readonly moves: number
}

export interface DatabaseCount {
  readonly database: number
  readonly keys: number
  /** Of them, with a time to live. */
  readonly expires: number
}

/** What came of restoring it in a redis of its own. */
export interface Tested extends Proof {
  readonly format: 1
  readonly id: string
  /** Of the manifest that it was restored by: a result for other bytes says nothing. */
  readonly manifestSha256: string
  readonly atWallMs: number
  readonly ok: boolean
  /** `stored`: its bytes are not those that were written; `refused`: redis does not load it; `differs`: it holds something else than its source. null: it is good. */
  readonly fault: 'stored' | 'refused' | 'differs' | null
  /** What was wrong, or what was compared. */
  readonly found: string
  /** From the first byte that was asked for until that redis served: what a restore takes. It loads while it is fetched. */
  readonly loadMs: number
  /** Of that, until the last byte had come and all were proven. */
  readonly fetchMs: number
  readonly keys: number
  readonly serverVersion: string
}

/** Nothing asks for it any more: what removing begins with. */
export interface Condemned extends Proof {
  readonly format: 1
  readonly id: string
  readonly atWallMs: number
  readonly why: string
}

/** Somebody holds on to it. */
export interface Hold extends Proof {
  readonly format: 1
  readonly id: string
  readonly atWallMs: number
  readonly by: string
  readonly reason: string
}

/** A paper before it is proven. */
export type Said<T extends Proof> = Omit<T, keyof Proof>

/** As each is called in the folder of its backup. */
export const papers = { manifest: 'manifest.json', tested: 'tested.json', condemned: 'condemned.json', held: 'held.json' } as const
export type Paper = keyof typeof papers

export function paperName(group: string, id: string, paper: Paper): string {
  return `${group}/${id}/${papers[paper]}`
}

export function dataName(group: string, id: string): string {
  return `${group}/${id}/dataset`
}

/** A good result stays where a later one only says that another redis does not load it: its bytes are the same. */
export function supersedes(later: Said<Tested>, earlier: Tested | null): boolean {
  return earlier === null || !earlier.ok || later.ok || later.fault === 'stored'
}

/** Sorts by time. `nonce`: 8 hex digits, for two hosts that begin at once. */
export function backupId(atIso: string, nonce: string): string {
  return `${atIso.replaceAll(/[-:]|\.\d+/g, '')}-${nonce}`
}

export function isBackupId(id: string): boolean {
  return /^\d{8}T\d{6}Z-[0-9a-f]{8}$/.test(id)
}
