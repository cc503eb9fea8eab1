/** A replica that is far behind when its primary's process dies: what is waited for, what is not, and what it costs a healthy one (nothing). */
import { describe, expect, test } from 'vitest'
import { decide } from '../../src/decide/decide.ts'
import { elect } from '../../src/decide/election.ts'
import { ofThisBoot } from '../../src/decide/memory.ts'
import { missingBytes } from '../../src/decide/position.ts'
import { statementOf } from '../../src/decide/statement.ts'
import { alarmsOf } from '../../src/decide/stream.ts'
import { standForElection } from '../../src/decide/voting.ts'
import { watch } from '../../src/decide/watch.ts'
import { ballotRetryMs, drainMs, lagAlarmMs, restartWaitMs, statementStaleMs, underWayBytes } from '../../src/model/policy.ts'
import type { DiskProbe, RdbSeen } from '../../src/model/disk.ts'
import type { State } from '../../src/model/state.ts'
import type { Statement, View } from '../../src/model/view.ts'
import { freshWatch } from '../../src/model/watch.ts'
import { entry, facts, nowMs, peer, policy, primaryFacts, probe, silent, state, view, word } from './builders.ts'

const own = 1_000_000
const told = { replid: 'id-1', offset: own + underWayBytes + 1 }
const ended = { redis: probe({ facts: facts({ offset: own, linkUp: false, linkDownS: 0 }) }) }
const detached = (offset = own) => ({ redis: probe({ facts: facts({ offset, linkUp: false, linkDownS: 0, upstream: { host: '127.0.0.1', port: 1 } }) }) })
const dead = (more: Partial<Statement> = {}) =>
  peer(word('a', { phase: 'fenced', fit: false, answering: false, process: false, redis: primaryFacts({ offset: told.offset }), ...more }))
const lost = (agoMs: number, more: Partial<State> = {}) => state('b', { gone: { epoch: 1, fresh: true, atMs: nowMs - agoMs, runId: 'run-1', told }, ...more })

describe('the replica b, whose link was alive until the redis of a died, and which has 64 KiB less than a told', () => {
  test('waits until the agent of a has said what its disk has', () => {
    expect(elect(lost(200), view('b', [dead()], detached()), policy())).toMatchObject({
      result: 'wait',
      forHosts: ['a'],
      because: expect.stringMatching(/65537 bytes that a had are missing here.*failover sessions --to b --force/) as string,
    })
  })

  test('one byte less, and it may have been under way: nothing is waited for', () => {
    expect(elect(lost(200), view('b', [dead()], detached(own + 1)), policy()).result).toBe('me')
  })

  test.each([
    ['nothing is there', null],
    ['it has less', { epoch: 1, offset: own - 1 }],
    ['it has as much', { epoch: 1, offset: own }],
  ])('does not wait for a disk of which it has been told: %s', (_what, onDisk) => {
    expect(elect(lost(200), view('b', [dead({ onDisk })], detached()), policy()).result).toBe('me')
  })

  test.each([
    ['more of this epoch', { epoch: 1, offset: own + 1 }],
    ['another epoch, of which nobody here has heard', { epoch: 2, offset: 1 }],
  ])('waits for a disk that has %s', (_what, onDisk) => {
    expect(elect(lost(200), view('b', [dead({ onDisk })], detached()), policy())).toMatchObject({
      result: 'wait',
      because: expect.stringContaining('its disk has') as string,
    })
  })

  test('not for ever: an agent that has not started its redis after two seconds will not soon', () => {
    const starting = dead({ onDisk: { epoch: 1, offset: told.offset } })
    expect(elect(lost(restartWaitMs - 1), view('b', [starting], detached()), policy()).result).toBe('wait')
    expect(elect(lost(restartWaitMs), view('b', [starting], detached()), policy()).result).toBe('me')
  })

  test('as long as it loads what is known to be more, and no longer than that where it is not known', () => {
    const loads = { process: true, redis: facts({ loading: true, offset: 0 }) }
    const known = dead({ ...loads, onDisk: { epoch: 1, offset: told.offset } })
    expect(elect(lost(60_000), view('b', [known], detached()), policy()).result).toBe('wait')
    expect(elect(lost(60_000), view('b', [dead(loads)], detached()), policy()).result).toBe('me')
  })

  test('the host is lost with its agent: nobody can say what its disk has, and b goes on with what it has', () => {
    expect(elect(lost(200), view('b', [silent('a')], detached()), policy()).result).toBe('me')
  })

  test('a is back with more: it serves again, and b follows', () => {
    const back = peer(word('a', { phase: 'fenced', redis: facts({ offset: told.offset, runId: 'run-2' }) }))
    expect(elect(lost(300), view('b', [back], detached()), policy())).toMatchObject({ result: 'other', host: 'a' })
  })

  test('a is back with less: b has waited long enough', () => {
    const back = peer(word('a', { phase: 'fenced', redis: facts({ offset: own - 1, runId: 'run-2' }) }))
    expect(elect(lost(300), view('b', [back], detached()), policy()).result).toBe('me')
  })
})

describe('how far the primary was', () => {
  const serving = (offset: number, replid = 'id-1') => peer(word('a', { phase: 'primary', redis: primaryFacts({ offset, replid }) }))

  test('is kept when nothing is heard of it any more, and its restarted redis does not take it back', () => {
    let seen = watch(freshWatch, state('b'), view('b', [serving(900)]), policy())
    expect(seen.told).toEqual({ replid: 'id-1', offset: 900 })
    for (const peers of [[silent('a')], [serving(100)], [serving(5000, 'another')]]) seen = watch(seen, state('b'), view('b', peers), policy())
    expect(seen.told).toEqual({ replid: 'id-1', offset: 900 })
  })

  test('is forgotten with its epoch', () => {
    const seen = watch(freshWatch, state('b'), view('b', [serving(900)]), policy())
    expect(watch(seen, state('b', { epoch: 2, holder: 'c', lineage: [entry(2, 'c', 700)] }), view('b', []), policy()).told).toBeNull()
  })

  test('is remembered on disk with the finding that it is gone, also when its last word comes after that', () => {
    const owes = { redis: { ...ended.redis, factsAgeMs: 1, askedAgeMs: 1 } }
    const noted = decide(state('b'), view('b', [dead()], { ...owes, watch: { ...freshWatch, told: { replid: 'id-1', offset: 900 } } }), policy()).next
    expect(noted.gone?.told?.offset).toBe(900)
    const later = decide(noted, view('b', [dead()], { ...owes, watch: { ...freshWatch, told } }), policy()).next
    expect(later.gone?.told?.offset).toBe(told.offset)
    expect(decide(later, view('b', [dead()], owes), policy()).next.gone?.told?.offset, 'an agent that has started again has forgotten all').toBe(told.offset)
  })

  test('is counted through epochs whose offsets go on, and is not known across one that counted anew', () => {
    const position = { kind: 'known', epoch: 1, offset: 500, divergedBytes: 0 } as const
    const later = { replid: 'id-2', offset: 900 }
    expect(missingBytes(position, later, [entry(1, 'a', 0), entry(2, 'b', 601)])).toBe(400)
    expect(missingBytes(position, later, [entry(1, 'a', 0), entry(2, 'b', 1, { continues: { epoch: 1, offset: 600, atLeast: 600 } })])).toBe(
      Number.POSITIVE_INFINITY,
    )
    expect(missingBytes(position, { replid: 'unheard of', offset: 1 }, [entry(1, 'a', 0)])).toBe(Number.POSITIVE_INFINITY)
    expect(missingBytes(position, null, [entry(1, 'a', 0)]), 'it never told').toBe(0)
  })
})

describe('the end of a dead process’s stream', () => {
  const flowing = (agoMs: number) => decide(lost(agoMs), view('b', [dead()], { redis: probe({ facts: facts({ offset: own + 1 }) }) }), policy())

  test('is read before anything else, but not for long', () => {
    expect(flowing(0)).toMatchObject({ actions: [], because: expect.stringContaining('still being read') as string, wakeAtMs: nowMs + 2 })
    expect(flowing(drainMs).next).toMatchObject({ phase: 'promoting' })
  })

  test('costs nothing once redis has seen it', () => {
    const gone = { epoch: 1, fresh: true, atMs: nowMs, runId: 'run-1', told: { replid: 'id-1', offset: own } }
    expect(decide(state('b', { gone }), view('b', [dead()], ended), policy()).next.phase).toBe('promoting')
  })

  test.each<[string, Parameters<typeof policy>[0] | object, Statement]>([
    ['the process may live', {}, dead({ process: 'unknown' }).statement as Statement],
    ['an external redis may be back at once with anything', { external: true }, dead().statement as Statement],
  ])('is not waited for where %s', (_why, more, statement) => {
    const { actions } = decide(lost(0), view('b', [peer(statement)], { redis: probe({ facts: facts({ offset: own }), factsAgeMs: 1 }) }), {
      ...policy(),
      ...(more as object),
    })
    expect(actions.map((a) => a.kind)).toEqual(['soft-fence'])
  })
})

describe('the agent of a says what its disk has', () => {
  const rdb: RdbSeen = {
    ok: true,
    bytes: 9,
    changedAtMs: 1,
    format: 10,
    writtenBy: '7.0.15',
    savedAtS: null,
    replid: 'id-1',
    offset: 800,
    empty: false,
    summed: true,
    fields: 'x',
  }
  const none: DiskProbe = { rdb: null, aof: null, wantsAof: false, note: null, failures: 0, lastWords: '' }
  const says = (disk: DiskProbe | null) => {
    const seen: View = view('a', [], { redis: probe({ process: disk === null, disk }) })
    return statementOf(state('a', { phase: 'fenced' }), seen, policy()).onDisk
  }

  test.each<[string, DiskProbe | null, unknown]>([
    ['an RDB of this history', { ...none, rdb }, { epoch: 1, offset: 800 }],
    ['an empty disk', none, null],
    ['an RDB of another history', { ...none, rdb: { ...rdb, replid: 'other' } }, null],
    ['an RDB that cannot be read', { ...none, rdb: { ok: false, bytes: 9, changedAtMs: 1, why: 'torn' } }, null],
    ['redis runs', null, undefined],
  ])('%s', (_what, disk, told) => expect(says(disk)).toEqual(told))
})

describe('a vote that a gave with its resignation, and a that is better after all', () => {
  const abw = { ...policy('a', 'b'), witness: 'w', voters: 3, quorum: 2, leased: true }
  const elected = { epoch: 3, to: 'a' }
  const back = state('a', { phase: 'fenced', vote: { epoch: 2, to: 'b', atMs: nowMs - 300 } })
  const others = (b: Partial<Statement>) => [peer(word('b', { gone: 1, ...b })), peer(word('w', { phase: 'fresh', redis: null, vote: elected }))]

  test('a remembers whom it had elected, and is elected itself only when b has voted in a later epoch', () => {
    const ballot = standForElection(back, view('a', others({ vote: null })), abw)
    expect(ballot).toMatchObject({ result: 'waiting', vote: { ...elected, gave: { epoch: 2, to: 'b' } } })
    const standing = { ...back, vote: ballot.result === 'waiting' ? ballot.vote : null }
    expect(standForElection(standing, view('a', others({ vote: { epoch: 2, to: 'b' } })), abw), 'b may be taking epoch 2 at this moment').toMatchObject({
      result: 'waiting',
    })
    expect(standForElection(standing, view('a', others({ vote: elected })), abw)).toMatchObject({ result: 'elected', epoch: 3 })
  })

  test('nor does a vote for a third one, as long as b may be using its own', () => {
    const abc = { ...policy('a', 'b', 'c'), voters: 3, quorum: 2, leased: true, safe: true }
    const standing = state('a', {
      phase: 'fenced',
      vote: { ...elected, atMs: nowMs - 10, gave: { epoch: 2, to: 'b', atMs: nowMs - 300, endedMs: nowMs - 10 } },
    })
    const asks = peer(word('c', { gone: 1, seesHolder: 'gone', vote: { epoch: 4, to: 'c' }, redis: facts({ offset: 5000 }) }))
    const blind = { redis: probe({ process: false, facts: null }) }
    const votesFor = (silentMs: number) => decide(standing, view('a', [silent('b', { silentMs }), asks], blind), abc).next.vote?.to
    expect(votesFor(70)).toBe('a')
    expect(votesFor(188)).toBe('c')
  })

  test('b is heard for so long without having taken it up that nobody can count it any more', () => {
    const waited = (ms: number, statementAgeMs = 10) => {
      const standing = { ...back, vote: { ...elected, atMs: nowMs, gave: { epoch: 2, to: 'b', atMs: nowMs - ms - 300, endedMs: nowMs - ms } } }
      const [b, witness] = others({ vote: null, fit: false })
      return b === undefined || witness === undefined ? null : standForElection(standing, view('a', [{ ...b, statementAgeMs }, witness]), abw).result
    }
    const longEnoughMs = statementStaleMs + ballotRetryMs + 10
    expect(waited(longEnoughMs)).toBe('waiting')
    expect(waited(longEnoughMs + 1)).toBe('elected')
    expect(waited(longEnoughMs + 1, 11), 'its word is of before').toBe('waiting')
    const taken = { ...back, vote: { ...elected, atMs: nowMs, gave: { epoch: 2, to: 'b', atMs: 0, endedMs: 0 } } }
    expect(standForElection(taken, view('a', others({ epoch: 2 })), abw).result).toBe('waiting')
  })

  test('times of another boot mean nothing: that of the vote which was given away neither', () => {
    const saved = { ...back, vote: { ...elected, atMs: 864_000_100, gave: { epoch: 2, to: 'b', atMs: 864_000_000, endedMs: 864_000_100 } } }
    expect(ofThisBoot(saved, 5000).vote).toEqual({ ...elected, atMs: 5000, gave: { epoch: 2, to: 'b', atMs: 5000, endedMs: 5000 } })
    expect(ofThisBoot(back, nowMs).vote).toEqual(back.vote)
  })

  test('b has died since: when its lease would be over', () => {
    const standing = { ...back, vote: { ...elected, atMs: nowMs, gave: { epoch: 2, to: 'b', atMs: nowMs - 300, endedMs: nowMs } } }
    const [, witness] = others({})
    const without = (silentMs: number) =>
      standForElection(standing, view('a', [silent('b', { silentMs }), ...(witness === undefined ? [] : [witness])]), abw).result
    expect(without(187)).toBe('waiting')
    expect(without(188)).toBe('elected')
  })
})

describe('a replica that lags', () => {
  test('is named once it has lagged for a while, in words that stay the same', () => {
    const at = (ms: number, behind: number) =>
      view('b', [peer(word('a', { phase: 'primary', redis: primaryFacts({ offset: 200_000 + ms }) }))], {
        nowMs: nowMs + ms,
        redis: probe({ facts: facts({ offset: 200_000 + ms - behind }) }),
      })
    const alarms = (behind: number) => {
      let seen = freshWatch
      for (let ms = 0; ms <= lagAlarmMs; ms += 1000) seen = watch(seen, state('b'), at(ms, behind), policy())
      return alarmsOf(state('b'), { ...at(lagAlarmMs, behind), watch: seen }, policy())
    }
    expect(alarms(underWayBytes)).toEqual([])
    expect(alarms(underWayBytes + 1)).toEqual([expect.stringMatching(/more than 64 KiB behind a/)])
    expect(alarms(90_000)).toEqual(alarms(underWayBytes + 1))
  })
})
