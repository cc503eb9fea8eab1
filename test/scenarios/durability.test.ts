/** Two hosts that cannot tell a dead peer from a cut wire: what `check_ips` and `durability: safe` make of it. */
import { describe, expect, test } from 'vitest'
import { World } from './world.ts'

/** Old enough to have heard each other. */
function checking(): World {
  const w = new World({ members: ['a', 'b'], checkIps: ['10.0.0.1'] }).begin()
  w.run(1000)
  return w
}
const safe = (external = false) => new World({ members: ['a', 'b'], safe: true, external })

/** From its peers and from the rest of the network. */
function cutOff(w: World, host: string): void {
  w.network.cutGateway(host)
  w.cut(host)
}

describe('check_ips', () => {
  test('the primary is cut off from everything: it refuses writes and gives the address up before the other is promoted', () => {
    const w = checking()
    w.writes(20)
    const sinceMs = w.nowMs
    cutOff(w, 'a')
    w.until('a takes no writes', () => w.redis('a').write('probe', w.nowMs) !== 'OK', 150)
    expect(w.acts(['promote'], sinceMs)).toEqual([])
    w.until('b serves', () => w.serving().includes('b') && w.writeAt('b') === 'OK', 400)
    expect([...new Set(w.acts(['pause-writes', 'fence-writes', 'promote'], sinceMs))]).toEqual(['a pause-writes', 'a fence-writes', 'b promote'])
    expect(w.redis('a').write('late', w.nowMs)).toBe('NOREPLICAS')
    expect(w.vrrp.hosts.get('a')?.allowed).toBe(false)
    w.heal()
    expect(w.untilWhole()).toBe('b')
    expect(w.redis('a').refusesWrites).toBe(false)
    expect(w.assertions).toEqual([])
  })

  test('at the heal its gateway answers first: it takes no writes on that word', () => {
    const w = checking()
    cutOff(w, 'a')
    w.until('b serves', () => w.serving().includes('b'), 500)
    w.network.clearGateway('a')
    w.run(1500)
    expect(w.redis('a').write('late', w.nowMs)).toBe('NOREPLICAS')
    w.heal()
    expect(w.untilWhole()).toBe('b')
  })

  test('the replica is cut off from everything: it promotes nobody, nor when its gateway answers first', () => {
    const w = checking()
    w.writes(5)
    const sinceMs = w.nowMs
    cutOff(w, 'b')
    w.run(10_000)
    expect(w.writeAt('a')).toBe('OK')
    expect(w.vrrp.hosts.get('b')?.allowed, 'at the heal its claim would draw the clients to a replica').toBe(false)
    w.network.clearGateway('b')
    w.run(1500)
    w.heal()
    expect(w.untilWhole()).toBe('a')
    expect(w.acts(['promote', 'pause-writes', 'fence-writes'], sinceMs)).toEqual([])
    expect(w.state('a').epoch).toBe(1)
  })

  test('the other host loses its power: the primary, which reaches the gateway, goes on without a pause; and the other way round', () => {
    const w = checking()
    w.writes(5)
    const sinceMs = w.nowMs
    w.powerOff('b')
    w.run(5000)
    expect(w.acts(['pause-writes', 'fence-writes'], sinceMs)).toEqual([])
    w.powerOn('b')
    expect(w.untilWhole()).toBe('a')
    // an agent that has only just started takes nobody for gone
    w.run(500)
    w.powerOff('a')
    w.until('b serves', () => w.serving().includes('b') && w.addressOn().includes('b'), 400)
    expect(w.lost('b')).toEqual([])
  })

  test('the gateway is gone, nothing else: nothing happens', () => {
    const w = checking()
    const sinceMs = w.nowMs
    for (const host of w.hosts) w.network.cutGateway(host)
    w.run(5000)
    expect(w.acts(['pause-writes', 'promote', 'vip'], sinceMs)).toEqual([])
    expect(w.write()).toBe('OK')
  })

  test('both are cut off from everything: nobody takes writes; at the heal the old primary goes on', () => {
    const w = checking()
    w.writes(5)
    for (const host of w.hosts) cutOff(w, host)
    w.run(10_000)
    for (const host of w.hosts) expect(w.redis(host).write('late', w.nowMs)).not.toBe('OK')
    w.heal()
    expect(w.untilWhole()).toBe('a')
    expect(w.state('a').epoch).toBe(1)
    expect(w.write()).toBe('OK')
  })

  test('its redis crashes while it is cut off: it does not come back alone', () => {
    const w = checking()
    w.writes(5)
    cutOff(w, 'a')
    w.run(50)
    w.crash('a')
    w.until('b serves', () => w.serving().includes('b'), 500)
    w.run(10_000)
    expect(w.serving()).toEqual(['b'])
    w.heal()
    expect(w.untilWhole()).toBe('b')
  })

  test('cut only from each other, both reach the gateway: two writers until the heal, and nothing is given up without a copy', () => {
    const w = checking()
    w.writes(5)
    w.cut('a')
    w.until('b serves too', () => w.serving().length === 2, 500)
    expect(w.redis('a').write('late', w.nowMs)).toBe('OK')
    w.heal()
    expect(w.untilWhole()).toBe('b')
    expect(w.kept.map((k) => [k.host, k.keys])).toEqual([['a', ['late']]])
  })
})

describe('durability: safe, two members and no witness', () => {
  test('the host of the primary is lost: nobody is promoted, however long; until the operator says so', () => {
    const w = safe().begin()
    w.writes(20)
    const sinceMs = w.nowMs
    w.powerOff('a')
    w.run(60_000)
    expect(w.acts(['promote'], sinceMs)).toEqual([])
    expect(w.agent('b').lastBecause).toMatch(/durability: safe waits for a, or for an operator .*failover sessions --to b --force/)
    w.ask('b', 'failover')
    w.until('b serves', () => w.serving().includes('b'), 100)
    expect(w.redis('b').write('alone', w.nowMs), 'no replica acknowledges').toBe('NOREPLICAS')
    w.powerOn('a')
    expect(w.untilWhole()).toBe('b')
    expect(w.write()).toBe('OK')
    expect(w.lost('b')).toEqual([])
  })

  test('cut from each other: the old primary ends within seconds, the other never begins; at the heal it goes on', () => {
    const w = safe().begin()
    w.writes(20)
    const sinceMs = w.nowMs
    w.cut('a')
    w.until('a takes no writes', () => w.redis('a').write('probe', w.nowMs) !== 'OK', 3100)
    w.run(10_000)
    expect(w.acts(['promote'], sinceMs)).toEqual([])
    for (const host of w.hosts) expect(w.redis(host).write('late', w.nowMs)).not.toBe('OK')
    w.heal()
    expect(w.untilWhole()).toBe('a')
    expect(w.write()).toBe('OK')
    expect(w.state('a').epoch).toBe(1)
  })

  test('redis crashes: its agent gives its word and its vote, the other is promoted; writes go on when it has a replica', () => {
    const w = safe().begin()
    // Agents that have only just come do not vote.
    w.run(1000)
    w.writes(20)
    w.crash('a')
    w.until('b serves', () => w.serving().includes('b'), 100)
    expect(w.redis('b').write('alone', w.nowMs)).toBe('NOREPLICAS')
    expect(w.untilWhole()).toBe('b')
    expect(w.write()).toBe('OK')
    expect(w.lost('b')).toEqual([])
  })

  test('it crashes, and its host is cut off in the same moment: whoever was not heard is not passed over', () => {
    const w = safe().begin()
    w.writes(20)
    w.crash('a')
    w.cut('a')
    w.run(30_000)
    expect(w.hosts.filter((h) => w.redis(h).role === 'primary')).toEqual([])
    w.heal()
    w.untilWhole()
    for (const host of w.hosts) expect(w.lost(host)).toEqual([])
  })

  test('all lose their power: the one with the most data serves once both are back', () => {
    const w = safe().begin()
    w.writes(20)
    for (const host of w.hosts) w.redis(host).save()
    for (const host of w.hosts) w.powerOff(host)
    w.powerOn('b')
    w.run(10_000)
    expect(w.serving()).toEqual([])
    w.powerOn('a')
    const primary = w.untilWhole()
    expect(w.lost(primary)).toEqual([])
  })

  test('switchover and back', () => {
    const w = safe().begin()
    for (const to of ['b', 'a']) {
      w.writes(20)
      w.ask(to === 'b' ? 'a' : 'b', 'switchover', { to })
      w.until(`${to} serves`, () => w.serving().join() === to, 2000)
      w.untilWhole()
    }
    w.until('writes flow', () => w.write() === 'OK', 100)
    expect(w.lost('a')).toEqual([])
    expect(w.assertions).toEqual([])
  })

  test('an external redis: asked to refuse before it is promoted, again after each restart of it', () => {
    const w = safe(true)
    for (const host of w.hosts) w.supervisorStarts(host, 'empty')
    w.begin()
    expect(w.acts(['require-replica', 'promote']).filter((s) => s.startsWith('a '))).toEqual(['a require-replica', 'a promote'])
    w.writes(5)
    w.crash('b')
    w.run(50)
    w.supervisorStarts('b', 'empty')
    w.untilWhole()
    expect(w.hosts.map((h) => w.redis(h).needsReplica)).toEqual([true, true])
  })
})

describe('durability: safe, three members', () => {
  test('the host of the primary is cut off: it holds its writes before two of three elect', () => {
    const w = new World({ members: ['a', 'b', 'c'], safe: true }).begin()
    w.writes(20)
    const sinceMs = w.nowMs
    w.cut('a')
    w.until('one of the others serves', () => w.serving().some((h) => h !== 'a'), 1000)
    expect(w.acts(['pause-writes', 'promote'], sinceMs)[0]).toBe('a pause-writes')
    w.heal()
    expect(w.untilWhole()).not.toBe('a')
    expect(w.assertions).toEqual([])
  })
})
