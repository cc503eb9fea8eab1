/** Accidents after which a group once stayed without a primary that accepts writes, although one could safely serve. */
import { describe, expect, test } from 'vitest'
import { createWorld, World } from './world.ts'

const withWitness = (...members: string[]): World => new World({ members, witness: 'w' }).begin()

describe('one of three has no agent, and its redis answers; the redis of the primary dies and is back at once', () => {
  test.each<[string, () => World]>([
    ['three members', () => createWorld('a', 'b', 'c').begin()],
    ['and a witness', () => withWitness('a', 'b', 'c')],
  ])('%s: what came back has no less than the replica that could go on alone, so it serves', (_what, create) => {
    const w = create()
    w.run(1500)
    w.killAgent('c')
    w.run(1000)
    w.writes(5)
    w.redis('a').save()
    w.crash('a')
    w.run(5000)
    expect(w.serving()).toHaveLength(1)
    expect(w.lost(w.serving()[0] ?? '')).toEqual([])
  })

  test('the replica was far behind and had to wait for the disk', () => {
    const w = createWorld('a', 'b', 'c').begin()
    w.run(1000)
    w.killAgent('c')
    w.run(1000)
    w.redis('b').lagging = true
    w.redis('c').lagging = true
    w.write('big', 200_000)
    w.run(1200)
    w.redis('a').save()
    w.redis('a').readMs = 600
    w.crash('a')
    w.run(5000)
    expect(w.serving()).toEqual(['a'])
    expect(w.keys('a')).toContain('big')
  })
})

test('the vote of the dead went to a member that can write nothing down any more: it is not waited for, and epochs do not run away', () => {
  const w = withWitness('a', 'b')
  w.run(1500)
  w.redis('b').lagging = true
  w.writes(5)
  w.redis('a').save()
  w.crash('a')
  w.until('a has voted for b', () => w.state('a').vote?.to === 'b', 1000)
  w.agent('b').diskFull = true
  w.run(15_000)
  expect(w.serving()).toEqual(['a'])
  expect(w.state('a').epoch).toBeLessThan(20)
})

test('paused, everything else is taken down, and then the agent of the primary is restarted: writes go on', () => {
  const w = withWitness('a', 'b')
  w.ask('a', 'pause')
  w.run(1500)
  w.powerOff('b')
  w.powerOff('w')
  w.run(5000)
  expect(w.writeAt('a')).toBe('OK')
  w.killAgent('a')
  w.run(1000)
  w.startAgent('a')
  w.run(5000)
  expect(w.writeAt('a')).toBe('OK')
})

test('one of three is left for good: pause and force bring it back', () => {
  const w = withWitness('a', 'b')
  w.writes(5)
  w.powerOff('a')
  w.powerOff('w')
  w.run(5000)
  w.ask('b', 'pause')
  w.run(500)
  w.ask('b', 'failover')
  w.run(5000)
  expect(w.writeAt('b')).toBe('OK')
})

test('who knows the new primary by others only is told by them that it has heard of the resume, and votes when it is lost', () => {
  const w = withWitness('a', 'b', 'c')
  w.run(1500)
  w.ask('a', 'pause')
  w.run(1200)
  w.ask('a', 'resume')
  w.run(1200)
  w.killAgent('c')
  w.run(300)
  w.isolate('b', 'c', ['agent'])
  w.crash('a')
  w.until('b serves', () => w.serving().includes('b'), 20_000)
  w.startAgent('c')
  w.run(4000)
  w.powerOff('b')
  w.run(10_000)
  expect(w.serving()).toHaveLength(1)
  expect(w.lost(w.serving()[0] ?? '')).toEqual([])
})
