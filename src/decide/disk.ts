/**
 * A data directory is judged BEFORE redis reads it. redis takes the AOF if AOF is on, whatever the RDB has: with no AOF there it begins
 * an empty one, over a good RDB; with an old one it serves that. So the file that held the dataset when it was last looked at is
 * loaded, and `appendonly` is set as configured afterwards. A file that cannot be read is never written over. PURE.
 */
import type { AofEnd, DiskProbe, RdbSeen } from '../model/disk.ts'
import type { Lineage } from '../model/state.ts'
import { describePosition, positionOfRdb, positionOfRestored, type Position } from './position.ts'

export interface DiskVerdict {
  /** null: there is nothing to load. */
  readonly load: 'aof' | 'rdb' | null
  /** Redis cannot read it, so it must not be started from it. */
  readonly unreadable: string | null
  /** What a crash has torn is cut off first. */
  readonly mend: AofEnd | null
  /** It is not known yet whether it can be read, or the disk is not there: it is waited, and why is said. */
  readonly waits: string | null
  /** Cannot be read and is not what is loaded: the next save would be written over it. */
  readonly spoilt: { readonly file: 'aof' | 'rdb'; readonly why: string } | null
  /** Of what would be loaded. */
  readonly position: Position
  readonly text: string
}

/** So often redis must have ended while it loaded, before the file is believed to be the reason. */
const loadAttempts = 3
const aboutTheFile = /\b(RDB|AOF|append only|loading the DB|loading DB|signature|file format)\b/i
/** It says so of the bytes that it has read: they will be no others the next time. */
const plainly =
  /checksum expected|RDB CRC error|Can't handle RDB format|Wrong signature|Bad file format reading the append only|Unexpected end of file reading the append only/i
/** The disk is to blame, or the host, and not what lies there. */
const notTheFile = /No space left|Permission denied|Read-only file system|Too many open files|Cannot allocate memory|quota exceeded/i

export function judgeDisk(disk: DiskProbe, lineage: Lineage, nowWallMs: number): DiskVerdict {
  const load = fileToLoad(disk)
  const verdict = { load, unreadable: null, mend: null, waits: null, spoilt: null, position: empty }
  if (load === null && disk.note?.mount === true && disk.mount !== true) {
    const text = 'its disk is not there: its data directory was a mount, and is an empty folder now'
    return { ...verdict, waits: `${text}. Mount it; what would be begun here instead would be hidden by it`, position: foreign, text }
  }
  if (load === null) return { ...verdict, text: `its disk is empty${whatWasThere(disk, nowWallMs)}` }
  const unseen = [disk.rdb, disk.aof].find((seen) => seen?.ok === false && seen.host === true)
  if (unseen?.ok === false) {
    const text = `its disk cannot be looked at: ${unseen.why}`
    return { ...verdict, waits: `${text}. That says nothing of the data, so nothing is moved, and nothing begun over it`, position: foreign, text }
  }
  const name = load === 'aof' ? 'the AOF' : 'dump.rdb'
  const why = whyUnreadable(disk, load)
  const checked = load === 'aof' && disk.checking === true && why !== null
  if (checked) {
    const text = `its disk has an AOF that redis does not read (${disk.lastWords}); where it breaks is being looked for`
    return { ...verdict, waits: text, position: foreign, text }
  }
  if (why !== null) return { ...verdict, unreadable: why, position: foreign, text: `its disk is not readable: ${name}: ${why}` }
  const { position, text } = load === 'aof' ? describeAof(disk, lineage) : describeRdb(disk, lineage, nowWallMs)
  const other =
    load === 'rdb' && disk.wantsAof
      ? '; AOF is turned on when that is loaded'
      : load === 'aof' && !disk.wantsAof
        ? '; AOF is turned off when that is loaded'
        : ''
  return { ...verdict, mend: load === 'aof' ? tornEnd(disk) : null, spoilt: spoiltBeside(disk, load), position, text: `its disk has ${text}${other}` }
}

function whyUnreadable(disk: DiskProbe, load: 'aof' | 'rdb'): string | null {
  const { failures, lastWords, aofEnd = null } = disk
  const seen = load === 'aof' ? disk.aof : disk.rdb
  if (seen?.ok === false) return seen.why
  if (load === 'aof' && tornEnd(disk) !== null) return null
  if (load === 'aof' && aofEnd !== null && typeof aofEnd !== 'string' && aofEnd.kind === 'torn')
    return `${whereItBreaks(aofEnd)}; that is not cut off, for \`aof-load-truncated no\` is configured`
  const attempts = plainly.test(lastWords) ? 1 : loadAttempts
  if (failures < attempts || !aboutTheFile.test(lastWords) || notTheFile.test(lastWords)) return null
  if (load === 'rdb' || aofEnd === null) return lastWords
  return `${lastWords}; ${typeof aofEnd === 'string' ? aofEnd : whereItBreaks(aofEnd)}`
}

/** Only what cannot be a command, and only where the operator has left that to redis. */
function tornEnd({ aofEnd = null, cutsTorn = true }: DiskProbe): AofEnd | null {
  return cutsTorn && aofEnd !== null && typeof aofEnd !== 'string' && aofEnd.kind === 'torn' ? aofEnd : null
}

function whereItBreaks({ file, bytes, wholeBytes, why }: AofEnd): string {
  return `${file} is whole up to byte ${wholeBytes} of ${bytes}, and behind that is ${why}`
}

function spoiltBeside({ rdb, aof }: DiskProbe, load: 'aof' | 'rdb'): DiskVerdict['spoilt'] {
  if (load === 'aof') return rdb?.ok === false ? { file: 'rdb', why: rdb.why } : null
  return aof?.ok === false ? { file: 'aof', why: aof.why } : null
}

/** An empty folder where data were is no empty disk: somebody has removed them, or has not mounted them. */
function whatWasThere({ note }: DiskProbe, nowWallMs: number): string {
  if (note?.onDisk !== true) return ''
  return `, and had epoch ${note.epoch}, offset ${note.offset} ${ago(Math.round((nowWallMs - note.atWallMs) / 1000))}: removed, or not mounted`
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
  const torn = tornEnd(disk)
  const cutBytes = torn === null ? 0 : torn.bytes - torn.wholeBytes
  const end = torn === null ? '' : `, whose end is torn (${torn.why}: the last ${cutBytes} bytes of ${torn.file})`
  const file = `an AOF of ${aof.bytes} bytes, which names no history${end}`
  if (note === null) return { position: foreign, text: `${file}, and nothing was noted of it` }
  if (typeof note.aof !== 'object' || note.aof.base !== aof.base)
    return { position: foreign, text: `${file}, and is not the one that was noted: of unknown history` }
  const { epoch, holder, served } = note
  const about = Math.max(0, note.offset + aof.bytes - cutBytes - note.aof.bytes)
  const cut = torn !== null || note.aof.cut === true ? { cut: true as const } : {}
  const position = positionOfRestored({ epoch, holder, served, about, atLeast: Math.min(note.sureOffset, about), ...cut }, lineage)
  return { position, text: `${file}; as was noted: ${describePosition(position)}` }
}

function describeRdb(disk: DiskProbe, lineage: Lineage, nowWallMs: number): Described {
  const { rdb, note } = disk
  if (rdb?.ok !== true) return { position: foreign, text: '' }
  const noted = rdb.replid === '' && note?.rdb?.fields === rdb.fields ? note.rdb : null
  const position =
    note !== null && noted !== null
      ? positionOfRestored({ epoch: note.epoch, holder: note.holder, served: note.served, about: noted.sureOffset, atLeast: noted.sureOffset }, lineage)
      : positionOfRdb(rdb.replid, rdb.offset, lineage)
  const data = rdb.empty ? 'no data' : position.kind === 'foreign' ? `data ${describePosition(position)}` : describePosition(position)
  const unsummed = rdb.summed ? '' : ', without a checksum: damage in it would not be noticed'
  const text = `${data} (dump.rdb${ageOf(rdb, nowWallMs)}${rdb.writtenBy === '' ? '' : `, by redis ${rdb.writtenBy}`}${unsummed})`
  return { position: rdb.empty ? empty : position, text }
}

function ageOf(rdb: Extract<RdbSeen, { ok: true }>, nowWallMs: number): string {
  return rdb.savedAtS === null ? '' : `, saved ${ago(Math.round(nowWallMs / 1000 - rdb.savedAtS))}`
}

function ago(s: number): string {
  if (s < 0) return 'by a clock ahead of this one'
  return s < 120 ? `${s} s ago` : s < 7200 ? `${Math.round(s / 60)} min ago` : `${Math.round(s / 3600)} h ago`
}
