/** Other shapes than two hosts and one group: star, cascade, five members, two groups side by side, and a user's own settings. */
import { describe, expect, test } from 'vitest'
import { countIn, keptFiles } from './evidence.ts'
import type { Rig } from './rig.ts'
import { hostLines, poll, problems, rigFor, twoHosts, vip } from './rig.ts'

const ipOf = (host: string): string => `192.168.77.${host.charCodeAt(4) - 96}`

async function upstreamOf(rig: Rig, host: string): Promise<string | undefined> {
  return /master_host:(\S+)/.exec(await rig.redis(host, 'INFO', 'replication'))?.[1]
}

function group(lines: readonly string[], hosts = 3): string {
  return [hostLines(hosts), 'groups:', '  sessions:', `    vip: ${vip}/24`, ...lines.map((line) => `    ${line}`), ''].join('\n')
}

describe.skipIf(problems.length > 0)('a star of three', { timeout: 60_000 }, () => {
  const theRig = rigFor('star', group(['members: [red-a, red-b, red-c]']))

  test('the primary crashes four times: each time another one serves, the rest follows it, nothing is lost', async () => {
    const rig = theRig()
    const writer = await rig.writer()
    for (let round = 1; round <= 4; round += 1) {
      const before = await rig.untilOk()
      const after = await rig.incident(writer, `${round}: kill -9 on ${before.primary}`, { outageMs: 1000 }, () => rig.lab.kill(before.primary, 'redis'))
      expect(after?.epoch).toBe(before.epoch + 1)
      const replicas = ['red-a', 'red-b', 'red-c'].filter((host) => host !== after?.primary)
      for (const host of replicas) expect(await upstreamOf(rig, host)).toBe(ipOf(after?.primary ?? ''))
    }
    await rig.finishWithin(writer, 1000)
    await rig.expectNoBrokenRule()
  })

  test('of two replicas the freshest wins, not the one with the higher priority', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    // The preferred one of the two replicas no longer gets the primary's stream, and its redis does not know it yet.
    const [stale = '', fresh = ''] = ['red-a', 'red-b', 'red-c'].filter((host) => host !== primary)
    const writer = await rig.writer()
    const after = await rig.incident(writer, `kill -9 of the primary, ${stale} is behind`, { outageMs: 1000 }, async () => {
      await nft(rig, stale, `table ip t_stale { chain in { type filter hook input priority 0; ip saddr ${ipOf(primary)} tcp sport 6379 drop; }; }`)
      const { acked } = await writer.stats()
      await poll(async () => ((await writer.stats()).acked > acked + 300 ? true : undefined), { withinMs: 5000 })
      await rig.lab.kill(primary, 'redis')
      await rig.untilOk().catch(() => undefined)
      await nft(rig, stale, 'table ip t_stale; delete table ip t_stale')
    })
    await rig.finishWithin(writer, 1000)
    expect(after?.primary).toBe(fresh)
    await rig.expectNoBrokenRule()
  })

  test('the primary is cut off: one of the two others takes over, and it comes back as a replica', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const writer = await rig.writer()
    await rig.incident(writer, 'cut', { outageMs: 2000, okWithinMs: null }, () => rig.lab.cut(before.primary))
    const after = await rig.incident(writer, 'healed', { outageMs: 500, mayBeUnfelt: true }, () => rig.lab.heal())
    await rig.finishWithin(writer, 2000)
    expect(after?.epoch).toBe(before.epoch + 1)
    expect(await rig.writable()).toEqual([after?.primary])
    await rig.expectNoBrokenRule()
  })

  /**
   * Without votes (a later version) the blind one takes the primary for lost. The third tells the old primary of the newer
   * epoch within milliseconds, and that ends it: one writer, one address, and what the old one had alone is in its copy.
   */
  test('one replica loses sight of the primary, the third sees both: still one writer, and nothing is gone without a copy', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const [blind = ''] = ['red-a', 'red-b', 'red-c'].filter((host) => host !== before.primary)
    const prefix = 'half-blind'
    const writer = await rig.writer({ prefix })
    await rig.incident(writer, `${before.primary} and ${blind} do not hear each other`, { outageMs: 2000, mayBeUnfelt: true, okWithinMs: null }, () =>
      rig.lab.isolate(before.primary, blind),
    )
    try {
      const one = await rig.until('one member has the address', 'sessions', (s) => s.vipHolder !== null && s.vipHolder === s.primary, 5000)
      expect(await rig.writable()).toEqual([one.primary])
      expect(await writer.steady({ acks: 500, withinMs: 10_000 })).toBe(true)
    } finally {
      await rig.lab.heal()
    }
    await rig.untilOk()
    const verified = await writer.verify()
    const { marks } = await writer.stop()
    console.info(`outage ${marks[0]?.longestOutage.lengthMs.toFixed(0) ?? ''} ms, ${verified.lost} left the lineage and are kept`)
    expect(verified.complete).toBe(true)
    expect(marks[0]?.longestOutage.lengthMs).toBeLessThan(2000)
    if (verified.lost > 0) {
      const kept = await keptFiles(rig, before.primary)
      expect(await countIn(rig, kept.at(-1) ?? '', prefix, verified.firstLost?.seq ?? 0, verified.lastLost?.seq ?? 0)).toBeGreaterThanOrEqual(verified.lost)
    }
    await rig.expectNoBrokenRule()
  })

  test('switchover to each of the others by name', async () => {
    const rig = theRig()
    let { primary } = await rig.untilOk()
    const writer = await rig.writer()
    for (const to of ['red-a', 'red-b', 'red-c', 'red-a'].filter((host, index) => index > 0 || host !== primary)) {
      if (to === primary) continue
      const after = await rig.incident(writer, `${primary} → ${to}`, { outageMs: 1000, mayBeUnfelt: true }, async () => {
        expect(await rig.cli('switchover', 'sessions', '--to', to)).toMatchObject({ code: 0 })
      })
      expect(after?.primary).toBe(to)
      primary = to
    }
    await rig.finishWithin(writer, 1000)
    await rig.expectNoBrokenRule()
  })
})

describe.skipIf(problems.length > 0)('a cascade of three', { timeout: 60_000 }, () => {
  const theRig = rigFor('cascade', group(['members: [red-a, red-b, { host: red-c, replicate_from: red-b }]']))

  test('the last one follows the middle one; after a crash of the primary all is in order again', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    expect(before.primary).toBe('red-a')
    expect(await poll(async () => ((await upstreamOf(rig, 'red-c')) === ipOf('red-b') ? true : undefined), { withinMs: 5000 }), 'c follows b').toBe(true)
    const writer = await rig.writer()
    const after = await rig.incident(writer, 'kill -9 of the primary', { outageMs: 1000 }, () => rig.lab.kill('red-a', 'redis'))
    expect(['red-b', 'red-c']).toContain(after?.primary)
    // The middle one dies: the last one follows the primary meanwhile, and goes back.
    const two = await rig.incident(writer, 'kill -9 of red-b', { outageMs: 1000, mayBeUnfelt: true }, () => rig.lab.kill('red-b', 'redis'))
    await rig.finishWithin(writer, 1000)
    if (two?.primary === 'red-a')
      expect(await poll(async () => ((await upstreamOf(rig, 'red-c')) === ipOf('red-b') ? true : undefined), { withinMs: 5000 })).toBe(true)
    await rig.expectNoBrokenRule()
  })
})

describe.skipIf(problems.length > 0)('five members', { timeout: 60_000 }, () => {
  const theRig = rigFor('five', group(['members: [red-a, red-b, red-c, red-d, { host: red-e, never_primary: true }]'], 5))

  test('two crashes and a lost host: always one primary, never the one that must not be', async () => {
    const rig = theRig()
    const writer = await rig.writer()
    for (const fault of ['kill', 'kill', 'cut'] as const) {
      const before = await rig.untilOk('sessions', 20_000)
      await rig.incident(writer, `${fault} ${before.primary}`, { outageMs: 2000, okWithinMs: fault === 'kill' ? 20_000 : null }, () =>
        fault === 'kill' ? rig.lab.kill(before.primary, 'redis') : rig.lab.cut(before.primary),
      )
      if (fault === 'cut') await rig.incident(writer, 'healed', { outageMs: 1000, mayBeUnfelt: true, okWithinMs: 20_000 }, () => rig.lab.heal())
      const after = await rig.untilOk('sessions', 20_000)
      expect(after.primary).not.toBe(before.primary)
      expect(after.primary).not.toBe('red-e')
      expect(await rig.writable()).toEqual([after.primary])
    }
    await rig.finishWithin(writer, 2000)
    await rig.expectNoBrokenRule()
  })
})

describe.skipIf(problems.length > 0)('two groups on the same hosts', { timeout: 60_000 }, () => {
  const theRig = rigFor(
    'groups',
    [
      hostLines(2),
      'groups:',
      '  sessions:',
      '    members: [red-a, red-b]',
      `    vip: ${vip}/24`,
      '  carts:',
      '    members: [red-b, red-a]',
      '    vip: 192.168.77.10/24',
      '    port: 6380',
      '',
    ].join('\n'),
  )

  test('each has its own primary; a crash of one is nothing to the other; a lost host costs one of them a failover', async () => {
    const rig = theRig()
    expect((await rig.untilOk('sessions')).primary).toBe('red-a')
    expect((await rig.untilOk('carts')).primary).toBe('red-b')
    const sessions = await rig.writer({ group: 'sessions' })
    const carts = await rig.writer({ group: 'carts' })
    await carts.mark('the other group fails over')
    await rig.incident(sessions, 'kill -9', { outageMs: 1000 }, () => rig.lab.kill('red-a', 'redis', { group: 'sessions' }))
    expect((await rig.untilOk('carts')).primary).toBe('red-b')
    const quiet = await rig.finish(carts)
    expect(quiet.marks[0]?.longestOutage.lengthMs).toBeLessThan(100)
    expect(quiet.lost).toBe(0)
    // Now both live on red-b.
    const again = await rig.writer({ group: 'carts' })
    await again.mark('their host is cut off')
    await rig.incident(sessions, 'their host is cut off', { outageMs: 2000, okWithinMs: null }, () => rig.lab.cut('red-b'))
    expect(await again.steady({ acks: 200, withinMs: 10_000 })).toBe(true)
    await rig.lab.heal()
    for (const name of ['sessions', 'carts']) expect((await rig.untilOk(name)).primary).toBe('red-a')
    await rig.finishWithin(again, 2000)
    await rig.finishWithin(sessions, 2000)
    for (const name of ['sessions', 'carts']) await rig.expectNoBrokenRule(name)
  })
})

describe.skipIf(problems.length > 0)('a user with a password, an old redis.conf and a network without multicast', { timeout: 60_000 }, () => {
  const redisConf = [
    '# from 2015',
    'maxmemory 64mb',
    'slave-read-only no',
    'slave-serve-stale-data no',
    'slaveof 10.9.9.9 6379',
    'repl-ping-slave-period 5',
    'hash-max-ziplist-entries 99',
    'bind 127.0.0.1',
    '',
  ].join('\n')
  const theRig = rigFor('user', twoHosts(['password_file: a.password', 'redis_conf: old-redis.conf', 'unicast_peer: true']), {
    files: { 'a.password': 'it\'s "a" #secret\n'.replace(/["#']/g, '-').replaceAll(' ', '_'), 'old-redis.conf': redisConf },
  })

  test('is served as anybody else: crash, host loss and switchover, with the password and the settings everywhere', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    expect(await rig.lab.exec('client', ['redis-cli', '-h', vip, 'SET', 'x', 'y'])).toMatchObject({ stdout: expect.stringContaining('NOAUTH') as unknown })
    for (const host of ['red-a', 'red-b']) expect(await rig.redis(host, 'CONFIG', 'GET', 'maxmemory')).toContain('67108864')
    expect(await rig.redis(before.primary, 'CONFIG', 'GET', 'hash-max-listpack-entries')).toContain('99')
    const writer = await rig.writer()
    const one = await rig.incident(writer, 'crash', { outageMs: 1000 }, () => rig.lab.kill(before.primary, 'redis'))
    expect(await rig.redis(before.primary, 'SET', 'x', 'y'), 'a replica takes no writes, whatever the file says').toMatch(/READONLY/)
    await rig.incident(writer, 'cut', { outageMs: 2000, okWithinMs: null }, () => rig.lab.cut(one?.primary ?? ''))
    await rig.incident(writer, 'healed', { outageMs: 500, mayBeUnfelt: true }, () => rig.lab.heal())
    await rig.incident(writer, 'switchover', { outageMs: 1000, mayBeUnfelt: true }, async () => {
      expect(await rig.cli('switchover', 'sessions')).toMatchObject({ code: 0 })
    })
    await rig.finishWithin(writer, 2000)
    await rig.expectNoBrokenRule()
  })
})

async function nft(rig: Rig, host: string, rules: string): Promise<void> {
  expect(await rig.lab.exec(host, ['nft', '-f', '-'], { input: `${rules}\n` })).toMatchObject({ code: 0 })
}
