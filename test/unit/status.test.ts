/** The picture that `status` puts together from the answers of all agents, and from their silence. */
import { describe, expect, test } from 'vitest'
import { composeStatus, type AgentAnswer } from '../../src/cli/ask.ts'
import { drawGroup, SyncSpeed } from '../../src/cli/status.ts'
import { facts, groupConfig, peer, primaryFacts, probe, state, view, vrrp, word } from './builders.ts'

const group = groupConfig(['a', 'b'], { vip: { ip: '10.0.0.9', prefix: 24 } })
const ips = { a: 'ip-a', b: 'ip-b' }

function answer(host: string, own: Partial<AgentAnswer['groups'][number]>): AgentAnswer {
  return { host, ok: true, why: '', groups: [{ group: 'sessions', state: null, statement: null, view: null, decision: null, ...own }] }
}
const a = answer('a', {
  state: state('a', { phase: 'primary' }),
  statement: word('a', {
    phase: 'primary',
    redis: primaryFacts({ offset: 1500, followers: [{ ip: 'ip-b', port: 6379, online: true, offset: 1000, ackAgeS: 1 }] }),
  }),
  view: view('a', [], { keepalived: vrrp({ vipHere: true }) }),
})
const b = answer('b', { state: state('b'), statement: word('b'), view: view('b', [peer(word('a'))]) })
const silentB: AgentAnswer = { host: 'b', ok: false, why: 'HF301 no agent answers on b', groups: [] }

describe('composeStatus', () => {
  test('all is well', () => {
    const status = composeStatus(group, [a, b], ips)
    expect(status).toMatchObject({ primary: 'a', epoch: 1, vipHolder: 'a', health: 'ok', paused: false })
    expect(status.members).toMatchObject([
      { host: 'a', role: 'primary', state: 'running', lagBytes: null, vip: true },
      { host: 'b', role: 'replica', state: 'streaming', lagBytes: 500, ackAgeMs: 1000, fit: true },
    ])
  })

  test('an agent is silent: degraded, and it says which', () => {
    const status = composeStatus(group, [a, silentB], ips)
    expect(status).toMatchObject({ health: 'degraded', primary: 'a' })
    expect(status.because).toMatch(/b: agent down \(HF301/)
  })

  test('the replica is not fit: a crash now would be an outage', () => {
    const unfit = answer('b', { state: state('b'), statement: word('b', { fit: false, unfitWhy: 'never_primary is set' }), view: null })
    expect(composeStatus(group, [a, unfit], ips)).toMatchObject({ health: 'degraded', because: 'no replica is fit to take over' })
  })

  test('one of two replicas may not take over, and not because that was asked for: degraded, with the reason', () => {
    const three = groupConfig(['a', 'b', 'c'], { vip: { ip: '10.0.0.9', prefix: 24 } })
    const full = answer('c', { state: state('c'), statement: word('c', { fit: false, unfitWhy: 'its state directory cannot be written' }), view: null })
    expect(composeStatus(three, [a, b, full], { ...ips, c: 'ip-c' })).toMatchObject({
      health: 'degraded',
      because: 'c may not take over: its state directory cannot be written',
    })
    const wanted = { ...three, members: three.members.map((m) => (m.host === 'c' ? { ...m, neverPrimary: true } : m)) }
    expect(composeStatus(wanted, [a, b, full], { ...ips, c: 'ip-c' }).health).toBe('ok')
  })

  test('a redis that could not start again is told while it runs, and has the cause in its row when it is down', () => {
    const cannotStart = 'HF403 redis does not start with this configuration: maxmemry'
    const runs = composeStatus(group, [a, { ...b, groups: b.groups.map((g) => ({ ...g, cannotStart })) }], ips)
    expect(runs).toMatchObject({ health: 'degraded', because: `b: ${cannotStart}`, members: [{}, { state: 'streaming', fit: true, why: '' }] })
    const down = word('b', { process: false, answering: false, fit: false, unfitWhy: 'its redis does not answer' })
    const status = composeStatus(group, [a, answer('b', { state: state('b'), statement: down, cannotStart })], ips)
    expect(status.members[1]).toMatchObject({ state: 'redis down', why: `${cannotStart}; its redis does not answer` })
    expect(drawGroup(status, new SyncSpeed())).toMatch(/b .*redis down.*no: HF403 .*maxmemry/)
    const alone = composeStatus(group, [silentB, answer('a', { state: state('a'), statement: { ...down, host: 'a' }, cannotStart })], ips)
    expect(alone, 'nobody serves').toMatchObject({ health: 'down', because: expect.stringContaining(`a: ${cannotStart}`) })
  })

  test('a replica streams and is no true copy: degraded, with the reason, also where another one is fit', () => {
    const alarming = answer('b', { state: state('b'), statement: word('b', { alarms: ['it has 4 databases'] }), view: null })
    expect(composeStatus(group, [a, alarming], ips)).toMatchObject({ health: 'degraded', because: 'b: it has 4 databases' })
  })

  test('the address is nowhere, or elsewhere: down', () => {
    const without = answer('a', { ...a.groups[0], view: view('a', []) })
    expect(composeStatus(group, [without, b], ips)).toMatchObject({ health: 'down', vipHolder: null })
    const elsewhere = answer('b', { ...b.groups[0], view: view('b', [], { keepalived: vrrp({ vipHere: true }) }) })
    expect(composeStatus(group, [without, elsewhere], ips).because).toMatch(/the address is on b/)
  })

  test('the address is on both: degraded, and nobody is called its holder', () => {
    const twice = answer('b', { ...b.groups[0], view: view('b', [], { keepalived: vrrp({ vipHere: true }) }) })
    expect(composeStatus(group, [a, twice], ips)).toMatchObject({ health: 'degraded', vipHolder: null })
  })

  test('a stranger is seen by who does not hold the address: degraded, and it says who saw what', () => {
    const counts = {
      incidents: { nobody: 0, two: 0, 'not the primary': 0, 'a stranger': 1 },
      wrongMs: 0,
      repairs: { removed: 0, returned: 0, 'keepalived restarted': 0 },
    }
    const fine = answer('a', { ...a.groups[0], address: { word: 'with the primary', why: 'it is on a, the primary', forMs: 9000, ...counts } })
    const seen = answer('b', { ...b.groups[0], address: { word: 'a stranger', why: '02:ff answers for it', forMs: 2500.4, ...counts } })
    const status = composeStatus(group, [fine, seen], ips)
    expect(status).toMatchObject({ health: 'degraded', vipHolder: 'a', address: { word: 'a stranger', forMs: 2500, seenBy: 'b' } })
    expect(status.because).toContain('02:ff answers for it (seen by b)')
    expect(drawGroup(status, new SyncSpeed())).toContain('10.0.0.9 on a (a stranger, for 2.5 s)')
    expect(composeStatus(group, [fine, b], ips)).toMatchObject({ health: 'ok', address: { word: 'with the primary', seenBy: 'a' } })
    expect(composeStatus(group, [a, b], ips), 'agents of an earlier version').toMatchObject({ health: 'ok', address: null })
  })

  test('a former primary with an older epoch is not taken for the primary', () => {
    const newer = answer('b', {
      state: state('b', { phase: 'primary', epoch: 2, holder: 'b' }),
      statement: word('b', { phase: 'primary', epoch: 2, redis: primaryFacts() }),
      view: view('b', [], { keepalived: vrrp({ vipHere: true }) }),
    })
    expect(composeStatus(group, [a, newer], ips)).toMatchObject({ primary: 'b', epoch: 2 })
  })

  test('nobody serves: down, with the reason that an agent gave', () => {
    const waiting = answer('b', { ...b.groups[0], decision: { diagnosis: 'holder-gone', rule: 'r', because: 'waits for a' } })
    expect(composeStatus(group, [{ ...silentB, host: 'a' }, waiting], ips)).toMatchObject({ health: 'down', primary: null, because: 'waits for a' })
  })

  test('only the agent of the primary is gone: no outage, and it is said so', () => {
    const replica = (redisReach: 'answers' | 'silent') =>
      answer('b', { state: state('b'), statement: word('b'), view: view('b', [peer(word('a'), { agent: 'refused', redisReach })]) })
    const silentA = { ...silentB, host: 'a' }
    expect(composeStatus(group, [silentA, replica('answers')], ips)).toMatchObject({
      health: 'degraded',
      primary: 'a',
      because: expect.stringContaining('agent of a does not answer') as string,
    })
    expect(composeStatus(group, [silentA, replica('silent')], ips)).toMatchObject({ health: 'down', primary: null })
  })

  test('a full sync shows how far it is', () => {
    const syncing = answer('b', {
      state: state('b'),
      statement: word('b', { redis: facts({ syncing: true, linkUp: false, progress: 0.256, syncLeftBytes: 77 }) }),
      view: view('b', [], { redis: probe() }),
    })
    expect(composeStatus(group, [a, syncing], ips).members[1]).toMatchObject({ state: 'full sync', syncPercent: 25.6, syncLeftBytes: 77 })
  })
})
