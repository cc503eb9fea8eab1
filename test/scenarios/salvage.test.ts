/** The way back of a primary that still runs: fence, keep exactly its own writes, follow, lift the fence; whatever dies between. */
import { describe, expect, test } from 'vitest'
import { createWorld, World } from './world.ts'

const late = ['late0', 'late1', 'late2']

/** Both sides of a cut accept writes. */
function partedWorld(external = false): World {
  const w = external ? new World({ members: ['a', 'b'], external }) : createWorld('a', 'b')
  if (external) for (const h of w.hosts) w.supervisorStarts(h, 'empty')
  w.run(20)
  w.begin()
  w.writes(5)
  w.cut('a')
  for (const key of late) w.redis('a').write(key, w.nowMs)
  w.until('b serves too', () => w.serving().includes('b'), 1000)
  w.redis('b').write('new', w.nowMs)
  return w
}

function expectWell(w: World): void {
  expect(w.untilWhole()).toBe('b')
  w.run(1000)
  expect(
    [...new Set(w.kept.filter((k) => k.host === 'a').flatMap((k) => k.keys))].filter((k) => late.includes(k)),
    'all that only a had',
  ).toEqual(late)
  for (const h of w.hosts) expect([w.redis(h).refusesWrites, w.agent(h).fence], `no fence stays behind on ${h}`).toEqual([false, null])
  expect(w.keys('a')).toContain('new')
  expect(w.assertions).toEqual([])
}

describe('a former primary that still runs', () => {
  test.each([false, true])('is fenced before anything else, gives its writes, follows (external: %s)', (external) => {
    const w = partedWorld(external)
    w.heal()
    const sinceMs = w.nowMs
    expectWell(w)
    const kinds = ['soft-fence', 'fence-writes', 'keep-writes', 'keep-dataset', 'follow', 'lift-fence'] as const
    expect(w.acts(kinds, sinceMs).filter((s) => s.startsWith('a '))).toEqual(['a fence-writes', 'a fence-writes', 'a keep-writes', 'a follow', 'a lift-fence'])
    expect(w.kept).toHaveLength(1)
  })

  const labels = [
    'saved',
    'before:fence-writes',
    'after:fence-writes',
    'after:refuse-connections',
    'after:kill-clients',
    'before:keep-writes',
    'after:keep-writes',
  ]
  const all = [...labels, 'before:follow', 'after:follow', 'before:lift-fence', 'after:lift-fence'].flatMap((l) => [`fenced/${l}`, `replica/${l}`])
  test.each(all)('its agent dies at %s and comes back: no write is acknowledged after the fence, nothing is lost, the fence goes', (label) => {
    const w = partedWorld()
    let died = false
    w.stepHook = (host, at) => {
      if (host !== 'a' || at !== label || died) return 'go on'
      died = true
      return 'die'
    }
    let fenced = false
    w.afterEach = () => {
      fenced ||= w.redis('a').refusesWrites
      if (fenced && !w.serving().includes('a')) expect(w.redis('a').write('too-late', w.nowMs)).not.toBe('OK')
    }
    w.heal()
    w.run(300)
    w.startAgent('a')
    expectWell(w)
  })

  test.each(['cut', 'crash'] as const)('the new primary is lost again (%s) before it could be followed: the writes are still kept when it is back', (how) => {
    const w = partedWorld()
    w.failures.set('a/keep-writes', 'waiting')
    w.heal()
    w.until('a is fenced', () => w.redis('a').refusesWrites, 500)
    w.run(50)
    w.redis('b').save()
    if (how === 'cut') w.cut('b')
    else w.crash('b')
    w.run(how === 'cut' ? 3000 : 10)
    // Asking itself who is to serve must not cost the stream either.
    expect(w.notes.some((n) => (how === 'cut' ? / a replica × holder-unclear/ : / a replica × holder-gone/).test(n))).toBe(true)
    expect(w.redis('a').write('too-late', w.nowMs)).not.toBe('OK')
    w.failures.clear()
    w.heal()
    expectWell(w)
    expect(
      w.kept.map((k) => k.keys),
      'from its stream',
    ).toEqual([late])
  })

  test('keeping takes long: it is fenced once, told once, and does not move to and fro', () => {
    const w = partedWorld()
    w.failures.set('a/keep-writes', 'waiting')
    w.heal()
    const sinceMs = w.nowMs
    w.run(2000)
    w.failures.clear()
    expectWell(w)
    expect(w.story(sinceMs, ['fenced'])).toEqual(['a fenced 2'])
    expect(w.acts(['kill-clients'], sinceMs).filter((s) => s === 'a kill-clients').length).toBeLessThanOrEqual(2)
  })

  test('the stream cannot be had (it was fenced as a replica of nobody): the dataset is kept', () => {
    const w = partedWorld()
    w.redis('a').replicaOf({ host: '127.0.0.1', port: 1 }, w.nowMs)
    w.heal()
    expectWell(w)
    expect(w.acts(['keep-dataset']).filter((s) => s === 'a keep-dataset')).toHaveLength(1)
  })

  test('an operator forces it back to primary while it is fenced: it serves without a fence, under an id of its own', () => {
    const w = partedWorld()
    w.failures.set('a/keep-writes', 'disk full')
    w.heal()
    w.until('a is fenced', () => w.redis('a').refusesWrites, 500)
    w.run(200)
    const before = w.redis('a').replid
    w.ask('a', 'failover')
    w.until('a serves', () => w.serving().join() === 'a', 3000)
    w.failures.clear()
    expect(w.untilWhole()).toBe('a')
    expect(w.redis('a').refusesWrites).toBe(false)
    expect(w.redis('a').replid).not.toBe(before)
    expect(w.write('again')).toBe('OK')
    expect(w.assertions).toEqual([])
  })
})
