/**
 * One agent: all groups of one host, the links to its peers, keepalived, the port. Starts and stops things in the order
 * that safety asks for. INV-7: stopping it stops nothing else; starting it adopts what runs.
 */
import { existsSync } from 'node:fs'
import { hostsOf, type Config, type GroupConfig } from '../model/config.ts'
import { OperatorError } from '../model/error.ts'
import { listenIp } from '../model/local-address.ts'
import type { Event } from '../model/action.ts'
import { beatFile, eventsFile, groupOfInstance, keptDir } from '../model/paths.ts'
import { policyOf } from '../model/policy.ts'
import type { Statement } from '../model/view.ts'
import { readUserRedisConf } from '../config/files.ts'
import { guardProgram } from '../act/keepalived.ts'
import { readProcess } from '../observe/process.ts'
import { guardedGroups } from '../render/guard.ts'
import { vrrpGroups } from '../render/keepalived.ts'
import { missingPrograms } from '../trial/programs.ts'
import { openBackups, type Backups } from './backups.ts'
import { startBeat } from './beat.ts'
import { ofThisBoot } from '../decide/memory.ts'
import { watchedOf } from '../decide/sentinels.ts'
import { monotonicMs, stallMeter } from './clock.ts'
import { foundAddress } from './found-address.ts'
import { startGroup, type GroupLoop } from './group.ts'
import { keepBudget } from './kept-budget.ts'
import { keptStore, type KeptStore } from './kept-store.ts'
import { passwordKeepers, passwordsOf, type PasswordKeepers } from './password-change.ts'
import { leaveGroup } from './leave.ts'
import { secretKeeper, secretsOf } from './secret-change.ts'
import { takeLock } from './lock.ts'
import { ownConfig, type OwnConfig } from './own-config.ts'
import { readEvents, type Log } from './log-files.ts'
import { openPeerLinks, type PeerLinks } from './peers.ts'
import { loadState, prepareStateDir } from './store.ts'
import type { PeerSigns } from './senses.ts'
import { tryStarts, type StartTrial } from './start-trial.ts'
import type { AgentSurface, OpenDoor } from './surface.ts'
import { openSentinels, type GroupSentinels, type SentinelsOptions } from './sentinel.ts'
import { careForSentinels, type SentinelCare } from './sentinel-care.ts'
import type { PasswordKeeper } from './two-step.ts'
import { openVrrp } from './vrrp.ts'
import { startWitness } from './witness.ts'

/** Groups whose calm cycles begin in one wake-up: a hundred at once would be a stall. The others have timers of their own. */
const togetherAtMost = 4
/** Half of it is what a host that beats in the calm rhythm is silent for, when it counts as silent. */
const calmDownAfterMs = 1000

export interface RunningAgent {
  /** Leaves redis, keepalived and the rules as they are. */
  readonly stop: () => Promise<void>
}

export interface AgentOptions {
  readonly config: Config
  /** Of its file. */
  readonly text: string
  readonly host: string
  readonly version: string
  readonly log: Log
  readonly openDoor: OpenDoor
  /** Why the configuration that it was given last is not the one that it starts with; null: it is. */
  readonly problem: string | null
  /** It was given another configuration, and is to be started anew with it. */
  readonly reconfigured: () => void
}

export async function startAgent(options: AgentOptions): Promise<RunningAgent> {
  const { config, host } = options
  const names = Object.values(config.groups)
    .filter((g) => hostsOf(g).includes(host))
    .map((g) => g.name)
  if (config.hosts[host] === undefined) {
    throw new OperatorError(
      'HF104',
      `this host is called ${host}, and ${config.file} has no such host`,
      `name it with --host; known hosts: ${Object.keys(config.hosts).join(', ')}`,
      2,
    )
  }
  const withVip = vrrpGroups(config, host).map(({ name }) => name)
  await needPrograms(config, host)
  await prepareStateDir(config.paths, names)
  const lock = takeLock(config.paths, host)
  try {
    return await run(options, names, withVip, lock.release)
  } catch (error) {
    lock.release()
    throw error
  }
}

async function run(options: AgentOptions, names: readonly string[], withVip: readonly string[], release: () => void): Promise<RunningAgent> {
  const { config, host, version, log, openDoor } = options
  const startedMs = monotonicMs()
  const { current: secret, other: otherSecret } = await secretsOf(config)
  const secrets = [secret, ...(otherSecret === undefined ? [] : [otherSecret])] as const
  const loops = new Map<string, GroupLoop>()
  const peerHosts = peersOf(config, host, names)
  const beatMs = Math.max(20, Math.floor(Math.min(150, ...names.map((n) => config.groups[n]?.failover.hostLossMs ?? 150)) / 3))
  const stall = stallMeter(beatMs)
  // Only a primary that lives on a lease by its peers needs to know that it was heard: where there are Sentinels, the lease is by them.
  const leased = names.flatMap((name) => config.groups[name] ?? []).filter((group) => group.mode === 'vip' && policyOf(group, () => '').leased)

  // By silence nobody stands before Sentinels find the primary down: where that takes a second, agents need not be quicker.
  const urgent = new Set(names.filter((name) => (config.groups[name]?.sentinel?.downAfterMs ?? 0) < calmDownAfterMs))

  const tell: Tell = (name, kind, text) => loops.get(name)?.note(kind, text)
  const stores = new Map(names.map((name) => [name, keptStore(config.paths, name, host, (text) => tell(name, 'salvaged', text))]))
  const budgets = budgetsOf(config, stores, tell, log)
  const guarded = guardedGroups(config, host).length > 0
  if (guarded && !existsSync(guardProgram()))
    log('error', `${guardProgram()} is missing: nobody stops the writes of a cut-off primary while this agent is dead`)
  const beat = guarded ? startBeat(beatFile(config.paths), (why) => log('error', why)) : null
  const keepers = await passwordKeepers(config, host, names, secret, options.reconfigured)
  const cares = new Map<string, SentinelCare | null>()
  const sentinelsOf = new Map<string, GroupSentinels>()
  let trial: StartTrial | null = null
  const backups = openBackups(config, host, names, loops)
  const leave = (name: string) => leaveGroup({ config, host, name, loop: loops.get(name), sentinels: sentinelsOf.get(name) })
  const own = ownConfig({ ...options, leave, changed: options.reconfigured })
  const ownSecret = await secretKeeper(config, host, (name) => loops.get(name)?.snapshot().view ?? null, options.reconfigured)
  const surface: AgentSurface = surfaceOf({ config, host, version, loops, names, stores, own, keepers, ownSecret, cares, backups, trial: () => trial })
  let links: PeerLinks | null = null
  const server = await openDoor({
    ip: listenIp(config, host),
    port: config.api.port,
    secrets,
    surface,
    peer: (peer, stream) => {
      if (links === null || !peerHosts.includes(peer)) return false
      links.accept(peer, stream)
      return true
    },
    complain: (text) => log('warn', text),
  })
  const wakeAll = () => {
    for (const loop of loops.values()) loop.wake()
  }
  links = openPeerLinks({
    self: host,
    secret,
    targets: peerHosts.map((h) => ({ host: h, ip: config.hosts[h]?.ip ?? '', port: config.api.port })),
    beatMs,
    ticked: () => {
      stall.tick()
      beat?.tick()
      let begun = 0
      for (const loop of loops.values()) if (begun < togetherAtMost && loop.awake()) begun += 1
      for (const sentinels of sentinelsOf.values()) sentinels.awake()
    },
    serves: () => {
      for (const [name, loop] of loops) if (urgent.has(name) && loop.serves()) return true
      return false
    },
    needsEcho: (peer) => leased.some((group) => hostsOf(group).includes(peer) && loops.get(group.name)?.serves() === true),
    heard: (_from, message) => {
      if (message.t === 'say') loops.get(message.group)?.heard(message.statement)
      else if (message.t === 'poke') loops.get(message.group)?.poked()
    },
    changed: wakeAll,
    opened: (peer) => {
      for (const loop of loops.values()) loop.sayAllTo(peer)
    },
    complain: (text) => log('warn', text),
  })
  const open = links

  const vrrp = openVrrp({
    config,
    host,
    groups: withVip,
    word: (instance, state) => {
      const { group, reader } = groupOfInstance(instance)
      loops.get(group)?.vrrp(state, reader)
    },
    changed: wakeAll,
    keeps: (name) => loops.get(name)?.hasAddress() ?? false,
    found: foundAddress(config, host, withVip, loops),
    restarted: () => {
      for (const name of withVip) tell(name, 'keepalived-restarted', `keepalived on ${host} had died and was started again`)
    },
    log,
  })
  await vrrp.start()

  const signs: PeerSigns = open
  for (const name of names) {
    const group = config.groups[name]
    if (group === undefined) continue
    const state = ofThisBoot(loadState(config.paths, name, host), startedMs)
    const say = (peer: string, statement: Statement) => open.send(peer, { t: 'say', group: name, statement })
    const sentinels = group.sentinel === undefined ? null : await openSentinels({ ...sentinelEyes(name, loops), config, group, host, secrets })
    if (sentinels !== null) {
      sentinelsOf.set(name, sentinels)
      const { note } = sentinelEyes(name, loops)
      cares.set(name, careForSentinels({ config, group, host, sentinels, snapshot: () => loops.get(name)?.snapshot() ?? null, note }))
    }
    const shared = { ...signs, config, group, host, state, stall, startedMs, say, sentinels, log }
    const member = group.members.find((m) => m.host === host)
    if (member === undefined) {
      loops.set(name, startWitness(shared))
      continue
    }
    const peers = hostsOf(group).filter((h) => h !== host)
    loops.set(
      name,
      startGroup({
        ...shared,
        member,
        ...(await groupPasswords(config, group)),
        userConf: await readUserRedisConf(group),
        archive: backups.of(name)?.stream ?? null,
        poke: (peer) => {
          if (peers.includes(peer)) open.send(peer, { t: 'poke', group: name })
        },
        keepalivedRuns: vrrp.runs,
        yields: () => vrrp.yields(name),
        vrrpYield: (yields) => vrrp.yield(name, yields),
      }),
    )
  }
  for (const sentinels of sentinelsOf.values()) sentinels.keep()
  trial = tryStarts(config, host, (name, text) => tell(name, 'alarm', text))
  log('info', `the agent of ${host} looks after ${names.join(', ') || 'no group'} (port ${config.api.port})`)

  return {
    stop: async () => {
      for (const budget of budgets) budget.stop()
      trial?.stop()
      backups.close()
      vrrp.close()
      for (const sentinels of sentinelsOf.values()) sentinels.close()
      for (const loop of loops.values()) await loop.stop()
      open.close()
      beat?.stop()
      await server.close()
      release()
    },
  }
}

interface Parts extends Pick<AgentOptions, 'config' | 'host' | 'version'> {
  readonly loops: ReadonlyMap<string, GroupLoop>
  readonly names: readonly string[]
  readonly stores: ReadonlyMap<string, KeptStore>
  readonly own: OwnConfig
  readonly keepers: PasswordKeepers
  readonly ownSecret: PasswordKeeper
  readonly cares: ReadonlyMap<string, SentinelCare | null>
  readonly backups: Backups
  readonly trial: () => StartTrial | null
}

function surfaceOf({ config, host, version, loops, names, stores, own, keepers, ownSecret, cares, backups, trial }: Parts): AgentSurface {
  return {
    host,
    version,
    groups: () => names,
    config: own,
    passwords: keepers,
    secret: ownSecret,
    snapshot: (group) => loops.get(group)?.snapshot() ?? null,
    cannotStart: (group) => trial()?.trouble(group) ?? loops.get(group)?.snapshot().endedAtOnce ?? null,
    request: (group, request, deadlineMs) =>
      loops.get(group)?.request(request, deadlineMs) ?? Promise.resolve({ id: request.id, ok: false, message: `no group ${group} on ${host}` }),
    source: (group) => loops.get(group)?.source ?? null,
    redis: (group) => loops.get(group)?.redis() ?? null,
    kept: (group) => stores.get(group) ?? null,
    sentinels: (group) => cares.get(group) ?? null,
    backups: backups.of,
    events: (group, limit) => readEvents(eventsFile(config.paths, group), limit),
    fault: (group, kind) => {
      const pid = loops.get(group)?.snapshot().view?.redis.pid ?? null
      if (pid === null || readProcess(pid) === null) return Promise.resolve({ id: kind, ok: false, message: 'the redis process is not known here' })
      process.kill(pid, kind === 'crash' ? 'SIGKILL' : 'SIGSTOP')
      return Promise.resolve({ id: kind, ok: true, message: `sent ${kind === 'crash' ? 'SIGKILL' : 'SIGSTOP'} to redis (pid ${pid})` })
    },
  }
}

async function groupPasswords(
  config: Config,
  group: GroupConfig,
): Promise<{ readonly password: string | undefined; readonly otherPassword: string | undefined }> {
  const { current, other } = await passwordsOf(config.paths, group, 'redis')
  return { password: current, otherPassword: other }
}

type Tell = (name: string, kind: Event['kind'], text: string) => void

function budgetsOf(config: Config, stores: ReadonlyMap<string, KeptStore>, tell: Tell, log: Log): readonly { readonly stop: () => void }[] {
  return [...stores].flatMap(([name, store]) => {
    const budget = config.groups[name]?.salvage
    if (budget === undefined) return []
    return keepBudget(
      keptDir(config.paths, name),
      store,
      budget,
      (kind, text) => tell(name, kind, text),
      (why) => log('warn', why),
    )
  })
}

/** What the Sentinels of a group need of its loop, which needs them to begin. */
function sentinelEyes(name: string, loops: ReadonlyMap<string, GroupLoop>): Pick<SentinelsOptions, 'wake' | 'pace' | 'watched' | 'note'> {
  return {
    wake: () => loops.get(name)?.wake(),
    pace: () => loops.get(name)?.pace() ?? 'alert',
    watched: () => {
      const known = loops.get(name)?.snapshot()
      return known === undefined ? null : watchedOf(known.state, known.policy)
    },
    note: (kind, text) => loops.get(name)?.note(kind, text),
  }
}

function peersOf(config: Config, host: string, names: readonly string[]): readonly string[] {
  const hosts = new Set<string>()
  for (const name of names) {
    const group = config.groups[name]
    for (const voter of group === undefined ? [] : hostsOf(group)) hosts.add(voter)
  }
  hosts.delete(host)
  return [...hosts]
}

async function needPrograms(config: Config, host: string): Promise<void> {
  if (vrrpGroups(config, host).length > 0 && process.getuid?.() !== 0) {
    throw new OperatorError(
      'HF201',
      'the agent must be root: it starts keepalived and sets the stale-address rule',
      'start it with sudo, or from a systemd unit',
    )
  }
  const missing = (await missingPrograms(config, host)).map(({ program, packageName }) => `${program} (Debian package ${packageName})`)
  if (missing.length > 0) throw new OperatorError('HF202', `not found: ${missing.join(', ')}`, 'install what is missing, or set its place under paths:')
}
