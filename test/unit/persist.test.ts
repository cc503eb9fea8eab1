/** What a member writes to its disk follows its role: when it is set, what is never turned off too early, and what waits. */
import { describe, expect, test } from 'vitest'
import { decide } from '../../src/decide/decide.ts'
import { explainGroup } from '../../src/decide/explain.ts'
import { advisePersist } from '../../src/decide/persist.ts'
import type { Action } from '../../src/model/action.ts'
import type { Persistence, PersistenceByRole } from '../../src/model/persistence.ts'
import type { Policy } from '../../src/model/policy.ts'
import type { RedisFacts, RedisProbe, RedisSettings, Statement, View } from '../../src/model/view.ts'
import { entry, facts, peer, policy, primaryFacts, probe, silent, state, view, word } from './builders.ts'

const none: Persistence = { save: [], aof: 'off' }
const aof: Persistence = { save: [], aof: 'everysec' }
const rdb: Persistence = { save: [{ seconds: 900, changes: 1 }], aof: 'off' }
const limits = { rewritePercentage: 100, rewriteMinBytes: 64 }

const byRole = (primary: Persistence, replica: Persistence): PersistenceByRole => ({ primary, replica, ...limits })
const under = (persistence: PersistenceByRole, more: Partial<Policy> = {}): Policy => ({ ...policy(), persistence, ...more })
const runs = (has: Persistence): RedisSettings => ({
  runId: 'run-1',
  databases: 16,
  readOnly: true,
  missing: [],
  replicaBuffer: null,
  persistence: { ...has, ...limits },
})
const live = (has: Persistence, rewriting = false): Partial<RedisFacts> => ({
  aof: { enabled: has.aof !== 'off', rewriting, writeOk: true, bytes: 1, generation: '1' },
  saves: { ok: true, ageS: has.save.length === 0 ? null : 60, changes: 5 },
})
const file = (has: Persistence): Partial<RedisProbe> => ({ persistFile: has.aof === 'off' ? 'no' : 'yes' })

/** redis-b as this member sees it: a replica of redis-a that has this. */
const replica = (has: Persistence, more: Partial<RedisFacts> = {}, said: Partial<Statement> = {}) =>
  peer(word('b', { redis: facts({ ...live(has), ...more }), settings: runs(has), ...said }))

const primaryState = state('a', { phase: 'primary', servingRunId: 'run-1' })
const promotedAgoMs = (ms: number) => state('a', { phase: 'primary', servingRunId: 'run-1', lineage: [entry(1, 'a', 0, { atWallMs: 1_700_000_000_000 - ms })] })

function atPrimary(has: Persistence, peers: View['peers'], more: Partial<RedisProbe> = {}, own: Partial<RedisFacts> = {}): View {
  return view('a', peers, { redis: probe({ facts: primaryFacts({ ...live(has), ...own }), settings: runs(has), ...file(has), ...more }) })
}
function atReplica(has: Persistence, more: Partial<RedisFacts> = {}, seen: Partial<RedisProbe> = {}): View {
  const serves = peer(word('a', { phase: 'primary', redis: primaryFacts(live(none)), settings: runs(none) }))
  return view('b', [serves], { redis: probe({ facts: facts({ ...live(has), ...more }), settings: runs(has), ...file(has), ...seen }) })
}
const persist = (role: 'primary' | 'replica', to: Persistence, drop = false): Action => ({ kind: 'persist', role, ...to, drop })

describe('replicas-aof', () => {
  const wants = under(byRole(none, aof))

  test('a replica that follows turns its AOF on; one that has it is left alone', () => {
    expect(advisePersist(state('b'), atReplica(none), wants).action).toEqual(persist('replica', aof))
    expect(advisePersist(state('b'), atReplica(aof), wants)).toEqual({ action: null, waits: null })
  })

  test('not before it follows: these data may not be those that stay', () => {
    for (const own of [{ linkUp: false }, { syncing: true }, { loading: true }])
      expect(advisePersist(state('b'), atReplica(none, own), wants).action).toBeNull()
    expect(advisePersist(state('b', { phase: 'fenced' }), atReplica(none), wants).action).toBeNull()
  })

  test('whoever was promoted turns it off when a replica has one that is whole, and lets go of what lies there', () => {
    expect(advisePersist(primaryState, atPrimary(aof, [replica(aof)]), wants).action).toEqual(persist('primary', none, true))
  })

  test.each([
    ['that is not heard', silent('b')],
    ['that has none yet', replica(none)],
    ['whose AOF is being written', replica(aof, live(aof, true))],
    ['whose writes to its AOF fail', replica(aof, { aof: { enabled: true, rewriting: false, writeOk: false, bytes: 1, generation: '1' } })],
    ['whose agent is older and does not say whether they do', replica(aof, { aof: { enabled: true, rewriting: false, bytes: 1, generation: '1' } })],
    ['whose link is down', replica(aof, { linkUp: false })],
    ['in a full sync', replica(aof, { syncing: true })],
    ['whose data differ', replica(aof, {}, { trueCopy: false })],
  ])('with a replica %s the only AOF that there is stays, and explain says what it waits for', (_what, b) => {
    const seen = atPrimary(aof, [b])
    expect(advisePersist(primaryState, seen, wants).action).toBeNull()
    expect(explainGroup(primaryState, seen, wants).warnings.join('\n')).toContain(
      'as primary it is to have nothing on its disk and has an AOF (everysec): it keeps that until another member has what it is to have',
    )
  })

  test('an AOF that could not be removed is removed as soon as it can be, and only while another member covers it', () => {
    const left = { aofLeft: true } as const
    expect(advisePersist(primaryState, atPrimary(none, [replica(aof)], left), wants).action).toEqual(persist('primary', none, true))
    expect(advisePersist(primaryState, atPrimary(none, [replica(none)], left), wants)).toEqual({ action: null, waits: null })
    expect(advisePersist(primaryState, atPrimary(none, [replica(aof)], { ...left, persistRefused: true }), wants)).toEqual({
      action: null,
      waits: 'an AOF that was turned off could not be removed, and is tried again',
    })
  })

  test('no redis is touched before its role is settled, nor while it does not answer, nor by what it had a process ago', () => {
    expect(advisePersist(primaryState, atPrimary(aof, [replica(aof)], { settings: null }), wants).action).toBeNull()
    expect(advisePersist(state('a', { phase: 'promoting' }), atPrimary(aof, [replica(aof)]), wants).action).toBeNull()
    const handing = { id: '1', to: 'b', epoch: 2, stage: 'prepare', startedWallMs: 0, stageMs: 0, deadlineMs: 1 } as const
    expect(advisePersist(state('a', { phase: 'primary', handover: handing }), atPrimary(aof, [replica(aof)]), wants).action).toBeNull()
    expect(advisePersist(primaryState, atPrimary(aof, [replica(aof)], { process: false }), wants).action).toBeNull()
  })

  test('the file of the next start says yes only where the AOF is whole: else a redis that is started from it begins empty over a good RDB', () => {
    const over = persist('replica', aof)
    expect(advisePersist(state('b'), atReplica(aof, live(aof, true), { persistFile: 'yes' }), wants).action, 'being rewritten').toEqual(over)
    expect(advisePersist(state('b'), atReplica(aof, live(aof, true), { persistFile: 'no' }), wants).action).toBeNull()
    expect(advisePersist(state('b'), atReplica(aof, {}, { persistFile: 'no' }), wants).action, 'whole now').toEqual(over)
  })

  test('what was refused is not asked again and again', () => {
    const { action, waits } = advisePersist(state('b'), atReplica(none, {}, { persistRefused: true }), wants)
    expect([action, waits]).toEqual([null, expect.stringContaining('could not be set')])
  })

  test('an external redis is only compared', () => {
    const { action, waits } = advisePersist(state('b'), atReplica(none), { ...wants, external: true })
    expect([action, waits]).toEqual([null, "as replica it is to have an AOF (everysec) and has nothing on its disk: not Holdfast's to set (process: external)"])
  })

  test('without the key nothing of all this', () => {
    expect(advisePersist(state('b'), atReplica(none), policy())).toEqual({ action: null, waits: null })
  })
})

describe('an AOF on the primary', () => {
  const wants = under(byRole(aof, rdb))

  test('a fork waits until clients and replicas are back, and while a save for a full sync is under way', () => {
    const seen = atPrimary(rdb, [replica(rdb)])
    const early = advisePersist(promotedAgoMs(1000), seen, wants)
    expect([early.action, early.waits]).toEqual([null, expect.stringContaining('a fork begins 5 s after the promotion')])
    const saving = atPrimary(rdb, [replica(rdb)], {}, { supply: { backlogFrom: 1, usedBytes: 1, saving: true } })
    expect(advisePersist(promotedAgoMs(6000), saving, wants).waits).toContain('a save is under way')
    expect(advisePersist(promotedAgoMs(6000), seen, wants).action).toEqual(persist('primary', aof))
  })

  test('two that have each what the other is to have do not wait for each other: what is to come comes first', () => {
    const old = replica(aof)
    expect(advisePersist(promotedAgoMs(6000), atPrimary(rdb, [old]), wants).action).toEqual(persist('primary', { save: rdb.save, aof: 'everysec' }))
    const both = { save: rdb.save, aof: 'everysec' } as const
    expect(advisePersist(promotedAgoMs(6000), atPrimary(both, [old]), wants).action, 'and is not asked for twice').toBeNull()
    expect(advisePersist(promotedAgoMs(6000), atPrimary(both, [replica(both)]), wants).action).toEqual(persist('primary', aof))
  })

  test('thresholds alone', () => {
    const other = { ...runs(aof), persistence: { ...aof, rewritePercentage: 50, rewriteMinBytes: 64 } }
    expect(advisePersist(promotedAgoMs(6000), atPrimary(aof, [replica(rdb)], { settings: other }), wants).action).toEqual(persist('primary', aof))
  })
})

describe('from an AOF to saves', () => {
  const wants = under(byRole(rdb, rdb))
  const both: Persistence = { save: rdb.save, aof: 'everysec' }
  const saved = (ageS: number | null, changes = 5, ok = true): Partial<RedisFacts> => ({ saves: { ok, ageS, changes } })
  const primarySaid = (more: Partial<RedisFacts>) =>
    peer(word('a', { phase: 'primary', redis: primaryFacts({ ...live(both), ...more }), settings: runs(both) }))

  test('both have set their save points and neither has saved: both keep their AOF, and explain says what for', () => {
    const own = { facts: facts({ ...live(both), ...saved(null) }), settings: runs(both), ...file(both) }
    const found = [
      advisePersist(primaryState, atPrimary(both, [replica(both, saved(null))], {}, saved(null)), wants),
      advisePersist(state('b'), view('b', [primarySaid(saved(null))], { redis: probe(own) }), wants),
    ]
    expect(found.map(({ action }) => action)).toEqual([null, null])
    for (const { waits } of found) expect(waits).toContain('it keeps that until another member has what it is to have, and has written it')
  })

  test('the first save of the one lets go of the AOF of the other', () => {
    expect(advisePersist(primaryState, atPrimary(both, [replica(both, saved(60))], {}, saved(null)), wants).action).toEqual(persist('primary', rdb, true))
  })

  test.each([
    ['whose last save failed', saved(60, 5, false)],
    ['whose save is overdue by its own save points', saved(901, 1)],
    ['whose agent is older and does not say', { saves: undefined }],
  ])('a replica %s covers nothing', (_what, more) => {
    expect(advisePersist(primaryState, atPrimary(both, [replica(both, more as Partial<RedisFacts>)]), wants).action).toBeNull()
  })

  test('a save is as old as it likes where nothing was written since', () => {
    expect(advisePersist(primaryState, atPrimary(both, [replica(both, saved(90_000, 0))]), wants).action).toEqual(persist('primary', rdb, true))
  })
})

describe('nothing at all', () => {
  test('is waited for by nobody, and removes nothing', () => {
    expect(advisePersist(primaryState, atPrimary(aof, [silent('b')]), under(byRole(none, none))).action).toEqual(persist('primary', none))
  })
})

test('decide: in a calm cycle, and in no cycle in which anything else is done', () => {
  const wants = under(byRole(none, aof))
  const calm = atReplica(none)
  expect(decide(state('b'), calm, wants).actions).toContainEqual(persist('replica', aof))
  const request = { id: '1', kind: 'reinit', to: null, by: 'me', dryRun: false } as const
  const { actions } = decide(state('b'), { ...calm, request }, wants)
  expect(actions.map((a) => a.kind)).toContain('wipe-redis')
  expect(actions.map((a) => a.kind)).not.toContain('persist')
})
