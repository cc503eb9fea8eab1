/** A running redis is moved to a group whose voters are real Sentinels: they watch nobody while it is received, and whoever serves from its cut-over on. */
import { expect, test } from 'vitest'
import { before, finish, insist, isMoved, moved, received, stageOf, writers, type Ground } from './move-steps.ts'
import type { World } from './world.ts'

const three: Ground = { members: ['a', 'b', 'c'], sentinels: ['a', 'b', 'c'] }
/** Two hosts without data have a Sentinel each. */
const two: Ground = { members: ['a', 'b'], sentinels: ['b', 'x', 'y'] }

const watching = (w: World): readonly string[] => w.sentinels?.every().flatMap((s) => (s.watches ? [`${s.host} ${s.primary.host}`] : [])) ?? []
const valves = (w: World): readonly boolean[] => w.hosts.map((h) => w.redis(h).orders)
const heldBack = (w: World): readonly string[] => w.events.filter((e) => e.kind === 'fenced' && e.text.includes('Sentinels')).map((e) => e.text)

test.each([three, two])('nobody is watched before the cut-over, and then the new primary by all, before the lease that it began with is over', (ground) => {
  const w = received(ground)
  w.run(5000)
  expect([watching(w), valves(w).includes(true), writers(w)]).toEqual([[], false, ['s']])
  w.move('a', { verb: 'cutover', unverified: true })
  w.until('moved', () => isMoved(w), 3000)
  w.writes(20)
  w.run(5000)
  expect(watching(w)).toEqual((ground.sentinels ?? []).map((h) => `${h} a`))
  expect([heldBack(w), w.lost('a')]).toEqual([[], []])
})

test('after the cut-over they elect: the new primary dies, another serves within a moment, and nothing is lost', () => {
  const w = moved(three)
  w.run(3000)
  w.powerOff('a')
  const downMs = w.nowMs
  w.until('another serves', () => w.serving().length === 1 && w.serving()[0] !== 'a', 10_000)
  expect(w.nowMs - downMs).toBeLessThan(3000)
  w.writes(3)
  expect(w.lost(w.serving()[0] ?? '')).toEqual([])
})

test('no agent is left when the primary dies: the Sentinels promote a member, and never the source, which follows and is no member', () => {
  const w = moved(three)
  w.until('they know the source as a replica', () => w.sentinels?.every().every((s) => s.replicas.has('s')) === true, 5000)
  w.run(3000)
  for (const host of ['b', 'c']) w.killAgent(host)
  w.killAgent('a')
  w.crash('a')
  w.until('they have promoted one', () => w.hosts.some((h) => h !== 'a' && w.redis(h).role === 'primary'), 30_000)
  w.run(30_000)
  expect(w.redis('s').role).toBe('replica')
})

test('after the commit the source is nobody to them: none lists it, or has it follow again', () => {
  const w = moved(three)
  w.run(3000)
  w.move('a', { verb: 'commit' })
  w.until('no Sentinel lists it', () => w.sentinels?.every().every((s) => s.watches && !s.replicas.has('s')) === true, 2000)
  w.run(60_000)
  expect([w.redis('s').upstream?.host, w.sentinels?.orders.filter(({ redis }) => redis === 's')]).toEqual(['127.0.0.1', []])
  expect([w.sentinels?.every().some((s) => s.replicas.has('s')), heldBack(w)]).toEqual([false, []])
})

test('way back: before the source serves again no redis of the group takes their orders, and then they watch nobody', () => {
  const w = moved(three)
  w.until('b and c would take orders', () => w.redis('b').orders && w.redis('c').orders, 10_000)
  let closed = true
  const { afterEach } = w
  w.afterEach = () => {
    afterEach?.()
    if (w.redis('s').role === 'primary') closed &&= !w.redis('b').orders && !w.redis('c').orders
  }
  insist(w, 'rollback', () => stageOf(w) === 'sync')
  expect([closed, writers(w)]).toEqual([true, ['s']])
  w.run(1000)
  expect([watching(w), w.lost('s')]).toEqual([[], []])
  w.run(20_000)
  expect([valves(w).includes(true), writers(w), watching(w)]).toEqual([false, ['s'], []])
  expect(finish(w)).toBe('a')
})

test('way back while the redis of a member cannot be had to refuse their orders: it is not done, and nothing changes', () => {
  const w = moved(three)
  w.until('c would take orders', () => w.redis('c').orders, 10_000)
  w.failures.set('c/sentinel-orders', 'NOPERM')
  const asked = w.move('a', { verb: 'rollback' })
  w.run(2000)
  expect(w.results.get(asked)).toMatchObject({ ok: false, message: expect.stringContaining('not all members have heard of it') as string })
  expect([stageOf(w), writers(w)]).toEqual(['moved', ['a']])
  w.failures.clear()
  insist(w, 'rollback', () => stageOf(w) === 'sync')
  expect(writers(w)).toEqual(['s'])
})

test('way back while the agent of a member is dead, whose redis takes their orders: it is not done, and nothing changes', () => {
  const w = moved(three)
  w.until('c would take orders', () => w.redis('c').orders, 10_000)
  w.killAgent('c')
  w.run(7000)
  const asked = w.move('a', { verb: 'rollback' })
  w.run(2000)
  expect(w.results.get(asked)).toMatchObject({ ok: false, message: expect.stringContaining('not all members have heard of it') as string })
  expect([stageOf(w), writers(w)]).toEqual(['moved', ['a']])
  // Without its redis there is nothing that they could promote there.
  w.crash('c')
  w.run(2000)
  insist(w, 'rollback', () => stageOf(w) === 'sync')
  expect(writers(w)).toEqual(['s'])
})

test('too few Sentinels to stand behind a new primary: the cut-over is refused before anything is held', () => {
  const w = received(three)
  w.killSentinel('b')
  w.killAgent('b')
  w.killSentinel('c')
  w.startAgent('b')
  w.run(3000)
  const asked = w.move('a', { verb: 'cutover', unverified: true })
  w.run(1000)
  expect(w.results.get(asked)).toMatchObject({
    ok: false,
    message: expect.stringMatching(/1 of 3 Sentinels could watch the new primary, and 2 must.*b, c/) as string,
  })
  expect([stageOf(w), writers(w)]).toEqual(['sync', ['s']])
  w.startSentinel('c')
  w.run(2000)
  insist(w, 'cutover', () => w.serving()[0] === 'a')
  w.writes(5)
  expect(heldBack(w)).toEqual([])
})

test('a group that serves is given to a move: its Sentinels look away before they would find its primary down, and promote nobody', () => {
  const w = before(three)
  const { afterEach } = w
  // Two services until the move begins.
  w.afterEach = () => {}
  w.ask('a', 'failover')
  w.until('it serves', () => w.isWhole(), 10_000)
  w.until('they would give orders', () => w.redis('b').orders && w.redis('c').orders, 10_000)
  const ordersBefore = w.sentinels?.orders.length
  w.move('a', { verb: 'start', source: { host: 'ip-s', port: 6379 }, overwrite: w.redis('a').runId })
  w.run(500)
  w.afterEach = afterEach
  expect(watching(w)).toEqual([])
  w.run(30_000)
  expect([writers(w), w.sentinels?.orders.length]).toEqual([['s'], ordersBefore])
})
