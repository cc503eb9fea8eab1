/** The address is where it does not belong: named, taken off where that is safe, and counted; in no failover or switchover told as wrong. */
import { describe, expect, test } from 'vitest'
import { createWorld, type World } from './world.ts'

const told = (w: World) => w.events.filter((e) => e.kind.startsWith('vip-') && e.kind !== 'vip-up').map((e) => `${e.host} ${e.kind}`)

describe('an address that VRRP has not given', () => {
  test('added by hand on a replica: it is taken off there, nobody is promoted, nothing is lost', () => {
    const w = createWorld('a', 'b').begin()
    w.writes(5)
    w.addAddress('b')
    expect(w.addressOn()).toEqual(['a', 'b'])
    expect(w.writeAt('b'), 'clients that are led there').toBe('READONLY')
    w.until('it is on the primary alone', () => w.addressOn().join() === 'a', 1500)
    w.run(3000)
    w.writes(5)
    expect(told(w)).toEqual(['b vip-removed'])
    expect(w.agent('b').address.report(w.nowMs)).toMatchObject({ word: 'with the primary', repairs: { removed: 1 } })
    expect(w.state('b').epoch).toBe(1)
    expect(w.lost('a')).toEqual([])
    expect(w.assertions).toEqual([])
  })

  test('and it does not come off: told by both sides, with its end; the replica stands for the address all the while', () => {
    const w = createWorld('a', 'b').begin()
    w.failures.set('b/drop-address', 'no such program: ip')
    w.addAddress('b')
    w.run(4000)
    expect(told(w).sort()).toEqual(['a vip-wrong', 'b vip-wrong'])
    expect(w.agent('a').address.report(w.nowMs)).toMatchObject({ word: 'two', why: 'it is on a and b; a is the primary', incidents: { two: 1 } })
    expect(w.vrrp.hosts.get('b')?.allowed).toBe(true)
    w.failures.delete('b/drop-address')
    w.run(2000)
    expect(told(w).slice(2).sort()).toEqual(['a vip-right', 'b vip-removed', 'b vip-right'])
    const ended = w.events.find((e) => e.kind === 'vip-right')
    expect(ended?.data?.['lastedMs']).toBeGreaterThan(3000)
  })

  test('an address by hand does not promote a replica that merely has lost sight of the primary', () => {
    const w = createWorld('a', 'b').begin()
    w.failures.set('b/drop-address', 'no')
    w.addAddress('b')
    w.run(300)
    w.isolate('a', 'b', ['agent', 'redis'])
    w.run(5000)
    expect(w.serving()).toEqual(['a'])
    expect(w.state('b').epoch).toBe(1)
  })

  test('left behind on a primary that dies with its keepalived: the fenced member takes it off, the other serves', () => {
    const w = createWorld('a', 'b').begin()
    w.addAddress('a')
    const keepalived = w.vrrp.hosts.get('a')
    if (keepalived !== undefined) keepalived.alive = false
    w.crash('a')
    w.until('b serves, and the address is there alone', () => w.serving().join() === 'b' && w.addressOn().join() === 'b', 1500)
    expect(told(w)).toContain('a vip-removed')
  })
})

describe('the address at a stranger', () => {
  test('named by who does not hold it, told with its end, and never fought', () => {
    const w = createWorld('a', 'b').begin()
    const sinceMs = w.nowMs
    w.stranger = '02:ff:ff:ff:ff:ff'
    w.run(3000)
    expect(told(w)).toEqual(['b vip-wrong'])
    expect(w.events.at(-1)?.text).toContain('02:ff:ff:ff:ff:ff answers for it, which is no member')
    w.stranger = null
    w.run(1000)
    expect(told(w)).toEqual(['b vip-wrong', 'b vip-right'])
    expect(w.acts(['drop-address', 'vip', 'promote', 'vrrp-yield'], sinceMs)).toEqual([])
  })
})

describe('an ordinary day tells nothing of the address', () => {
  test.each<[string, (w: World) => void]>([
    ['a crash', (w) => w.crash('a')],
    [
      'a lost host that comes back',
      (w) => {
        w.powerOff('a')
        w.run(2000)
        w.powerOn('a')
      },
    ],
    [
      'a switchover',
      (w) => {
        w.ask('a', 'switchover', { to: 'b' })
      },
    ],
    [
      'an agent that is killed and started again',
      (w) => {
        w.killAgent('a')
        w.run(3000)
        w.startAgent('a')
      },
    ],
  ])('%s', (_what, happens) => {
    const w = createWorld('a', 'b', 'c').begin()
    w.writes(5)
    happens(w)
    w.run(5000)
    expect(told(w)).toEqual([])
    for (const host of w.hosts) expect(w.agent(host).address.report(w.nowMs)).toMatchObject({ word: 'with the primary', wrongMs: 0 })
  })
})
