/** A source and a target that a move would find in order, for tests that spoil one thing. */
import type { Instance, Source, Target } from '../../src/migrate/facts.ts'

const settings = new Map([
  ['databases', '16'],
  ['maxmemory', '0'],
  ['maxmemory-policy', 'noeviction'],
  ['repl-backlog-size', '1048576'],
  ['repl-timeout', '60'],
  ['repl-backlog-ttl', '3600'],
  ['repl-diskless-sync', 'yes'],
  ['repl-diskless-sync-delay', '5'],
  ['client-output-buffer-limit', 'normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60'],
  ['replica-priority', '100'],
  ['timeout', '0'],
  ['notify-keyspace-events', ''],
  ['hash-max-ziplist-entries', '512'],
])

export function redis(version: string, more: Partial<Instance> = {}, set: Readonly<Record<string, string>> = {}): Instance {
  const [product, text] = version.startsWith('valkey ') ? (['valkey', version.slice(7)] as const) : (['redis', version] as const)
  const [major = 0, minor = 0, patch = 0] = text.split('.').map(Number)
  return {
    at: '10.0.0.1:6379',
    host: '10.0.0.1',
    port: 6379,
    version: { product, text, major, minor, patch },
    runId: 'a'.repeat(40),
    role: 'primary',
    upstream: null,
    replid: 'b'.repeat(40),
    offset: 1000,
    bytesPerS: 1_000_000,
    overS: 5,
    usedBytes: 2e9,
    rssBytes: 2.2e9,
    machineBytes: 16e9,
    keys: 1_000_000,
    highestDb: 0,
    isCluster: false,
    loading: false,
    forkUs: 20_000,
    clients: 40,
    failed: [],
    watchedBySentinels: { ok: true, value: false },
    replicas: [],
    clock: { ok: true, value: { aheadMs: 1, withinMs: 0.5 } },
    settings: { ok: true, value: new Map([...settings, ...Object.entries(set)]) },
    commands: { ok: true, value: new Set(['get', 'set', 'del', 'flushall', 'evalsha', 'xadd']) },
    calls: {
      ok: true,
      value: new Map([
        ['get', 10],
        ['set', 5],
      ]),
    },
    modules: { ok: true, value: [] },
    users: null,
    psync: { may: true, why: '' },
    renamed: [],
    rdbFormat: { ok: false, why: 'database 0 has no key' },
    functions: null,
    ...more,
  }
}

export function source(version: string, more: Partial<Instance> = {}, set: Readonly<Record<string, string>> = {}): Source {
  return { redis: redis(version, more, set), tls: false, user: null, hasPassword: false, backup: { id: '20261121T170000Z-00000000', ageMs: 3_600_000 } }
}

export function target(version: string, more: Partial<Instance> = {}, set: Readonly<Record<string, string>> = {}): Target {
  const empty = { keys: 0, usedBytes: 1e6, rssBytes: 5e6, highestDb: -1, clients: 3, bytesPerS: 10, ...more }
  const members = ['red-a', 'red-b'].map((host, i) => ({
    host,
    redis: { ok: true as const, value: redis(version, { at: `10.0.1.${i}:6379`, host: `10.0.1.${i}`, runId: String(i + 1).repeat(40), ...empty }, set) },
  }))
  return { group: 'sessions', unwell: null, externalSentinels: false, members, first: 'red-a', hasPassword: false, samePassword: null }
}
