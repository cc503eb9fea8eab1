/** The sync of a move from two looks: when it may begin, what is seen to go wrong, and what is answered; and what an operator asks of it. */
import { describe, expect, test } from 'vitest'
import { decide } from '../../src/decide/decide.ts'
import { watch } from '../../src/decide/watch.ts'
import type { Decision } from '../../src/model/decision.ts'
import type { Move } from '../../src/model/move.ts'
import { parseWindow, type SyncTerms, type SyncWindow } from '../../src/model/sync-terms.ts'
import type { State } from '../../src/model/state.ts'
import type { RedisFacts, Request, SourceCare, SourceProbe, View } from '../../src/model/view.ts'
import { freshWatch, type CareWatch } from '../../src/model/watch.ts'
import { entry, facts, moveOf, nowMs, peer, policy, primaryFacts, probe, state, view, word } from './builders.ts'

const at = { host: '10.0.0.9', port: 6379 }
const nobody = { host: '127.0.0.1', port: 1 }
const mib = 1_048_576
const noon = Date.UTC(2026, 0, 15, 12)
const hour = 3_600_000

function windowOf(text: string): SyncWindow {
  const found = parseWindow(text)
  if (found === null) throw new Error(text)
  return found
}

const supply = { backlogFrom: 1, usedBytes: 1000, saving: false, fullSyncs: 5 }
const old = primaryFacts({ runId: 'run-old', replid: 'id-old', offset: 1000, supply, saves: { ok: true, ageS: null, changes: 0 } })
const apart = facts({ upstream: nobody, linkUp: false, replid: 'id-a', keys: 0, offset: 0 })
const fetching = facts({ upstream: at, linkUp: false, syncing: true, replid: 'id-a', keys: 0, offset: 0 })
const care: SourceCare = {
  p99BeforeMs: 0.4,
  p99Ms: 0.5,
  forkMs: 3,
  buffer: { limitBytes: 64 * mib, usedBytes: 0, roomBytes: 4096 * mib },
  timeoutS: 60,
  overflows: null,
  said: { format: null, timeouts: 0, refused: { times: 0, last: null } },
}
const begun: CareWatch = {
  runId: 'run-old',
  fullSyncs: 5,
  savesOk: true,
  limit: { bytes: 64 * mib, fullSyncs: 5, offset: 1000 },
  timeout: { seconds: 60, said: 0 },
  refused: 0,
  overSinceMs: null,
}

interface Seen {
  readonly own?: RedisFacts
  readonly old?: Partial<RedisFacts>
  readonly care?: Partial<SourceCare> | null
  readonly watch?: Partial<CareWatch>
  readonly move?: Partial<Move>
  readonly probe?: Partial<SourceProbe>
  readonly view?: Partial<View>
  readonly state?: Partial<State>
}

function syncing(more: Partial<Move> = {}): Move {
  return moveOf({ source: at, stageMs: nowMs - 20, synced: false, ...more })
}

function look(seen: Seen = {}): { readonly before: State; readonly view: View; readonly decision: Decision; readonly kinds: readonly string[] } {
  const before = state('a', {
    phase: 'receiving',
    epoch: 2,
    lineage: [entry(1, 'a', 0), entry(2, 'a', 900, { replid: 'id-old', source: 'migration', accepted: true })],
    move: syncing(seen.move),
    ...seen.state,
  })
  const source: SourceProbe = {
    facts: { ...old, ...seen.old },
    factsAgeMs: 1,
    trouble: null,
    held: false,
    raised: true,
    goAhead: false,
    ...(seen.care === null ? {} : { care: { ...care, ...seen.care } }),
    ...seen.probe,
  }
  // Whoever is attached below lets go first.
  const below = seen.own === undefined || seen.own.upstream?.port === at.port ? {} : { upstream: nobody, linkUp: false }
  const now = view('a', [peer(word('b', { epoch: 2, redis: facts({ replid: 'id-old', ...below }), move: syncing(seen.move) }))], {
    redis: probe({ facts: seen.own ?? fetching, factsAgeMs: 1 }),
    source,
    nowWallMs: noon,
    watch: { ...freshWatch, care: { ...begun, ...seen.watch } },
    ...seen.view,
  })
  const decision = decide(before, now, policy())
  return {
    before,
    view: now,
    decision,
    kinds: decision.actions.map((a) => (a.kind === 'source' ? `source ${a.order.do}` : a.kind)).filter((kind) => kind !== 'vip'),
  }
}

const terms = (more: Partial<SyncTerms>): Partial<Move> => ({ terms: { window: null, maxP99Ms: null, ...more } })
const night = terms({ window: windowOf('01:00-05:00Z') })

describe('when it begins', () => {
  test('nothing was asked of it: at once', () => {
    expect(look({ own: apart }).kinds).toContain('follow-source')
  })

  test('outside of its window it waits, and lets go of what redis would begin by itself', () => {
    expect([look({ own: apart, move: night }).kinds, look({ own: apart, move: night }).decision.because]).toEqual([
      [],
      expect.stringContaining('waits for its window (01:00-05:00Z)'),
    ])
    expect(look({ own: { ...fetching, syncing: false }, move: night }).kinds).toEqual(['soft-fence'])
  })

  test('in it, it begins; one that has begun goes on after its end; what can be continued needs none', () => {
    expect(look({ own: apart, move: terms({ window: windowOf('11:00-13:00Z') }) }).kinds).toContain('follow-source')
    expect(look({ move: night }).kinds).toEqual([])
    expect(look({ own: { ...apart, replid: 'id-old', offset: 990 }, move: night }).kinds).toContain('follow-source')
  })

  test('what redis has begun anew by itself after the end of its window is let go of; an agent that has only just started cannot tell', () => {
    const begins = (...agoMs: readonly number[]) => {
      const attempts = { ...freshWatch.attempts, syncing: true, startsAtMs: agoMs.map((ms) => nowMs - ms) }
      return look({ move: terms({ window: windowOf('11:00-11:59:50Z') }), view: { watch: { ...freshWatch, care: begun, attempts } } }).kinds
    }
    expect([begins(20_000, 2000), begins(30_000, 20_000), begins(2000)]).toEqual([['soft-fence'], [], []])
  })

  test('a member below waits for the same window, also one that is connected and would be filled as soon as its primary is', () => {
    const holder = peer(word('a', { epoch: 2, phase: 'receiving', redis: facts({ replid: 'id-old', upstream: at, supply }) }))
    const below = (own: RedisFacts, move: Partial<Move>, watched = freshWatch) => {
      const before = state('b', {
        epoch: 2,
        lineage: [entry(1, 'a', 0), entry(2, 'a', 900, { replid: 'id-old', source: 'migration', accepted: true })],
        move: syncing(move),
      })
      return decide(before, view('b', [holder], { redis: probe({ facts: own }), nowWallMs: noon, watch: watched }), policy())
        .actions.map((a) => a.kind)
        .filter((kind) => kind !== 'vip')
    }
    const connected = facts({ upstream: { host: 'ip-a', port: 6379 }, linkUp: false, replid: 'id-b', keys: 0 })
    expect([below(apart, night), below(connected, night)]).toEqual([[], ['soft-fence']])
    const anew = { ...freshWatch, attempts: { ...freshWatch.attempts, syncing: true, startsAtMs: [nowMs - 900, nowMs - 500] } }
    expect(below({ ...connected, syncing: true }, night, anew)).toEqual(['soft-fence'])
    expect([below(apart, {}), below({ ...connected, syncing: true }, night)]).toEqual([['follow'], []])
  })

  test('with a budget it is measured first what its clients feel, and busy ones are not burdened', () => {
    const budget = terms({ maxP99Ms: 20 })
    expect(look({ own: apart, move: budget, care: { p99Ms: null } }).kinds).toEqual([])
    expect(look({ own: apart, move: budget, care: { p99Ms: 25 } }).decision.because).toContain('feels 25 ms already')
    expect(look({ own: apart, move: budget }).kinds).toContain('follow-source')
  })

  test('given up, it waits for its time, and for an operator when it has none', () => {
    const waits = (untilWallMs: number | null) => look({ own: apart, move: { givenUp: { why: 'x', times: 1, untilWallMs } } })
    expect([waits(noon + 1).kinds, waits(null).kinds]).toEqual([[], []])
    expect(waits(noon).kinds).toContain('follow-source')
    expect(waits(null).decision.events).toContainEqual(expect.objectContaining({ kind: 'alarm', text: expect.stringContaining('given up: x') as string }))
  })
})

describe('what goes wrong', () => {
  test('nothing: it goes on', () => {
    expect(look().kinds).toEqual([])
  })

  test.each<[string, Seen, RegExp, boolean]>([
    ['a format that it cannot read, by the version', { old: { version: '8.0.0' } }, /cannot read a full copy.*P1/, false],
    [
      'and by its own word',
      { care: { said: { format: "Can't handle RDB format version 12", timeouts: 0, refused: { times: 0, last: null } } } },
      /cannot read what .*version 12/,
      false,
    ],
    [
      'a user who may not read the stream',
      { care: { said: { format: null, timeouts: 0, refused: { times: 3, last: "NOPERM this user has no permissions to run the 'psync' command" } } } },
      /turns this redis away: NOPERM .*\+psync \+replconf.*P15/,
      false,
    ],
    ['a save for it that failed', { old: { saves: { ok: false, ageS: null, changes: 0 } } }, /the save of 10\.0\.0\.9:6379 for it has failed/, false],
    [
      'more than was allowed, for seconds',
      { move: terms({ maxP99Ms: 20 }), care: { p99Ms: 45 }, watch: { overSinceMs: nowMs - 3000 } },
      /feels 45 ms .*before the sync 0\.4 ms.*20 ms are allowed/,
      true,
    ],
    [
      'a full buffer where no memory is left',
      {
        old: { offset: 1e9, supply: { ...supply, fullSyncs: 7 } },
        care: { buffer: { limitBytes: 256 * mib, usedBytes: 0, roomBytes: 100 * mib } },
        watch: { limit: { bytes: 256 * mib, fullSyncs: 5, offset: 0 } },
      },
      /no room for more \(100 MiB left\)/,
      true,
    ],
    [
      'a timeout of an hour',
      { care: { timeoutS: 3600, said: { format: null, timeouts: 1, refused: { times: 0, last: null } } }, watch: { timeout: { seconds: 3600, said: 0 } } },
      /longer than repl-timeout \(3600 s\)/,
      true,
    ],
    ['whatever it is, again and again', { old: { supply: { ...supply, fullSyncs: 13 } } }, /8 full syncs .* none has arrived/, true],
  ])('%s: it is given up and told', (_what, seen, why, again) => {
    const { decision, kinds } = look(seen)
    expect(kinds).toEqual(['soft-fence'])
    expect(decision.next.move?.givenUp).toEqual({ why: expect.stringMatching(why) as string, times: 1, untilWallMs: again ? noon + 15_000 : null })
    expect(decision.events).toContainEqual(
      expect.objectContaining({ kind: 'move', text: expect.stringMatching(/^the sync was given up: .*serves as before; it is (not )?tried again/) as string }),
    )
  })

  test.each<[string, Seen]>([
    ['its saves failed before', { old: { saves: { ok: false, ageS: null, changes: 0 } }, watch: { savesOk: false } }],
    ['a moment of more than was allowed', { move: terms({ maxP99Ms: 20 }), care: { p99Ms: 45 }, watch: { overSinceMs: nowMs - 2900 } }],
    ['a timeout of before', { care: { said: { format: null, timeouts: 1, refused: { times: 0, last: null } } }, watch: { timeout: { seconds: 60, said: 1 } } }],
    ['turned away before it followed', { care: { said: { format: null, timeouts: 0, refused: { times: 3, last: 'NOPERM' } } }, watch: { refused: 3 } }],
    ['begun anew once', { old: { offset: 1e9, supply: { ...supply, fullSyncs: 6 } } }],
    ['begun anew, and little was written', { old: { offset: 2000, supply: { ...supply, fullSyncs: 8 } } }],
    [
      'no limit',
      {
        old: { offset: 1e9, supply: { ...supply, fullSyncs: 8 } },
        care: { buffer: { limitBytes: 0, usedBytes: 0, roomBytes: 1 } },
        watch: { limit: { bytes: 0, fullSyncs: 5, offset: 0 } },
      },
    ],
  ])('%s: is no reason', (_what, seen) => {
    expect(look(seen).kinds).toEqual([])
  })

  test('more is written than its buffer takes: that is made larger, as far as there is room', () => {
    const full = (needs: number, roomMib: number | null) =>
      look({
        old: { offset: 1000 + 2 * needs, supply: { ...supply, fullSyncs: 7 } },
        care: { buffer: { limitBytes: 64 * mib, usedBytes: 0, roomBytes: roomMib === null ? null : roomMib * mib } },
      }).decision.actions
    const raised = (bytes: number) => ({ kind: 'source', order: { do: 'raise-buffer', bytes } })
    expect(full(40 * mib, 4096)).toContainEqual(raised(256 * mib))
    expect(full(200 * mib, 4096)).toContainEqual(raised(800 * mib))
    expect(full(200 * mib, 1000)).toContainEqual(raised(500 * mib))
    expect(full(200 * mib, null)).toContainEqual(raised(256 * mib))
  })

  test('a sync that takes longer than repl-timeout: both wait longer', () => {
    const { decision } = look({ care: { said: { format: null, timeouts: 1, refused: { times: 0, last: null } } } })
    expect(decision.actions).toContainEqual({ kind: 'source', order: { do: 'raise-timeout', seconds: 120 } })
    expect(decision.events).toContainEqual(
      expect.objectContaining({ kind: 'move', text: expect.stringContaining('repl-timeout (60 s); it is raised to 120 s') as string }),
    )
  })

  test('where that may not be raised, it is given up, and not tried again by itself', () => {
    const { decision, kinds } = look({ care: { said: { format: null, timeouts: 1, refused: { times: 0, last: null } } }, view: { actedAll: false } })
    expect([kinds, decision.next.move?.givenUp]).toEqual([
      ['soft-fence'],
      { why: expect.stringContaining('could not be raised') as string, times: 1, untilWallMs: null },
    ])
  })
})

describe('after it was given up', () => {
  const slow = { care: { p99Ms: 45 }, watch: { overSinceMs: nowMs - 3000 } }

  test('each pause is longer, and the fifth has no end; with a window it is the next one', () => {
    const until = (times: number, window: SyncWindow | null = null) =>
      (look({ ...slow, move: { ...terms({ maxP99Ms: 20, window }), givenUp: { why: 'x', times, untilWallMs: noon } } }).decision.next.move?.givenUp
        ?.untilWallMs ?? noon) - noon
    expect([1, 2, 3, 4].map((times) => until(times))).toEqual([60_000, 240_000, 960_000, 0])
    expect([until(1, windowOf('11:00-13:00Z')), until(4, windowOf('11:00-13:00Z'))]).toEqual([23 * hour, 0])
  })

  test('it arrives: nothing is held against it any more', () => {
    const arrived = facts({ upstream: at, replid: 'id-old' })
    const { decision } = look({ own: arrived, move: { givenUp: { why: 'x', times: 2, untilWallMs: noon } } })
    expect(decision.next.move).toMatchObject({ givenUp: null, synced: true, last: 'a follows 10.0.0.9:6379, at the 3. attempt' })
  })

  test('asked again, it is tried again; other terms count from then on, and what is not named stays', () => {
    const ask = (told: Partial<SyncTerms>, move: Partial<Move>) => {
      const request: Request = {
        id: 'r',
        kind: 'move',
        to: null,
        by: 'x',
        dryRun: false,
        move: { verb: 'start', source: at, seen: old, overwrite: null, terms: told },
      }
      return look({ own: apart, move, view: { request } }).decision.next
    }
    const again = ask({}, { ...night, givenUp: { why: 'x', times: 5, untilWallMs: null } })
    expect(again.move).toMatchObject({ givenUp: null, terms: { window: { text: '01:00-05:00Z' } } })
    expect(ask({ maxP99Ms: 9 }, night).move?.terms).toEqual({ window: windowOf('01:00-05:00Z'), maxP99Ms: 9 })
    expect(ask({ window: null }, night).move?.terms).toEqual({ window: null, maxP99Ms: null })
    const same = ask({}, night)
    expect([same.move?.rev, same.results.at(-1)?.message]).toEqual([5, '10.0.0.9:6379 is being moved here already'])
  })
})

test('a save that fails stops its writes again when it follows, is given up, or is called off: but not before a save has arrived', () => {
  const guarded = { probe: { guarded: true as const } }
  const failing = { old: { saves: { ok: false, ageS: null, changes: 0 } } }
  const arrived = { own: facts({ upstream: at, replid: 'id-old' }), move: { synced: true } }
  expect(look({ ...guarded, ...arrived }).kinds).toEqual(['source unguard'])
  expect(look({ ...guarded, ...arrived, ...failing }).kinds).toEqual([])
  expect(look({ ...guarded, ...failing }).kinds).toEqual(['soft-fence'])
  const off = { own: apart, move: { stage: 'aborted' as const } }
  const called = (seen: Seen) => look({ ...off, ...seen, probe: { guarded: true, raised: false } }).kinds
  expect([called({}), called(failing)]).toEqual([['source release', 'source settle'], []])
})

describe('what is seen from look to look', () => {
  const next = (before: CareWatch | null, seen: Seen, atMs = nowMs) => {
    const { before: its, view: now } = look(seen)
    return watch({ ...freshWatch, care: before }, its, { ...now, nowMs: atMs }, policy()).care
  }

  test('it begins with what was there before, and is over when all has arrived', () => {
    const ready = next(null, { own: apart })
    expect(ready).toEqual(begun)
    expect(next(begun, { own: apart, old: { supply: { ...supply, fullSyncs: 9 } } }), 'of the last attempt').toMatchObject({ fullSyncs: 9 })
    expect(next(begun, { old: { offset: 9000, supply: { ...supply, fullSyncs: 9 }, saves: { ok: false, ageS: null, changes: 0 } } })).toBe(begun)
    expect(next(begun, { own: facts({ upstream: at, replid: 'id-old' }) })).toBe(null)
    expect(next(begun, { old: { runId: 'run-new', supply: { ...supply, fullSyncs: 1 } } })).toMatchObject({ runId: 'run-new', fullSyncs: 1 })
  })

  test('a limit that was raised is given its time, and so is a timeout', () => {
    const seen = {
      old: { offset: 9000, supply: { ...supply, fullSyncs: 9 } },
      care: { buffer: { limitBytes: 99, usedBytes: 0, roomBytes: 1 }, timeoutS: 120, said: { format: null, timeouts: 4, refused: { times: 0, last: null } } },
    }
    expect(next(begun, seen)).toEqual({ ...begun, limit: { bytes: 99, fullSyncs: 9, offset: 9000 }, timeout: { seconds: 120, said: 4 } })
  })

  test('since when its clients feel more than was allowed, without a break', () => {
    const slow = { move: terms({ maxP99Ms: 20 }), care: { p99Ms: 45 } }
    const since = next(begun, slow, 500)
    expect([since?.overSinceMs, next(since, slow, 900)?.overSinceMs, next(since, { ...slow, care: { p99Ms: 15 } }, 900)?.overSinceMs]).toEqual([500, 500, null])
    expect(next(begun, { ...slow, move: {} }, 500)?.overSinceMs).toBe(null)
    expect(next(begun, { ...slow, view: { stalledMs: 200 } }, 500)?.overSinceMs, 'it has measured itself').toBe(null)
  })
})

describe('a member that answered its primary with an error', () => {
  const arrived = facts({ upstream: at, replid: 'id-old', unexpectedErrors: 2 })
  const differs = { why: 'it answered a command of its primary with an error, so its data differ', atWallMs: noon - 1000 }
  const synced = { synced: true, verified: { atWallMs: noon - 5000, keys: 10 } }
  const request = (move: Request['move']): Partial<View> => ({
    request: { id: 'r', kind: 'move', to: null, by: 'x', dryRun: false, ...(move === undefined ? {} : { move }) },
  })
  const known = { differs, streamErrors: { runId: 'run-1', seen: 2 } }

  test('what was proven before is no proof any more, and it is not cut over until it was compared anew', () => {
    expect(look({ own: arrived, move: synced, state: known }).decision.next.move).toMatchObject({
      verified: null,
      last: expect.stringContaining('with an error') as string,
    })
    const cut = look({ own: arrived, move: synced, state: known, view: request({ verb: 'cutover', unverified: true }) }).decision.next
    expect([cut.move?.stage, cut.results.at(-1)]).toEqual([
      'sync',
      expect.objectContaining({ ok: false, message: expect.stringContaining('with an error') as string }),
    ])
    const proven = look({ own: arrived, move: synced, state: known, view: request({ verb: 'verified', keys: 10 }) }).decision.next
    expect([proven.differs, proven.streamErrors, proven.move?.verified]).toEqual([null, { runId: 'run-1', seen: 2 }, { atWallMs: noon, keys: 10 }])
  })

  test('nor while a member below is no true copy', () => {
    const others = (trueCopy: boolean) => [
      peer(word('b', { epoch: 2, redis: facts({ replid: 'id-old' }), move: syncing(synced), trueCopy, alarms: ['its data differ'] })),
    ]
    const cut = (trueCopy: boolean) =>
      look({ own: { ...arrived, unexpectedErrors: 0 }, move: synced, view: { ...request({ verb: 'cutover', unverified: false }), peers: others(trueCopy) } })
        .decision.next
    expect(cut(false).results.at(-1)).toMatchObject({
      ok: false,
      message: expect.stringContaining('b are not those of its primary: its data differ') as string,
    })
    expect(cut(true).move?.stage).toBe('hold')
  })
})
