/** A host falls silent: promoted only with every piece of evidence, and never by an agent that was deaf itself. */
import { describe, expect, test } from 'vitest'
import type { Layer } from './model-network.ts'
import { createWorld } from './world.ts'

describe('the host of the primary is gone', () => {
  test('power off: agent, redis and VRRP are silent, the other takes over soon after host_loss_ms', () => {
    const w = createWorld('a', 'b').begin()
    w.writes(20)
    const sinceMs = w.nowMs
    w.powerOff('a')
    w.until('b serves', () => w.serving().includes('b') && w.addressOn().includes('b'), 400)
    expect(w.nowMs - sinceMs).toBeGreaterThan(140)
    expect(w.lost('b')).toEqual([])
    // and it comes back with an older disk: nobody follows it, it follows
    w.powerOn('a')
    expect(w.untilWhole()).toBe('b')
    expect(w.lost('a')).toEqual([])
    expect(w.assertions).toEqual([])
  })

  test.each<{ readonly alive: string; readonly silent: readonly Layer[] }>([
    { alive: 'its agent is heard', silent: ['redis', 'vrrp'] },
    { alive: 'its redis answers', silent: ['agent', 'vrrp'] },
    { alive: 'VRRP still hears it', silent: ['agent', 'redis'] },
  ])('all is silent, but $alive: nobody is promoted', ({ silent }) => {
    const w = createWorld('a', 'b').begin()
    w.writes(5)
    const sinceMs = w.nowMs
    w.isolate('a', 'b', silent)
    w.run(10_000)
    // a replica may let go of what it cannot reach, and attaches again
    expect(w.acts(['promote', 'soft-fence'], sinceMs).filter((s) => s !== 'b soft-fence')).toEqual([])
    expect(w.serving()).toEqual(['a'])
    expect(w.state('b').epoch).toBe(1)
    w.heal()
    expect(w.untilWhole()).toBe('a')
  })

  test('all is silent, but this agent itself stood still: what it did not hear proves nothing', () => {
    const w = createWorld('a', 'b').begin()
    w.agent('b').stalledMs = 500
    w.cut('a')
    w.run(5000)
    expect(w.acts(['promote']).filter((s) => s === 'b promote')).toEqual([])
    // it has recovered, and still hears nothing
    w.agent('b').stalledMs = 0
    w.until('b serves', () => w.serving().includes('b'), 1000)
  })

  test('the agent of the primary is killed and redis goes on: nobody is promoted (INV-7)', () => {
    const w = createWorld('a', 'b').begin()
    const sinceMs = w.nowMs
    w.killAgent('a')
    w.run(10_000)
    expect(w.write()).toBe('OK')
    expect(w.acts(['promote'], sinceMs)).toEqual([])
    w.startAgent('a')
    w.run(1000)
    expect(w.isWhole()).toBe(true)
    expect(w.state('a').epoch).toBe(1)
  })

  test('agent and redis of the primary die, its host lives on: the replica takes over when VRRP gives it the address', () => {
    const w = createWorld('a', 'b').begin()
    w.writes(5)
    w.killAgent('a')
    w.crash('a')
    w.run(1000)
    // keepalived of a still holds the address: unknown, so nobody is promoted
    expect(w.acts(['promote']).filter((s) => s === 'b promote')).toEqual([])
    w.startAgent('a')
    expect(w.untilWhole()).toBe('b')
    expect(w.lost('b')).toEqual([])
  })
})

describe('VRRP is not proof of a role', () => {
  test('the address lands on the replica while the primary serves: given back, nobody is promoted', () => {
    const w = createWorld('a', 'b').begin()
    w.writes(5)
    const sinceMs = w.nowMs
    // given a hiccup: adverts are lost for a moment
    w.isolate('a', 'b', ['vrrp'])
    w.until('b has the address', () => w.addressOn().includes('b'), 500)
    w.run(20)
    w.heal()
    // then
    w.until('a alone has the address', () => w.addressOn().join() === 'a', 3000)
    w.run(3000)
    expect(w.addressOn()).toEqual(['a'])
    expect(w.acts(['promote', 'soft-fence'], sinceMs)).toEqual([])
    expect(w.story(sinceMs, ['vip-returned'])).toEqual(['b vip-returned 1'])
    expect(w.state('b').epoch).toBe(1)
  })
})

describe('a cut network', () => {
  test('two hosts without a witness: after the heal one serves, the other has kept its diverged writes and follows', () => {
    const w = createWorld('a', 'b').begin()
    w.writes(20)
    w.cut('a')
    // the client is on the side of a for a while
    for (let i = 0; i < 5; i += 1) expect(w.redis('a').write(`late${i}`, w.nowMs)).toBe('OK')
    w.until('b serves too, with an epoch of its own', () => w.serving().includes('b'), 1000)
    expect(w.state('b').epoch).toBe(2)
    w.run(2000)
    expect(w.vrrp.hosts.get('a')?.yields).toBe(true)
    w.heal()
    expect(w.untilWhole()).toBe('b')
    const done = w.acts(['soft-fence', 'fence-writes', 'keep-writes', 'keep-dataset', 'follow', 'lift-fence']).filter((s) => s.startsWith('a '))
    expect(done).toEqual(['a fence-writes', 'a fence-writes', 'a keep-writes', 'a follow', 'a lift-fence'])
    expect(
      w.kept.map((k) => [k.host, k.keys]),
      'exactly what only a had',
    ).toEqual([['a', ['late0', 'late1', 'late2', 'late3', 'late4']]])
    expect(w.redis('a').refusesWrites).toBe(false)
    expect(w.vrrp.hosts.get('a')?.yields).toBe(false)
    expect(w.lost('b')).toEqual([])
  })

  test('one replica loses sight of the primary, another still hears it and vouches for it: nobody is promoted, the address stays', () => {
    const w = createWorld('a', { host: 'b', priority: 10 }, { host: 'c', priority: 90 }).begin()
    w.writes(5)
    const sinceMs = w.nowMs
    w.isolate('a', 'c')
    w.run(5000)
    expect(w.acts(['promote'], sinceMs)).toEqual([])
    expect(w.serving()).toEqual(['a'])
    expect(w.addressOn()).toEqual(['a'])
    w.writes(5)
    w.heal()
    expect(w.untilWhole()).toBe('a')
    expect(w.lost('c')).toEqual([])
  })

  test('a replica is cut off and comes back: it follows on, nobody is promoted, no epoch rises at the primary', () => {
    const w = createWorld('a', 'b', 'c').begin()
    w.writes(5)
    w.cut('c')
    w.until('the majority side still has a', () => w.serving().includes('a'))
    w.run(3000)
    w.writes(5)
    w.heal()
    const primary = w.untilWhole()
    expect(w.assertions).toEqual([])
    for (const h of w.hosts) expect(w.keys(h)).toEqual(w.keys(primary))
  })
})
