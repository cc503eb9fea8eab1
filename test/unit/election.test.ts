/** Who takes over when nobody serves, seen from one member: what it waits for and what it does not need to hear. */
import { describe, expect, test } from 'vitest'
import { elect } from '../../src/decide/election.ts'
import { ownFitness } from '../../src/decide/fitness.ts'
import type { PeerProbe, RedisFacts, Statement } from '../../src/model/view.ts'
import { watch } from '../../src/decide/watch.ts'
import { freshWatch } from '../../src/model/watch.ts'
import { entry, facts, nowMs, peer, policy, probe, silent, state, view, word } from './builders.ts'

const abc = policy('a', 'b', 'c')
const gone = (fresh: boolean, agoMs = 0) => ({ epoch: 1, fresh, atMs: nowMs - agoMs })
const resigned = peer(word('a', { phase: 'fenced', fit: false, answering: false, process: false, redis: facts({ offset: 900 }) }))

describe('the replica b, after a went', () => {
  test('its link was alive, nobody else can have more: itself', () => {
    expect(elect(state('b', { gone: gone(true) }), view('b', [silent('a')]), policy()).result).toBe('me')
  })

  test('its link was not alive: it waits for the primary, whose data may be newer', () => {
    expect(elect(state('b', { gone: gone(false, 60_000) }), view('b', [silent('a')]), policy())).toMatchObject({ result: 'wait', forHosts: ['a'] })
  })

  test('a live replica that has not yet said that the primary went is waited for, shortly', () => {
    const at = (ms: number, fit: boolean) =>
      elect(state('b', { gone: gone(true, ms) }), view('b', [silent('a'), peer(word('c', { fit, redis: facts({ offset: 900 }) }))]), abc)
    expect([at(10, true), at(249, true)]).toMatchObject([
      { result: 'wait', forHosts: ['c'] },
      { result: 'wait', forHosts: ['c'] },
    ])
    expect(at(250, true).result).toBe('me')
    // one that may not be promoted cannot go on by itself either
    expect([at(59, false).result, at(60, false).result]).toEqual(['wait', 'me'])
  })

  test('who needed so long to say what it has that another may have gone on without it hears that one first', () => {
    const peers = [resigned, peer(word('c', { gone: 1, redis: facts({ offset: 900 }) }), { statementAgeMs: 2000 })]
    const now = (goneMs: number, saidMs: number) =>
      elect(state('b', { gone: gone(true, goneMs) }), view('b', peers, { watch: { ...freshWatch, saidSinceMs: nowMs - saidMs } }), abc).result
    expect([now(151, 0), now(400, 249)]).toEqual(['wait', 'wait'])
    expect([now(150, 0), now(401, 250)]).toEqual(['me', 'me'])
  })

  test('a live replica that has more already is not outrun, however late it learns that the primary went', () => {
    const more = (fit: boolean) => [silent('a'), peer(word('c', { fit, redis: facts({ offset: 1001 }) }))]
    expect(elect(state('b', { gone: gone(true, 5000) }), view('b', more(true)), abc)).toMatchObject({ result: 'wait', forHosts: ['c'] })
    expect(elect(state('b', { gone: gone(true, 5000) }), view('b', more(false)), abc).result).toBe('me')
  })

  test('one whose stream has just ended and whose redis answers is waited for until it can be heard again', () => {
    const torn = silent('c', { agent: 'refused', silentMs: 70, redisReach: 'answers' })
    expect(elect(state('b', { gone: gone(true, 249) }), view('b', [resigned, torn]), abc)).toMatchObject({ result: 'wait', forHosts: ['c'] })
    expect(elect(state('b', { gone: gone(true, 250) }), view('b', [resigned, torn]), abc).result).toBe('me')
    const dead = { ...torn, redisReach: 'refused' as const }
    expect(elect(state('b', { gone: gone(true, 60) }), view('b', [resigned, dead]), abc).result).toBe('me')
  })

  test('an epoch that was given away and not taken: not while the redis of the silent giver answers', () => {
    const given = state('b', { epoch: 2, holder: 'c', gone: { epoch: 2, fresh: true, atMs: nowMs - 60_000 } })
    const untaken = peer(word('c', { epoch: 2, holder: 'c', gone: 2 }))
    const giver = (redisReach: 'answers' | 'silent') => silent('a', { agent: 'refused', redisReach })
    expect(elect(given, view('b', [giver('answers'), untaken]), abc)).toMatchObject({ result: 'wait', forHosts: ['a'] })
    expect(elect(given, view('b', [giver('silent'), untaken]), abc).result).toBe('me')
  })

  test('an agent that has just started elects nobody while others may be choosing without it', () => {
    const peers = [resigned, peer(word('c', { gone: 1, redis: facts({ offset: 900 }) }))]
    expect(elect(state('b', { gone: gone(true) }), view('b', peers, { agentUptimeMs: 499 }), abc).result).toBe('wait')
    expect(elect(state('b', { gone: gone(true) }), view('b', peers, { agentUptimeMs: 500 }), abc).result).toBe('me')
  })

  test('who finds out long after another that the primary is gone elects nobody while that one may be giving up', () => {
    const knew = (statementAgeMs: number) => [resigned, peer(word('c', { gone: 1, redis: facts({ offset: 900 }) }), { statementAgeMs })]
    const now = (ms: number, knewMs: number) => elect(state('b', { gone: gone(true, ms) }), view('b', knew(knewMs)), abc).result
    expect([now(0, 41), now(59, 100)]).toEqual(['wait', 'wait'])
    // the usual case: all find out within some milliseconds, and nobody waits
    expect([now(0, 40), now(59, 99), now(60, 200)]).toEqual(['me', 'me', 'me'])
  })

  test('a redis that has only just read its data elects nobody while one that waited for it may be giving up', () => {
    const back = peer(word('a', { phase: 'fenced', redis: facts({ offset: 900 }) }))
    const peers = [back, peer(word('c', { gone: 1, redis: facts({ offset: 900 }) }))]
    const readyForMs = (ms: number) => view('b', peers, { watch: { ...freshWatch, readySinceMs: nowMs - ms } })
    expect(elect(state('b', { gone: gone(false, 85) }), readyForMs(59), abc)).toMatchObject({ result: 'wait' })
    expect(elect(state('b', { gone: gone(false, 85) }), readyForMs(60), abc).result).toBe('me')
    // beside nobody but the former primary there is nobody who could have been chosen
    expect(elect(state('b', { gone: gone(false, 85) }), view('b', [back], { watch: readyForMs(1).watch }), policy()).result).toBe('me')
  })

  test('a live replica with more data: the other', () => {
    const peers = [resigned, peer(word('c', { gone: 1, redis: facts({ offset: 1001 }) }))]
    expect(elect(state('b', { gone: gone(true) }), view('b', peers), abc)).toMatchObject({ result: 'other', host: 'c' })
  })

  test('one with more data that is not fit does not count', () => {
    const peers = [resigned, peer(word('c', { gone: 1, fit: false, unfitWhy: 'never_primary is set', redis: facts({ offset: 1001 }) }))]
    expect(elect(state('b', { gone: gone(true) }), view('b', peers), abc).result).toBe('me')
  })

  test('a former holder that came back with more than b ever had: the former holder', () => {
    const back = peer(word('a', { phase: 'fenced', redis: facts({ offset: 1200 }) }))
    expect(elect(state('b', { gone: gone(true) }), view('b', [back]), policy())).toMatchObject({ result: 'other', host: 'a' })
  })
})

test.each([
  { it: 'its redis does not answer', not: { redis: probe({ process: false, facts: null }) } },
  { it: 'its redis is reading its data', not: { redis: probe({ facts: facts({ loading: true }) }) } },
  { it: 'its redis is in a full sync', not: { redis: probe({ facts: facts({ syncing: true }) }) } },
  { it: 'it cannot write its state', not: { durable: false } },
])('$it: from the end of that on it counts anew', ({ not }) => {
  const looks = (before: typeof freshWatch, atMs: number, more: object = {}) => watch(before, state('b'), { ...view('b', []), ...more, nowMs: atMs }, abc)
  const before = looks(looks(freshWatch, 1000), 2000)
  expect(before.readySinceMs).toBe(1000)
  const meanwhile = looks(before, 3000, not)
  expect(meanwhile.readySinceMs).toBe(null)
  expect(looks(meanwhile, 4000).readySinceMs).toBe(4000)
})

describe('the former holder a, back again', () => {
  const back = state('a', { phase: 'fenced', gone: gone(true, 5000) })

  test('all are heard and nobody has more: itself', () => {
    expect(elect(back, view('a', [peer(word('b', { gone: 1, redis: facts({ offset: 900 }) }))]), policy()).result).toBe('me')
  })

  test('b may not be promoted, and has more than the disk here: nobody serves without an operator (INV-1)', () => {
    const barred = (offset: number) => peer(word('b', { gone: 1, fit: false, unfitWhy: 'never_primary is set', redis: facts({ offset }) }))
    expect(elect(back, view('a', [barred(1001)]), policy())).toMatchObject({
      result: 'refuse',
      because: expect.stringMatching(/b has more data.*never_primary/) as string,
    })
    expect(elect(back, view('a', [barred(1000)]), policy()).result).toBe('me')
    const dropped = { ...back, epoch: 2, gone: { epoch: 2, fresh: true, atMs: 0 }, lineage: [entry(1, 'b', 0), entry(2, 'a', 900)] }
    expect(elect(dropped, view('a', [barred(1001)]), policy()).result, 'writes that a later history has dropped count for nothing').not.toBe('refuse')
  })

  test('b is not heard and its redis may live: it waits', () => {
    for (const redisReach of ['not asked', 'answers', 'primary', 'replica'] as const) {
      expect(elect(back, view('a', [silent('b', { redisReach })]), policy()).result).toBe('wait')
    }
  })

  test('b cannot be reached by any way: it serves alone, but not at once', () => {
    expect(elect({ ...back, gone: gone(true, 100) }, view('a', [silent('b')]), policy()).result).toBe('wait')
    expect(elect(back, view('a', [silent('b')], { agentUptimeMs: 100 }), policy()).result).toBe('wait')
    expect(elect(back, view('a', [silent('b')]), policy()).result).toBe('me')
  })
})

describe('the old primary a, cut off when b was promoted, and b has lost all that it had', () => {
  const back = state('a', {
    phase: 'fenced',
    epoch: 2,
    holder: 'b',
    lineage: [entry(1, 'a', 0), entry(2, 'b', 901)],
    gone: { epoch: 2, fresh: false, atMs: nowMs - 500 },
  })
  const empty = facts({ replid: 'new', offset: 0, keys: 0, upstream: { host: '127.0.0.1', port: 1 } })
  const b = (more: Partial<Statement> = {}) =>
    peer(word('b', { epoch: 2, phase: 'fenced', holder: 'b', fit: false, unfitWhy: 'it is empty', redis: empty, ...more }))

  test('its diverged data are all that is left: it serves, rather than nobody for ever', () => {
    expect(elect(back, view('a', [b()]), policy())).toMatchObject({ result: 'me' })
  })

  test.each<[string, PeerProbe]>([
    ['b is not heard: its disk may have what it wrote', silent('b')],
    ['b is still loading', b({ redis: { ...empty, loading: true } })],
    ['b has half of a full sync', b({ partial: true })],
    ['b has data of an unknown history', b({ redis: { ...empty, keys: 1 } })],
    ['b has what it wrote', b({ fit: true, redis: facts({ replid: 'id-2', offset: 950 }) })],
    ['the redis of b does not run', b({ answering: false, process: false })],
  ])('not while %s', (_what, other) => {
    expect(elect(back, view('a', [other]), policy()).result).not.toBe('me')
  })

  test('not while a third member may have it', () => {
    expect(elect(back, view('a', [b(), silent('c')]), abc).result).not.toBe('me')
    const third = (redis: RedisFacts) => elect(back, view('a', [b(), peer(word('c', { epoch: 2, holder: 'b', gone: 2, fit: false, redis }))]), abc).result
    expect(third(empty)).toBe('me')
    expect(third({ ...empty, keys: 1 }), 'data of an unknown history').not.toBe('me')
  })
})

describe('fitness', () => {
  test.each([
    ['it is loading', { redis: probe({ facts: facts({ loading: true }) }) }, /loading/],
    ['it is in a full sync', { redis: probe({ facts: facts({ syncing: true }) }) }, /full sync/],
    ['it does not answer', { redis: probe({ factsAgeMs: 601 }) }, /does not answer/],
    ['it answers with an error', { redis: probe({ trouble: 'NOAUTH' }) }, /cannot be asked: NOAUTH/],
    ['a script blocks it', { redis: probe({ busy: true }) }, /does not answer/],
    ['its link has never been up', { redis: probe({ facts: facts({ linkUp: false, linkDownS: -1 }) }) }, /link is not up yet/],
    ['its link is down for long', { redis: probe({ facts: facts({ linkUp: false, linkDownS: 11 }) }) }, /link is down for 11 s/],
    ['it is empty', { redis: probe({ facts: facts({ replid: 'x', keys: 0 }) }) }, /empty/],
    ['its history is unknown', { redis: probe({ facts: facts({ replid: 'x' }) }) }, /unknown history/],
    ['its state cannot be written', { durable: false }, /state directory/],
  ])('%s: not fit', (_what, more, why) => {
    const fitness = ownFitness(state('b'), view('b', [], more), policy())
    expect(fitness.fit).toBe(false)
    expect(fitness.why).toMatch(why)
  })

  test('half of a full sync, diverged writes, never_primary: not fit', () => {
    expect(ownFitness(state('b', { partial: true }), view('b', []), policy()).why).toMatch(/partial/)
    expect(ownFitness(state('b', { epoch: 2, lineage: [entry(1, 'b', 0), entry(2, 'a', 991)] }), view('b', []), policy()).why).toMatch(/diverged/)
    expect(ownFitness(state('b'), view('b', []), policy('a', { host: 'b', neverPrimary: true })).why).toMatch(/never_primary/)
  })

  test('a link that fell a moment ago may be the first sign of a dying primary: fit', () => {
    expect(ownFitness(state('b'), view('b', [], { redis: probe({ facts: facts({ linkUp: false, linkDownS: 2 }) }) }), policy()).fit).toBe(true)
  })
})

describe('after a power cut of all, what was read from an AOF is an estimate', () => {
  const noted = (about: number, atLeast: number, served: boolean) =>
    facts({
      replid: `new-${about}`,
      offset: 0,
      linkUp: false,
      linkDownS: -1,
      upstream: { host: '127.0.0.1', port: 1 },
      restored: { epoch: 1, holder: 'a', about, atLeast, served },
    })
  const known = (offset: number) => facts({ offset, linkUp: false, linkDownS: -1, upstream: { host: '127.0.0.1', port: 1 } })
  const foreign = facts({ replid: 'x', offset: 0, linkUp: false, linkDownS: -1, upstream: { host: '127.0.0.1', port: 1 } })
  type Facts = ReturnType<typeof facts>
  /** As `self` sees it; a held the epoch and has resigned, b saw it gone. */
  const between = (self: 'a' | 'b', a: Facts, b: Facts, fitA = true) => {
    const mine = state(self, self === 'a' ? { phase: 'fenced', gone: gone(false) } : { gone: gone(false) })
    const other =
      self === 'a'
        ? peer(word('b', { gone: 1, redis: b }))
        : peer(word('a', { phase: 'fenced', redis: a, fit: fitA, unfitWhy: fitA ? '' : 'its data are of unknown history' }))
    return elect(mine, view(self, [other], { redis: probe({ facts: self === 'a' ? a : b }) }), policy())
  }

  test('of two that cannot be told apart, the one that held the group: both members say so', () => {
    expect(between('a', noted(9000, 8000, true), noted(9500, 9000, false)).result).toBe('me')
    expect(between('b', noted(9000, 8000, true), noted(9500, 9000, false))).toMatchObject({ result: 'other', host: 'a' })
  })

  test("the end of the holder's AOF was torn: the other, whose end is whole, although the estimates cannot be told apart", () => {
    const cut = (redis: Facts): Facts => ({ ...redis, restored: redis.restored == null ? null : { ...redis.restored, cut: true } })
    const [held, other] = [noted(9100, 8000, true), noted(9000, 8900, false)]
    expect(between('a', cut(held), other)).toMatchObject({ result: 'other', host: 'b' })
    expect(between('b', cut(held), other).result).toBe('me')
    expect(between('a', held, cut(other)).result).toBe('me')
    expect(between('a', cut(held), cut(other)).result, 'both: the one with more').toBe('me')
    expect(between('a', cut(noted(12_000, 8000, true)), other).result, 'it has more than can be an error').toBe('me')
  })

  test('the disk of the holder has lost more than can be an error: the other', () => {
    expect(between('a', noted(9000, 8000, true), noted(12_000, 9000, false))).toMatchObject({ result: 'other', host: 'b' })
    expect(between('b', noted(9000, 8000, true), noted(12_000, 9000, false)).result).toBe('me')
  })

  test('an old RDB of the other: the AOF, which is surely newer', () => {
    expect(between('a', noted(9000, 8000, true), known(5000)).result).toBe('me')
    expect(between('b', noted(9000, 8000, true), known(5000))).toMatchObject({ result: 'other', host: 'a' })
  })

  test.each([
    ['an estimate does not beat what is known and may be newer', noted(9000, 8000, true), known(8500)],
    ['nor the other way round', noted(9000, 8000, true), known(9100)],
  ])('%s: only an operator can say', (_what, a, b) => {
    const seen = [between('a', a, b), between('b', a, b)].find((e) => e.result === 'refuse')
    expect(seen?.because).toMatch(/may have newer data than .*--force/)
    expect([between('a', a, b).result, between('b', a, b).result]).not.toContain('me')
  })

  test('what is known, and surely more, beats an estimate', () => {
    expect(between('b', noted(9000, 8000, true), known(20_000)).result).toBe('me')
  })

  test('what the holder has read is of unknown history: it may be newer than an old disk here', () => {
    expect(between('b', foreign, known(5000), false)).toMatchObject({ result: 'refuse' })
  })

  test('the holder alone, the other unreachable by any way: it goes on with its own AOF, as it would with its RDB', () => {
    const alone = view('a', [silent('b')], { redis: probe({ facts: noted(9000, 8000, true) }) })
    expect(elect(state('a', { phase: 'fenced', gone: gone(false, 3000) }), alone, policy()).result).toBe('me')
    expect(elect(state('a', { phase: 'fenced', gone: gone(false, 1000) }), alone, policy()).result).toBe('wait')
    const reachable = view('a', [silent('b', { redisReach: 'answers' })], { redis: probe({ facts: noted(9000, 8000, true) }) })
    expect(elect(state('a', { phase: 'fenced', gone: gone(false, 3000) }), reachable, policy()).result).toBe('wait')
  })

  test('a replica alone waits: it did not see the primary go', () => {
    const alone = view('b', [silent('a')], { redis: probe({ facts: noted(9000, 8000, false) }) })
    expect(elect(state('b', { gone: gone(false, 60_000) }), alone, policy())).toMatchObject({ result: 'wait' })
  })
})
