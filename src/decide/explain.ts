/** "What would happen if the primary died now?" — the same rules as the election, asked about the present. Pure. */
import { wrongWords } from '../model/address.ts'
import { isReceiving } from '../model/move.ts'
import type { Policy } from '../model/policy.ts'
import type { State } from '../model/state.ts'
import type { View } from '../model/view.ts'
import { candidateFromWord, candidateOf, compareCandidates, ownFitness, type Candidate } from './fitness.ts'
import { findAddress, type AddressFinding } from './address.ts'
import { adviseBacklog } from './backlog.ts'
import { diagnose } from './diagnose.ts'
import { lossOf, type Disk, type Loss } from './loss.ts'
import { advisePersist } from './persist.ts'
import { nameOf } from './moving.ts'
import { describePosition } from './position.ts'
import { sentinelsOf } from './sentinel-words.ts'
import { heard, isWriteFenced, peerOf, situationOf } from './situation.ts'
import { alarmsOf, isStuck, whyDiffers } from './stream.ts'
import { respondTo } from './table.ts'

export interface Explanation {
  readonly group: string
  readonly asSeenBy: string
  readonly primary: string | null
  readonly epoch: number
  readonly now: { readonly diagnosis: string; readonly diagnosisWhy: string; readonly rule: string; readonly ruleWhy: string; readonly evidence: string }
  readonly members: readonly {
    readonly host: string
    readonly fit: boolean
    readonly why: string
    readonly position: string
    readonly lagBytes: number | null
  }[]
  /** The member that would be promoted; null: nobody. */
  readonly successor: string | null
  readonly wouldHappen: string
  /** What a crash of the primary's host, and of all hosts at once, can lose. Absent: an agent of an earlier version. */
  readonly loss?: Loss
  /** Who holds the address, as this member sees it. null: it does not look. */
  readonly address: string | null
  /** What the replication backlog holds, in time. null: not known yet. */
  readonly backlog: string | null
  readonly warnings: readonly string[]
}

export function explainGroup(state: State, view: View, policy: Policy): Explanation {
  const situation = situationOf(state, view, policy)
  const row = diagnose(situation)
  const cell = respondTo(state.phase, row.diagnosis)
  const receives = isReceiving(state.move)
  const primary = receives ? null : state.holder
  const ownFacts = view.redis.facts
  const { holder } = state
  const primaryOffset = holder === state.host ? ownFacts?.offset : heard(holder === null ? undefined : peerOf(view, holder))?.redis?.offset
  const candidates: Candidate[] = []
  const members = policy.members.map((m) => {
    const own = m.host === state.host
    const word = own ? null : heard(peerOf(view, m.host))
    const facts = own ? ownFacts : (word?.redis ?? null)
    const fitness = own ? ownFitness(state, view, policy) : { fit: word?.fit ?? false, why: word === null ? 'its agent is not heard' : word.unfitWhy }
    const candidate = own ? (facts === null ? null : candidateOf(policy, m.host, facts, state)) : word === null ? null : candidateFromWord(policy, word, state)
    if (fitness.fit && candidate !== null && m.host !== primary) candidates.push(candidate)
    const lagBytes = primaryOffset === undefined || facts === null ? null : Math.max(0, primaryOffset - facts.offset)
    return {
      host: m.host,
      fit: fitness.fit,
      why: m.host === primary ? 'is the primary' : fitness.why,
      position: candidate === null ? 'unknown' : describePosition(candidate.position),
      lagBytes,
    }
  })
  const successor = candidates.sort(compareCandidates).at(-1)?.host ?? null
  const address = findAddress(state, view, policy)
  const wrong = address !== null && wrongWords.some((w) => w === address.word)
  return {
    group: state.group,
    asSeenBy: state.host,
    primary,
    epoch: state.epoch,
    now: {
      diagnosis: row.diagnosis,
      diagnosisWhy: row.why,
      rule: `${state.phase} × ${row.diagnosis} → ${cell.response}`,
      ruleWhy: cell.why,
      evidence: situation.holderWhy,
    },
    members,
    successor: receives ? null : successor,
    loss: lossOf({
      disks: members.map((m) => diskOf(state, view, m.host, m.lagBytes)),
      successor,
      isSafe: policy.safe,
      isOpenAtStart: policy.external && view.redis.bornFenced !== true,
    }),
    wouldHappen: outcome(state, view, policy, successor),
    address: address === null ? null : `the address is ${inWords(address)}`,
    backlog: adviseBacklog(view, policy)?.text ?? null,
    warnings: [...warningsOf(state, view, policy, successor), ...(wrong ? [`the address is ${inWords(address)}`] : [])],
  }
}

/** By what its agent says of itself; what redis says now of its AOF comes before what it was set to a minute ago. */
function diskOf(state: State, view: View, host: string, lagBytes: number | null): Disk {
  const own = host === state.host
  const word = own ? null : heard(peerOf(view, host))
  const facts = own ? view.redis.facts : (word?.redis ?? null)
  const settings = (own ? view.redis.settings : word?.settings) ?? null
  const known = settings?.persistence ?? null
  const aof = facts?.aof?.enabled === false ? 'off' : (known?.aof ?? 'off')
  const isPrimary = host === state.holder && !isReceiving(state.move)
  const isTrue = own ? !isStuck(view) && whyDiffers(state, view) === null : word?.trueCopy !== false
  const follows = facts?.linkUp === true && facts.syncing === false && isTrue
  return {
    host,
    role: isPrimary ? 'primary' : 'replica',
    isCopy: isPrimary || follows,
    persistence: known === null || facts === null ? null : { ...known, aof },
    isRewriting: facts?.aof?.rewriting === true,
    lagBytes: isPrimary ? 0 : lagBytes,
  }
}

function inWords({ word, why }: AddressFinding): string {
  return `${word === 'two' ? 'at two hosts' : word === 'a stranger' ? "at a stranger's" : word === 'nobody' ? 'nowhere' : word}: ${why}`
}

function outcome(state: State, view: View, policy: Policy, successor: string | null): string {
  if (state.move !== null && isReceiving(state.move))
    return `nothing: ${nameOf(state.move.source)} serves the clients (holdfast migrate status ${state.group}), and nobody here is promoted before the cut-over`
  if (state.epoch === 0) return 'the group has no primary yet'
  if (state.paused.on) return 'nothing: automatic failover is paused'
  if (!policy.auto) return 'nothing: failover.auto is off'
  if (successor === null)
    return `no member could take over: ${policy.external ? "the address would be down until the primary's own supervisor restarts redis" : 'redis would be restarted in place with what its disk has, and serve again once no better data can be found'}`
  const answering = sentinelsOf(view).filter((s) => s.reach === 'answers').length
  if (policy.sentinel !== null && answering < policy.sentinel.votes)
    return `nobody could be promoted: ${answering} of ${policy.sentinel.hosts.length} Sentinels watch the group and answer here, and ${policy.sentinel.votes} must vote`
  const votes =
    policy.sentinel !== null
      ? `, with the votes of ${policy.sentinel.votes} of ${policy.sentinel.hosts.length} Sentinels`
      : policy.quorum === 0
        ? ''
        : `, with ${policy.quorum} of ${policy.voters} votes`
  const crash = `if its redis died, ${successor} would be promoted within milliseconds${votes}`
  return `${crash}; if its host were lost, ${hostLoss(state, policy, successor)}`
}

function hostLoss(state: State, policy: Policy, successor: string): string {
  if (policy.sentinel !== null) return `after ${policy.sentinel.downAfterMs} ms (down_after_ms), when ${policy.sentinel.quorum} Sentinels find it down`
  if (policy.quorum > 0 && policy.quorum === policy.voters)
    return `nobody, before it is back or an operator says holdfast failover ${state.group} --to ${successor} --force (durability: safe without a witness)`
  const cutOff = policy.checks ? ', if a host of check_ips answers there' : ''
  return `after ${policy.hostLossMs} ms of VRRP silence and a second opinion${cutOff}`
}

/** Of a primary that takes no writes although it is one: why, and for whom it waits. */
export function writesRefused(state: State, view: View, policy: Policy): string | null {
  if (state.phase !== 'primary') return null
  if (state.writesHeldSinceMs !== null) {
    const whom = policy.sentinel !== null ? 'its Sentinels' : policy.checks ? 'a member or one of check_ips' : `${policy.quorum - 1} of its voters`
    return `writes are refused on ${state.host}: it is cut off from ${whom}, and another may be promoted`
  }
  if (!policy.safe || view.redis.facts?.goodFollowers !== 0) return null
  const waitsFor = policy.members.map((m) => m.host).filter((host) => host !== state.host)
  return `writes are refused on ${state.host}: durability is safe, and no replica acknowledges them; waits for ${waitsFor.join(' or ')}`
}

/** The file that the running redis was started from, where that can be known. */
function fileOf(view: View): string {
  const file = view.redis.facts?.configFile ?? ''
  return file === '' ? 'its redis.conf (it was started without one)' : file
}

function warningsOf(state: State, view: View, policy: Policy, successor: string | null): readonly string[] {
  const warnings: string[] = []
  if (successor === null && state.epoch > 0) warnings.push('there is no fit replica: a crash now is an outage')
  if (view.redis.facts !== null && Number(view.redis.facts.version.split('.')[0]) >= 7 && policy.external) {
    warnings.push(
      'process: external: with `repl-diskless-sync yes` (the default from redis 7 on) a replica that has just full-synced looks ready up to a second before it receives anything; set it to no',
    )
  }
  if (policy.external && view.redis.bornFenced !== true)
    warnings.push(
      `process: external: a supervisor that restarts redis at once races with the failover: clients may be answered by what its disk has before the address is gone, and what they write there is kept as a copy and leaves the group. \`replicaof 127.0.0.1 1\` in ${fileOf(view)} closes that; a supervisor that waits (RestartSec=5) makes it unlikely`,
    )
  const backlog = adviseBacklog(view, policy)?.warning ?? null
  if (backlog !== null) warnings.push(backlog)
  const refused = writesRefused(state, view, policy)
  if (refused !== null) warnings.push(refused)
  else if (isWriteFenced(view))
    warnings.push('this redis refuses writes by min-replicas-to-write until what only it has is kept; the values it had are remembered')
  const persist = advisePersist(state, view, policy).waits
  if (persist !== null) warnings.push(`persistence: ${persist}`)
  if (policy.checks && view.checks?.reach === 'silent')
    warnings.push('none of check_ips answers from this host: it would count itself cut off as soon as it hears no member (a gateway that drops TCP needs ping)')
  if (view.keepalived !== null && view.keepalived.process === false) warnings.push('keepalived does not run on this host')
  for (const peer of view.peers)
    if (peer.agent !== 'alive') warnings.push(peer.agent === 'refused' ? `no agent runs on ${peer.host}` : `the agent of ${peer.host} is silent`)
  for (const alarm of alarmsOf(state, view, policy)) warnings.push(`${state.host}: ${alarm}`)
  for (const peer of view.peers) for (const alarm of heard(peer)?.alarms ?? []) warnings.push(`${peer.host}: ${alarm}`)
  return warnings
}
