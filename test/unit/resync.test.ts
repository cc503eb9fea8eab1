/** Who needs a full sync, who may begin, and how a loop of them is ended. */
import { describe, expect, test } from 'vitest'
import { decide } from '../../src/decide/decide.ts'
import { adviseReplicaBuffer, needsFullSync, pauseAfterLoop, whyNotYet } from '../../src/decide/resync.ts'
import { watch } from '../../src/decide/watch.ts'
import { syncStallMs, syncTurnMs } from '../../src/model/policy.ts'
import type { RedisFacts, Statement, View } from '../../src/model/view.ts'
import { freshWatch } from '../../src/model/watch.ts'
import { facts, nowMs, peer, policy, primaryFacts, probe, state, view, word } from './builders.ts'

const mib = 1_048_576
const supply = { backlogFrom: 500, usedBytes: 1024 * mib, saving: false }
const source = primaryFacts({ offset: 5000, supply })
const nobody = { host: '127.0.0.1', port: 1 }

describe('needsFullSync', () => {
  test.each<[string, Partial<RedisFacts>, Partial<RedisFacts>, boolean]>([
    ['the same history, in the backlog', {}, {}, false],
    ['the last byte that the backlog has', { offset: 499 }, {}, false],
    ['one byte too old', { offset: 498 }, {}, true],
    ['another history', { replid: 'x' }, {}, true],
    ['the history before its promotion', { replid: 'old' }, { replid2: 'old', secondOffset: 1001 }, false],
    ['one byte beyond the promotion', { replid: 'old', offset: 1001 }, { replid2: 'old', secondOffset: 1001 }, true],
    ['the source has no backlog', {}, { supply: { ...supply, backlogFrom: -1 } }, true],
    ['empty, and no id', { replid: '', offset: 0 }, {}, true],
  ])('%s', (_, own, theirs, full) => {
    expect(needsFullSync(facts(own), primaryFacts({ offset: 5000, supply, ...theirs }))).toBe(full)
  })

  test('an older agent says nothing of its backlog: the history alone counts', () => {
    expect([needsFullSync(facts(), primaryFacts()), needsFullSync(facts({ replid: 'x' }), primaryFacts())]).toEqual([false, true])
  })
})

const three = policy('a', 'b', 'c')
const [memberA] = three.members as [(typeof three.members)[0]]
const empty = facts({ replid: 'new', offset: 0, keys: 0, upstream: nobody, linkUp: false })
const filling = facts({ replid: 'new', offset: 0, keys: 0, linkUp: false, syncing: true, progress: 0.43, syncLeftBytes: 1000 })
const holder = (more: Partial<RedisFacts> = {}, said: Partial<Statement> = {}) => peer(word('a', { phase: 'primary', redis: { ...source, ...more }, ...said }))
/** c, which is empty, looks at b. */
const seenByC = (b: RedisFacts, more: Partial<View> = {}, a = holder()) =>
  view('c', [a, peer(word('b', { redis: b }))], { redis: probe({ facts: empty }), ...more })
const later = (ms: number, seen: View): View => ({ ...seen, nowMs: nowMs + ms, watch: watch(seen.watch, state('c'), { ...seen, nowMs: nowMs + ms }, three) })
const ask = (seen: View) => whyNotYet(state('c'), seen, three, memberA)

describe('one after the other', () => {
  test('b fetches everything: c waits, and says how far b is', () => {
    expect(ask(seenByC(filling))).toBe('waits for the full sync of b (43 %)')
  })

  test('b is about to, and redis has not connected yet: c waits already', () => {
    expect(ask(seenByC({ ...filling, syncing: false }))).toMatch(/waits for the full sync of b/)
  })

  test('both may begin: the higher priority does, and the other lets it', () => {
    expect(ask(later(0, seenByC(empty)))).toBe('waits for b, which is to be filled first')
    const seen = view('b', [holder(), peer(word('c', { redis: empty }))], { redis: probe({ facts: empty }) })
    expect(whyNotYet(state('b'), seen, three, memberA)).toBeNull()
  })

  test('b does not begin: c goes on without it', () => {
    const first = later(0, seenByC(empty))
    expect(ask(later(syncTurnMs - 1, first))).not.toBeNull()
    expect(ask(later(syncTurnMs, first))).toBeNull()
  })

  test('b began and gets nowhere: it loses its turn, unless its source is saving all the time', () => {
    const first = later(0, seenByC(filling))
    expect(ask(later(syncStallMs - 1, first))).not.toBeNull()
    expect(ask(later(syncStallMs, first))).toBeNull()
    const saving = { ...seenByC(filling, {}, holder({ supply: { ...supply, saving: true } })), watch: first.watch }
    expect(ask(later(syncStallMs, saving))).not.toBeNull()
  })

  test('the agent of b is dead, but its redis is seen by the primary: it counts', () => {
    const a = holder({ followers: [{ ip: 'ip-b', port: 6379, online: false, offset: 0, ackAgeS: 0 }] })
    expect(ask(view('c', [a], { redis: probe({ facts: empty }) }))).toBe('waits for the full sync of b')
  })

  test('nobody waits who can continue, whose source is small, or where two are allowed', () => {
    const continues = seenByC(filling, { redis: probe({ facts: facts({ upstream: nobody, linkUp: false }) }) })
    expect(ask(continues)).toBeNull()
    expect(ask(seenByC(filling, {}, holder({ supply: { ...supply, usedBytes: mib } })))).toBeNull()
    expect(whyNotYet(state('c'), seenByC(filling), { ...three, maxFullSyncs: 2 }, memberA)).toBeNull()
  })

  test('the decision: no REPLICAOF, and the reason is what the member says of itself', () => {
    const decision = decide(state('c'), seenByC(filling), three)
    expect(decision.actions.some((x) => x.kind === 'follow')).toBe(false)
    expect(decision.because).toContain('waits for the full sync of b (43 %)')
    expect(decide(state('c'), seenByC(facts()), three).actions).toContainEqual({ kind: 'follow', host: 'ip-a', port: 6379 })
  })
})

describe('again and again', () => {
  const look = (ms: number, own: Partial<RedisFacts>, known = freshWatch) =>
    watch(known, state('b'), view('b', [holder()], { nowMs: nowMs + ms, redis: probe({ facts: facts({ linkUp: false, ...own }) }) }), policy())
  const transfer = (leftBytes: number) => ({ syncing: true, syncLeftBytes: leftBytes })

  test('each begin is counted, also where the end of the one before fell between two looks', () => {
    let known = look(0, transfer(9000))
    known = look(400, transfer(5000), known)
    expect(known.attempts.startsAtMs).toHaveLength(1)
    known = look(800, transfer(8000), known)
    expect(known.attempts).toMatchObject({ startsAtMs: [nowMs, nowMs + 800], tookMs: 800 })
    known = look(1200, { linkUp: false }, known)
    known = look(1600, transfer(9000), known)
    expect(known.attempts.startsAtMs).toHaveLength(3)
  })

  test('loading what came is the same sync; having all that the primary had ends the count', () => {
    let known = look(0, transfer(1))
    known = look(400, { syncing: true, loading: true, syncLeftBytes: 0 }, known)
    expect(known.attempts.startsAtMs).toHaveLength(1)
    known = look(800, { linkUp: true, offset: 4000 }, known)
    expect(known.attempts.startsAtMs, 'up, but not there yet').toHaveLength(1)
    expect(look(1200, { linkUp: true, offset: 5000 }, known).attempts.startsAtMs).toEqual([])
  })

  const begun = (starts: number) => ({
    ...freshWatch,
    attempts: { ...freshWatch.attempts, startsAtMs: Array.from({ length: starts }, (_, i) => nowMs - i), syncing: true },
  })
  const looping = (starts: number, ms = 0) => view('b', [holder()], { nowMs: nowMs + ms, redis: probe({ facts: facts(filling) }), watch: begun(starts) })

  test('the replica lets go of its source for a while, longer each time, and its attempt between two pauses is left alone', () => {
    expect(pauseAfterLoop(state('b'), looping(4))).toBeNull()
    const first = pauseAfterLoop(state('b'), looping(5))
    expect(first).toEqual({ starts: 5, untilMs: nowMs + 30_000, times: 1 })
    expect(pauseAfterLoop(state('b', { syncPause: first }), looping(6, 30_000))).toBeNull()
    expect(pauseAfterLoop(state('b', { syncPause: first }), looping(7, 60_000))).toEqual({ starts: 7, untilMs: nowMs + 120_000, times: 2 })
    const decision = decide(state('b'), { ...looping(5), keepalived: null }, policy())
    expect([decision.actions, decision.next.syncPause]).toEqual([[{ kind: 'soft-fence' }], first])
    const waits = { ...looping(5, 1000), redis: probe({ facts: empty }), keepalived: null }
    expect(decide(decision.next, waits, policy())).toMatchObject({ actions: [], because: expect.stringContaining('the next one begins within 30 s') })
    expect(decide(decision.next, { ...waits, nowMs: nowMs + 30_001 }, policy()).actions).toContainEqual({ kind: 'follow', host: 'ip-a', port: 6379 })
  })

  const buffer = { hardBytes: 8 * mib, softBytes: 4 * mib, softS: 60 }
  const primary = (bytesPerS: number, tookMs: number, more: { capBytes?: number; sizeBytes?: number; starts?: number } = {}) =>
    view('a', [peer(word('b', { redis: filling, syncStarts: more.starts ?? 3, syncTookMs: tookMs }))], {
      redis: probe({
        facts: source,
        settings: { runId: 'run-1', databases: 16, readOnly: true, missing: [], replicaBuffer: buffer },
        backlog: { sizeBytes: more.sizeBytes ?? mib, capBytes: more.capBytes ?? 4096 * mib, bytesPerS },
      }),
    })

  test('the primary makes the buffer large enough for twice what is written meanwhile', () => {
    expect(adviseReplicaBuffer(primary(10 * mib, 20_000), policy())?.action).toEqual({ kind: 'raise-replica-buffer', bytes: 400 * mib })
    const served = decide(state('a', { phase: 'primary', holder: 'a', servingRunId: 'run-1' }), { ...primary(10 * mib, 20_000), keepalived: null }, policy())
    expect(served.actions).toEqual([{ kind: 'raise-replica-buffer', bytes: 400 * mib }])
    expect(served.events).toMatchObject([{ kind: 'alarm', text: expect.stringContaining('200 MiB are written meanwhile') }])
  })

  test.each<[string, View, RegExp | null]>([
    ['two begins are no loop', primary(10 * mib, 20_000, { starts: 2 }), null],
    ['little is written: it is not the buffer', primary(1000, 20_000), /see its redis.log/],
    ['a backlog that is larger counts as the limit', primary(10 * mib, 20_000, { sizeBytes: 1024 * mib }), /see its redis.log/],
    ['no more memory for it', primary(10 * mib, 60_000, { capBytes: mib, sizeBytes: 512 * mib }), /too much memory/],
  ])('%s: nothing is changed', (_, seen, text) => {
    const advice = adviseReplicaBuffer(seen, policy())
    expect(advice?.action ?? null).toBeNull()
    if (text === null) expect(advice).toBeNull()
    else expect(advice?.text).toMatch(text)
  })

  test('a redis that is not ours to change: the line to set', () => {
    expect(adviseReplicaBuffer(primary(10 * mib, 20_000), { ...policy(), external: true })).toEqual({
      action: null,
      text: expect.stringContaining('"replica 419430400 419430400 60"'),
    })
  })
})
