/**
 * What an agent remembers of its redis' dataset, because redis forgets it: an AOF names no history, nor does an RDB of a primary that
 * never had a replica. When it is to be noted, and what may be concluded after a restart. PURE; it is written by agent/disk-sense.ts.
 */
import type { DataDir, PositionNote, Restored } from '../model/disk.ts'
import type { RedisFacts } from '../model/view.ts'
import type { State } from '../model/state.ts'

/** A note costs two fsyncs; the length of the AOF says what came after it. */
const noteEveryMs = 10_000
/** `appendfsync everysec` may be two seconds late, and then waits no longer. */
const surelyOnDiskMs = 5000
/** No rewrite, nothing read: an AOF that redis has begun itself, whose base (some 90 bytes) it counts only when it reads it. */
const bornEmpty = '0:0'

/** What has been seen since the last note that a single look cannot tell. */
export interface Since {
  /** A full sync: until the AOF has been rewritten, it is that of the data before. */
  readonly synced: boolean
  /** A save has ended, or a rewrite. */
  readonly filesChanged: boolean
}

/** The epoch of a dataset whose own id the lineage has; null: nothing is to be noted of it. */
function epochOf(facts: RedisFacts, state: State): { readonly epoch: number; readonly holder: string } | null {
  if (facts.loading || facts.syncing || state.partial || facts.replid === '') return null
  return state.lineage.findLast((e) => e.replid === facts.replid) ?? null
}

export function mustNote(known: PositionNote | null, facts: RedisFacts, state: State, since: Since, nowWallMs: number): boolean {
  const at = epochOf(facts, state)
  if (at === null) return false
  if (known === null || known.runId !== facts.runId || known.epoch !== at.epoch || known.holder !== at.holder || since.synced) return true
  const aof = aofWord(facts)
  if (aof === 'unsettled') return false
  // That it has served stays noted of this process when it serves no more: written in each cycle, it would hold up the looks of a way back.
  if ((facts.role === 'primary' && !known.served) || (known.aof === 'off') !== (aof === 'off') || known.aof === 'unsettled' || since.filesChanged) return true
  const moved = known.offset !== facts.offset || (typeof known.aof === 'object' && known.aof.bytes !== (facts.aof?.bytes ?? 0) + (known.aof.uncounted ?? 0))
  return moved && (nowWallMs - known.atWallMs >= noteEveryMs || nowWallMs < known.atWallMs)
}

function aofWord(facts: RedisFacts): 'off' | 'unsettled' | 'on' {
  return facts.aof?.enabled !== true ? 'off' : facts.aof.rewriting ? 'unsettled' : 'on'
}

/** `dir`: read after `facts`; null where the position is not one to be noted. */
export function noteOf(known: PositionNote | null, facts: RedisFacts, state: State, dir: DataDir, nowWallMs: number): PositionNote | null {
  const at = epochOf(facts, state)
  if (at === null) return null
  const same = known !== null && known.epoch === at.epoch && known.holder === at.holder && known.offset <= facts.offset ? known : null
  const word = aofWord(facts)
  // `unsettled` would let an old RDB be loaded instead: the note before stands.
  if (word === 'on' && dir.aof?.ok === false && dir.aof.host === true) return null
  // Shorter than redis says: it was rewritten between the two looks, and is another one.
  const base = dir.aof?.ok === true && dir.aof.bytes >= (facts.aof?.bytes ?? 0) ? dir.aof.base : null
  const uncounted = dir.aof?.ok === true && facts.aof?.generation === bornEmpty ? dir.aof.bytes - dir.aof.last.bytes : 0
  const rdb = dir.rdb?.ok === true && dir.rdb.replid === '' && same?.runId === facts.runId ? dir.rdb : null
  return {
    format: 1,
    runId: facts.runId,
    epoch: at.epoch,
    holder: at.holder,
    offset: facts.offset,
    sureOffset: same === null ? 0 : nowWallMs - same.atWallMs >= surelyOnDiskMs ? same.offset : same.sureOffset,
    atWallMs: nowWallMs,
    served: facts.role === 'primary' || (same?.runId === facts.runId && same.served),
    aof: word !== 'on' ? word : base === null ? 'unsettled' : { base, bytes: (facts.aof?.bytes ?? 0) + uncounted, ...(uncounted > 0 ? { uncounted } : {}) },
    // An RDB without an id is of a primary without a backlog, whose offset stands still: the one of now is that of the save.
    rdb: rdb === null ? null : rdb.fields === same?.rdb?.fields ? same.rdb : { fields: rdb.fields, sureOffset: facts.offset },
    ...(dir.rdb !== null || dir.aof !== null ? { onDisk: true } : {}),
    ...(dir.mount === true ? { mount: true } : {}),
    restored: null,
  }
}

/** Somebody may have written to it. Redis 8 counts what it reads from an AOF: of one that was never more than a replica of nobody that says nothing. */
function hasCounted(facts: RedisFacts): boolean {
  const isUntouched = facts.role === 'replica' && facts.upstream?.port === 1 && facts.linkDownS === -1
  return facts.offset !== 0 && !isUntouched
}

/**
 * What a process that redis itself calls of unknown history has read: the very files that were noted, or null. Never of a process
 * that was noted itself: what became of it since is not on disk.
 */
export function restoredFrom(note: PositionNote | null, facts: RedisFacts, dir: DataDir): Restored | null {
  if (note === null || facts.loading || facts.syncing || facts.keys === 0 || facts.runId === note.runId || hasCounted(facts)) return null
  const { epoch, holder, served } = note
  if (facts.aof?.enabled === true) {
    if (typeof note.aof !== 'object' || dir.aof?.ok !== true || dir.aof.base !== note.aof.base || facts.aof.rewriting) return null
    const about = Math.max(0, note.offset + facts.aof.bytes - note.aof.bytes)
    return { epoch, holder, served, about, atLeast: Math.min(note.sureOffset, about), ...(note.aof.cut === true ? { cut: true } : {}) }
  }
  if (note.rdb === null || dir.rdb?.ok !== true || dir.rdb.fields !== note.rdb.fields) return null
  return { epoch, holder, served, about: note.rdb.sureOffset, atLeast: note.rdb.sureOffset }
}
