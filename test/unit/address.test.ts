/** Who holds the address, in one word: from the own interface, the words of the others, and who answers on the segment. */
import { describe, expect, test } from 'vitest'
import { addressGraceMs, strayAfterMs, strayUnsureMs } from '../../src/model/policy.ts'
import type { KeepalivedProbe, Statement, VipAnswerer } from '../../src/model/view.ts'
import { decide } from '../../src/decide/decide.ts'
import type { AddressWord } from '../../src/model/address.ts'
import { findAddress, followAddress, newAccount, type AddressAccount, type AddressFinding } from '../../src/decide/address.ts'
import { parseChange } from '../../src/observe/announcers.ts'
import { parseNeighbours } from '../../src/observe/neighbours.ts'
import { moveOf, peer, policy, primaryFacts, probe, silent, state, view, vrrp, word } from './builders.ts'

const here: Partial<KeepalivedProbe> = { vipHere: true, vrrp: 'MASTER', mac: 'mac-a' }
const answers = (mac: string, ...hosts: string[]): VipAnswerer => ({ mac, hosts })
const wordOf = (host: string, more: Partial<Statement> = {}) =>
  peer(word(host, { vipMac: `mac-${host}`, ...(host === 'a' ? { phase: 'primary', redis: primaryFacts() } : {}), ...more }))

describe('as the primary a sees it', () => {
  const serving = state('a', { phase: 'primary', servingRunId: 'run-1' })
  test.each<[string, Partial<KeepalivedProbe>, readonly Partial<Statement>[], AddressWord, RegExp]>([
    ['it is here, and nowhere else', here, [{}], 'with the primary', /on a, the primary/],
    ['here, and on b too', here, [{ vipHere: true }], 'two', /on a and b; a is the primary/],
    ['on b alone', { vipHere: false, vrrp: 'BACKUP' }, [{ vipHere: true }], 'not the primary', /on b, and a is the primary/],
    ['nowhere', { vipHere: false, vrrp: 'BACKUP' }, [{}], 'nobody', /on no member, and a/],
  ])('%s', (_what, keepalived, [b], expected, why) => {
    const found = findAddress(serving, view('a', [wordOf('b', b)], { keepalived: vrrp(keepalived), redis: probe({ facts: primaryFacts() }) }), policy())
    expect(found?.word).toBe(expected)
    expect(found?.why).toMatch(why)
  })

  test('nowhere, but b is not heard: that is said', () => {
    const found = findAddress(serving, view('a', [silent('b')], { keepalived: vrrp({ vipHere: false }) }), policy())
    expect(found).toMatchObject({ word: 'nobody', why: expect.stringContaining('(b not heard)') as string })
  })
})

describe('as the replica b sees it', () => {
  const own = { mac: 'mac-b' }
  test.each<[string, Partial<KeepalivedProbe>, Partial<Statement>, AddressWord]>([
    ['the primary has it', own, { vipHere: true }, 'with the primary'],
    ['and its host is who answers', { ...own, answerers: [answers('mac-a', 'a')] }, { vipHere: true }, 'with the primary'],
    ['it is here', { ...own, vipHere: true }, {}, 'not the primary'],
    ['it is on both', { ...own, vipHere: true }, { vipHere: true }, 'two'],
    ['another machine answers', { ...own, answerers: [answers('mac-x')] }, { vipHere: true }, 'a stranger'],
    ['the primary and another machine take turns', { ...own, answerers: [answers('mac-a', 'a'), answers('mac-x')] }, { vipHere: true }, 'a stranger'],
    ['another machine answers, and the primary has lost it', { ...own, answerers: [answers('mac-x')] }, {}, 'a stranger'],
    // A switch that answers for everybody (proxy ARP) answers for the members as well.
    ['who answers is also where a has its own address', { ...own, answerers: [answers('mac-x', 'a')] }, { vipHere: true }, 'with the primary'],
    ['an agent of an earlier version does not say where it is', { ...own, answerers: [answers('mac-x')] }, { vipHere: true, vipMac: null }, 'with the primary'],
    ['the primary is still being promoted', own, { phase: 'promoting' }, 'unknown'],
    ['nobody serves', own, { phase: 'fenced', redis: null }, 'unknown'],
  ])('%s', (_what, keepalived, a, expected) => {
    expect(findAddress(state('b'), view('b', [wordOf('a', a)], { keepalived: vrrp(keepalived) }), policy())?.word).toBe(expected)
  })

  test('a running redis was moved here with its address: who had it before is no stranger for as long as it takes to tell that host', () => {
    const seen = view('b', [wordOf('a', { vipHere: true })], { keepalived: vrrp({ ...own, answerers: [answers('mac-x')] }), nowWallMs: 90_000 })
    const since = (ms: number) => findAddress({ ...state('b'), move: moveOf({ stage: 'moved', stageWallMs: 90_000 - ms }) }, seen, policy())?.word
    expect([since(2200), since(6000)]).toEqual(['with the primary', 'a stranger'])
    expect(findAddress({ ...state('b'), move: moveOf({ stage: 'done', stageWallMs: 89_000 }) }, seen, policy())?.word).toBe('a stranger')
  })

  test('a is not heard: where the address is, is not known', () => {
    expect(findAddress(state('b'), view('b', [silent('a')]), policy())?.word).toBe('unknown')
  })
})

test('a group without an address, and a member that never holds it: nothing of it', () => {
  expect(findAddress(state('b'), view('b', []), { ...policy(), hasVip: false })).toBeNull()
  expect(findAddress(state('b'), view('b', [], { keepalived: null }), policy())).toBeNull()
})

describe('what is told of it', () => {
  const finding = (w: AddressWord): AddressFinding => ({ word: w, why: `because of ${w}` })
  function tale(...steps: readonly (readonly [atMs: number, word: AddressWord])[]): { told: string[]; account: AddressAccount } {
    let account = newAccount
    const told: string[] = []
    for (const [atMs, w] of steps) {
      const step = followAddress(account, finding(w), atMs, 1)
      account = step.account
      told.push(...step.events.map((e) => `${atMs} ${e.kind} ${e.data?.['lastedMs'] ?? e.data?.['word'] ?? ''}`))
    }
    return { told, account }
  }

  test('a failover: nowhere, then with the new primary. Nothing is told', () => {
    const { told, account } = tale([0, 'with the primary'], [10, 'unknown'], [20, 'nobody'], [20 + addressGraceMs - 1, 'nobody'], [1019, 'with the primary'])
    expect(told).toEqual([])
    expect(account).toMatchObject({ word: 'with the primary', wrongMs: 0, counts: { nobody: 0 } })
  })

  test('two, for longer: told once, and at its end how long it lasted', () => {
    const { told, account } = tale([0, 'with the primary'], [100, 'two'], [1100, 'two'], [1500, 'two'], [3100, 'with the primary'], [9000, 'with the primary'])
    expect(told).toEqual(['1100 vip-wrong two', '3100 vip-right 3000'])
    expect(account).toMatchObject({ wrongMs: 3000, counts: { two: 1, nobody: 0 } })
  })

  test('one wrong after the other: each by itself', () => {
    const { told } = tale([0, 'two'], [1000, 'two'], [2000, 'not the primary'], [3000, 'not the primary'], [3500, 'with the primary'])
    expect(told).toEqual(['1000 vip-wrong two', '2000 vip-right 2000', '3000 vip-wrong not the primary', '3500 vip-right 1500'])
  })
})

describe('an address that keepalived does not hold', () => {
  const stray = (strayMs: number, more: Partial<KeepalivedProbe> = {}) => vrrp({ vipHere: true, strayMs, ...more })
  const actions = (keepalived: KeepalivedProbe, own = state('b'), a: Partial<Statement> = { vipHere: true }) =>
    decide(own, view('b', [wordOf('a', a)], { keepalived }), policy()).actions.map((x) => x.kind)

  test('added by hand on a replica: taken off, and the member goes on standing for the address', () => {
    expect(actions(stray(strayUnsureMs - 1))).toEqual([])
    expect(actions(stray(strayUnsureMs))).toEqual(['drop-address'])
  })

  test('it is looked at again when its time has come', () => {
    const decision = decide(state('b'), view('b', [wordOf('a')], { keepalived: stray(1) }), policy())
    expect(decision.wakeAtMs - view('b', []).nowMs).toBe(strayUnsureMs - 1)
  })

  test('keepalived is dead, or was denied: sooner', () => {
    expect(actions(stray(strayAfterMs, { process: false }))).toContain('drop-address')
    const fenced = state('b', { phase: 'fenced' })
    expect(actions(stray(strayAfterMs, { allowed: false }), fenced, { phase: 'fenced' })).toContain('drop-address')
  })

  test('VRRP gave it: given back through VRRP, not torn away', () => {
    expect(actions(vrrp({ vipHere: true, vrrp: 'MASTER' }))).toEqual(['vip'])
  })

  test('never from a primary, and not before the group has begun', () => {
    const serving = state('b', { phase: 'primary', holder: 'b', epoch: 2, servingRunId: 'run-1' })
    const asPrimary = view('b', [wordOf('a', { phase: 'replica', redis: null, holder: 'b', epoch: 2 })], {
      keepalived: stray(60_000, { process: false }),
      redis: probe({ facts: primaryFacts() }),
    })
    expect(decide(serving, asPrimary, policy()).actions.map((x) => x.kind)).not.toContain('drop-address')
    expect(
      actions(stray(60_000), state('b', { phase: 'fresh', epoch: 0, holder: null, lineage: [] }), { epoch: 0, holder: null, phase: 'fresh' }),
    ).not.toContain('drop-address')
  })

  test('it is no sign that VRRP hears nobody: the primary is not gone by it', () => {
    const gone = silent('a', { redisReach: 'silent', statement: wordOf('a').statement })
    const byHand = decide(state('b'), view('b', [gone], { keepalived: stray(1) }), policy())
    expect(byHand.diagnosis).toBe('holder-unclear')
    const byVrrp = decide(state('b'), view('b', [gone], { keepalived: vrrp({ vipHere: true, vrrp: 'MASTER' }) }), policy())
    expect(byVrrp.diagnosis).toBe('holder-gone')
  })
})

test('changes of the neighbour table: whole entries only', () => {
  expect(parseChange('192.168.77.9 lladdr 02:48:46:00:00:01 STALE ')).toEqual({ ip: '192.168.77.9', mac: '02:48:46:00:00:01' })
  expect(parseChange('192.168.77.9 dev eth0 lladdr 02:48:46:00:00:01 router REACHABLE')).toEqual({ ip: '192.168.77.9', mac: '02:48:46:00:00:01' })
  for (const line of ['192.168.77.9 FAILED', 'Deleted 192.168.77.9 lladdr 02:48:46:00:00:01 STALE', 'fe80::1 lladdr 02:48:46:00:00:01 STALE', ''])
    expect(parseChange(line)).toBe(null)
})

test('the neighbour table: whole entries only', () => {
  const text = [
    'IP address       HW type     Flags       HW address            Mask     Device',
    '192.168.77.9     0x1         0x2         02:00:00:00:00:01     *        eth0',
    '192.168.77.8     0x1         0x0         00:00:00:00:00:00     *        eth0',
    '192.168.77.7     0x1         0x6         02:00:00:00:00:03     *        eth1',
    '',
  ].join('\n')
  expect(parseNeighbours(text)).toEqual([
    { ip: '192.168.77.9', mac: '02:00:00:00:00:01', device: 'eth0' },
    { ip: '192.168.77.7', mac: '02:00:00:00:00:03', device: 'eth1' },
  ])
})
