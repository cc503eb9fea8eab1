/**
 * A redis as far as safety is concerned: role, replication ids, offsets, a log of writes, a disk, a pause. Behaves like redis 7
 * between hosts of the model world: PSYNC against id and second id, full syncs that take time, NOMASTERLINK, born as a
 * replica of nobody or (external) as an empty primary. Knows nothing of agents. Every write is ten bytes.
 */
import type { RedisFacts } from '../../src/model/view.ts'

export const bytesPerWrite = 10

export interface Written {
  readonly key: string
  /** Replication offset after it. */
  readonly at: number
}

export interface Dataset {
  readonly replid: string
  readonly offset: number
  readonly log: readonly Written[]
}

export interface Upstream {
  readonly host: string
  readonly port: number
}

export const nobody: Upstream = { host: '127.0.0.1', port: 1 }
export const nothing: Dataset = { replid: '', offset: 0, log: [] }

let ids = 0
export function resetIds(): void {
  ids = 0
}
export function newId(prefix: string): string {
  ids += 1
  return `${prefix}${ids}`.padEnd(12, '.')
}

export class ModelRedis {
  running = false
  /** Stopped by a signal, or busy for ever: the process lives and answers nothing. */
  frozen = false
  answersFromMs = 0
  loadedFromMs = 0
  role: 'primary' | 'replica' = 'replica'
  upstream: Upstream | null = null
  linkUp = false
  linkDownSinceMs = 0
  syncUntilMs: number | null = null
  /** Transferred and being loaded: from here on the old data are gone, and the source is not needed any more. */
  private incoming: Dataset | null = null
  replid = ''
  replid2 = ''
  secondOffset = -1
  offset = 0
  log: readonly Written[] = []
  /** A replica at or above this offset can continue; below it needs everything. */
  backlogFrom = 0
  runId = ''
  pid = 0
  pausedUntilMs = 0
  /** min-replicas-to-write above what there can be. */
  refusesWrites = false
  /** What a restart finds. */
  disk: Dataset = nothing
  /** The link lives and nothing comes through: a replica that falls behind. */
  lagging = false
  version = '7.0.15'
  transferMs = 20
  loadMs = 10
  followers: readonly { readonly ip: string; readonly port: number; readonly offset: number }[] = []
  onClose: () => void = () => {}
  readonly host: string

  constructor(host: string) {
    this.host = host
  }

  answers(nowMs: number): boolean {
    return this.running && !this.frozen && nowMs >= this.answersFromMs
  }

  loading(nowMs: number): boolean {
    return nowMs < this.loadedFromMs || this.incoming !== null
  }

  /** `born`: as Holdfast starts it (a replica of nobody), or as a supervisor starts it (whatever role the conf says: primary). */
  start(nowMs: number, born: 'fenced' | 'primary'): void {
    if (this.running) return
    this.running = true
    this.frozen = false
    this.answersFromMs = nowMs + 5
    this.loadedFromMs = nowMs + 10
    this.runId = newId('run')
    this.pid = 1000 + Number(/\d+/.exec(this.runId)?.[0] ?? 0)
    this.log = this.disk.log
    this.offset = this.disk.offset
    this.backlogFrom = this.disk.offset
    this.linkUp = false
    this.syncUntilMs = null
    this.incoming = null
    this.pausedUntilMs = 0
    this.refusesWrites = false
    this.linkDownSinceMs = nowMs
    const own = newId('id')
    const saved = this.disk.replid
    this.role = born === 'primary' ? 'primary' : 'replica'
    this.upstream = born === 'primary' ? null : nobody
    // A replica takes up the id of its RDB; a primary remembers it as its second id (redis 7).
    this.replid = born === 'fenced' && saved !== '' ? saved : own
    this.replid2 = born === 'primary' ? saved : ''
    this.secondOffset = born === 'primary' && saved !== '' ? this.disk.offset + 1 : -1
  }

  die(): void {
    if (!this.running) return
    this.running = false
    this.frozen = false
    this.linkUp = false
    this.syncUntilMs = null
    this.incoming = null
    this.followers = []
    this.onClose()
  }

  save(): void {
    this.disk = { replid: this.replid, offset: this.offset, log: this.log }
  }

  replicaOf(target: Upstream | null, nowMs: number): void {
    if (target === null) {
      if (this.role === 'primary') return
      this.role = 'primary'
      this.upstream = null
      this.linkUp = false
      this.syncUntilMs = null
      this.replid2 = this.replid
      this.secondOffset = this.offset + 1
      this.replid = newId('id')
      return
    }
    if (this.upstream?.host === target.host && this.upstream.port === target.port) return
    this.role = 'replica'
    this.upstream = target
    this.linkUp = false
    this.syncUntilMs = null
    this.linkDownSinceMs = nowMs
  }

  /** An ordinary client's SET. */
  write(key: string, nowMs: number): 'OK' | 'READONLY' | 'NOREPLICAS' | 'paused' | 'no answer' {
    if (!this.answers(nowMs) || this.loading(nowMs)) return 'no answer'
    if (this.role === 'replica') return 'READONLY'
    if (this.refusesWrites) return 'NOREPLICAS'
    if (nowMs < this.pausedUntilMs) return 'paused'
    this.offset += bytesPerWrite
    this.log = [...this.log, { key, at: this.offset }]
    return 'OK'
  }

  facts(nowMs: number): RedisFacts {
    const replica = this.role === 'replica'
    return {
      version: this.version,
      configFile: '',
      runId: this.runId,
      pid: this.pid,
      role: this.role,
      loading: this.loading(nowMs),
      progress: this.loading(nowMs) || this.syncUntilMs !== null ? 0.5 : null,
      syncLeftBytes: this.syncUntilMs === null ? null : 1000,
      upstream: this.upstream,
      linkUp: replica && this.linkUp,
      syncing: this.syncUntilMs !== null,
      linkDownS: replica && !this.linkUp ? Math.floor((nowMs - this.linkDownSinceMs) / 1000) : null,
      replid: this.replid,
      offset: this.offset,
      replid2: this.replid2,
      secondOffset: this.secondOffset,
      keys: this.log.length,
      followers: this.followers.map((f) => ({ ...f, online: true, ackAgeS: 0 })),
      unexpectedErrors: 0,
    }
  }

  /** One step of replication from the redis that `upstream` names; null: it cannot be reached. */
  replicateFrom(source: ModelRedis | null, nowMs: number): void {
    if (this.role !== 'replica' || !this.answers(nowMs) || nowMs < this.loadedFromMs) return
    if (this.incoming !== null) {
      if (this.syncUntilMs === null || nowMs < this.syncUntilMs) return
      Object.assign(this, { ...this.incoming, incoming: null, syncUntilMs: null, backlogFrom: this.incoming.offset })
      this.save()
      this.linkUp = source !== null && source.replid === this.replid
      return
    }
    const gives = source !== null && source.answers(nowMs) && !source.loading(nowMs) && (source.role === 'primary' || source.linkUp)
    if (!gives) {
      // A frozen source keeps its connections; the link falls only when they do.
      if (source?.frozen === true && source.running) return
      if (this.linkUp || this.syncUntilMs !== null) this.linkDownSinceMs = nowMs
      this.linkUp = false
      this.syncUntilMs = null
      return
    }
    if (!this.linkUp) {
      if (this.syncUntilMs === null && !this.mayContinue(source)) this.syncUntilMs = nowMs + this.transferMs + this.loadMs
      if (this.syncUntilMs !== null) {
        if (nowMs >= this.syncUntilMs - this.loadMs) {
          this.incoming = { replid: source.replid, offset: source.offset, log: source.log }
          this.log = []
        }
        return
      }
      this.linkUp = true
      this.replid = source.replid
      this.replid2 = source.replid2
      this.secondOffset = source.secondOffset
    }
    if (!this.lagging) this.take(source)
  }

  private take(source: ModelRedis): void {
    this.replid = source.replid
    this.replid2 = source.replid2
    this.secondOffset = source.secondOffset
    this.offset = source.offset
    this.log = source.log
  }

  private mayContinue(source: ModelRedis): boolean {
    if (this.offset < source.backlogFrom || this.offset > source.offset) return false
    if (this.replid === source.replid) return true
    return source.replid2 !== '' && this.replid === source.replid2 && this.offset + 1 <= source.secondOffset
  }
}
