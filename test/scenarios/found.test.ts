/** Accidents that the simulator found (test/sim), told as scenarios: each of them once broke a rule. */
import { expect, test } from 'vitest'
import { onlyIn } from './model-log.ts'
import { nothing } from './model-redis.ts'
import { createWorld, World } from './world.ts'

test('the agent of the primary is dead, one replica loses sight of its host, the other reaches its redis: nobody is promoted beside it', () => {
  const w = createWorld('a', 'b', 'c').begin()
  w.writes(2)
  const sinceMs = w.nowMs
  w.killAgent('a')
  w.isolate('a', 'c')
  w.run(5000)
  expect(w.acts(['promote'], sinceMs)).toEqual([])
  w.writes(3)
  w.heal()
  w.startAgent('a')
  expect(w.untilWhole()).toBe('a')
  expect(w.lost('c')).toEqual([])
})

test('INV-1: an external primary and its agent die in one moment, and it is back empty: its agent says what it remembers before its redis has answered', () => {
  const w = new World({ members: ['a', 'b'], external: true })
  for (const host of w.hosts) w.supervisorStarts(host, 'empty')
  w.begin()
  w.writes(5)
  w.run(3000)
  w.killAgent('a')
  w.crash('a')
  w.run(150)
  w.supervisorStarts('a', 'empty')
  w.freeze('a')
  w.startAgent('a')
  w.until('b has heard what a remembers', () => w.agent('b').view?.peers.some((p) => p.statement?.phase === 'primary' && !p.statement.answering) === true, 2000)
  w.thaw('a')
  w.stall('a', 300)
  w.run(250)
  expect(w.lost('b'), 'a is not followed before it is seen').toEqual([])
  expect(w.untilWhole()).toBe('b')
  expect([w.lost('a'), w.lost('b')]).toEqual([[], []])
})

test('after a power cut the one with more data reads them longer: the other waits for it (INV-8)', () => {
  const w = createWorld('a', 'b').begin()
  w.writes(2)
  w.redis('b').save()
  w.writes(5)
  w.redis('a').save()
  for (const h of w.hosts) w.powerOff(h)
  w.redis('a').readMs = 3000
  w.run(1000)
  for (const h of w.hosts) w.powerOn(h)
  expect(w.untilWhole()).toBe('a')
  expect(w.lost('b')).toEqual([])
})

test('what the old primary still sends while a replica changes sides is not thrown away unseen (INV-6)', () => {
  const w = createWorld('a', 'b', 'c').begin()
  w.writes(2)
  w.cut('c')
  w.until('c serves too', () => w.serving().includes('c'), 1000)
  w.redis('b').lagging = true
  w.writeAt('a', 'late')
  w.heal()
  w.until('b has heard of c', () => w.state('b').epoch === 2)
  w.redis('b').lagging = false
  expect(w.untilWhole()).toBe('c')
  expect(w.kept.some((k) => onlyIn(k.log, w.redis('c').log).some((x) => x.key === 'late'))).toBe(true)
})

test('two promoted themselves to one epoch: the writes of the one that yields are its own, also below the offset of the other (INV-6)', () => {
  const w = createWorld('a', 'b', 'c').begin()
  w.isolate('b', 'a')
  w.isolate('b', 'c')
  w.writes(1)
  w.crash('a')
  w.until('b and c serve epoch 2', () => w.serving().join() === 'b,c', 2000)
  w.writeAt('b', 'mine')
  w.heal()
  expect(w.untilWhole()).toBe('c')
  expect(w.kept.map((k) => [k.host, onlyIn(k.log, w.redis('c').log).map((x) => x.key)])).toEqual([['b', ['mine']]])
})

test('its redis died while the primary was being missed: what the old process had received is no reason to promote the new one (INV-4)', () => {
  const w = createWorld('a', 'b', 'c').begin()
  w.writes(5)
  w.ask('b', 'pause')
  w.run(1500)
  w.powerOff('a')
  w.powerOff('c')
  w.until('b misses a', () => w.state('b').gone !== null, 1000)
  // the disk of b has nothing of it
  w.crash('b')
  w.run(500)
  w.ask('b', 'resume')
  w.run(5000)
  expect(w.serving()).toEqual([])
  w.redis('c').save()
  w.powerOn('c')
  w.powerOn('a')
  w.untilWhole()
})

test('never_primary holds against --force as well: the address could not come to it', () => {
  const w = createWorld('a', { host: 'b', neverPrimary: true }).begin()
  const id = w.ask('b', 'failover')
  w.run(100)
  expect(w.results.get(id)).toMatchObject({ ok: false, message: expect.stringContaining('never_primary') as string })
  expect(w.serving()).toEqual(['a'])
})

test('both served, apart, and the one whose epoch rules has lost all that it had: what the other has is all that is left, and serves', () => {
  const w = createWorld('a', 'b').begin()
  w.writes(5)
  w.isolate('a', 'b')
  w.until('both serve', () => w.serving().join() === 'a,b', 2000)
  w.writeAt('a', 'mine')
  w.writeAt('b', 'gone with its process')
  w.crash('b')
  w.redis('b').disk = nothing
  w.run(50)
  w.heal()
  expect(w.untilWhole()).toBe('a')
  expect(w.keys('b')).toContain('mine')
})
