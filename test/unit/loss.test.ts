/** What explain promises of a crash, over policies and roles: no more than what the disks really have. */
import { describe, expect, test } from 'vitest'
import { explainGroup } from '../../src/decide/explain.ts'
import { lossOf, type Disk, type LossCase } from '../../src/decide/loss.ts'
import { aofSyncIn, savePointsIn, type Persistence } from '../../src/model/persistence.ts'
import type { RedisSettings } from '../../src/model/view.ts'
import { facts, peer, policy, primaryFacts, probe, state, view, word } from './builders.ts'

const policies = {
  none: { save: [], aof: 'off' },
  rdb: {
    save: [
      { seconds: 3600, changes: 1 },
      { seconds: 60, changes: 10_000 },
    ],
    aof: 'off',
  },
  always: { save: [], aof: 'always' },
  everysec: { save: [], aof: 'everysec' },
  no: { save: [], aof: 'no' },
  both: { save: [{ seconds: 900, changes: 1 }], aof: 'everysec' },
} as const satisfies Record<string, Persistence>
type Name = keyof typeof policies

const saves = 'everything since the last save (one is made 3600 s after 1 change, 60 s after 10000 changes)'
const halfMinute = 'what the kernel had not written yet: up to half a minute of writes'
const lag = ', and what had not reached it: b is 7 bytes behind now'

function disk(host: 'a' | 'b', persistence: Persistence | null, more: Partial<Disk> = {}): Disk {
  return { host, role: host === 'a' ? 'primary' : 'replica', isCopy: true, persistence, isRewriting: false, lagBytes: host === 'a' ? 0 : 7, ...more }
}
function loss(primary: Name, replica: Name, more: Partial<LossCase> & { readonly b?: Partial<Disk> } = {}): ReturnType<typeof lossOf> {
  return lossOf({ disks: [disk('a', policies[primary]), disk('b', policies[replica], more.b)], successor: 'b', isSafe: false, isOpenAtStart: false, ...more })
}

describe('all hosts at once', () => {
  const table: readonly (readonly [primary: Name, replica: Name, lost: string, disk: string])[] = [
    ['none', 'none', 'everything: no disk is known to hold anything', ''],
    ['none', 'rdb', saves + lag, 'b would serve (RDB)'],
    ['none', 'everysec', `up to 2 s of writes${lag}`, 'b would serve (AOF, appendfsync everysec)'],
    ['none', 'always', `nothing${lag}`, 'b would serve'],
    ['none', 'no', halfMinute + lag, 'b would serve'],
    ['rdb', 'none', saves, 'a would serve (RDB)'],
    ['rdb', 'rdb', saves, 'a would serve'],
    ['rdb', 'everysec', `up to 2 s of writes${lag}`, 'b would serve'],
    ['everysec', 'none', 'up to 2 s of writes', 'a would serve'],
    ['everysec', 'everysec', 'up to 2 s of writes', 'a would serve'],
    ['everysec', 'always', `nothing${lag}`, 'b would serve'],
    ['always', 'none', 'nothing', 'a would serve'],
    ['always', 'everysec', 'nothing', 'a would serve'],
    ['no', 'rdb', halfMinute, 'a would serve'],
    ['both', 'none', 'up to 2 s of writes', 'a would serve (AOF, appendfsync everysec and RDB)'],
    ['none', 'both', `up to 2 s of writes${lag}`, 'b would serve (AOF, appendfsync everysec and RDB)'],
  ]
  test.each(table)('primary %s, replica %s: %s', (primary, replica, lost, serves) => {
    const { allHosts } = loss(primary, replica)
    expect(allHosts.startsWith(serves === '' ? lost : `${lost}: the disk of ${serves}`), allHosts).toBe(true)
  })

  test('a copy that does not follow counts for nothing, however much it writes', () => {
    expect(loss('none', 'always', { b: { isCopy: false } }).allHosts).toBe('everything: no disk is known to hold anything')
    expect(loss('rdb', 'always', { b: { isCopy: false } }).allHosts).toMatch(/^everything since the last save/)
  })

  test('an AOF that is being rewritten may be that of an older dataset: until then its saves count, if there are any', () => {
    expect(loss('none', 'everysec', { b: { isRewriting: true } }).allHosts).toBe('everything: no disk is known to hold anything')
    const both = loss('none', 'both', { b: { isRewriting: true } }).allHosts
    expect(both).toMatch(/^everything since the last save.*the AOF of b is being rewritten just now, and counts when that is done/)
  })

  test('what nobody has told is not counted, and that is said', () => {
    expect(lossOf({ disks: [disk('a', policies.none), disk('b', null)], successor: 'b', isSafe: false, isOpenAtStart: false }).allHosts).toBe(
      'everything: no disk is known to hold anything; what b would have is not known, and not counted',
    )
  })

  test('an external redis that its supervisor starts open to writes: an operator chooses; with saves their positions are known', () => {
    expect(loss('everysec', 'none', { isOpenAtStart: true }).allHosts).toContain('an operator chooses who serves (failover --force)')
    expect(loss('rdb', 'none', { isOpenAtStart: true }).allHosts).not.toContain('operator')
  })
})

describe('one host', () => {
  test('a replica takes over: what had not left the primary, whatever the disks have', () => {
    for (const primary of ['none', 'always'] as const)
      expect(loss(primary, 'none').oneHost).toBe(
        'a: what had been acknowledged and had not left it (replication is asynchronous): b is 7 bytes behind now; a replica: nothing',
      )
    expect(loss('none', 'none', { isSafe: true }).oneHost).toContain('redis refuses writes while no replica has acknowledged any for 2 s')
  })

  test.each([
    ['none', 'everything'],
    ['rdb', saves],
    ['everysec', 'nothing if only redis died, up to 2 s of writes if the host lost its power'],
    ['no', `nothing if only redis died, ${halfMinute} if the host lost its power`],
    ['always', 'nothing'],
  ] as const)('nobody could take over, and the primary has %s: it serves what its own disk has', (name, lost) => {
    expect(loss(name, 'everysec', { successor: null }).oneHost).toBe(
      `a: no replica could take over, so it serves again what its own disk has: ${lost}; a replica: nothing`,
    )
  })

  test('no primary', () => {
    expect(lossOf({ disks: [disk('b', policies.rdb)], successor: null, isSafe: false, isOpenAtStart: false }).oneHost).toContain('there is no primary')
  })
})

describe('what redis says', () => {
  test.each([
    ['3600 1 300 100 60 10000', 3],
    ['', 0],
    ['900 1', 1],
    ['nonsense', 0],
    ['0 1', 0],
  ])('save %j: %i points', (text, count) => {
    expect(savePointsIn(text)).toHaveLength(count)
  })

  test.each([
    ['no', 'always', 'off'],
    ['yes', 'always', 'always'],
    ['yes', 'no', 'no'],
    ['yes', 'everysec', 'everysec'],
  ])('appendonly %s, appendfsync %s: %s', (appendonly, fsync, is) => {
    expect(aofSyncIn(appendonly, fsync)).toBe(is)
  })

  const settings = (persistence: Persistence | null): RedisSettings => ({
    runId: 'run-1',
    databases: 16,
    readOnly: true,
    missing: [],
    replicaBuffer: null,
    persistence: persistence === null ? null : { ...persistence, rewritePercentage: 100, rewriteMinBytes: 1 },
  })
  const aof = { enabled: true, rewriting: false, bytes: 1, generation: '1' }
  const ofGroup = (own: RedisSettings | null, theirs: RedisSettings | null, enabled: boolean) =>
    explainGroup(
      state('a', { phase: 'primary' }),
      view('a', [peer(word('b', { fit: true, redis: facts({ aof: { ...aof, enabled } }), settings: theirs }))], {
        redis: probe({ facts: primaryFacts({ aof: { ...aof, enabled: false } }), settings: own }),
      }),
      policy(),
    ).loss

  test('explain goes by what each member runs with, and what redis says now comes before what it was asked a minute ago', () => {
    expect(ofGroup(settings(policies.none), settings(policies.everysec), true)?.allHosts).toMatch(/^up to 2 s of writes.*the disk of b/)
    expect(ofGroup(settings(policies.everysec), settings(policies.everysec), false)?.allHosts).toBe('everything: no disk is known to hold anything')
    expect(ofGroup(null, null, true)?.allHosts).toContain('what a and b would have is not known')
  })
})
