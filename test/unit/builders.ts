/** Small true-to-life values for tests of the core: say only what matters, the rest is a healthy replica of a two-host group. */
import { defaults } from '../../src/config/defaults.ts'
import type { KeepalivedProbe, PeerProbe, RedisFacts, RedisProbe, Statement, View } from '../../src/model/view.ts'
import type { GroupConfig } from '../../src/model/config.ts'
import type { Kept } from '../../src/model/kept.ts'
import type { Move } from '../../src/model/move.ts'
import type { Policy } from '../../src/model/policy.ts'
import type { SentinelFacts, SentinelProbe } from '../../src/model/sentinel.ts'
import { freshWatch } from '../../src/model/watch.ts'
import { freshState, type LineageEntry, type State } from '../../src/model/state.ts'

export const nowMs = 100_000

export function facts(more: Partial<RedisFacts> = {}): RedisFacts {
  return {
    version: '7.0.15',
    configFile: '',
    runId: 'run-1',
    pid: 100,
    role: 'replica',
    loading: false,
    progress: null,
    syncLeftBytes: null,
    upstream: { host: 'ip-a', port: 6379 },
    linkUp: true,
    syncing: false,
    linkDownS: null,
    replid: 'id-1',
    offset: 1000,
    replid2: '',
    secondOffset: -1,
    keys: 10,
    followers: [],
    goodFollowers: null,
    unexpectedErrors: 0,
    ...more,
  }
}

export const primaryFacts = (more: Partial<RedisFacts> = {}): RedisFacts => facts({ role: 'primary', upstream: null, linkUp: false, ...more })

export function probe(more: Partial<RedisProbe> = {}): RedisProbe {
  return {
    process: true,
    pid: 100,
    facts: facts(),
    unansweredMs: 0,
    factsAgeMs: 0,
    askedAgeMs: more.factsAgeMs ?? 0,
    trouble: null,
    busy: false,
    fence: null,
    backlog: null,
    settings: null,
    ...more,
  }
}

export function entry(epoch: number, holder: string, startOffset: number, more: Partial<LineageEntry> = {}): LineageEntry {
  return { epoch, replid: `id-${epoch}`, startOffset, holder, source: epoch === 1 ? 'bootstrap' : 'failover', why: 'because', atWallMs: epoch, ...more }
}

export function state(host: string, more: Partial<State> = {}): State {
  return { ...freshState('sessions', host), phase: 'replica', epoch: 1, holder: 'a', lineage: [entry(1, 'a', 0)], ...more }
}

export function word(host: string, more: Partial<Statement> = {}): Statement {
  return {
    host,
    epoch: 1,
    phase: 'replica',
    holder: 'a',
    redis: facts(),
    process: true,
    answering: true,
    fit: true,
    unfitWhy: '',
    gone: 0,
    fresh: false,
    vipHere: false,
    lineage: [],
    paused: { on: false, atWallMs: 0, by: '' },
    handover: null,
    preparedId: null,
    partial: false,
    vote: null,
    seesHolder: 'serves',
    ...more,
  }
}

/** A peer whose agent is heard, saying this. */
export function peer(statement: Statement, more: Partial<PeerProbe> = {}): PeerProbe {
  return { host: statement.host, agent: 'alive', silentMs: 10, contactMs: 10, statement, statementAgeMs: 10, redisReach: 'not asked', ...more }
}

/** A peer of which nothing is heard any more. */
export function silent(host: string, more: Partial<PeerProbe> = {}): PeerProbe {
  return { host, agent: 'silent', silentMs: 500, contactMs: 500, statement: null, statementAgeMs: 1e12, redisReach: 'silent', ...more }
}

export function vrrp(more: Partial<KeepalivedProbe> = {}): KeepalivedProbe {
  return { process: true, vrrp: 'BACKUP', vipHere: false, allowed: true, yields: false, strayMs: 0, mac: null, answerers: [], ...more }
}

export function view(self: string, peers: readonly PeerProbe[], more: Partial<View> = {}): View {
  return {
    nowMs,
    nowWallMs: 1_700_000_000_000,
    group: 'sessions',
    self,
    stalledMs: 0,
    agentUptimeMs: 60_000,
    durable: true,
    actedAll: true,
    redis: probe(),
    keepalived: vrrp(),
    peers,
    watch: freshWatch,
    checks: null,
    request: null,
    ...more,
  }
}

export function policy(...hosts: readonly (string | (Partial<Policy['members'][number]> & { readonly host: string }))[]): Policy {
  const given = hosts.length === 0 ? ['a', 'b'] : hosts
  return {
    group: 'sessions',
    hasVip: true,
    external: false,
    auto: true,
    hostLossMs: 150,
    unresponsiveMs: 3000,
    maxPauseMs: 500,
    maxFullSyncs: 1,
    witness: null,
    voters: Math.max(2, hosts.length),
    sentinel: null,
    quorum: 0,
    safe: false,
    checks: false,
    leased: false,
    refuseAfterMs: 500,
    leaseMs: 120,
    voteSilenceMs: 187.5,
    members: given.map((h, i) => ({
      ip: `ip-${typeof h === 'string' ? h : h.host}`,
      port: 6379,
      priority: 100 - i,
      neverPrimary: false,
      replicateFrom: null,
      ...(typeof h === 'string' ? { host: h } : h),
    })),
  }
}

/** Three Sentinels beside the members; two must find the primary down, two must vote, two must be in touch. */
export function sentinelPolicy(...hosts: readonly string[]): Policy {
  const sentinel = { hosts: ['a', 'b', 'c'], quorum: 2, votes: 2, behind: 2, downAfterMs: 1000, failoverTimeoutMs: 10_000 }
  return { ...policy(...(hosts.length === 0 ? ['a', 'b', 'c'] : hosts)), sentinel, voters: 3, leased: true, leaseMs: 800, voteSilenceMs: 1250 }
}

/** A Sentinel that answered 50 ms ago and names member a since epoch 1. */
export function sentinel(host: string, more: Partial<SentinelFacts> = {}, probe: Partial<SentinelProbe> = {}): SentinelProbe {
  const settings = { quorum: 2, downAfterMs: 1000, failoverTimeoutMs: 10_000, parallelSyncs: 1 }
  const facts = { id: `id-of-${host}`, names: 'a', address: 'ip-a:6379', configEpoch: 1, down: false, pendingPingMs: 0, failover: null, tilt: false }
  return { host, reach: 'answers', trouble: null, ageMs: 50, vote: null, facts: { ...facts, settings, others: 2, replicas: 2, ...more }, ...probe }
}

/** A group with an address and all defaults; the first member has priority 100, each further one less. */
export function groupConfig(hosts: readonly string[], more: Partial<GroupConfig> = {}): GroupConfig {
  const port = more.port ?? defaults.port
  return {
    name: 'sessions',
    mode: defaults.mode,
    members: hosts.map((host, i) => ({ host, port, priority: 100 - 10 * i, neverPrimary: false })),
    checkIps: [],
    vip: { ip: '10.0.0.100', prefix: 24 },
    vrid: 7,
    unicastPeer: defaults.unicastPeer,
    port,
    process: defaults.process,
    redis: [],
    durability: defaults.durability,
    maxFullSyncs: defaults.maxFullSyncs,
    failover: { auto: true, hostLossMs: defaults.hostLossMs, unresponsiveMs: defaults.unresponsiveMs, maxPauseMs: 500 },
    salvage: { maxBytes: defaults.salvageMaxMib * 1024 ** 2, maxAgeMs: defaults.salvageMaxAgeDays * 24 * 3_600_000 },
    ...more,
  }
}

/** Kept writes of host a, which left epoch 1; nobody has looked at them. */
export function keptWrites(more: Partial<Kept> = {}): Kept {
  return {
    format: 1,
    id: 'epoch-1-from-a',
    group: 'sessions',
    host: 'a',
    kind: 'commands',
    epoch: 1,
    replid: 'id-1',
    fromOffset: 1001,
    toOffset: 1040,
    bytes: 40,
    commands: 2,
    keys: 1,
    databases: [0],
    startDatabase: 0,
    forkedAtWallMs: 1,
    keptAtWallMs: 2,
    sha256: 'x',
    why: '',
    seenAtWallMs: null,
    seenBy: null,
    ...more,
  }
}

/** In its sync, which has ended before; of redis 10.0.0.9:6379. */
export function moveOf(more: Partial<Move> = {}): Move {
  return {
    id: 'request-1',
    source: { host: '10.0.0.9', port: 6379 },
    runId: 'run-old',
    replid: 'id-old',
    epoch: 2,
    rev: 5,
    stage: 'sync',
    stageMs: nowMs - 5000,
    stageWallMs: 0,
    startedWallMs: 0,
    synced: true,
    asked: null,
    verified: null,
    armed: null,
    heldFromMs: null,
    equalOffset: null,
    wayBack: 'replica',
    settled: true,
    settlingMs: null,
    heldMs: null,
    last: '',
    ...more,
  }
}
