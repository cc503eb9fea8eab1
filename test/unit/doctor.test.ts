/** What the doctor says of a host: for each check, where green ends, what is red, and that what was not seen is never green. */
import { describe, expect, test } from 'vitest'
import { judgeHost } from '../../src/doctor/judge.ts'
import type { DiskLook, DoctorFinding, GroupLook, HostLook, Level, MachineFacts, RedisLook } from '../../src/model/doctor.ts'
import type { Observed } from '../../src/model/outcome.ts'

const mib = 1024 ** 2
const gib = 1024 ** 3
const seen = <T>(value: T): Observed<T> => ({ ok: true, value })
const hidden = { ok: false, why: 'permission denied' } as const

const machine: MachineFacts = {
  overcommit: seen(1),
  hugePages: seen('madvise' as const),
  swap: seen({ totalBytes: 0, usedBytes: 0, swappiness: 60 }),
  memory: seen({ totalBytes: 16 * gib, availableBytes: 12 * gib }),
  somaxconn: seen(4096),
  clock: seen({ synchronized: true, by: 'chrony' }),
}
const saves = [{ seconds: 3600, changes: 1 }]
const redis: RedisLook = {
  version: '7.0.15',
  role: 'primary',
  process: { openFiles: 65_536, swappedBytes: 0, hugePages: false },
  usedBytes: gib,
  maxmemoryBytes: 8 * gib,
  connectedClients: 10,
  maxclients: 10_000,
  bytesPerS: 0,
  overS: 1,
  backlogBytes: 64 * mib,
  replicaBuffer: { hardBytes: 256 * mib, softBytes: 64 * mib, softS: 60 },
  replTimeoutS: 60,
  replPingS: 10,
  tcpBacklog: 511,
  rdbChecksum: true,
  persistence: { save: saves, aof: 'everysec' },
  failed: [],
  forkUs: 20_000,
  copiedBytes: 10 * mib,
  dir: '/data',
}
const disk: DiskLook = { path: '/data', device: 1, totalBytes: 100 * gib, freeBytes: 50 * gib, freeFiles: 1000, speed: null }
const fast = { bytes: 60 * mib, bytesPerS: 500 * mib, fsyncMs: { median: 0.5, worst: 3 } }

function look(more: Partial<GroupLook> = {}): GroupLook {
  return {
    group: 'g',
    port: 6379,
    isExternal: false,
    usesSentinels: false,
    unresponsiveMs: 3000,
    redis: seen(redis),
    disk: seen({ ...disk, speed: seen(fast) }),
    agent: { highestBytesPerS: 0, syncMs: null },
    ...more,
  }
}
const withRedis = (more: Partial<RedisLook>, of: Partial<GroupLook> = {}): HostLook => host({ groups: [look({ redis: seen({ ...redis, ...more }), ...of })] })
const withDisk = (more: Partial<DiskLook>, of: Partial<RedisLook> = {}): HostLook =>
  host({ groups: [look({ redis: seen({ ...redis, ...of }), disk: seen({ ...disk, speed: seen(fast), ...more }) })] })
const withSpeed = (median: number, worst: number, bytesPerS: number, of: Partial<RedisLook>): HostLook =>
  withDisk({ speed: seen({ bytes: mib, bytesPerS, fsyncMs: { median, worst } }) }, of)
const withMachine = (more: Partial<MachineFacts>): HostLook => host({ machine: { ...machine, ...more } })
const withPrograms = (redisSaid: string | null, keepalivedSaid: string | null, of: Partial<GroupLook> = {}): HostLook =>
  host({
    programs: { redisServer: { path: 'redis-server', said: redisSaid }, keepalived: { path: 'keepalived', said: keepalivedSaid } },
    groups: [look(of)],
  })

function host(more: Partial<HostLook> = {}): HostLook {
  return {
    host: 'a',
    machine,
    programs: {
      redisServer: { path: 'redis-server', said: 'Redis server v=7.0.15 sha=0' },
      keepalived: { path: 'keepalived', said: 'Keepalived v2.2.7 (01/16,2022)' },
    },
    groups: [look()],
    ...more,
  }
}

const byRole = { primary: { save: [], aof: 'off' }, replica: { save: [], aof: 'everysec' }, rewritePercentage: 100, rewriteMinBytes: mib } as const

/** The worst that is said under that name. */
function of(check: string, from: HostLook): DoctorFinding {
  const [worst] = judgeHost(from).filter((f) => f.check === check)
  if (worst === undefined) throw new Error(`nothing is said of ${check}`)
  return worst
}

test('a host that is as it should be: all green, and nothing to do', () => {
  const findings = judgeHost(host())
  expect(findings.filter((f) => f.level !== 'green')).toEqual([])
  expect(findings.length).toBeGreaterThan(15)
  expect(findings.every((f) => f.fix === null && f.measured !== '' && f.why !== '')).toBe(true)
})

const cases: readonly (readonly [check: string, told: string, from: HostLook, level: Level])[] = [
  ['overcommit', 'the default', withMachine({ overcommit: seen(0) }), 'yellow'],
  ['overcommit', 'never', withMachine({ overcommit: seen(2) }), 'red'],
  ['huge pages', 'always, but redis has switched them off for itself', withMachine({ hugePages: seen('always') }), 'green'],
  [
    'huge pages',
    'always, and this redis gets them',
    host({ machine: { ...machine, hugePages: seen('always') }, groups: [look({ redis: seen({ ...redis, process: { ...redis.process, hugePages: true } }) })] }),
    'red',
  ],
  ['huge pages', 'always, and no redis runs yet', host({ machine: { ...machine, hugePages: seen('always') }, groups: [] }), 'yellow'],
  ['swap', 'some, and the kernel likes to use it', withMachine({ swap: seen({ totalBytes: gib, usedBytes: 0, swappiness: 60 }) }), 'yellow'],
  ['swap', 'some, as a last resort', withMachine({ swap: seen({ totalBytes: gib, usedBytes: 0, swappiness: 1 }) }), 'green'],
  ['swap', 'a part of the dataset is in it', withRedis({ process: { ...redis.process, swappedBytes: mib } }), 'red'],
  ['clock', 'free running', withMachine({ clock: seen({ synchronized: false, by: 'timedatectl' }) }), 'yellow'],
  ['maxmemory', 'none', withRedis({ maxmemoryBytes: 0 }), 'yellow'],
  ['maxmemory', 'nearly all of the memory', withRedis({ maxmemoryBytes: 14 * gib }), 'yellow'],
  ['maxmemory', 'more than there is', withRedis({ maxmemoryBytes: 17 * gib }), 'red'],
  [
    'maxmemory',
    'two groups that are each within it, and not both',
    host({ groups: [look(), look({ group: 'h', redis: seen({ ...redis, maxmemoryBytes: 9 * gib }) })] }),
    'red',
  ],
  ['memory for a fork', 'less than the dataset', withRedis({ usedBytes: 13 * gib }), 'yellow'],
  ['memory for a fork', 'less than the last one copied', withRedis({ copiedBytes: 13 * gib }), 'red'],
  ['memory for a fork', 'next to nothing', withMachine({ memory: seen({ totalBytes: 16 * gib, availableBytes: 100 * mib }) }), 'red'],
  ['time of a fork', 'felt by clients', withRedis({ forkUs: 400_000 }), 'yellow'],
  ['time of a fork', 'nearly a hang', withRedis({ forkUs: 1_600_000 }), 'red'],
  ['open files', 'maxclients was lowered to fit', withRedis({ maxclients: 992, process: { ...redis.process, openFiles: 1024 } }), 'yellow'],
  ['open files', 'a small maxclients that somebody wanted', withRedis({ maxclients: 992 }), 'green'],
  ['open files', 'nearly all in use', withRedis({ connectedClients: 9000 }), 'red'],
  ['open files', 'not to be read', withRedis({ process: { ...redis.process, openFiles: null } }), 'unseen'],
  ['listen queue', 'the kernel allows less', withMachine({ somaxconn: seen(128) }), 'yellow'],
  ['backlog', 'of a minute and more', withRedis({ bytesPerS: mib }), 'green'],
  ['backlog', 'of half a minute', withRedis({ bytesPerS: 2 * mib }), 'yellow'],
  ['backlog', 'of seconds, at a rate that only the agent has seen', withRedis({}, { agent: { highestBytesPerS: 10 * mib, syncMs: null } }), 'red'],
  ['replica buffer', 'a quick sync', withRedis({ bytesPerS: mib }), 'green'],
  ['replica buffer', 'half of it is filled by one sync', withRedis({ bytesPerS: 6 * mib }), 'yellow'],
  ['replica buffer', 'a sync that it cannot last', withRedis({ bytesPerS: mib }, { agent: { highestBytesPerS: 3 * mib, syncMs: 100_000 } }), 'red'],
  [
    'replica buffer',
    'within the hard limit, beyond the soft one for too long',
    withRedis({}, { agent: { highestBytesPerS: 2 * mib, syncMs: 120_000 } }),
    'red',
  ],
  [
    'replica buffer',
    'the backlog counts from redis 7 on',
    withRedis({ backlogBytes: gib }, { agent: { highestBytesPerS: 3 * mib, syncMs: 100_000 } }),
    'green',
  ],
  ['replica buffer', 'and not before', withRedis({ backlogBytes: gib, version: '6.2.6' }, { agent: { highestBytesPerS: 3 * mib, syncMs: 100_000 } }), 'red'],
  ['replica buffer', 'no limits', withRedis({ bytesPerS: gib, replicaBuffer: { hardBytes: 0, softBytes: 0, softS: 0 } }), 'green'],
  ['replica buffer', 'not told', withRedis({ replicaBuffer: null }), 'unseen'],
  ['repl-timeout', 'shorter than a full sync took', withRedis({}, { agent: { highestBytesPerS: 0, syncMs: 90_000 } }), 'yellow'],
  ['repl-timeout', 'shorter than a full sync of so much', withRedis({ usedBytes: 4 * gib }), 'yellow'],
  ['repl-timeout', 'no longer than between two pings', withRedis({ replTimeoutS: 10 }), 'red'],
  ['rdbchecksum', 'off', withRedis({ rdbChecksum: false }), 'red'],
  ['last save', 'failed', withRedis({ failed: ['save', 'AOF write'] }), 'red'],
  ['persistence', 'none', withRedis({ persistence: { save: [], aof: 'off' } }), 'yellow'],
  ['persistence', 'saves alone', withRedis({ persistence: { save: saves, aof: 'off' } }), 'green'],
  ['persistence', 'none, as its role is to have it', withRedis({ persistence: { save: [], aof: 'off' } }, { persistence: byRole }), 'green'],
  [
    'persistence',
    'none, although a replica is to have an AOF',
    withRedis({ role: 'replica', persistence: { save: [], aof: 'off' } }, { persistence: byRole }),
    'yellow',
  ],
  [
    'persistence',
    'none, and none is wanted anywhere',
    withRedis({ persistence: byRole.primary }, { persistence: { ...byRole, replica: byRole.primary } }),
    'yellow',
  ],
  ['disk space', 'for one more copy', withDisk({ freeBytes: 1.5 * gib }), 'yellow'],
  ['disk space', 'for less than one', withDisk({ freeBytes: 0.9 * gib }), 'red'],
  ['disk space', 'hardly any, of a small dataset', withDisk({ freeBytes: 20 * mib }, { usedBytes: mib }), 'red'],
  ['disk space', 'no more files', withDisk({ freeFiles: 0 }), 'red'],
  ['disk speed', 'not asked for', withDisk({ speed: null }), 'unseen'],
  ['disk speed', 'could not be measured', withDisk({ speed: hidden }), 'unseen'],
  ['disk speed', 'always: 1 ms', withSpeed(1, 5, 500 * mib, { persistence: { save: [], aof: 'always' } }), 'green'],
  ['disk speed', 'always: 5 ms', withSpeed(5, 5, 500 * mib, { persistence: { save: [], aof: 'always' } }), 'yellow'],
  ['disk speed', 'always: 20 ms', withSpeed(20, 20, 500 * mib, { persistence: { save: [], aof: 'always' } }), 'red'],
  ['disk speed', 'everysec: 20 ms', withSpeed(20, 20, 500 * mib, {}), 'green'],
  ['disk speed', 'everysec: stalls', withSpeed(20, 500, 500 * mib, {}), 'yellow'],
  ['disk speed', 'everysec: stalls for more than a second', withSpeed(20, 1500, 500 * mib, {}), 'red'],
  ['disk speed', 'a third of it is written', withSpeed(1, 1, 3 * mib, { bytesPerS: mib }), 'yellow'],
  ['disk speed', 'more than half of it is written', withSpeed(1, 1, 3 * mib, { bytesPerS: 2 * mib }), 'red'],
  ['disk speed', 'slow, and no AOF', withSpeed(20, 1500, mib, { bytesPerS: mib, persistence: { save: saves, aof: 'off' } }), 'green'],
  ['backup disk', 'the same', host({ groups: [look({ backupDisk: seen({ path: '/backups', device: 1 }) })] }), 'yellow'],
  ['backup disk', 'another', host({ groups: [look({ backupDisk: seen({ path: '/backups', device: 2 }) })] }), 'green'],
  ['backup disk', 'not there', host({ groups: [look({ backupDisk: { ok: false, why: 'no such directory' } })] }), 'unseen'],
  ['redis version', 'not installed', withPrograms(null, 'Keepalived v2.2.7'), 'red'],
  ['redis version', 'without replication ids', withPrograms('Redis server v=3.2.6', 'Keepalived v2.2.7'), 'red'],
  ['redis version', 'not tried', withPrograms('Redis server v=5.0.14', 'Keepalived v2.2.7'), 'yellow'],
  ['redis version', 'no switchover', withPrograms('Redis server v=6.0.16', 'Keepalived v2.2.7', { redis: hidden }), 'yellow'],
  ['redis version', 'no switchover, and Sentinels', withPrograms('Redis server v=6.0.16', 'Keepalived v2.2.7', { usesSentinels: true }), 'red'],
  ['redis version', 'newer than what was tried', withPrograms('Redis server v=9.0.0', 'Keepalived v2.2.7'), 'yellow'],
  ['redis version', 'another one is installed than runs', withPrograms('Redis server v=8.0.2', 'Keepalived v2.2.7'), 'yellow'],
  ['redis version', 'Valkey', withPrograms('Valkey server v=8.1.1', 'Keepalived v2.2.7'), 'green'],
  ['keepalived version', 'not installed', withPrograms('Redis server v=7.0.15', null), 'red'],
  ['keepalived version', 'older than what was tried', withPrograms('Redis server v=7.0.15', 'Keepalived v2.0.20 (01/22,2020)'), 'yellow'],
  ['keepalived version', 'newer', withPrograms('Redis server v=7.0.15', 'Keepalived v2.3.1 (05/24,2024)'), 'green'],
]

test.each(cases)('%s: %s', (check, _told, from, level) => {
  const finding = of(check, from)
  expect(finding).toMatchObject({ level })
  const mends = level === 'red' || level === 'yellow'
  expect(finding.fix !== null, `a command exactly where something is to be done: ${finding.fix}`).toBe(mends)
})

describe('what cannot be seen', () => {
  test('a machine that tells nothing and a redis that was not asked: said, with the reason, and nothing of it is green', () => {
    const dark: MachineFacts = { overcommit: hidden, hugePages: hidden, swap: hidden, memory: hidden, somaxconn: hidden, clock: hidden }
    const findings = judgeHost(host({ machine: dark, groups: [look({ redis: hidden, disk: hidden, backupDisk: hidden })] }))
    expect(findings.filter((f) => f.level === 'green').map((f) => f.check)).toEqual(['redis version', 'keepalived version'])
    const unseen = findings.filter((f) => f.level === 'unseen').map((f) => f.check)
    expect(unseen.toSorted()).toEqual(['backup disk', 'clock', 'disk space', 'huge pages', 'overcommit', 'redis', 'swap'])
    expect(findings.filter((f) => f.level === 'unseen').every((f) => f.measured.includes('permission denied'))).toBe(true)
  })

  test('the agent was not reached: the rate is what was measured, and that is said', () => {
    expect(of('backlog', withRedis({ bytesPerS: mib }, { agent: null })).measured).toContain('the agent, which knows the highest rate, was not reached')
  })

  test('the worst comes first, and a fix names what is to be typed', () => {
    const findings = judgeHost(withRedis({ rdbChecksum: false, bytesPerS: 2 * mib }))
    expect(findings.map((f) => f.level).slice(0, 2)).toEqual(['red', 'yellow'])
    expect(of('backlog', withRedis({ bytesPerS: 2 * mib })).fix).toBe(
      'redis: { repl-backlog-size: "150mb" } of the group, holdfast apply; for now: redis-cli -p 6379 CONFIG SET repl-backlog-size 150mb',
    )
    expect(of('backlog', withRedis({ bytesPerS: 2 * mib }, { isExternal: true })).fix).toBe(
      'repl-backlog-size 150mb in its redis.conf; for now: redis-cli -p 6379 CONFIG SET repl-backlog-size 150mb',
    )
  })
})
