/**
 * What one group's loop knows of the world besides its own redis: keepalived's words and the address on the interface, and of each
 * peer its last statement, its silence, and whether its redis is reachable. Collects; decides nothing.
 */
import { hostsOf, type Config, type GroupConfig } from '../model/config.ts'
import { readerAllowedFile, vipAllowedFile } from '../model/paths.ts'
import { longSilentMs, stallLimitMs, suspectShare, type Policy } from '../model/policy.ts'
import type { ChecksProbe, KeepalivedProbe, PeerProbe, ReaderProbe, Statement, VipAnswerer } from '../model/view.ts'
import { askChecks } from '../observe/checks.ts'
import { ownAddresses, readAllowed } from '../observe/keepalived.ts'
import { announcers } from '../observe/announcers.ts'
import { askNeighbour, neighbours } from '../observe/neighbours.ts'
import { askReach, type Reach } from '../observe/reach.ts'
import { monotonicMs, type StallMeter } from './clock.ts'

/** A reach result older than this is asked for again while the suspicion lasts. */
const reachAgainMs = 50
/** Half of what the lease allows, so that an answer is never too old while they come. */
const checkAgainMs = 40
const lonelyCheckMs = 400
/** The next question does not wait for an answer that is late. */
const maxChecksAsked = 3
/** In calm only to know that they would answer. */
const calmCheckMs = 30_000
/** keepalived tells its new state before or after it has changed the interface; this long after a word the interface is looked at each time. */
const vrrpSettlesMs = 2000
/** Otherwise so often: somebody may add or remove the address by hand. */
const calmLookMs = 300
/** The neighbour table is looked at so often. */
const tableLookMs = 230
/** Who was in it, or announced the address, counts so long: two that claim it take turns, once a second each (keepalived's garp_master_refresh). */
const answererKeptMs = 5000
/** JSON has no Infinity. */
const neverMs = 1e12

/** What is known of a peer's agent by its links. */
export interface PeerSigns {
  readonly silentMs: (host: string) => number
  readonly everyMs: (host: string) => number
  readonly isRefused: (host: string) => boolean
  readonly hasHungUp: (host: string) => boolean
  readonly contactMs: (host: string) => number
}

export interface SensesOptions extends PeerSigns {
  readonly config: Config
  readonly group: GroupConfig
  readonly host: string
  /** This host may hold the group's address. */
  readonly vip: boolean
  readonly policy: Policy
  readonly keepalivedRuns: () => boolean
  readonly yields: () => boolean
  readonly serves: () => boolean
  readonly stall: StallMeter
  /** A probe that was under way has its result. */
  readonly wake: () => void
  /** The address has come to this host. */
  readonly vipCame: () => void
}

export interface Senses {
  /** `calm`: nothing is happening, and an address that moves without a word from VRRP may be noticed up to a second late. */
  readonly keepalived: (calm: boolean) => KeepalivedProbe | null
  /** null: the group has no reader address. */
  readonly reader: (calm: boolean) => ReaderProbe | null
  readonly peers: () => readonly PeerProbe[]
  readonly checks: (peers: readonly PeerProbe[]) => ChecksProbe | null
  readonly vrrp: (state: KeepalivedProbe['vrrp'], reader: boolean) => void
  /** Keeps a peer's statement and returns the one before it; undefined if it is no peer of this group. */
  readonly heard: (statement: Statement) => { readonly before: Statement | null } | undefined
  readonly peerHosts: readonly string[]
}

interface PeerMemory {
  statement: Statement | null
  receivedMs: number
  reach: Reach | null
  reachMs: number
  asking: boolean
}

export function openSenses(options: SensesOptions): Senses {
  const { config, group, host, policy } = options
  const peers = new Map<string, PeerMemory>()
  for (const peerHost of hostsOf(group)) if (peerHost !== host) peers.set(peerHost, { statement: null, receivedMs: 0, reach: null, reachMs: 0, asking: false })
  let vrrpState: KeepalivedProbe['vrrp'] = 'unknown'
  let vrrpWordMs = Number.NEGATIVE_INFINITY
  let readerState: KeepalivedProbe['vrrp'] = 'unknown'
  let vipWasHere = false
  let straySinceMs: number | null = null
  const answered = new Map<string, number>()
  let askedMs = Number.NEGATIVE_INFINITY
  let lastAskedMs = Number.NEGATIVE_INFINITY
  const checked = { reach: 'not asked' as ChecksProbe['reach'], askedMs: Number.NEGATIVE_INFINITY, sinceMs: monotonicMs(), asking: 0 }

  function probeKeepalived(calm: boolean): KeepalivedProbe | null {
    if (group.vip === undefined || !options.vip) return null
    const nowMs = monotonicMs()
    // VRRP says when the address moves, and a look now and then is enough to notice what it does not say.
    const rarely = calm && nowMs - vrrpWordMs > vrrpSettlesMs && straySinceMs === null
    const { addresses, macs } = ownAddresses(rarely ? calmLookMs : 2)
    const vipHere = addresses.has(group.vip.ip)
    if (vipHere && !vipWasHere) options.vipCame()
    vipWasHere = vipHere
    const process = options.keepalivedRuns()
    const allowed = readAllowed(vipAllowedFile(config.paths, group.name))
    const held = process && allowed && (vrrpState === 'MASTER' || vrrpState === 'unknown')
    straySinceMs = vipHere && !held ? (straySinceMs ?? nowMs) : null
    return {
      process,
      vrrp: vrrpState,
      vipHere,
      allowed,
      yields: options.yields(),
      // Never 0 for a stray, not even at the first look.
      strayMs: straySinceMs === null ? 0 : Math.max(1, nowMs - straySinceMs),
      mac: macs.get(config.hosts[host]?.interface ?? '') ?? null,
      answerers: vipHere ? [] : answerers(group.vip.ip, nowMs),
    }
  }

  function probeReader(calm: boolean): ReaderProbe | null {
    if (group.readerVip === undefined) return null
    const rarely = calm && monotonicMs() - vrrpWordMs > vrrpSettlesMs
    const here = ownAddresses(rarely ? calmLookMs : 2).addresses.has(group.readerVip.ip)
    return { process: options.keepalivedRuns(), vrrp: readerState, allowed: readAllowed(readerAllowedFile(config.paths, group.name)), here }
  }

  function answerers(ip: string, nowMs: number): readonly VipAnswerer[] {
    const device = config.hosts[host]?.interface
    const table = neighbours(tableLookMs).filter((n) => n.device === device)
    const now = table.find((n) => n.ip === ip)
    if (now !== undefined) answered.set(now.mac, nowMs)
    else if (nowMs - askedMs >= answererKeptMs) {
      askedMs = nowMs
      askNeighbour(ip)
    }
    if (device !== undefined) for (const mac of announcers(device, ip)) answered.set(mac, nowMs)
    for (const [mac, atMs] of answered) if (nowMs - atMs > answererKeptMs) answered.delete(mac)
    const hostsAt = (mac: string) => policy.members.filter((m) => table.some((n) => n.ip === m.ip && n.mac === mac)).map((m) => m.host)
    return [...answered.keys()].map((mac) => ({ mac, hosts: hostsAt(mac) }))
  }

  function probePeer(peerHost: string, memory: PeerMemory): PeerProbe {
    const nowMs = monotonicMs()
    const silentMs = Math.min(options.silentMs(peerHost), neverMs)
    const refused = options.isRefused(peerHost)
    const everyMs = options.everyMs(peerHost)
    // Two thirds of the time that VRRP needs, so that both have to agree; a host that beats slowly is given longer.
    const silentAfterMs = Math.max(policy.hostLossMs * suspectShare, everyMs * 3 > policy.hostLossMs ? everyMs * 2.5 : 0)
    const hungUp = options.hasHungUp(peerHost)
    const agent = hungUp ? 'refused' : silentMs < silentAfterMs ? 'alive' : refused ? 'refused' : 'silent'
    const heardMs = nowMs - silentMs
    // What an agent said before it ended is not the word of the next one there, which may know less, or better, and says so first of all.
    if (agent === 'refused') memory.receivedMs = nowMs - neverMs
    if (hungUp || silentMs > everyMs + 10) askAgain(peerHost, memory, nowMs)
    return {
      host: peerHost,
      agent,
      silentMs,
      contactMs: Math.min(options.contactMs(peerHost), neverMs),
      statement: memory.statement,
      statementAgeMs: memory.statement === null ? neverMs : nowMs - memory.receivedMs,
      redisReach: memory.reach !== null && memory.reachMs > heardMs && nowMs - memory.reachMs < 1000 ? memory.reach : 'not asked',
    }
  }

  function askAgain(peerHost: string, memory: PeerMemory, nowMs: number): void {
    const peer = policy.members.find((m) => m.host === peerHost)
    if (memory.asking || peer === undefined || nowMs - memory.reachMs < reachAgainMs) return
    memory.asking = true
    const askedMs = nowMs
    void askReach(peer.ip, peer.port).then((reach) => {
      memory.asking = false
      memory.reach = reach
      memory.reachMs = askedMs
      options.wake()
    })
  }

  /** No member has confirmed the last beat of a primary in time; a replica has missed one of each member. */
  function missesAll(probes: readonly PeerProbe[]): boolean {
    const serves = options.serves()
    return probes.every((p) => (serves ? p.contactMs > policy.leaseMs * 0.6 : p.silentMs > options.everyMs(p.host) + 10))
  }

  function probeChecks(probes: readonly PeerProbe[]): ChecksProbe | null {
    if (!policy.checks) return null
    const nowMs = monotonicMs()
    const everyMs = !missesAll(probes) ? calmCheckMs : probes.every((p) => p.silentMs >= longSilentMs) ? lonelyCheckMs : checkAgainMs
    if (checked.asking < maxChecksAsked && nowMs - lastAskedMs >= everyMs) askChecksAgain(nowMs)
    return { reach: checked.reach, ageMs: Math.min(nowMs - checked.askedMs, neverMs), forMs: nowMs - checked.sinceMs }
  }

  function askChecksAgain(nowMs: number): void {
    checked.asking += 1
    lastAskedMs = nowMs
    void askChecks(group.checkIps).then((answers) => {
      checked.asking -= 1
      // A younger question has been answered already.
      if (nowMs < checked.askedMs) return
      Object.assign(checked, { reach: answers ? 'answers' : 'silent', askedMs: nowMs })
      if (!answers || options.stall.stalledMs() > stallLimitMs) checked.sinceMs = monotonicMs()
      options.wake()
    })
  }

  return {
    keepalived: probeKeepalived,
    reader: probeReader,
    peers: () => [...peers].map(([peerHost, memory]) => probePeer(peerHost, memory)),
    checks: probeChecks,
    vrrp: (state, reader) => {
      if (reader) readerState = state
      else vrrpState = state
      vrrpWordMs = monotonicMs()
    },
    heard: (statement) => {
      const memory = peers.get(statement.host)
      if (memory === undefined) return undefined
      const before = memory.statement
      memory.statement = statement
      memory.receivedMs = monotonicMs()
      return { before }
    },
    peerHosts: [...peers.keys()],
  }
}
