/**
 * A data directory is judged BEFORE redis reads it. redis takes the AOF if AOF is on, whatever the RDB has: with no AOF there it begins
 * an empty one, over a good RDB; with an old one it serves that. So the file that held the dataset when it was last looked at is
 * loaded, and `appendonly` is set as configured afterwards. A file that cannot be read is never written over. PURE.
 */
import type { DiskProbe, RdbSeen } from '../model/disk.ts'
import type { Lineage } from '../model/state.ts'
import { describePosition, positionOfRdb, positionOfRestored, type Position } from './position.ts'

export interface DiskVerdict {
  /** null: there is nothing to load. */
  readonly load: 'aof' | 'rdb' | null
  /** Redis cannot read it, so it must not be started from it. */
  readonly unreadable: string | null
  /** Of what would be loaded. */
  readonly position: Position
  readonly text: string
}

/** So often redis must have ended while it loaded, before the file is believed to be the reason. */
const loadAttempts = 3
const aboutTheFile = /\b(RDB|AOF|append only|loading the DB|loading DB|signature|file format)\b/i

export function judgeDisk(disk: DiskProbe, lineage: Lineage, nowWallMs: number): DiskVerdict {
  const load = fileToLoad(disk)
  if (load === null) return { load, unreadable: null, position: empty, text: 'its disk is empty' }
  const name = load === 'aof' ? 'the AOF' : 'dump.rdb'
  const seen = load === 'aof' ? disk.aof : disk.rdb
  const why = seen?.ok === false ? seen.why : disk.failures >= loadAttempts && aboutTheFile.test(disk.lastWords) ? disk.lastWords : null
  if (why !== null) return { load, unreadable: why, position: foreign, text: `its disk is not readable: ${name}: ${why}` }
  const { position, text } = load === 'aof' ? describeAof(disk, lineage) : describeRdb(disk, lineage, nowWallMs)
  const other =
    load === 'rdb' && disk.wantsAof
      ? '; AOF is turned on when that is loaded'
      : load === 'aof' && !disk.wantsAof
        ? '; AOF is turned off when that is loaded'
        : ''
  return { load, unreadable: null, position, text: `its disk has ${text}${other}` }
}

function fileToLoad(disk: DiskProbe): 'aof' | 'rdb' | null {
  const { rdb, aof, note, wantsAof } = disk
  // An AOF without data beside an RDB is what redis leaves when AOF was turned on over it.
  const hasAof = aof !== null && !(aof.ok && aof.empty && rdb !== null)
  const preferAof = note === null ? wantsAof : typeof note.aof === 'object'
  if (rdb === null) return hasAof ? 'aof' : null
  return hasAof && preferAof ? 'aof' : 'rdb'
}

type Described = Pick<DiskVerdict, 'position' | 'text'>
const empty: Position = { kind: 'empty' }
const foreign: Position = { kind: 'foreign' }

function describeAof(disk: DiskProbe, lineage: Lineage): Described {
  const { aof, note } = disk
  if (aof?.ok !== true) return { position: foreign, text: '' }
  const file = `an AOF of ${aof.bytes} bytes, which names no history`
  if (note === null) return { position: foreign, text: `${file}, and nothing was noted of it` }
  if (typeof note.aof !== 'object' || note.aof.base !== aof.base)
    return { position: foreign, text: `${file}, and is not the one that was noted: of unknown history` }
  const about = Math.max(0, note.offset + aof.bytes - note.aof.bytes)
  const position = positionOfRestored({ ...note, about, atLeast: Math.min(note.sureOffset, about) }, lineage)
  return { position, text: `${file}; as was noted: ${describePosition(position)}` }
}

function describeRdb(disk: DiskProbe, lineage: Lineage, nowWallMs: number): Described {
  const { rdb, note } = disk
  if (rdb?.ok !== true) return { position: foreign, text: '' }
  const noted = rdb.replid === '' && note?.rdb?.fields === rdb.fields ? note.rdb : null
  const position =
    note !== null && noted !== null
      ? positionOfRestored({ ...note, about: noted.sureOffset, atLeast: noted.sureOffset }, lineage)
      : positionOfRdb(rdb.replid, rdb.offset, lineage)
  const data = rdb.empty ? 'no data' : position.kind === 'foreign' ? `data ${describePosition(position)}` : describePosition(position)
  const text = `${data} (dump.rdb${ageOf(rdb, nowWallMs)}${rdb.writtenBy === '' ? '' : `, by redis ${rdb.writtenBy}`})`
  return { position: rdb.empty ? empty : position, text }
}

function ageOf(rdb: Extract<RdbSeen, { ok: true }>, nowWallMs: number): string {
  if (rdb.savedAtS === null) return ''
  const s = Math.round(nowWallMs / 1000 - rdb.savedAtS)
  return s < 0
    ? ', from a clock ahead of this one'
    : s < 120
      ? `, saved ${s} s ago`
      : s < 7200
        ? `, saved ${Math.round(s / 60)} min ago`
        : `, saved ${Math.round(s / 3600)} h ago`
}
