/**
 * May this redis be copied into that group while it is in use, by which way, and what does a copy not promise? PURE. Unlike a replica, a copy is a guess that is checked
 * until it is true: what cannot be checked is told BEFORE it begins, each by a number that stays (scripts say `--accept L1`), and has to be accepted.
 */
import type { Trap, TrapId } from './check.ts'
import type { Tells } from './events.ts'
import type { Source, Target } from './facts.ts'
import { planOf } from './plan.ts'
import { capabilitiesOf, nameOf, rdbFormatOf, readsFormat, type ServerVersion } from './versions.ts'

/** `dump`: values as the source packs them. `logical`: by their elements, by commands that every version has. */
export type CopyWay = 'dump' | 'logical'

export const limitNames = {
  L1: 'flush',
  L2: 'expiry',
  L3: 'last-writes',
  L4: 'left-out',
  L5: 'atomicity',
  L6: 'load',
  L7: 'polling',
  L8: 'logical',
  L9: 'modules',
} as const
export type LimitId = keyof typeof limitNames

export interface Limit {
  readonly id: LimitId
  readonly name: string
  readonly words: string
  readonly accepted: boolean
}

export interface CopyFacts {
  /** May the source be asked for DUMP? */
  readonly dumps: boolean
  readonly tells: Tells
  /** Why it is not `all`. */
  readonly tellsWhy: string
}

export interface CopyWish {
  readonly accepted: readonly string[]
  readonly overwrite: string | null
  /** null: by what the versions say. */
  readonly way: CopyWay | null
}

export interface CopyPlan {
  readonly way: CopyWay
  readonly wayWhy: string
  /** Those of a move that are also of a copy. */
  readonly traps: readonly Trap[]
  readonly limits: readonly Limit[]
  /** What would have to be mended. */
  readonly red: readonly Trap[]
  /** What would have to be accepted. */
  readonly open: readonly (LimitId | TrapId)[]
  /** `--accept` of what is not there: a script that was written for another state. */
  readonly needless: readonly string[]
}

/** A copy needs no replication, and so meets few of them. */
const also: readonly TrapId[] = ['P2', 'P3', 'P11', 'P12', 'P17']
/** Of these only what is red: who watches the source is of no account where nobody follows it. */
const redOnly: readonly TrapId[] = ['P11', 'P17']

export function isCopyId(id: string): boolean {
  const upper = id.toUpperCase()
  return Object.hasOwn(limitNames, upper) || also.some((one) => one === upper && !redOnly.includes(one))
}

export function copyPlanOf(source: Source, target: Target, facts: CopyFacts, wish: CopyWish): CopyPlan {
  const accepted = new Set(wish.accepted.map((id) => id.toUpperCase()))
  // Nothing is followed by a copy: its Sentinels see a primary like any other.
  const all = planOf(source, { ...target, externalSentinels: false }, { accepted: [], overwrite: wish.overwrite }).traps
  const traps = all
    .filter(({ id, level }) => also.includes(id) && (!redOnly.includes(id) || level === 'red' || level === 'green'))
    .map((trap) => ({ ...trap, accepted: trap.level !== 'red' && trap.level !== 'green' && accepted.has(trap.id) }))
  const by = wayOf(source, target, facts, wish.way)
  const limits = limitsOf(source, facts, by.way).map((limit) => ({ ...limit, accepted: accepted.has(limit.id) }))
  const known = [...limits.map(({ id }) => id), ...traps.filter(({ level }) => level === 'yellow' || level === 'unseen').map(({ id }) => id)]
  return {
    ...by,
    traps,
    limits,
    red: traps.filter(({ level }) => level === 'red'),
    open: known.filter((id) => !accepted.has(id)),
    // Which keys cannot be copied is seen only on the way.
    needless: wish.accepted.filter((id) => id.toUpperCase() !== 'L9' && !known.some((one) => one === id.toUpperCase())),
  }
}

/** Every member is to read it: what the primary is written goes to its replicas as it stands, and one that cannot read it has lost it without a word. */
function wayOf({ redis: from }: Source, target: Target, { dumps }: CopyFacts, wanted: CopyWay | null): { readonly way: CopyWay; readonly wayWhy: string } {
  if (!dumps) return { way: 'logical', wayWhy: 'the source refuses DUMP' }
  if (wanted === 'logical') return { way: 'logical', wayWhy: 'it was asked for' }
  const format = from.rdbFormat.ok ? from.rdbFormat.value : rdbFormatOf(from.version)
  if (format === null) return { way: 'logical', wayWhy: `which format of the RDB ${nameOf(from.version)} has is not known` }
  const cannot = target.members.find(({ redis }) => !redis.ok || !reads(redis.value.version, format))
  if (cannot === undefined) return { way: 'dump', wayWhy: `format ${format} of the RDB, which every member reads` }
  const has = cannot.redis.ok ? `${nameOf(cannot.redis.value.version)} of ${cannot.host} does not read` : `${cannot.host} may not read`
  return { way: 'logical', wayWhy: `the source packs values by format ${format} of the RDB, which ${has}` }
}

function reads(version: ServerVersion, format: number): boolean {
  const own = rdbFormatOf(version)
  return own !== null && readsFormat(version, own, format)
}

function limitsOf({ redis: from }: Source, { tells, tellsWhy }: CopyFacts, way: CopyWay): readonly Omit<Limit, 'accepted'>[] {
  const found: Omit<Limit, 'accepted' | 'name'>[] = [
    { id: 'L1', words: 'FLUSHALL, FLUSHDB and SWAPDB at the source are told by nothing: the next round finds what is gone, key by key' },
    {
      id: 'L2',
      words: capabilitiesOf(from.version).absoluteTtl
        ? 'a key whose end is changed in the moment in which it is copied may expire in the group until a round finds it'
        : 'before 7.0 an end is told as a duration: in the group it may be off by what a question takes, and a second is allowed',
    },
    {
      id: 'L3',
      words:
        'what is written to the source after the last comparison is lost: its writers are stopped before (--finish holds them, where the source lets it), and stay so until they write to the group',
    },
    {
      id: 'L4',
      words: 'keys are copied, and nothing else: no functions, scripts, users (ACL), settings, nor what is published; of modules only what the target can read',
    },
    { id: 'L5', words: 'keys are copied one after the other: until the last round the group may have one half of a MULTI and not the other' },
    {
      id: 'L6',
      words: `${way === 'dump' ? 'DUMP' : 'each value read'} costs the source processor time, for every key and every round: with --pace auto it goes by what its clients feel`,
    },
  ]
  if (tells !== 'all')
    found.push({ id: 'L7', words: `${tellsWhy}: what is written meanwhile is found by comparing all again, round after round, and the last one is longer` })
  if (way === 'logical')
    found.push({
      id: 'L8',
      words:
        'by its elements: a value that is written to while it is read is wrong until a round finds it, times to live of single hash fields (7.4) are left out, and so is what only a module reads',
    })
  if (!from.modules.ok || from.modules.value.length > 0)
    found.push({
      id: 'L9',
      words: `what only a module reads goes over where the target reads it as it is packed, and is left out and named elsewhere (${from.modules.ok ? from.modules.value.join(', ') : `MODULE LIST: ${from.modules.why}`})`,
    })
  return found.map((limit) => ({ ...limit, name: limitNames[limit.id] }))
}
