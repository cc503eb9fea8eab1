/** A primary that was started from its disk has no backlog before its first replica attaches, and counts no bytes until then: it must not serve so. */
import { expect, test } from 'vitest'
import { createWorld } from './world.ts'

test('nobody forced: a primary restarted in place serves alone, crashes again, and the old replica comes back: what it acknowledged still serves', () => {
  // given b without power, and a that crashed and serves again from its disk
  const w = createWorld('a', 'b').begin()
  w.writes(5)
  w.redis('b').save()
  w.powerOff('b')
  w.run(1000)
  w.redis('a').save()
  w.crash('a')
  w.until('a serves alone', () => w.serving().join() === 'a')
  w.run(500)
  // when it takes writes, saves them, and crashes again as b comes back
  w.writes(5)
  expect(w.acked).toHaveLength(10)
  w.redis('a').save()
  w.crash('a')
  w.powerOn('b')
  w.untilWhole()
  // then
  expect(w.lost(w.serving()[0] ?? '')).toEqual([])
})

test('two forced on either side: the one that gives way keeps its writes, though no backlog has counted them (INV-6)', () => {
  // given two that lost power; b is forced alone, takes writes and is cut off; a is forced
  const w = createWorld('a', 'b').begin()
  w.writes(5)
  for (const h of w.hosts) w.redis(h).save()
  for (const h of w.hosts) w.powerOff(h)
  w.powerOn('b')
  w.run(500)
  w.ask('b', 'failover')
  w.run(500)
  w.writes(5)
  w.cut('b')
  w.powerOn('a')
  w.cut('a')
  w.run(1000)
  w.ask('a', 'failover')
  w.run(1000)
  // when
  w.heal()
  w.untilWhole()
  // then
  const there = new Set([...w.keys(w.serving()[0] ?? ''), ...w.kept.flatMap((k) => k.keys)])
  expect(w.acked.filter((k) => !there.has(k))).toEqual([])
})
