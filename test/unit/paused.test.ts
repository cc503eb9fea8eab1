/** Automatic failover is paused on one side of a cut and resumed on the other: there is one writer all the same (INV-3). */
import { describe, expect, test } from 'vitest'
import { decide } from '../../src/decide/decide.ts'
import { learn } from '../../src/decide/learn.ts'
import { holdsLease } from '../../src/decide/lease.ts'
import { situationOf } from '../../src/decide/situation.ts'
import { decideAsWitness } from '../../src/decide/witness.ts'
import type { Paused, State } from '../../src/model/state.ts'
import type { Policy } from '../../src/model/policy.ts'
import type { PeerProbe, Statement } from '../../src/model/view.ts'
import { nowMs, peer, policy, primaryFacts, probe, sentinel, sentinelPolicy, silent, state, view, vrrp, word } from './builders.ts'

const abw = { ...policy('a', 'b'), witness: 'w', voters: 3, quorum: 2, leased: true }
const pause: Paused = { on: true, atWallMs: 10, by: 'me' }
const resume: Paused = { on: false, atWallMs: 20, by: 'me' }
const lost = (host: string, paused: Paused) => silent(host, { contactMs: 1e12, statement: word(host, { paused }) })

describe('the primary a, cut off while paused', () => {
  const serving = state('a', { phase: 'primary', paused: pause, servingRunId: 'run-1' })
  const never: Paused = { on: false, atWallMs: 0, by: '' }

  test('goes on writing if so many had been told of the pause that the others are no quorum', () => {
    const told = (b: Paused, w: Paused) => holdsLease(serving, view('a', [lost('b', b), lost('w', w)]), abw)
    expect(told(pause, pause)).toBe(true)
    expect(told(never, pause)).toBe(true)
    expect(told(pause, never)).toBe(true)
    expect(told(never, never), 'both were not: they may elect').toBe(false)
    expect(told(never, { ...pause, atWallMs: 5 }), 'an earlier pause may be over there').toBe(false)
  })

  test('who has voted for another is none of them: that vote may elect at any moment', () => {
    const voted = silent('w', { contactMs: 1e12, statement: word('w', { paused: pause, vote: { epoch: 2, to: 'b' } }) })
    expect(holdsLease(serving, view('a', [lost('b', never), voted]), abw)).toBe(false)
  })

  test('whom it had told it remembers, through a restart of its agent; another pause is another matter', () => {
    const told = learn(serving, view('a', [lost('b', pause), lost('w', pause)]))
    expect(told.pauseTold).toEqual({ atWallMs: 10, hosts: ['b', 'w'] })
    const silence = view('a', [silent('b', { contactMs: 1e12 }), silent('w', { contactMs: 1e12 })])
    expect(holdsLease(told, silence, abw)).toBe(true)
    expect(holdsLease({ ...told, paused: { ...pause, atWallMs: 11 } }, silence, abw)).toBe(false)
    expect(learn({ ...told, paused: resume }, silence).pauseTold).toBeNull()
  })

  test('with check_ips and no votes every other member must have been told', () => {
    const abc = { ...policy('a', 'b', 'c'), checks: true, leased: true }
    const told = (c: Paused) => holdsLease(serving, view('a', [lost('b', pause), lost('c', c)], { checks: { reach: 'silent', ageMs: 1, forMs: 0 } }), abc)
    expect(told(pause)).toBe(true)
    expect(told(never)).toBe(false)
  })
})

describe('who was told of the pause', () => {
  const asks = peer(word('b', { gone: 1, seesHolder: 'gone', vote: { epoch: 2, to: 'b' } }))
  const voterOf = (paused: Paused, more: Partial<State> = {}) =>
    decideAsWitness(
      state('w', { phase: 'fresh', paused, ...more }),
      view('w', [silent('a', { silentMs: 5000 }), asks], { redis: probe({ process: false, facts: null }), keepalived: null }),
      abw,
    ).next.vote

  test('votes for nobody, also for one that was not told', () => {
    expect(voterOf({ on: false, atWallMs: 0, by: '' })).toMatchObject({ to: 'b' })
    expect(voterOf(pause, { pauseKnown: { host: 'a', atWallMs: 10 } })).toBeNull()
  })

  test('is told of the resume while a is not heard: a may still serve, and nobody is elected', () => {
    expect(voterOf(resume, { pauseKnown: { host: 'a', atWallMs: 10 } })).toBeNull()
    const b = state('b', { paused: resume, pauseKnown: { host: 'a', atWallMs: 10 }, gone: { epoch: 1, fresh: true, atMs: nowMs - 5000 } })
    const seen = view('b', [silent('a', { silentMs: 5000 })], { keepalived: vrrp({ vrrp: 'MASTER' }) })
    expect(situationOf(b, seen, abw)).toMatchObject({
      holder: 'unclear',
      holderWhy: expect.stringMatching(/a has not been heard since automatic failover was resumed/) as string,
    })
  })

  test('a has been heard to know of the resume: what is known is durable, and a later silence counts again', () => {
    const heard = learn(
      state('w', { paused: pause, pauseKnown: { host: 'a', atWallMs: 10 } }),
      view('w', [peer(word('a', { phase: 'primary', paused: resume }))]),
    )
    expect(heard).toMatchObject({ paused: resume, pauseKnown: { host: 'a', atWallMs: 20 } })
    expect(voterOf(heard.paused, { pauseKnown: heard.pauseKnown })).toMatchObject({ to: 'b' })
  })

  test('nobody was ever paused: nothing is remembered', () => {
    expect(learn(state('b'), view('b', [peer(word('a', { phase: 'primary' }))])).pauseKnown).toBeNull()
  })
})

describe('the answer to resume', () => {
  const answer = (a: PeerProbe, p: Policy = abw) =>
    decide(
      state('b', { paused: pause }),
      view('b', [a], { request: { id: 'r', kind: 'resume', to: null, by: 'me', dryRun: false }, redis: probe({ facts: primaryFacts() }) }),
      p,
    ).next.results.at(-1)?.message

  test('says that the primary was not told, and what to do about it', () => {
    expect(answer(silent('a'))).toMatch(/on; a is not heard and may still accept writes.*failover sessions --to HOST --force/)
    expect(answer(peer(word('a', { phase: 'primary' })))).toBe('automatic failover is on')
    expect(answer(silent('a'), policy()), 'without a lease there is nothing to wait for').toBe('automatic failover is on')
  })
})

describe('where Sentinels vote, which are told nothing of it', () => {
  const three = sentinelPolicy()
  const closed = { orders: false as const }
  const serving = state('a', { phase: 'primary', paused: pause, servingRunId: 'run-1' })
  const gone = ['a', 'b', 'c'].map((host) => sentinel(host, {}, { reach: 'silent', ageMs: 60_000 }))
  const at = (...peers: readonly PeerProbe[]) => view('a', peers, { sentinels: gone, redis: probe({ facts: primaryFacts() }) })
  const holds = (b: PeerProbe, c: PeerProbe, s = serving) => holdsLease(learn(s, at(b, c)), at(b, c), three)
  const told = (host: string, more: Partial<Statement> = {}) => peer(word(host, { paused: pause, ...closed, ...more }))

  test('the primary writes on without them as soon as no agent stands and no redis takes their orders', () => {
    expect(holds(told('b'), told('c'))).toBe(true)
    expect(holds(told('b'), told('c'), { ...serving, paused: resume }), 'not paused').toBe(false)
  })

  test.each([
    ['was not told', peer(word('c', closed))],
    ['has an agent that does not say', peer(word('c', { paused: pause }))],
    ['takes their orders still', told('c', { orders: true })],
    ['has not been asked whether it does', told('c', { orders: 'unknown' })],
    ['had been made a primary by then', told('c', { redis: primaryFacts() })],
    ['has a redis that does not answer', told('c', { answering: false })],
    ['was never heard', silent('c', { contactMs: 1e12 })],
  ] as const)('not while one member %s', (_what, c) => {
    expect(holds(told('b'), c)).toBe(false)
  })

  test('what it was told it remembers, also when nobody is heard any more', () => {
    const known = learn(serving, at(told('b'), told('c')))
    expect(known.pauseTold).toEqual({ atWallMs: 10, hosts: ['b', 'c'] })
    expect(holdsLease(known, at(silent('b'), silent('c')), three)).toBe(true)
  })

  test('after a resume that the primary has not heard, no redis takes their orders: it may serve without them still', () => {
    const replica = (more: Partial<State>) => state('b', { paused: resume, ...more })
    const orders = (s: State, a: PeerProbe) =>
      decide(s, view('b', [a, peer(word('c'))], { sentinels: gone, redis: probe({ sentinelMay: { orders: true, priority: 100 } }) }), three).actions
    const close = { kind: 'sentinel-orders', allowed: false }
    expect(orders(replica({}), peer(word('a', { phase: 'primary', paused: pause })))).toContainEqual(close)
    expect(orders(replica({}), peer(word('a', { phase: 'primary', paused: resume })))).not.toContainEqual(close)
  })
})
