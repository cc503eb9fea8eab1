/**
 * What a crash can lose, in words: of one host, and of all at once, by what each redis really writes to its disk. PURE. It promises what holds in the
 * worst case and no more: a disk of which nothing is known, and a copy that does not follow, count for nothing.
 */
import type { Persistence } from '../model/persistence.ts'

export interface Disk {
  readonly host: string
  readonly role: 'primary' | 'replica'
  /** The primary, or a replica that follows with true data. */
  readonly isCopy: boolean
  /** null: nobody has told. */
  readonly persistence: Persistence | null
  /** Until a rewrite has ended, its AOF may be that of an older dataset. */
  readonly isRewriting: boolean
  /** Behind the primary; null: not known. */
  readonly lagBytes: number | null
}

export interface Loss {
  readonly oneHost: string
  readonly allHosts: string
}

export interface LossCase {
  readonly disks: readonly Disk[]
  readonly successor: string | null
  /** `durability: safe`. */
  readonly isSafe: boolean
  /** Restarted by somebody else, and open to writes then: what its AOF has is of unknown history. */
  readonly isOpenAtStart: boolean
}

/** Redis writes its AOF to the kernel before it answers, and to the disk a second later, two when the disk is busy. */
const everysecWords = 'up to 2 s of writes'
const kernelWords = 'what the kernel had not written yet: up to half a minute of writes'

export function lossOf(asked: LossCase): Loss {
  return { oneHost: ofOneHost(asked), allHosts: ofAllHosts(asked) }
}

function ofOneHost({ disks, successor, isSafe }: LossCase): string {
  const primary = disks.find((d) => d.role === 'primary')
  if (primary === undefined) return 'there is no primary: nothing is acknowledged that could be lost'
  const replica = 'a replica: nothing'
  if (successor === null) {
    const { onPower, onCrash } = ofDisk(primary)
    return `${primary.host}: no replica could take over, so it serves again what its own disk has: ${onPower === onCrash ? onPower : `${onCrash} if only redis died, ${onPower} if the host lost its power`}; ${replica}`
  }
  const lag = disks.find((d) => d.host === successor)?.lagBytes ?? null
  const bound = isSafe ? '; redis refuses writes while no replica has acknowledged any for 2 s' : ''
  return `${primary.host}: what had been acknowledged and had not left it (replication is asynchronous)${behind(successor, lag)}${bound}; ${replica}`
}

function behind(host: string, lagBytes: number | null): string {
  return lagBytes === null ? '' : `: ${host} is ${lagBytes} bytes behind now`
}

function ofAllHosts({ disks, isOpenAtStart }: LossCase): string {
  const [best] = disks.filter((d) => d.isCopy).toSorted(mostFirst)
  const unknown = disks.filter((d) => d.persistence === null).map((d) => d.host)
  const reservation = unknown.length === 0 ? '' : `; what ${unknown.join(' and ')} would have is not known, and not counted`
  if (best === undefined || rankOf(best) === nothing) return `everything: no disk is known to hold anything${reservation}`
  const more = best.role === 'replica' ? `, and what had not reached it${behind(best.host, best.lagBytes)}` : ''
  const rewriting = disks.filter((d) => d.isRewriting && d.persistence?.aof !== 'off').map((d) => d.host)
  const meanwhile = rewriting.length === 0 ? '' : `; the AOF of ${rewriting.join(' and ')} is being rewritten just now, and counts when that is done`
  const chosen =
    isOpenAtStart && countsAof(best) ? '. Nobody knows what was written to it before its agent looked: an operator chooses who serves (failover --force)' : ''
  return `${ofDisk(best).onPower}${more}: the disk of ${best.host} would serve (${inWords(best)})${meanwhile}${reservation}${chosen}`
}

/** By what is lost at the most, then the primary, which is behind nobody. */
function mostFirst(one: Disk, other: Disk): number {
  return rankOf(one) - rankOf(other) || Number(one.role === 'replica') - Number(other.role === 'replica') || (one.lagBytes ?? 0) - (other.lagBytes ?? 0)
}

const nothing = Number.POSITIVE_INFINITY

function countsAof({ persistence, isRewriting }: Disk): boolean {
  return persistence !== null && persistence.aof !== 'off' && !isRewriting
}

/** Seconds of writes that may be missing, to compare disks. */
function rankOf(disk: Disk): number {
  const { persistence } = disk
  if (persistence === null) return nothing
  if (countsAof(disk)) return { always: 0, everysec: 2, no: 30, off: nothing }[persistence.aof]
  return persistence.save.length === 0 ? nothing : Math.max(30, ...persistence.save.map((point) => point.seconds))
}

function ofDisk(disk: Disk): { readonly onCrash: string; readonly onPower: string } {
  const { persistence } = disk
  const both = (words: string) => ({ onCrash: words, onPower: words })
  if (persistence === null) return both('not known')
  if (countsAof(disk)) {
    if (persistence.aof === 'always') return both('nothing')
    return { onCrash: 'nothing', onPower: persistence.aof === 'no' ? kernelWords : everysecWords }
  }
  if (persistence.save.length === 0) return both('everything')
  return both(`everything since the last save (${saves(persistence)})`)
}

function saves({ save }: Persistence): string {
  return `one is made ${save.map(({ seconds, changes }) => `${seconds} s after ${changes} ${changes === 1 ? 'change' : 'changes'}`).join(', ')}`
}

function inWords({ persistence }: Disk): string {
  if (persistence === null) return ''
  const rdb = persistence.save.length === 0 ? [] : ['RDB']
  return [...(persistence.aof === 'off' ? [] : [`AOF, appendfsync ${persistence.aof}`]), ...rdb].join(' and ')
}
