/** Each guard of a cut-over and of a way back by itself: what is looked at in one cycle, and what must not come of it. */
import { describe, expect, test } from 'vitest'
import { decide } from '../../src/decide/decide.ts'
import type { Decision } from '../../src/model/decision.ts'
import type { Move } from '../../src/model/move.ts'
import type { RedisFacts, SourceProbe, View } from '../../src/model/view.ts'
import { entry, facts, moveOf, nowMs, peer, policy, primaryFacts, probe, state, view, vrrp, word } from './builders.ts'

const source = { host: '10.0.0.9', port: 6379 }
const nobody = { host: '127.0.0.1', port: 1 }
const sinceMs = nowMs - 20

const move = moveOf({ source, stageMs: sinceMs, asked: 'request-2', heldFromMs: nowMs - 30, equalOffset: 1000 })
const lineage = [
  entry(1, 'a', 0),
  entry(2, 'a', 900, { replid: 'id-old', source: 'migration', accepted: true, continues: { epoch: 0, offset: 0, atLeast: 0 } }),
]
const own = facts({ upstream: source, replid: 'id-old', runId: 'run-a' })
const old = primaryFacts({ runId: 'run-old', replid: 'id-old' })
const fenced = facts({ runId: 'run-old', replid: 'id-old', upstream: nobody, linkUp: false })

interface Seen {
  readonly own?: RedisFacts
  readonly old?: RedisFacts
  readonly probe?: Partial<SourceProbe>
  readonly view?: Partial<View>
  readonly move?: Partial<Move>
}

function at(stage: Move['stage'], seen: Seen = {}): Decision {
  const its: Move = { ...move, stage, ...seen.move }
  const isBack = stage === 'back-hold' || stage === 'moved'
  const mine = seen.own ?? own
  const isReceivingStage = !isBack && !stage.startsWith('back')
  const before = state('a', {
    phase: isBack ? 'primary' : 'receiving',
    epoch: 2,
    lineage,
    move: its,
    servingRunId: isBack || stage.startsWith('back') ? 'run-a' : null,
  })
  const sourceProbe: SourceProbe = { facts: seen.old ?? old, factsAgeMs: 1, trouble: null, held: true, raised: false, goAhead: false, ...seen.probe }
  const others = [peer(word('b', { epoch: 2, redis: facts({ replid: 'id-old' }), move: its }))]
  return decide(
    before,
    view('a', others, { redis: probe({ facts: mine, factsAgeMs: 1 }), source: sourceProbe, keepalived: vrrp({ allowed: !isReceivingStage }), ...seen.view }),
    policy(),
  )
}

const kinds = ({ actions }: Decision): readonly string[] => actions.map((a) => (a.kind === 'source' ? `source ${a.order.do}` : a.kind))

test('a proof is of one history: where the source has another one since, it is to be compared again', () => {
  const proven = { verified: { atWallMs: 1, keys: 10 }, asked: null, heldFromMs: null } as const
  const later = { probe: { held: false } } as const
  expect(at('sync', { ...later, move: proven }).next.move?.verified).toEqual(proven.verified)
  expect(at('sync', { ...later, own: { ...own, replid: 'id-new' }, old: { ...old, replid: 'id-new' }, move: proven }).next.move?.verified).toBe(null)
})

test('called off, and the redis here dies: it is started again, for it may be what the operator wants to serve with', () => {
  expect(kinds(at('aborted', { view: { redis: probe({ process: false, facts: null, pid: null }) } }))).toContain('start-redis')
})

describe('writes are held at the source', () => {
  test('equal offsets, equal numbers of keys, both asked since: it is told to step down, and that is durable first', () => {
    const decision = at('hold')
    expect([decision.next.move?.stage, kinds(decision)]).toEqual(['fence', expect.arrayContaining(['source demote'])])
  })

  test.each<[string, Seen]>([
    ['it is ahead', { old: { ...old, offset: 1001 } }],
    ['it was asked before', { probe: { factsAgeMs: 25 } }],
    ['the own redis was asked before', { view: { redis: probe({ facts: own, factsAgeMs: 25 }) } }],
  ])('%s: nothing is told yet', (_why, seen) => {
    const decision = at('hold', seen)
    expect([decision.next.move?.stage, kinds(decision)]).toEqual(['hold', []])
  })

  test.each<[string, Seen]>([
    ['the hold failed', { view: { actedAll: false } }],
    ['the agent was started anew meanwhile', { view: { agentUptimeMs: 10 } }],
    ['it takes longer than max_pause_ms', { old: { ...old, offset: 1001 }, move: { stageMs: nowMs - 501 } }],
    ['it has more keys at the same offset', { old: { ...old, keys: 11 } }],
    ['as many keys, in other databases', { old: { ...old, counts: '0:9/0 5:1/0' }, own: { ...own, counts: '0:10/0' } }],
    ['as many keys, of which more have an end', { old: { ...old, counts: '0:10/2' }, own: { ...own, counts: '0:10/0' } }],
    ['another process answers there', { old: { ...old, runId: 'run-new' } }],
    ['it cannot be asked', { probe: { trouble: 'its connection has ended' } }],
    ['the own link is down', { own: { ...own, linkUp: false } }],
    ['it has begun to save, and who is sent away would not know', { old: { ...old, forked: { keepsClients: true } } }],
  ])('%s: given up, and the writes are let through', (_why, seen) => {
    const decision = at('hold', seen)
    expect([decision.next.move?.stage, kinds(decision)]).toEqual(['sync', ['source release']])
    expect(decision.next.results.at(-1)).toMatchObject({ id: 'request-2', ok: false })
  })
})

test.each([
  [{ keepsClients: true }, 'sync', 'saves, or rewrites its AOF'],
  [{ keepsClients: false }, 'hold', ''],
] as const)('a cut-over is asked for while a child of the source runs (%j): %s', (forked, stage, why) => {
  const request = { id: 'request-3', kind: 'move', to: null, dryRun: false, by: 'somebody', move: { verb: 'cutover', unverified: true } } as const
  const decision = at('sync', { old: { ...old, forked }, probe: { held: false }, move: { asked: null, heldFromMs: null }, view: { request } })
  expect([decision.next.move?.stage, decision.next.results.at(-1)?.message ?? '']).toEqual([stage, expect.stringContaining(why)])
})

describe('the source was told to step down', () => {
  test('seen as a replica of nobody at the same offset: promoted, in an epoch of its own', () => {
    const decision = at('fence', { old: fenced, view: { keepalived: vrrp({ allowed: false, vrrp: 'FAULT', vipHere: false }) } })
    expect([decision.next.phase, decision.next.epoch, decision.next.move?.stage]).toEqual(['promoting', 3, 'moved'])
    expect(kinds(decision)).toEqual(['promote', 'source kill-clients', 'take-address', 'vip', 'source release'])
  })

  test('the address that was not to be had at the promotion: keepalived, which may get it, is not held up by that for longer', () => {
    const { next } = at('fence', { old: fenced })
    const mine = { redis: probe({ facts: primaryFacts({ runId: 'run-a', replid: 'id-new' }) }), keepalived: vrrp({ allowed: false, vrrp: 'FAULT' }) }
    expect(kinds(decide(next, view('a', [], { ...mine, nowMs: nowMs + 5 }), policy()))).toEqual(['resume-writes', 'accept-connections', 'vip'])
  })

  test.each<[string, Seen]>([
    ['it is not seen', { old: fenced, probe: { trouble: 'ECONNREFUSED' } }],
    ['it was seen before it was told', { old: fenced, probe: { factsAgeMs: 25 } }],
    ['it still is a primary', {}],
    ['the agent has only just started and has not heard the others', { old: fenced, view: { agentUptimeMs: 5, peers: [] } }],
  ])('%s: nobody is promoted', (_why, seen) => {
    const decision = at('fence', seen)
    expect([decision.next.phase, decision.next.epoch]).toEqual(['receiving', 2])
    expect(kinds(decision)).not.toContain('promote')
  })

  test.each<[string, Seen]>([
    ['it wrote on before it stepped down', { old: { ...fenced, offset: 1001 } }],
    ['it is another process', { old: { ...fenced, runId: 'run-new' } }],
    ['it follows somebody else', { old: { ...fenced, upstream: { host: '10.0.0.7', port: 6379 } } }],
  ])('%s: given up, and it serves again', (_why, seen) => {
    const decision = at('fence', seen)
    expect([decision.next.phase, decision.next.move?.stage]).toEqual(['receiving', 'sync'])
    expect(kinds(decision)).not.toContain('promote')
  })
})

describe('the way back', () => {
  const serving = primaryFacts({ runId: 'run-a', replid: 'id-2' })
  const following = facts({ runId: 'run-old', replid: 'id-2', upstream: { host: 'ip-a', port: 6379 } })
  const mine = facts({ runId: 'run-a', replid: 'id-2', upstream: nobody, linkUp: false })

  test('writes are held, offsets equal: this redis refuses writes before anything is said to the source', () => {
    const decision = at('back-hold', { own: serving, old: following })
    expect([decision.next.phase, decision.next.move?.stage]).toEqual(['receiving', 'back-fence'])
    expect(kinds(decision)).toEqual(expect.arrayContaining(['soft-fence']))
    expect(kinds(decision)).not.toContain('source promote')
  })

  test('the source is behind: waited for', () => {
    expect(at('back-hold', { own: serving, old: { ...following, offset: 999 } }).next.move?.stage).toBe('back-hold')
  })

  test('too late: this redis goes on serving', () => {
    const decision = at('back-hold', { own: serving, old: { ...following, offset: 999 }, move: { stageMs: nowMs - 501 } })
    expect([decision.next.phase, decision.next.move?.stage]).toEqual(['primary', 'moved'])
    expect(kinds(decision)).toEqual(expect.arrayContaining(['resume-writes']))
  })

  test('this redis refuses writes, and all know: the source is told to serve, and that is durable first', () => {
    const decision = at('back-fence', { own: mine, old: following })
    expect([decision.next.move?.stage, kinds(decision)]).toEqual(['back-give', ['source promote']])
  })

  test.each<[string, Seen]>([
    ['a member has not heard of it', { own: mine, old: following, view: { peers: [peer(word('b', { epoch: 2 }))] } }],
    ['the own redis is a primary still', { own: serving, old: following }],
    ['the source is not seen', { own: mine, old: following, probe: { trouble: 'ECONNREFUSED' } }],
    ['it wrote on', { own: { ...mine, offset: 1001 }, old: following }],
    ['the source was started anew', { own: mine, old: { ...following, runId: 'run-new' } }],
  ])('%s: the source is not told to serve', (_why, seen) => {
    expect(kinds(at('back-fence', seen))).not.toContain('source promote')
  })

  test('the source serves: nobody may settle here again between the end of his connection and that of the address', () => {
    const given = at('back-give', { own: mine, old: { ...old, runId: 'run-old' } })
    expect([given.next.move?.stage, kinds(given).slice(0, 3)]).toEqual(['sync', ['refuse-connections', 'kill-clients', 'vip']])
  })

  test('its agent was away in it, and it takes too long: connections are ended before the address goes, or these clients would wait for their own timeout', () => {
    const late = kinds(at('back-fence', { own: serving, old: following, move: { stageMs: nowMs - 3001, heldFromMs: null } }))
    expect(late).toEqual(['refuse-connections', 'kill-clients', 'vip', 'soft-fence'])
  })

  test('… and the address goes as well where no redis is left whose connections could be ended', () => {
    const gone = { redis: probe({ process: false, facts: null }) }
    expect(kinds(at('back-fence', { old: following, view: gone, move: { stageMs: nowMs - 3001 } }))[0]).toBe('vip')
  })

  test('taken back, and the promotion that this needs came too late: if the source serves after that, its clients are sent there', () => {
    const gone = at('back-fence', { own: mine, old: { ...following, offset: 999 }, move: { settled: true } })
    expect([gone.next.phase, gone.next.move?.stage, gone.next.move?.settled]).toEqual(['promoting', 'moved', true])
    const seen = { redis: probe({ facts: mine, factsAgeMs: 1 }), nowMs: nowMs + 50 }
    const again = decide(gone.next, view('a', [], seen), policy())
    expect([again.next.phase, again.next.move?.stage]).toEqual(['receiving', 'fence'])
    const served = { facts: old, factsAgeMs: 1, trouble: null, held: false, raised: false, goAhead: false }
    const home = { ...again.next, move: { ...(again.next.move ?? move), stage: 'sync' as const } }
    expect(kinds(decide(home, view('a', [], { ...seen, nowMs: nowMs + 100, source: served }), policy()))).toContain('call-hook')
  })

  test('a redis that has read its disk meanwhile does not serve again by itself: the best data are elected', () => {
    const decision = at('back-fence', { own: { ...mine, runId: 'run-anew', offset: 500 }, old: { ...following, offset: 1001 } })
    expect([decision.next.phase, kinds(decision).includes('promote')]).toEqual(['fenced', false])
  })

  test('the source has become a primary by itself after the cut-over: it is made a replica, and told', () => {
    const decision = at('moved', { own: serving, old: { ...old, runId: 'run-new' }, move: { asked: null, heldFromMs: null } })
    expect(kinds(decision)).toEqual(expect.arrayContaining(['source demote']))
    expect(decision.next.move?.wayBack).toBe('copy')
    expect(decision.events.map((e) => e.kind)).toContain('alarm')
  })
})
