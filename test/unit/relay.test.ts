/** A relay at the old address: to whom it may hand on, by the words of the agents; which addresses are the old redis's; the text of its redirect. */
import { describe, expect, test } from 'vitest'
import { addressesOf, asksForData, courseOf, learn, parseListen, type Known } from '../../src/migrate/relay.ts'
import { emptyingRules, redirectRules, relayTable, removalRules, renewalRules, type RedirectPlan } from '../../src/migrate/relay-rules.ts'
import { moveStages, type Move, type MoveStage } from '../../src/model/move.ts'
import type { RelayWord } from '../../src/model/relay.ts'
import { moveOf } from './builders.ts'

const source = { host: '10.0.0.5', port: 6379 }

function move(stage: MoveStage, more: Partial<Move> = {}): Move {
  return moveOf({ id: 'm', source, runId: 'r', replid: 'h', epoch: 4, rev: 1, stage, stageMs: 0, ...more })
}

function word(host: string, epoch: number, serves: boolean, told: Move | null = null): RelayWord {
  return { host, epoch, serves, move: told, followers: [], key: '' }
}

const known = (stage: MoveStage, primary: Known['primary'] = { host: 'a', epoch: 4 }): Known => ({ source, move: move(stage), primary })

describe('to whom a relay hands on', () => {
  test('in two stages to the group, in one it makes ready, in every other the old redis has its clients', () => {
    const does = Object.fromEntries(moveStages.map((stage) => [stage, courseOf(known(stage)).does]))
    expect(does).toEqual({
      sync: 'stand by',
      hold: 'make ready',
      fence: 'make ready',
      moved: 'forward',
      'back-hold': 'stand by',
      'back-fence': 'stand by',
      'back-give': 'stand by',
      aborted: 'stand by',
      done: 'forward',
    })
  })

  test('to the primary of the latest epoch, and never back', () => {
    let now = known('moved', null)
    expect(courseOf(now)).toMatchObject({ does: 'forward', to: null })
    now = learn(now, word('a', 4, true))
    expect(courseOf(now)).toMatchObject({ to: 'a' })
    now = learn(now, word('b', 5, false))
    expect(courseOf(now), 'one that only stands for election is no primary').toMatchObject({ to: 'a' })
    now = learn(now, word('b', 5, true))
    expect(courseOf(now)).toMatchObject({ to: 'b' })
    expect(courseOf(learn(now, word('a', 4, true))), 'a primary that was cut off still says so').toMatchObject({ to: 'b' })
    expect(courseOf(learn(now, word('a', 5, false))), 'an agent that has nothing to tell changes nothing').toMatchObject({ to: 'b' })
  })

  test('an earlier word on the move counts no more', () => {
    const now = learn(known('moved'), word('a', 4, true, move('back-hold', { rev: 2 })))
    expect(courseOf(now).does).toBe('stand by')
    expect(courseOf(learn(now, word('b', 4, false, move('moved', { rev: 1 })))).does).toBe('stand by')
  })

  test('after a way back and a new cut-over, not to the primary of before', () => {
    const now = learn(known('moved'), word('b', 7, false, move('moved', { epoch: 7, rev: 9 })))
    expect(courseOf(now)).toMatchObject({ does: 'forward', to: null })
    expect(courseOf(learn(now, word('b', 7, true)))).toMatchObject({ to: 'b' })
  })

  test('another redis is being moved to the group by now', () => {
    const now = learn(known('done'), word('a', 9, true, move('moved', { epoch: 9, source: { host: '10.0.0.7', port: 6379 } })))
    expect(courseOf(now)).toMatchObject({ does: 'stand by', why: expect.stringContaining('10.0.0.7:6379') as unknown })
  })
})

describe('which addresses lead to the old redis', () => {
  const listen = (address: string, port: number, state = '0A'): string =>
    `   0: ${address}:${port.toString(16).toUpperCase().padStart(4, '0')} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000   999        0 1 1`
  const head = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode'

  test('it listens everywhere: all of them', () => {
    expect(addressesOf([head, listen('00000000', 6379), listen('00000000000000000000000000000000', 6379)].join('\n'), source, [])).toBe(null)
  })

  test.each([
    ['beside another one on that port', [listen('00000000', 6379), listen('0600000A', 6379)]],
    ['at its own address', [listen('0500000A', 6379), listen('0100007F', 6379)]],
    ['only connections, nobody listens', [listen('00000000', 6379, '01')]],
    ['on another port', [listen('00000000', 6380)]],
    ['gone', []],
  ])('%s: its own, and those that are named', (_what, lines) => {
    expect(addressesOf([head, ...lines].join('\n'), source, ['10.0.0.9'])).toEqual(['10.0.0.5', '10.0.0.9'])
  })
})

test.each([
  ['10.0.0.5:6379', { host: '10.0.0.5', port: 6379 }],
  ['10.0.0.5', null],
  ['10.0.0.5:0', null],
  ['10.0.0.5:65536', null],
  ['10.0.0.256:6379', null],
  ['[::1]:6379', null],
  ['old:6379', null],
])('--listen %s', (text, at) => {
  expect(parseListen(text)).toEqual(at)
})

describe('the redirect', () => {
  const plan: RedirectPlan = { group: 'web-1', source, addresses: null, stay: ['10.0.0.1', '10.0.0.2'], relayPort: 40_000, local: false }

  test('a table for a group and a port each', () => {
    expect(relayTable(plan)).toBe('holdfast_relay_web_1_6379')
    expect(relayTable({ group: 'web-1', source: { ...source, port: 6380 } })).not.toBe(relayTable(plan))
  })

  test('members, replicas and this host stay with the old redis, and everything hangs on elements that die', () => {
    const text = redirectRules(plan)
    const acting = text.split('\n').filter((line) => /redirect to|reject with/.test(line))
    expect(acting).toHaveLength(3)
    for (const line of acting) expect(line).toMatch(/tcp dport @(taken|relay)/)
    for (const line of acting.filter((l) => l.includes('@taken'))) expect(line).toContain('iifname != "lo" ip saddr != { 10.0.0.1, 10.0.0.2 }')
    expect(text.match(/elements = \{ \d+ timeout \d+ms \}/g)).toEqual(['elements = { 6379 timeout 4000ms }', 'elements = { 40000 timeout 4000ms }'])
    expect(text).toContain('fib daddr type local tcp dport @taken')
  })

  test('named addresses, and what this host itself sends', () => {
    expect(redirectRules({ ...plan, addresses: ['10.0.0.5', '10.0.0.9'] })).toContain('ip daddr { 10.0.0.5, 10.0.0.9 } tcp dport @taken')
    const local = redirectRules({ ...plan, local: true })
    expect(local).not.toContain('iifname')
    const inside = local.slice(local.indexOf('type nat hook output')).split('\n')[1]
    expect(inside, 'its own replica may be on this host').toContain('ip saddr != { 10.0.0.1, 10.0.0.2 } fib daddr type local tcp dport @taken')
    expect(redirectRules(plan)).not.toContain('hook output')
  })

  test('each change is one transaction, and touches no other table', () => {
    for (const text of [redirectRules(plan), renewalRules(plan), emptyingRules(plan), removalRules(plan)])
      for (const line of text.split('\n').filter((l) => /^(table|delete|flush|add)/.test(l))) expect(line).toContain('holdfast_relay_web_1_6379')
    expect(renewalRules(plan).startsWith(emptyingRules(plan)), 'an element that is there is not renewed by adding it').toBe(true)
  })
})

test.each([
  ['*3\r\n$8\r\nREPLCONF\r\n$14\r\nlistening-port\r\n$4\r\n6379\r\n', true],
  ['*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n*3\r\n$8\r\nreplconf\r\n$4\r\nport\r\n$1\r\n1\r\n', true],
  ['*3\r\n$5\r\nPSYNC\r\n$1\r\n?\r\n$2\r\n-1\r\n', true],
  ['SYNC\r\n', true],
  ['REPLCONF listening-port 6379\r\n', true],
  ['*1\r\n$4\r\nPING\r\n', false],
  ['*3\r\n$3\r\nSET\r\n$4\r\nsync\r\n$1\r\n1\r\n', false],
  ['*2\r\n$3\r\nGET\r\n$8\r\nreplconf\r\n', false],
])('%j asks for data: %s', (text, asks) => {
  expect(asksForData(text)).toBe(asks)
})
