/**
 * A redis as far as safety is concerned: role, replication ids, offsets, a log of writes, a disk, a pause. Behaves like redis 7
 * between hosts of the model world: PSYNC against id and second id, full syncs that take time, NOMASTERLINK, born as a
 * replica of nobody or (external) as an empty primary. Knows nothing of agents. Every write is ten bytes, unless said otherwise.
 */
import type { Follower, RedisFacts } from '../../src/model/view.ts'
import { append, countOf, type Log } from './model-log.ts'

export const bytesPerWrite = 10

export interface Dataset {
  readonly replid: string
  readonly offset: number
  readonly log: Log
}

export interface Upstream {
  readonly host: string
  readonly port: number
}

export const nobody: Upstream = { host: '127.0.0.1', port: 1 }
export const nothing: Dataset = { replid: '', offset: 0, log: null }

/** A link over which nothing comes is given up after so long (repl-timeout). */
const linkTimeoutMs = 60_000

/** What a replica meets where its upstream should be: a redis; nobody who listens; or no answer at all, not even a refusal. */
export type Source = ModelRedis | 'refused' | 'silent'

const noBacklog = Number.POSITIVE_INFINITY

let ids = 0
let lives = 0
export function resetIds(): void {
  ids = 0
  lives = 0
}
function newLife(): number {
  lives += 1
  return lives
}
export function newId(prefix: string): string {
  ids += 1
  return `${prefix}${ids}`.padEnd(12, '.')
}

export class ModelRedis {
  running = false
  /** Stopped by a signal, or busy for ever: the process lives and answers nothing. */
  frozen = false
  thawedMs = Number.NEGATIVE_INFINITY
  answersFromMs = 0
  loadedFromMs = 0
  role: 'primary' | 'replica' = 'replica'
  upstream: Upstream | null = null
  linkUp = false
  /** null: this process never had a link. */
  linkDownSinceMs: number | null = null
  syncUntilMs: number | null = null
  /** Transferred and being loaded: from here on the old data are gone, and the source is not needed any more. */
  private incoming: Dataset | null = null
  /** The process and the state of it that this replica's connection belongs to: another one has never heard of it. */
  private linkedTo = 0
  private silentSinceMs: number | null = null
  /** Which process this is, and in which of its roles: the connections of all replicas end when either changes. */
  life = 0
  replid = ''
  replid2 = ''
  secondOffset = -1
  offset = 0
  log: Log = null
  /** A replica at or above this offset can continue; below it needs everything. Infinite: there is no backlog, and bytes are not counted. */
  backlogFrom = noBacklog
  /** As a replica it knows what it could continue from; without that, its id is not saved either. */
  private knowsPlace = false
  runId = ''
  pid = 0
  pausedUntilMs = 0
  /** min-replicas-to-write above what there can be. */
  refusesWrites = false
  /** min-replicas-to-write 1: now, and as the configuration file has it. */
  needsReplica = false
  bornNeedingReplica = false
  /** Sentinels may give it orders (ACL of their user); and select it, if this is not 0 (replica-priority). */
  orders = true
  priority = 100
  /** What a restart finds. */
  disk: Dataset = nothing
  /** The link lives and nothing comes through: a replica that falls behind. */
  lagging = false
  /** As lagging, and only this one connection: the next one is well. */
  swallowed = false
  /** Commands of its primary that it has answered with an error. */
  streamErrors = 0
  usedBytes = 1_000_000_000
  version = '7.0.15'
  transferMs = 20
  loadMs = 10
  /** How long it takes to read its own disk at a start. */
  readMs = 10
  /** Who is attached, told by the world. */
  listFollowers: () => readonly Follower[] = () => []
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
    this.loadedFromMs = nowMs + this.readMs
    this.runId = newId('run')
    this.pid = 1000 + Number(/\d+/.exec(this.runId)?.[0] ?? 0)
    this.log = this.disk.log
    this.offset = this.disk.offset
    this.linkUp = false
    this.syncUntilMs = null
    this.incoming = null
    this.pausedUntilMs = 0
    this.linkDownSinceMs = null
    this.refusesWrites = false
    this.streamErrors = 0
    this.swallowed = false
    this.needsReplica = this.bornNeedingReplica
    // As the configuration file has it that Holdfast renders; who starts it otherwise has no such user.
    this.orders = born === 'primary'
    this.priority = 100
    const own = newId('id')
    const saved = this.disk.replid
    // A replica makes one when it is attached; a primary that lacks a history of its own, when its first replica is.
    this.backlogFrom = born === 'primary' && saved !== '' ? this.disk.offset : noBacklog
    this.knowsPlace = born === 'fenced' && saved !== ''
    this.life = newLife()
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
    this.silentSinceMs = null
    this.onClose()
  }

  save(): void {
    const { replid, offset, log } = this
    this.disk = (this.role === 'primary' ? this.backlogFrom !== noBacklog : this.knowsPlace) ? { replid, offset, log } : { ...nothing, log }
  }

  replicaOf(target: Upstream | null, nowMs: number): void {
    if (target === null) {
      if (this.role === 'primary') return
      this.role = 'primary'
      this.knowsPlace = false
      if (this.linkUp) this.linkDownSinceMs = nowMs
      this.life = newLife()
      this.upstream = null
      this.linkUp = false
      this.silentSinceMs = null
      this.syncUntilMs = null
      this.replid2 = this.replid
      this.secondOffset = this.offset + 1
      this.replid = newId('id')
      return
    }
    if (this.upstream?.host === target.host && this.upstream.port === target.port) return
    if (this.linkUp) this.linkDownSinceMs = nowMs
    this.knowsPlace ||= this.role === 'primary'
    this.role = 'replica'
    // Its own replicas stay where they are (redis 7) until their history is another one.
    this.upstream = target
    this.linkUp = false
    this.silentSinceMs = null
    this.syncUntilMs = null
  }

  /** CLIENT KILL TYPE master. */
  cycleLink(nowMs: number): void {
    if (!this.linkUp) return
    this.linkUp = false
    this.linkDownSinceMs = nowMs
  }

  /** An ordinary client's SET. */
  write(key: string, nowMs: number, bytes = bytesPerWrite): 'OK' | 'READONLY' | 'NOREPLICAS' | 'paused' | 'no answer' {
    if (!this.answers(nowMs) || this.loading(nowMs)) return 'no answer'
    if (this.role === 'replica') return 'READONLY'
    if (this.refusesWrites || (this.needsReplica && this.goodFollowers() === 0)) return 'NOREPLICAS'
    if (nowMs < this.pausedUntilMs) return 'paused'
    if (this.backlogFrom !== noBacklog) this.offset += bytes
    this.log = append(this.log, key, this.offset)
    return 'OK'
  }

  private goodFollowers(): number {
    return this.listFollowers().filter((f) => f.ackAgeS <= 2).length
  }

  /** How long its source has not heard from it. */
  ackAgeS(nowMs: number): number {
    return this.silentSinceMs === null ? 0 : Math.floor((nowMs - this.silentSinceMs) / 1000)
  }

  private linkDownS(nowMs: number): number {
    return this.linkDownSinceMs === null ? -1 : Math.floor((nowMs - this.linkDownSinceMs) / 1000)
  }

  facts(nowMs: number): RedisFacts {
    const replica = this.role === 'replica'
    // What it reads from disk is not known before it is read: until then redis names an id that is nobody's.
    const reads = nowMs < this.loadedFromMs
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
      linkDownS: replica && !this.linkUp ? this.linkDownS(nowMs) : null,
      replid: reads ? 'id-loading' : this.replid,
      offset: reads ? 0 : this.offset,
      replid2: reads ? '' : this.replid2,
      secondOffset: reads ? -1 : this.secondOffset,
      keys: reads ? 0 : countOf(this.log),
      followers: this.listFollowers(),
      goodFollowers: this.needsReplica ? this.goodFollowers() : null,
      unexpectedErrors: this.streamErrors,
      highestDb: 0,
      supply: { backlogFrom: this.backlogFrom === noBacklog ? -1 : this.backlogFrom + 1, usedBytes: this.usedBytes, saving: false },
    }
  }

  /** Replication goes on as far as it can now; whether anything changed. */
  replicateFrom(source: Source, nowMs: number): boolean {
    if (this.role !== 'replica' || !this.answers(nowMs) || nowMs < this.loadedFromMs) return false
    if (this.incoming !== null) return this.load(source, nowMs)
    if (this.linkUp || this.syncUntilMs !== null) {
      const [linkUp, syncing] = [this.linkUp, this.syncUntilMs !== null]
      if (!this.keepsLink(source, nowMs)) return linkUp !== this.linkUp || syncing
      // A frozen source keeps its connections, and nothing comes over them.
      if (typeof source === 'string' || source.frozen) return false
    } else if (!this.connect(source, nowMs)) return false
    if (this.syncUntilMs !== null) return this.transfer(source as ModelRedis, nowMs)
    return !this.lagging && !this.swallowed && this.take(source as ModelRedis)
  }

  /** Of a link that was: does it live? While nothing at all is heard from there, yes, until redis itself loses patience. */
  private keepsLink(source: Source, nowMs: number): boolean {
    if (source === 'silent') {
      this.silentSinceMs ??= nowMs
      if (nowMs < this.silentSinceMs + linkTimeoutMs) return true
    } else this.silentSinceMs = null
    if (typeof source !== 'string' && source.life === this.linkedTo) return true
    this.linkDownSinceMs = nowMs
    this.linkUp = false
    this.syncUntilMs = null
    this.silentSinceMs = null
    return false
  }

  /** PSYNC: a continuation at once, or the beginning of a full sync; false: nobody there who gives. */
  private connect(source: Source, nowMs: number): boolean {
    if (typeof source === 'string' || !source.answers(nowMs) || source.loading(nowMs) || (source.role === 'replica' && !source.linkUp)) return false
    this.linkedTo = source.life
    this.swallowed = false
    if (this.mayContinue(source)) this.continueFrom(source)
    else {
      source.makeBacklog()
      this.syncUntilMs = nowMs + this.transferMs + this.loadMs
    }
    return true
  }

  private continueFrom(source: ModelRedis): void {
    this.linkUp = true
    this.backlogFrom = Math.min(this.backlogFrom, this.offset)
    if (this.replid === source.replid) return
    // Those below it hear of the new id by being asked to come again.
    this.life = newLife()
    this.replid2 = this.replid
    this.secondOffset = this.offset + 1
    this.replid = source.replid
  }

  /** Where bytes were not counted nobody can have followed: what was before has another id. */
  makeBacklog(): void {
    if (this.backlogFrom !== noBacklog) return
    this.backlogFrom = this.offset
    this.replid = newId('id')
    this.replid2 = ''
    this.secondOffset = -1
  }

  private transfer(source: ModelRedis, nowMs: number): boolean {
    if (this.syncUntilMs === null || nowMs < this.syncUntilMs - this.loadMs) return false
    this.incoming = { replid: source.replid, offset: source.offset, log: source.log }
    this.life = newLife()
    this.log = null
    return true
  }

  private load(source: Source, nowMs: number): boolean {
    if (this.incoming === null || this.syncUntilMs === null || nowMs < this.syncUntilMs) return false
    const { offset } = this.incoming
    Object.assign(this, { ...this.incoming, incoming: null, syncUntilMs: null, backlogFrom: offset, replid2: '', secondOffset: -1, knowsPlace: true })
    this.save()
    this.linkUp = typeof source !== 'string' && source.life === this.linkedTo && source.replid === this.replid
    if (!this.linkUp) this.linkDownSinceMs = nowMs
    return true
  }

  /** When time alone brings something about here. */
  nextMs(nowMs: number): number {
    if (!this.running) return Number.POSITIVE_INFINITY
    const { answersFromMs, loadedFromMs, syncUntilMs, silentSinceMs } = this
    let nextMs = Number.POSITIVE_INFINITY
    if (answersFromMs > nowMs) nextMs = answersFromMs
    if (loadedFromMs > nowMs && loadedFromMs < nextMs) nextMs = loadedFromMs
    if (syncUntilMs !== null) {
      const atMs = this.incoming === null ? syncUntilMs - this.loadMs : syncUntilMs
      if (atMs > nowMs && atMs < nextMs) nextMs = atMs
    }
    if (silentSinceMs !== null && silentSinceMs + linkTimeoutMs > nowMs) nextMs = Math.min(nextMs, silentSinceMs + linkTimeoutMs)
    return nextMs
  }

  private take(source: ModelRedis): boolean {
    if (this.offset === source.offset && this.replid === source.replid && this.log === source.log) return false
    this.replid = source.replid
    this.offset = source.offset
    this.log = source.log
    return true
  }

  private mayContinue(source: ModelRedis): boolean {
    if (this.offset < source.backlogFrom || this.offset > source.offset) return false
    if (this.replid === source.replid) return true
    return source.replid2 !== '' && this.replid === source.replid2 && this.offset + 1 <= source.secondOffset
  }
}
