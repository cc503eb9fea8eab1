/** What an operator is told of a move, from the answers of the agents and from their silence; and of what was typed wrongly. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { refuseUnwell } from '../../src/cli/apply.ts'
import { composeStatus, type AgentAnswer, type GroupStatus, type Session } from '../../src/cli/ask.ts'
import { movingOf } from '../../src/cli/migrate-found.ts'
import { againstWords, changedLines, endedAs } from '../../src/cli/migrate-many.ts'
import { nameSource } from '../../src/cli/migrate-source.ts'
import { wayBackWarning } from '../../src/cli/migrate-begin.ts'
import { whyNoneFollows } from '../../src/cli/migrate-progress.ts'
import { drawMove, leftWords, waitsFor } from '../../src/cli/migrate-status.ts'
import { unreached } from '../../src/cli/migrate-unreached.ts'
import { overLine } from '../../src/cli/one-line.ts'
import { mayBeWritten, unproven } from '../../src/cli/migrate-verify.ts'
import { stageOf, type StageName } from '../../src/migrate/stage.ts'
import type { Move } from '../../src/model/move.ts'
import type { RedisFacts, SourceProbe } from '../../src/model/view.ts'
import { facts, groupConfig, moveOf, peer, state, view, word } from './builders.ts'

const group = groupConfig(['a', 'b'], { vip: { ip: '10.0.0.9', prefix: 24 } })
const ips = { a: 'ip-a', b: 'ip-b' }
const row = 'another redis serves the clients until the cut-over; this one follows it'
const redis = facts({ upstream: { host: '10.0.0.9', port: 6379 } })
const source: SourceProbe = {
  facts: null,
  factsAgeMs: 0,
  trouble: null,
  held: false,
  raised: true,
  goAhead: false,
  goAheadFile: '/var/lib/holdfast/sessions/cut-over',
}

function answer(host: string, move: Move, because: string, own = redis): AgentAnswer {
  const its = state(host, { phase: host === 'a' ? 'receiving' : 'replica', epoch: 2, holder: 'a', move })
  const said = { group: 'sessions', state: its, statement: word(host, { redis: own }), decision: { diagnosis: '', rule: '', because: `${because} — ${row}` } }
  const seen = host === 'a' ? view('a', [], { source }) : view('b', [peer(word('a'), { agent: 'refused', redisReach: 'answers' })])
  return { host, ok: true, why: '', groups: [{ ...said, view: seen }] }
}

function silent(host: string): AgentAnswer {
  return { host, ok: false, why: `HF301 no agent answers on ${host}`, groups: [] }
}

function found(move: Partial<Move>, because: string, own = redis): GroupStatus {
  const its = moveOf(move)
  return composeStatus(group, [answer('a', its, because, own), answer('b', its, '', facts())], ips)
}

function drawn(status: GroupStatus): string {
  return drawMove('sessions', 'SYNCING', movingOf(status, 'sessions'), '', null)
}

test.each<[string, Partial<Move>, readonly (Partial<RedisFacts> | null)[], StageName]>([
  ['all follow', {}, [{}, {}], 'IN_SYNC'],
  ['one is not heard, the other follows', {}, [null, {}], 'NOT_HEARD'],
  ['one is not heard, the other is filled', {}, [null, { linkUp: false, syncing: true }], 'SYNCING'],
  ['none is heard', {}, [null, null], 'NOT_HEARD'],
  ['one is not heard, nothing has arrived', { synced: false }, [null, { linkUp: false }], 'PREPARED'],
  ['none is heard, nothing has arrived', { synced: false }, [null, null], 'NOT_HEARD'],
  ['one is not heard after the way back', { last: 'rolled back to 10.0.0.9:6379' }, [null, {}], 'ROLLED_BACK'],
])('the stage of a sync: %s', (_what, move, seen, stage) => {
  const its = moveOf({ synced: true, replid: 'r1', ...move })
  const members = seen.map((own) => ({ redis: own === null ? null : facts({ replid: 'r1', linkUp: true, ...own }) }))
  expect(stageOf(its, { members, hasAddress: false, clientsLeft: null, arrivals: null, forMs: 0 })).toBe(stage)
})

describe('the old redis after the cut-over', () => {
  const moved = moveOf({ stage: 'moved' })
  const quiet = { count: 0, overMs: 10_000 }
  test.each<[string, Partial<Parameters<typeof stageOf>[1]>, StageName]>([
    ['nobody, and nobody has come', {}, 'DRAINED'],
    ['nobody, and it was cut over a second ago', { forMs: 1000 }, 'MOVED'],
    ['nobody is connected, some come and are refused', { arrivals: { count: 900, overMs: 10_000 } }, 'MOVED'],
    ['who came is not known', { arrivals: null }, 'MOVED'],
    ['looked at for too short', { arrivals: { count: 0, overMs: 1000 } }, 'MOVED'],
    ['one stays connected', { clientsLeft: 1 }, 'MOVED'],
    ['whether one is connected is not known', { clientsLeft: null }, 'MOVED'],
  ])('%s: %s', (_what, seen, stage) => {
    expect(stageOf(moved, { members: [], hasAddress: true, clientsLeft: 0, arrivals: quiet, forMs: 60_000, ...seen })).toBe(stage)
  })

  test('who is refused and gone again is told of', () => {
    expect(leftWords('MOVED', [], { ...source, arrivals: { count: 900, overMs: 10_000 } })).toMatch(
      /900 connections came to it in 10 s, and what they write is refused/,
    )
    expect(leftWords('MOVED', [], source)).toMatch(/whether somebody comes back is looked at/)
  })

  test('a source that does not answer is no way back now', () => {
    const status = found({ stage: 'moved', wayBack: 'replica' }, '')
    const silent = { ...movingOf(status, 'sessions'), source: { ...source, trouble: 'connect ECONNREFUSED' } }
    expect(drawMove('sessions', 'MOVED', silent, '', [])).toMatch(/way back +none until the source answers/)
  })
})

test('what stands against a move of a list: each thing that was seen, once, and what may be accepted', () => {
  const silent = 'no agent answers on n3'
  expect(
    againstWords([
      { id: 'P1', name: 'versions', level: 'unseen', measured: silent },
      { id: 'P4', name: 'memory', level: 'unseen', measured: silent },
      { id: 'P16', name: 'backup', level: 'yellow', measured: 'there is none' },
    ]),
  ).toBe('P1 versions, P4 memory: no agent answers on n3; P16 backup: there is none; --accept P16')
})

describe('the member that sees to the move', () => {
  const move = moveOf()
  const status = composeStatus(group, [silent('a'), answer('b', move, '', facts())], ips)

  test('is named where its agent does not answer, by whoever is heard', () => {
    expect(status.move).toMatchObject({ holder: 'a', because: null, source: null })
    expect(drawn(status)).toContain('the agent of a that sees to the move does not answer: start it again')
    expect(status.because).toMatch(/is being moved here .*the agent of a that sees to the move does not answer/)
  })

  test('a configuration that is changed meanwhile is refused, with the two ways on', () => {
    const changes = [{ group: 'sessions', what: 'failover.unresponsive_ms', needs: 'agent', why: '' }] as const
    expect(() => refuseUnwell({ changes, agents: [], handsOver: {} }, [status])).toThrow(
      expect.objectContaining({ code: 'HF801', hint: 'first holdfast migrate cutover sessions, or abort sessions' }),
    )
  })

  test('is no primary for that: what the others stream from it is of the source', () => {
    expect(status.primary).toBeNull()
    expect(status.members.map((m) => m.role)).not.toContain('primary')
  })

  test('a move that nobody can tell of is not a move that is none', () => {
    expect(() => movingOf(composeStatus(group, [silent('a'), silent('b')], ips), 'sessions')).toThrow(/no agent of sessions answers/)
    const b = { ...answer('b', move, ''), groups: [] }
    expect(() => movingOf(composeStatus(group, [silent('a'), b], ips), 'sessions')).toThrow(/nothing is being moved/)
  })
})

describe('what is waited for', () => {
  test.each<[string, Partial<Move>, string, ReturnType<typeof facts>, string | null]>([
    [
      'a cut-over that is due',
      { armed: { fromWallMs: 1, onFile: false, untilWallMs: null } },
      'the cut-over is due and waits: b',
      redis,
      'a: the cut-over is due and waits: b',
    ],
    ['a link that is not there', {}, 'it is measured first', { ...redis, linkUp: false }, 'a: it is measured first'],
    ['nothing: it follows', {}, '10.0.0.9:6379 serves; this redis follows it', redis, null],
    ['what the last line says already', { last: 'given up: it is full. What next' }, 'given up: it is full', { ...redis, linkUp: false }, null],
    ['the move is over', { stage: 'done' }, 'this member serves', redis, null],
  ])('%s', (_what, move, because, own, words) => {
    const status = found(move, because, own)
    expect(waitsFor(movingOf(status, 'sessions'))).toBe(words)
    expect(drawn(status).includes('\nnow ')).toBe(words !== null)
  })

  test('a go-ahead file, where its agent looks for it', () => {
    expect(drawn(found({ armed: { fromWallMs: null, onFile: true, untilWallMs: null } }, ''))).toContain(
      'until the go-ahead file is laid: touch /var/lib/holdfast/sessions/cut-over, on a',
    )
  })

  test('an operator: who looks on does not wait for that', () => {
    const own = { ...redis, linkUp: false }
    expect(whyNoneFollows(movingOf(found({}, 'INV-1: it was restarted', own), 'sessions'))).toBe('it was restarted')
    expect(whyNoneFollows(movingOf(found({ last: 'INV-1: it was restarted' }, 'it follows', own), 'sessions'))).toBeNull()
  })
})

test('a move that was called off is not told as one that goes on', () => {
  const { because } = found({ stage: 'aborted', last: 'the move was called off' }, '')
  expect(because).toBe('it does not serve (holdfast migrate status sessions): the move was called off')
})

describe('what was typed wrongly', () => {
  const session = { config: { groups: {} } } as unknown as Session

  test.each([
    ['10.0.0.9:6379', 'redis://10.0.0.9:6379, or the name of a group'],
    ['redis:/10.0.0.9:6379', 'redis://10.0.0.9:6379, or the name of a group'],
  ])('%s is no group', async (from, hint) => {
    await expect(nameSource(session, from, { sourcePasswordFile: 'old.password' })).rejects.toMatchObject({ code: 'HF901', hint, exitCode: 2 })
  })

  test('TLS where there may be none', () => {
    const { hint } = unreached({ host: '10.0.0.9', port: 6379, password: undefined, tls: {} }, 'no answer within 5000 ms')
    expect(hint).toMatch(/where it speaks no TLS: redis:\/\//)
  })

  test('a user who may not read, with the rights that are missing', () => {
    expect(unproven(new Error("NOPERM this user has no permissions to run the 'strlen' command")).hint).toMatch(/~\* \+@read \+select/)
    expect(unproven(new Error('the link was lost')).hint).toMatch(/migrate plan/)
  })

  test('a report that cannot be written is told before anything is compared, and one that is there is left as it is', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'holdfast-report-'))
    try {
      await expect(mayBeWritten(join(dir, 'none', 'report.json'), 'HF923')).rejects.toMatchObject({ code: 'HF923' })
      await writeFile(join(dir, 'report.json'), 'of before')
      await mayBeWritten(join(dir, 'report.json'), 'HF903')
      expect(await readFile(join(dir, 'report.json'), 'utf8')).toBe('of before')
    } finally {
      await rm(dir, { recursive: true, force: true })
    }
  })
})

test.each([
  ['12345678', 9, '12345678'],
  ['123456789', 9, '1234567…'],
  ['12345678', undefined, '12345678'],
  ['12345678', 0, '12345678'],
])('a line that is written over stays one: %s on %s columns', (words, columns, shown) => {
  expect(overLine(words, columns)).toBe(`\r\x1b[K${shown}`)
})

test('a way back is warned of by what it loses', () => {
  expect(wayBackWarning({ wayBack: 'replica', wayBackWhy: 'it follows' })).toBeNull()
  expect(wayBackWarning({ wayBack: 'feed', wayBackWhy: 'it is older' })).toMatch(/the source is fed.*: it is older$/)
  expect(wayBackWarning({ wayBack: 'feed', wayBackWhy: 'it is older' })).not.toMatch(/no way back|loss/)
  expect(wayBackWarning({ wayBack: 'fenced copy', wayBackWhy: 'it is over TLS' })).toMatch(/no way back without loss: it is over TLS/)
})

describe('a list of moves', () => {
  const at = { host: '10.0.0.9', port: 6379 }

  test.each<[string, Partial<Move> | null, readonly string[], string | null]>([
    ['cut over by a list that was broken off', { stage: 'moved' }, [], 'MOVED'],
    ['final', { stage: 'done' }, ['P11', 'P17'], 'DONE'],
    ['final, and its source serves again', { stage: 'done' }, ['P17'], null],
    ['of another source', { stage: 'moved', source: { host: '10.0.0.8', port: 6379 } }, [], null],
    ['under way', { stage: 'sync' }, [], null],
    ['none', null, [], null],
  ])('passes over what is moved already: %s', (_what, move, stops, stage) => {
    expect(endedAs(move === null ? null : moveOf(move), at, stops)).toBe(stage)
  })

  test('tells each change once where nobody sees the table', () => {
    const told = new Map<string, string>()
    const row = (stage: string, words: string, compared: number | null = null) => ({
      move: { line: 1, from: '', group: 'sessions', passwordFile: null, tls: {}, plainWayBack: false },
      stage,
      words,
      compared,
    })
    expect(changedLines([row('SYNCING', '3 %')], told)).toBe('sessions  SYNCING  3 %\n')
    expect(changedLines([row('SYNCING', '4 %')], told)).toBe('')
    expect(changedLines([row('VERIFYING', '')], told)).toBe('sessions  VERIFYING\n')
    expect(changedLines([row('VERIFYING', '9 of 100 keys', 0.09)], told)).toBe('')
    expect(changedLines([row('VERIFYING', '11 of 100 keys', 0.11)], told)).toBe('sessions  VERIFYING  11 of 100 keys\n')
    expect(changedLines([row('VERIFYING', '19 of 100 keys', 0.19)], told)).toBe('')
  })
})
