/**
 * From whom a backup is taken. PURE: from what the members tell about themselves, so that all agents come to the same host, and the one that is
 * chosen begins by itself. Not known is nobody: a backup is late rather than in the way of a failover. That two agents choose differently for a
 * moment costs a second backup, and nothing else.
 */
import type { PolicyMember } from '../model/policy.ts'
import type { Statement } from '../model/view.ts'

export type Choice =
  | { readonly host: string; readonly role: 'primary' | 'replica'; readonly why: string; readonly epoch: number }
  | { readonly host: null; readonly why: string }

/** The youngest words of those that are heard, this host's own among them. */
export type Words = ReadonlyMap<string, Statement>

/** More than what may be under way between two words: it receives more slowly than is written, or has only begun to catch up. */
const behindBytes = 16 * 1024 * 1024
/** Words of offsets are up to a second old: by less, no two agents would agree who has more. */
const alikeBytes = 1024 * 1024
const ackOldS = 10
/** An agent that is started anew, or a link that was cut for a moment, costs the primary no fork. */
const primaryAfterMs = 10_000
/** A member that loads or is filled will be fit soon. Not longer: whoever goes round in circles never will. */
const primaryAfterFillMs = 15 * 60_000

/** `noReplicaForMs`: for how long none has been fit; infinite: whoever asks does not want to wait. */
export function chooseSource(members: readonly PolicyMember[], words: Words, noReplicaForMs: number): Choice {
  const served = servedBy(words)
  if (served.host === null) return { host: null, why: served.why }
  const judged = judge(members, words, served)
  const fit = judged.flatMap((one) => (one.why === null ? [one] : []))
  const [best] = [...fit].sort(
    (a, b) =>
      Number(b.member.neverPrimary) - Number(a.member.neverPrimary) ||
      Math.floor(a.lagBytes / alikeBytes) - Math.floor(b.lagBytes / alikeBytes) ||
      a.member.priority - b.member.priority ||
      (a.member.host < b.member.host ? -1 : 1),
  )
  const { epoch } = served
  if (best !== undefined) return { host: best.member.host, role: 'replica', epoch, why: whyReplica(best, fit.length) }
  const none = judged.length === 0 ? 'it has no replica' : judged.map(({ member, why }) => `${member.host}: ${why}`).join('; ')
  const primary = words.get(served.host)
  if (primary?.phase !== 'primary' || !primary.answering)
    return { host: null, why: `no replica is fit (${none}), and the agent of ${served.host} is not heard` }
  const waitMs = judged.some(({ isComing }) => isComing) ? primaryAfterFillMs : primaryAfterMs
  if (noReplicaForMs < waitMs) return { host: null, why: `no replica is fit yet: ${none}` }
  return { host: served.host, role: 'primary', epoch, why: `the primary itself, for no replica is fit: ${none}` }
}

/** What an operator names: anybody that is fit, the primary too. */
export function chooseThis(host: string, members: readonly PolicyMember[], words: Words): Choice {
  const served = servedBy(words)
  if (served.host === null) return { host: null, why: served.why }
  const { epoch } = served
  const why = 'it was asked for'
  if (host === served.host)
    return words.get(host)?.phase === 'primary' ? { host, role: 'primary', epoch, why } : { host: null, why: `the agent of ${host} is not heard` }
  const judged = judge(members, words, served).find(({ member }) => member.host === host)
  if (judged === undefined) return { host: null, why: `${host} is no member` }
  return judged.why === null ? { host, role: 'replica', epoch, why } : { host: null, why: `${host}: ${judged.why}` }
}

function whyReplica({ member, lagBytes }: Judged, fit: number): string {
  const never = member.neverPrimary ? 'a replica that may never be primary' : 'a replica'
  return `${never}, ${lagBytes} bytes behind; ${fit === 1 ? 'the only one' : `the first of ${fit}`} that is fit`
}

type Served = { readonly host: string; readonly epoch: number } | { readonly host: null; readonly why: string }

/** Who serves, undisputed and with nothing going on. */
function servedBy(words: Words): Served {
  const all = [...words.values()]
  const epoch = Math.max(0, ...all.map((word) => word.epoch))
  const nobody = (why: string): Served => ({ host: null, why })
  if (epoch === 0) return nobody('the group has not begun to serve')
  const busy = whatGoesOn(all, epoch)
  if (busy !== null) return nobody(busy)
  const [primary, second] = all.filter((word) => word.phase === 'primary' && word.epoch === epoch)
  if (second !== undefined) return nobody(`${primary?.host} and ${second.host} both call themselves primary`)
  if (primary !== undefined)
    return primary.answering && primary.redis?.role === 'primary'
      ? { host: primary.host, epoch }
      : nobody(`the redis of ${primary.host}, the primary, does not answer`)
  // INV-7: an agent that is dead is not the service. Whoever streams from its redis, and finds that it serves, may be backed up.
  const follower = all.find((word) => word.epoch === epoch && word.phase === 'replica' && word.seesHolder === 'serves' && word.redis?.linkUp === true)
  return follower?.holder == null ? nobody('no primary is heard') : { host: follower.holder, epoch }
}

function whatGoesOn(all: readonly Statement[], epoch: number): string | null {
  const handing = all.find((word) => word.handover !== null || word.phase === 'handing')
  if (handing !== undefined) return `a switchover is under way (${handing.host})`
  // Not by votes: one for a candidate of whom nothing came stays.
  const electing = all.find((word) => word.phase === 'promoting')
  if (electing !== undefined) return `a failover is under way (${electing.host})`
  const bereft = all.find((word) => word.epoch === epoch && (word.gone >= epoch || word.seesHolder === 'gone'))
  return bereft === undefined ? null : `${bereft.host} finds its primary gone`
}

interface Judged {
  readonly member: PolicyMember
  readonly lagBytes: number
  /** null: it is fit. */
  readonly why: string | null
  /** It will be, before long. */
  readonly isComing: boolean
}

function judge(members: readonly PolicyMember[], words: Words, served: { readonly host: string; readonly epoch: number }): readonly Judged[] {
  const primary = words.get(served.host)?.redis ?? null
  return members
    .filter(({ host }) => host !== served.host)
    .map((member) => {
      const word = words.get(member.host)
      // Redis' own account of its replicas is of one moment; two statements are not.
      const follower = primary?.followers.find(({ ip, port }) => ip === member.ip && port === member.port)
      const lagBytes = primary === null ? 0 : Math.max(0, primary.offset - (follower?.offset ?? word?.redis?.offset ?? 0))
      const isComing = word?.redis?.loading === true || word?.redis?.syncing === true
      const why =
        word === undefined ? 'its agent is not heard' : (whyUnfit(word, served) ?? whyNotNow(word, members, primary?.replid, lagBytes, follower?.ackAgeS ?? 0))
      return { member, lagBytes, why, isComing }
    })
}

/** What it is and has. */
function whyUnfit(word: Statement, served: { readonly host: string; readonly epoch: number }): string | null {
  const { redis } = word
  if (redis === null || !word.answering) return 'its redis does not answer'
  if (redis.loading) return 'it is loading its data'
  if (redis.syncing) return 'it is in the middle of a full sync'
  if (word.partial) return 'a full sync began and did not end: its data may be partial'
  if (word.refuses === true) return 'it refuses to follow the primary'
  if (word.epoch !== served.epoch || word.holder !== served.host) return 'it has not heard of the present primary'
  if (word.phase !== 'replica' || redis.role !== 'replica') return `it is ${word.phase}, and follows nobody`
  if (!redis.linkUp) return 'its replication link is down'
  if (word.trueCopy === false) return 'its data are known to differ, or do not follow'
  return null
}

/** Where it stands just then. */
function whyNotNow(word: Statement, members: readonly PolicyMember[], replid: string | undefined, lagBytes: number, ackAgeS: number): string | null {
  const { redis } = word
  if (redis === null) return 'its redis does not answer'
  if (redis.replid === '') return `redis ${redis.version} has no replication ids (4.0 has): nobody could say where its data stand`
  if (replid !== undefined && redis.replid !== replid) return "its data are of another history than the primary's"
  if (lagBytes > behindBytes) return `it is ${lagBytes} bytes behind`
  if (ackAgeS > ackOldS) return `it has acknowledged nothing for ${ackAgeS} s`
  const filled = members.find(({ ip, port }) => redis.followers.some((f) => !f.online && f.ip === ip && f.port === port))
  return filled === undefined ? null : `it is giving ${filled.host} all data`
}

/**
 * May a backup that was begun from `host` go on? null: it may. Only what is known to be otherwise ends it: an agent that is started anew is not heard
 * for a moment, and hours of work would be lost.
 */
export function whyStop(host: string, role: 'primary' | 'replica', words: Words): string | null {
  const all = [...words.values()]
  const own = words.get(host)
  if (own === undefined) return null
  const epoch = Math.max(0, ...all.map((word) => word.epoch))
  const busy = whatGoesOn(all, epoch)
  if (busy !== null) return busy
  if (own.redis === null || !own.answering) return 'its redis does not answer'
  if (own.epoch !== epoch) return `epoch ${epoch} is served elsewhere`
  if (role === 'primary') return own.phase === 'primary' ? null : `${host} is primary no more`
  if (own.phase === 'primary') return `${host} has become primary`
  if (own.holder === null) return 'it follows nobody'
  return whyUnfit(own, { host: own.holder, epoch })
}
