/**
 * What one group's loop knows of the world besides its own redis: keepalived's words and the address on the interface, and of each
 * peer its last statement, its silence, and whether its redis is reachable. Collects; decides nothing.
 */
import { votersOf, type Config, type GroupConfig } from '../model/config.ts'
import { vipAllowedFile } from '../model/paths.ts'
import { suspectShare, type Policy } from '../model/policy.ts'
import type { KeepalivedProbe, PeerProbe, Statement } from '../model/view.ts'
import { holdsAddress, readAllowed } from '../observe/keepalived.ts'
import { askReach, type Reach } from '../observe/reach.ts'
import { monotonicMs } from './clock.ts'

/** A reach result older than this is asked for again while the suspicion lasts. */
const reachAgainMs = 50
/** keepalived tells its new state before or after it has changed the interface; this long after a word the interface is looked at each time. */
const vrrpSettlesMs = 2000
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
  /** A probe that was under way has its result. */
  readonly wake: () => void
  /** The address has come to this host. */
  readonly vipCame: () => void
}

export interface Senses {
  /** `calm`: nothing is happening, and an address that moves without a word from VRRP may be noticed up to a second late. */
  readonly keepalived: (calm: boolean) => KeepalivedProbe | null
  readonly peers: () => readonly PeerProbe[]
  readonly vrrp: (state: KeepalivedProbe['vrrp']) => void
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
  for (const peerHost of votersOf(group)) if (peerHost !== host) peers.set(peerHost, { statement: null, receivedMs: 0, reach: null, reachMs: 0, asking: false })
  let vrrpState: KeepalivedProbe['vrrp'] = 'unknown'
  let vrrpWordMs = Number.NEGATIVE_INFINITY
  let vipWasHere = false

  function probeKeepalived(calm: boolean): KeepalivedProbe | null {
    if (group.vip === undefined || !options.vip) return null
    // VRRP says when the address moves, and a look a second is enough to notice what it does not say.
    const rarely = calm && monotonicMs() - vrrpWordMs > vrrpSettlesMs
    const vipHere = holdsAddress(group.vip.ip, rarely ? 1000 : 2)
    if (vipHere && !vipWasHere) options.vipCame()
    vipWasHere = vipHere
    return {
      process: options.keepalivedRuns(),
      vrrp: vrrpState,
      vipHere,
      allowed: readAllowed(vipAllowedFile(config.paths, group.name)),
      yields: options.yields(),
    }
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

  return {
    keepalived: probeKeepalived,
    peers: () => [...peers].map(([peerHost, memory]) => probePeer(peerHost, memory)),
    vrrp: (state) => {
      vrrpState = state
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
