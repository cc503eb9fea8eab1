/**
 * What the reporting commands know: every agent of a configuration asked at once, and the answers put together into one
 * picture per group. Agents that do not answer are part of the picture, not an error.
 */
import { loadConfig } from '../config/load.ts'
import { readSecret } from '../config/files.ts'
import type { BackupReport } from '../backup/report.ts'
import { callAgent, type Call } from '../api/client.ts'
import { addressWords, type AddressReport } from '../model/address.ts'
import { hostsOf, type Config, type GroupConfig } from '../model/config.ts'
import { OperatorError } from '../model/error.ts'
import type { RunningConfig } from '../model/own-config.ts'
import { identityOf } from '../config/identity.ts'
import type { AskedOrder } from '../model/move.ts'
import type { PasswordOf } from '../model/password.ts'
import type { RequestResult, State } from '../model/state.ts'
import type { Request, Statement, View } from '../model/view.ts'
import { sentinelsOf, type SentinelStatus } from './ask-sentinels.ts'
import { backupStatus, type BackupStatus } from './backup-status.ts'
import { moveOf, receivesWhy, type MoveStatus } from './migrate-found.ts'
import { configStatus, type ConfigStatus } from './same-config.ts'

export interface Session {
  readonly config: Config
  /** What that was read from. */
  readonly text: string
  readonly secret: string
  /** Tried where that one is refused, while it is changed. */
  readonly otherSecret?: string
}

export async function openSession(options: { readonly config: string }): Promise<Session> {
  const { config, text } = await loadConfig(options.config)
  return { config, text, secret: await readSecret(config) }
}

export function groupOf(session: Pick<Session, 'config'>, name: string): GroupConfig {
  const group = session.config.groups[name]
  if (group !== undefined) return group
  throw new OperatorError('HF104', `no group ${name} in ${session.config.file}`, `known groups: ${Object.keys(session.config.groups).join(', ')}`, 2)
}

export interface AgentGroup {
  readonly group: string
  readonly state: State | null
  readonly statement: Statement | null
  readonly view: View | null
  /** Why this primary takes no writes; absent from agents of an older version. */
  readonly refuses?: string | null
  readonly decision: { readonly diagnosis: string; readonly rule: string; readonly because: string } | null
  /** Absent: an agent of an earlier version. */
  readonly address?: AddressReport | null
  /** These passwords are being changed: the old one and the new one are valid. */
  readonly passwordsChanging?: readonly PasswordOf[]
  /** Why its redis does not start, or would not. Absent: an agent of an earlier version. */
  readonly cannotStart?: string | null
  /** null: it has none here. Absent: an agent of an earlier version. */
  readonly backup?: BackupReport | null
}

export interface AgentAnswer {
  readonly host: string
  readonly ok: boolean
  readonly why: string
  readonly groups: readonly AgentGroup[]
  /** Absent: an agent of an earlier version, or none that answers. */
  readonly config?: Pick<RunningConfig, 'hash' | 'groups' | 'problem'>
  /** That of the agents: the old one and the new one are valid. */
  readonly secretChanging?: boolean
}

export async function ask({ config, secret, otherSecret }: Session, host: string, call: Call): Promise<unknown> {
  try {
    return await callAgent(config, secret, host, call)
  } catch (error) {
    if (otherSecret === undefined || !(error instanceof OperatorError && error.code === 'HF302')) throw error
    return callAgent(config, otherSecret, host, call)
  }
}

/** `silent`: of these it is known already that they do not answer. A machine that is off costs the whole deadline, each time that it is asked. */
export async function askAll(session: Session, hosts: readonly string[], silent: readonly string[] = []): Promise<readonly AgentAnswer[]> {
  return Promise.all(
    hosts.map(async (host): Promise<AgentAnswer> => {
      if (silent.includes(host)) return { host, ok: false, why: 'it did not answer before, and was not asked again', groups: [] }
      try {
        const answer = (await ask(session, host, { method: 'GET', path: '/status' })) as Pick<AgentAnswer, 'groups' | 'config' | 'secretChanging'>
        return { ...answer, host, ok: true, why: '' }
      } catch (error) {
        if (!(error instanceof OperatorError)) throw error
        return { host, ok: false, why: `${error.code} ${error.message}`, groups: [] }
      }
    }),
  )
}

export interface MemberStatus {
  readonly host: string
  readonly role: 'primary' | 'replica' | 'none'
  readonly state: string
  readonly offset: number | null
  readonly lagBytes: number | null
  readonly ackAgeMs: number | null
  readonly fit: boolean
  readonly why: string
  readonly agent: 'up' | 'down'
  readonly vip: boolean
  readonly syncPercent: number | null
  readonly syncLeftBytes: number | null
  /** What is wrong with its data or its settings. */
  readonly alarms: readonly string[]
}

export interface GroupStatus {
  readonly group: string
  readonly primary: string | null
  readonly epoch: number
  readonly vip: string | null
  readonly vipHolder: string | null
  /** The address for reads and who has it; null: the group has none. */
  readonly reader: { readonly vip: string; readonly holder: string | null } | null
  /** Who holds the address, as the agents see it: the worst that one of them says. null: no address, or nobody who looks. */
  readonly address: { readonly word: AddressReport['word']; readonly why: string; readonly forMs: number; readonly seenBy: string } | null
  readonly health: 'ok' | 'degraded' | 'down'
  readonly because: string
  readonly paused: boolean
  readonly members: readonly MemberStatus[]
  readonly witness: { readonly host: string; readonly agent: 'up' | 'down'; readonly vote: string | null } | null
  /** `mode: sentinel`: the Sentinels as the primary's agent sees them (or the first that answers); null in other modes. */
  readonly sentinels: readonly SentinelStatus[] | null
  readonly config: ConfigStatus
  /** Hosts on which the old password and the new one are valid, of each that is being changed. */
  readonly bothPasswords: Readonly<Record<PasswordOf, readonly string[]>>
  /** The same of the agents' secret. */
  readonly bothSecrets: readonly string[]
  /** null: the group has no backups, or no agent told of them. */
  readonly backup: BackupStatus | null
  /** Another redis is being moved here, or was; null: never. */
  readonly move: MoveStatus | null
}

export async function statusOf(session: Session, only?: string, silent: readonly string[] = []): Promise<readonly GroupStatus[]> {
  const groups = only === undefined ? Object.values(session.config.groups) : [groupOf(session, only)]
  const hosts = [...new Set(groups.flatMap(hostsOf))]
  const answers = await askAll(session, hosts, silent)
  const [failure] = answers.filter((a) => !a.ok)
  if (answers.length > 0 && answers.every((a) => a.why.startsWith('HF302')) && failure !== undefined) {
    throw new OperatorError('HF302', failure.why.slice(6), `all hosts need the same secret file; copy it from one that works`)
  }
  const ips = Object.fromEntries(Object.values(session.config.hosts).map((h) => [h.name, h.ip]))
  const wanted = identityOf(session.text).groups
  return groups.map((group) => composeStatus(group, answers, ips, wanted[group.name]))
}

/** `ips`: addresses by host name, because INFO lists followers by address. `wanted`: the group's identity in the file here. */
export function composeStatus(group: GroupConfig, answers: readonly AgentAnswer[], ips: Readonly<Record<string, string>>, wanted?: string): GroupStatus {
  const found = group.members.map((member) => {
    const answer = answers.find((a) => a.host === member.host)
    return { member, answer, own: answer?.groups.find((g) => g.group === group.name) ?? null }
  })
  const epoch = Math.max(0, ...found.map((f) => f.own?.state?.epoch ?? 0))
  const serving = found.find(
    (f) => f.own?.state?.epoch === epoch && (f.own.state.phase === 'primary' || f.own.state.phase === 'handing') && f.own.statement?.answering === true,
  )
  const move = moveOf(found, epoch)
  const silent = serving === undefined && receivesWhy(group.name, move) === null ? provenByReplicas(found, epoch, ips) : null
  const primary = serving?.member.host ?? silent
  const primaryRedis = serving?.own?.statement?.redis ?? null
  const holders = found.filter((f) => f.own?.view?.keepalived?.vipHere === true).map((f) => f.member.host)
  const readers = found.filter((f) => f.own?.view?.reader?.here === true).map((f) => f.member.host)
  const members = found.map(({ member, answer, own }): MemberStatus => {
    const redis = own?.statement?.redis ?? null
    const answering = own?.statement?.answering === true
    const follower = primaryRedis?.followers.find((f) => f.port === member.port && f.ip === (ips[member.host] ?? ''))
    const isPrimary = member.host === primary
    return {
      host: member.host,
      role: isPrimary ? 'primary' : answering && own?.state?.phase === 'replica' ? 'replica' : 'none',
      state: stateWord(own, answer?.ok === true),
      offset: redis?.offset ?? null,
      lagBytes: isPrimary || primaryRedis === null || redis === null || !answering ? null : Math.max(0, primaryRedis.offset - redis.offset),
      ackAgeMs: follower === undefined ? null : follower.ackAgeS * 1000,
      fit: own?.statement?.fit ?? false,
      why: whyNot(own, answer),
      agent: answer?.ok === true ? 'up' : 'down',
      vip: holders.includes(member.host),
      syncPercent: redis?.progress == null ? null : Math.round(redis.progress * 1000) / 10,
      syncLeftBytes: redis?.syncLeftBytes ?? null,
      alarms: [...(own?.statement?.alarms ?? []), ...(own?.cannotStart == null ? [] : [own.cannotStart])],
    }
  })
  const address = addressOf(found, serving?.member.host ?? null)
  const awaits = group.migration?.awaits === true && epoch === 0
  const sentinels = sentinelsOf(group, found, primary, primary === null && (awaits || receivesWhy(group.name, move) !== null))
  const config = configStatus(
    group.name,
    answers.filter((a) => hostsOf(group).includes(a.host)),
    wanted,
  )
  const paused = found.some((f) => f.own?.state?.paused.on === true)
  const [health, because] = judge(
    group,
    primary,
    holders,
    members,
    found.map((f) => f.own),
    silent !== null,
    answers.find((a) => a.host === group.witness)?.ok === true,
    address,
    sentinels,
    config,
    move,
  )
  return {
    move,
    group: group.name,
    primary,
    epoch,
    vip: group.vip?.ip ?? null,
    vipHolder: holders.length === 1 ? (holders[0] ?? null) : null,
    reader: group.readerVip === undefined ? null : { vip: group.readerVip.ip, holder: readers.length === 1 ? (readers[0] ?? null) : null },
    address,
    health,
    because,
    paused,
    members,
    witness: witnessOf(group, answers),
    sentinels,
    config,
    bothPasswords: { redis: changing(group, answers, 'redis'), sentinels: changing(group, answers, 'sentinels') },
    backup:
      group.backup === undefined
        ? null
        : backupStatus(found.flatMap(({ member, own }) => (own?.backup == null ? [] : [{ host: member.host, report: own.backup }]))),
    bothSecrets: answers.filter((a) => a.secretChanging === true && hostsOf(group).includes(a.host)).map((a) => a.host),
  }
}

/** Each agent sees its own side: a stranger is seen by those that do not hold the address. Who cannot know says nothing. */
function addressOf(found: readonly Found[], primary: string | null): GroupStatus['address'] {
  const said = found.flatMap(({ member, own }) => (own?.address == null ? [] : [{ ...own.address, seenBy: member.host }]))
  const known = said.filter((s) => s.word !== 'unknown')
  const wrong = known.filter((s) => s.word !== 'with the primary').sort((a, b) => addressWords.indexOf(a.word) - addressWords.indexOf(b.word))
  const [worst] = [...wrong, ...known.filter((s) => s.seenBy === primary), ...known, ...said]
  return worst === undefined ? null : { word: worst.word, why: worst.why, forMs: Math.round(worst.forMs), seenBy: worst.seenBy }
}

function witnessOf(group: GroupConfig, answers: readonly AgentAnswer[]): GroupStatus['witness'] {
  if (group.witness === undefined) return null
  const answer = answers.find((a) => a.host === group.witness)
  const vote = answer?.groups.find((g) => g.group === group.name)?.statement?.vote ?? null
  return { host: group.witness, agent: answer?.ok === true ? 'up' : 'down', vote: vote === null ? null : `${vote.to} in epoch ${vote.epoch}` }
}

function changing({ name }: GroupConfig, answers: readonly AgentAnswer[], of: PasswordOf): readonly string[] {
  return answers.filter((a) => a.groups.find((g) => g.group === name)?.passwordsChanging?.includes(of) === true).map((a) => a.host)
}

interface Found {
  readonly member: { readonly host: string; readonly port: number }
  readonly answer: AgentAnswer | undefined
  readonly own: AgentGroup | null
}

/** An agent is not the service: a primary whose agent alone is gone is seen by those that replicate from it. */
function provenByReplicas(found: readonly Found[], epoch: number, ips: Readonly<Record<string, string>>): string | null {
  const witness = found.find((f) => f.own?.state?.epoch === epoch && f.own.state.phase === 'replica' && f.own.statement?.answering === true)
  const holder = found.find((f) => f.member.host === witness?.own?.state?.holder)
  if (holder === undefined || holder.answer?.ok === true) return null
  const streams = found.some((f) => {
    const redis = f.own?.statement?.redis
    const upstream = redis?.linkUp === true ? redis.upstream : null
    // A link shows as up for a minute after its other end has lost power: that redis must also answer when asked.
    const answers = f.own?.view?.peers.find((p) => p.host === holder.member.host)?.redisReach === 'answers'
    return answers && upstream?.host === ips[holder.member.host] && upstream?.port === holder.member.port
  })
  return streams ? holder.member.host : null
}

/** Why it may not take over: of a redis that does not start, first what it says itself. */
function whyNot(own: AgentGroup | null, answer: AgentAnswer | undefined): string {
  const why = own?.statement?.unfitWhy ?? answer?.why ?? ''
  return own?.statement?.answering === false && own.cannotStart != null ? [own.cannotStart, why].join('; ') : why
}

function stateWord(own: AgentGroup | null, up: boolean): string {
  if (!up) return 'agent down'
  const redis = own?.statement?.redis ?? null
  if (own?.statement == null) return 'starting'
  if (own.statement.process === false) return 'redis down'
  if (!own.statement.answering) return 'redis not answering'
  if (redis?.loading === true) return 'loading'
  if (redis?.syncing === true) return 'full sync'
  const phase = own.state?.phase ?? 'fresh'
  if (phase === 'replica') return redis?.linkUp === true ? 'streaming' : 'link down'
  if (phase === 'primary') return 'running'
  return phase
}

function judge(
  group: GroupConfig,
  primary: string | null,
  holders: readonly string[],
  members: readonly MemberStatus[],
  own: readonly (AgentGroup | null)[],
  silent: boolean,
  witnessUp: boolean,
  address: GroupStatus['address'],
  sentinels: GroupStatus['sentinels'],
  config: ConfigStatus,
  move: MoveStatus | null,
): readonly ['ok' | 'degraded' | 'down', string] {
  const receives = primary === null ? receivesWhy(group.name, move) : null
  if (receives !== null) return ['degraded', receives]
  if (primary === null) {
    const because = own.map((g) => g?.decision?.because).find((b) => b !== undefined)
    const causes = members.flatMap((m, at) => (own[at]?.cannotStart == null ? [] : [`${m.host}: ${own[at].cannotStart}`]))
    return ['down', [because ?? 'no agent that was asked knows of a primary', ...causes].join('; ')]
  }
  if (silent) return ['degraded', `the agent of ${primary} does not answer; its replicas still stream from it, so it serves as far as can be seen from here`]
  const refuses = own.map((g) => g?.refuses).find((why) => typeof why === 'string')
  if (typeof refuses === 'string') return ['down', refuses]
  if (group.vip !== undefined && !holders.includes(primary))
    return ['down', `${primary} is primary, but the address is ${holders.length === 0 ? 'nowhere' : `on ${holders.join(' and ')}`}`]
  if (holders.length > 1) return ['degraded', `the address is on ${holders.join(' and ')}`]
  if (address?.word === 'a stranger') return ['degraded', `the address is claimed by a stranger: ${address.why} (seen by ${address.seenBy})`]
  const weak = members.filter((m) => m.host !== primary && (m.role !== 'replica' || m.state !== 'streaming'))
  if (weak.length > 0) return ['degraded', weak.map((m) => `${m.host}: ${m.state}${m.why === '' ? '' : ` (${m.why})`}`).join('; ')]
  const alarming = members.filter((m) => m.alarms.length > 0)
  if (alarming.length > 0) return ['degraded', alarming.map((m) => `${m.host}: ${m.alarms.join('; ')}`).join('; ')]
  if (!members.some((m) => m.host !== primary && m.fit)) return ['degraded', 'no replica is fit to take over']
  const barred = members.filter((m) => !m.fit && group.members.find((g) => g.host === m.host)?.neverPrimary !== true)
  if (barred.length > 0)
    return ['degraded', barred.map((m) => `${m.host} may not ${m.host === primary ? 'be promoted again' : 'take over'}: ${m.why}`).join('; ')]
  if (group.witness !== undefined && !witnessUp)
    return ['degraded', `the witness ${group.witness} does not answer: if another host is lost too, nobody can be elected`]
  // Before what follows from it: a Sentinel is set as its own agent is configured.
  if (config.why !== '') return ['degraded', config.why]
  const ailing = (sentinels ?? []).filter((s) => !s.ok)
  if (ailing.length > 0) return ['degraded', ailing.map((s) => `the Sentinel of ${s.host}: ${s.why}`).join('; ')]
  return ['ok', `${primary} serves, every replica streams`]
}

export type Asked = Omit<Request, 'id' | 'by' | 'move'> & { readonly move?: AskedOrder }

export async function send(session: Session, host: string, group: string, request: Asked, deadlineMs = 25_000): Promise<RequestResult> {
  const by = `${process.env.SUDO_USER ?? process.env.USER ?? 'root'}`
  const id = `${Date.now().toString(36)}-${process.pid}-${Math.floor(Math.random() * 1e9).toString(36)}`
  return (await ask(session, host, { method: 'POST', path: `/groups/${group}/requests`, body: { ...request, id, by }, deadlineMs })) as RequestResult
}

export function refusal(result: RequestResult, group: string, see = 'explain'): OperatorError {
  if (result.late !== true) return new OperatorError('HF303', result.message, `see: holdfast ${see} ${group}`)
  return new OperatorError(
    'HF304',
    `${result.message}: it may still go on, and writes may be held until it has ended`,
    `see: holdfast status ${group}; an agent that has died on the way ends what it began when it is started again`,
  )
}
