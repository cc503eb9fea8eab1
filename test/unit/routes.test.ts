/** The routes as functions: Patroni's health checks word for word, and what counts as a request. */
import { describe, expect, test } from 'vitest'
import { agentRoutes, healthCheck, publicRoutes } from '../../src/api/routes.ts'
import type { GroupSnapshot } from '../../src/agent/group.ts'
import type { AddressReport } from '../../src/model/address.ts'
import type { Follower, RedisProbe, Request } from '../../src/model/view.ts'
import { facts, peer, policy, primaryFacts, probe, state, view, word } from './builders.ts'
import { surface } from './wire.ts'

const holder = peer(word('a', { phase: 'primary', redis: primaryFacts({ offset: 1500 }) }))
function snapshot(more: Partial<GroupSnapshot> = {}): GroupSnapshot {
  return { state: state('b'), view: view('b', [holder]), decision: null, statement: null, policy: policy(), address: null, endedAtOnce: null, ...more }
}
const primary = snapshot({ state: state('a', { phase: 'primary' }), view: view('a', [], { redis: probe({ facts: primaryFacts() }) }) })
const replica = snapshot()

describe('health checks', () => {
  test.each<[string, GroupSnapshot, string]>([
    ['a primary', primary, 'primary read-write read-only health'],
    ['a streaming replica', replica, 'replica read-only health'],
    ['a replica whose link is down', snapshot({ view: view('b', [holder], { redis: probe({ facts: facts({ linkUp: false }) }) }) }), 'health'],
    ['a replica that streams and is no true copy', { ...replica, statement: word('b', { trueCopy: false }) }, 'health'],
    ['a primary that is handing over', { ...primary, state: state('a', { phase: 'handing' }) }, 'health'],
    ['a primary that has resigned and is not fenced yet', { ...primary, state: state('a', { phase: 'fenced' }) }, 'health'],
    [
      'a primary that holds its writes back, for another may be promoted',
      { ...primary, state: state('a', { phase: 'primary', writesHeldSinceMs: 1 }) },
      'health',
    ],
    ['promoted, and not yet seen to be', { ...primary, view: view('a', [], { redis: probe() }) }, 'health'],
    ['a redis that has not answered for long', snapshot({ view: view('b', [holder], { redis: probe({ factsAgeMs: 5000 }) }) }), ''],
    ['a dead redis', snapshot({ view: view('b', [holder], { redis: probe({ process: false }) }) }), ''],
    ['an agent that has seen nothing yet', snapshot({ view: null }), ''],
  ])('%s', (_what, seen, good) => {
    const checks = ['primary', 'read-write', 'replica', 'read-only', 'health']
    expect(checks.filter((c) => healthCheck(seen, c, null) === true).join(' ')).toBe(good)
  })

  test('replica?lag=: no further behind than that', () => {
    expect(healthCheck(replica, 'replica', 500)).toBe(true)
    expect(healthCheck(replica, 'replica', 499)).toBe(false)
    // how far behind is not known: not good
    expect(healthCheck(snapshot({ view: view('b', []) }), 'replica', 1_000_000)).toBe(false)
  })

  test('over HTTP: 200, 503, 404, never a body', async () => {
    const app = publicRoutes(surface({ groups: () => ['sessions'], snapshot: (g) => (g === 'sessions' ? replica : null) }))
    const get = async (path: string) => {
      const response = await app.request(path)
      return [response.status, await response.text()]
    }
    expect(await get('/sessions/replica')).toEqual([200, ''])
    expect(await get('/sessions/replica?lag=10')).toEqual([503, ''])
    expect(await get('/sessions/primary')).toEqual([503, ''])
    expect(await get('/sessions/king')).toEqual([404, ''])
    expect(await get('/other/primary')).toEqual([404, ''])
    expect(await get('/readiness')).toEqual([200, ''])
    expect((await app.request('/sessions/replica', { method: 'POST' })).status).toBe(404)
  })

  test.each(['x', '', '-1', 'NaN', '1e9x'])('replica?lag=%s is no number of bytes: the check fails, it does not pass', async (lag) => {
    const app = publicRoutes(surface({ groups: () => ['sessions'], snapshot: () => replica }))
    expect((await app.request(`/sessions/replica?lag=${lag}`)).status).not.toBe(200)
  })

  test('not ready before every group has been looked at', async () => {
    const app = publicRoutes(surface({ groups: () => ['x', 'y'], snapshot: (g) => (g === 'x' ? replica : snapshot({ view: null })) }))
    expect((await app.request('/readiness')).status).toBe(503)
    expect((await app.request('/liveness')).status).toBe(200)
  })
})

describe('metrics', () => {
  const address: AddressReport = {
    word: 'two',
    why: 'it is on a and b',
    forMs: 2500,
    incidents: { nobody: 1, two: 3, 'not the primary': 0, 'a stranger': 0 },
    wrongMs: 4500,
    repairs: { removed: 2, returned: 1, 'keepalived restarted': 0 },
  }
  const text = async (found: GroupSnapshot) => {
    const answer = await publicRoutes(surface({ groups: () => ['sessions', 'unknown'], snapshot: (g) => (g === 'sessions' ? found : null) })).request(
      '/metrics',
    )
    expect(answer.headers.get('content-type')).toMatch(/^text\/plain; version=0.0.4/)
    return answer.text()
  }

  test('who holds the address, how often and for how long it was wrong, what was done', async () => {
    const lines = (await text(snapshot({ address }))).split('\n')
    expect(lines).toContain('holdfast_vip_state{group="sessions",state="two"} 1')
    expect(lines).toContain('holdfast_vip_state{group="sessions",state="with the primary"} 0')
    expect(lines).toContain('holdfast_vip_incidents_total{group="sessions",state="two"} 3')
    expect(lines).toContain('holdfast_vip_wrong_seconds_total{group="sessions"} 4.5')
    expect(lines).toContain('holdfast_vip_repairs_total{group="sessions",repair="removed"} 2')
    expect(lines.filter((l) => l.startsWith('# TYPE holdfast_vip'))).toHaveLength(4)
  })

  test('a group without an address has none, and one that nobody has looked at has nothing', async () => {
    expect(await text(snapshot())).not.toContain('holdfast_vip')
    expect(await text(snapshot({ view: null }))).toBe('')
  })

  const supply = { backlogFrom: 1, usedBytes: 1, saving: false, fullSyncs: 3 }
  const follower = (ip: string, more: Partial<Follower> = {}): Follower => ({ ip, port: 6379, online: true, offset: 1000, ackAgeS: 0, ...more })
  const samples = async (found: GroupSnapshot, name: string) => (await text(found)).split('\n').filter((l) => l.startsWith(`holdfast_${name}{`))
  const serving = (followers: readonly Follower[], more: Partial<RedisProbe> = {}, phase: 'primary' | 'fenced' = 'primary') =>
    snapshot({
      state: state('a', { phase }),
      view: view('a', [], { redis: probe({ facts: primaryFacts({ offset: 1500, followers, supply }), ...more }) }),
      policy: policy('a', 'b', 'c', { host: 'd', replicateFrom: 'b' }),
    })

  test('of each replica, from the primary: is it sent the stream, how far behind, how old is its word; who is absent is said', async () => {
    const seen = serving([follower('ip-b', { ackAgeS: 1 }), follower('10.9.9.9', { offset: 1600 })])
    const of = (replica: string, value: number, name: string) => `holdfast_replica_${name}{group="sessions",replica="${replica}"} ${value}`
    // d is to replicate from b: it is not missed here.
    expect(await samples(seen, 'replica_connected')).toEqual([of('b', 1, 'connected'), of('10.9.9.9:6379', 1, 'connected'), of('c', 0, 'connected')])
    expect(await samples(seen, 'replica_lag_bytes')).toEqual([of('b', 500, 'lag_bytes'), of('10.9.9.9:6379', 0, 'lag_bytes')])
    expect(await samples(seen, 'replica_ack_age_seconds')).toEqual([of('b', 1, 'ack_age_seconds'), of('10.9.9.9:6379', 0, 'ack_age_seconds')])
    expect(await samples(seen, 'full_syncs_total')).toEqual(['holdfast_full_syncs_total{group="sessions"} 3'])
    expect(await samples(seen, 'link_up')).toEqual([])
  })

  test('in a full sync it is not connected, and has neither lag nor word; of who does not serve nobody is missed', async () => {
    const seen = serving([follower('ip-b', { online: false, offset: 0 })], {}, 'fenced')
    expect(await samples(seen, 'replica_connected')).toEqual(['holdfast_replica_connected{group="sessions",replica="b"} 0'])
    expect([await samples(seen, 'replica_lag_bytes'), await samples(seen, 'replica_ack_age_seconds')]).toEqual([[], []])
  })

  test.each<[string, Partial<RedisProbe>]>([
    ['dead', { process: false }],
    ['silent for long', { factsAgeMs: 3001 }],
  ])('a redis that is %s is not told as if it were alive', async (_what, more) => {
    expect(await text(serving([follower('ip-b')], more))).toBe('')
  })

  test('a replica says whether its link is up', async () => {
    expect(await samples(snapshot(), 'link_up')).toEqual(['holdfast_link_up{group="sessions"} 1'])
    const down = snapshot({ view: view('b', [holder], { redis: probe({ facts: facts({ linkUp: false }) }) }) })
    expect(await samples(down, 'link_up')).toEqual(['holdfast_link_up{group="sessions"} 0'])
  })
})

describe('requests', () => {
  const asked: Request[] = []
  const app = agentRoutes(
    surface({
      snapshot: (g) => (g === 'sessions' ? replica : null),
      request: (_g, r) => {
        asked.push(r)
        return Promise.resolve({ id: r.id, ok: true, message: 'done' })
      },
    }),
  )
  const post = async (body: unknown, group = 'sessions') => {
    asked.length = 0
    const response = await app.request(`/groups/${group}/requests`, { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body) })
    return response.status
  }

  test('a sound one reaches the loop, with what was left out filled in', async () => {
    expect(await post({ id: 'x', kind: 'pause' })).toBe(200)
    expect(asked).toEqual([{ id: 'x', kind: 'pause', to: null, by: 'unknown', dryRun: false }])
    expect(await post({ id: 'x', kind: 'switchover', to: 'b', by: 'y'.repeat(500), dryRun: true })).toBe(200)
    expect(asked[0]).toMatchObject({ to: 'b', dryRun: true, by: 'y'.repeat(100) })
  })

  test.each([
    ['no JSON', 'hello'],
    ['null', 'null'],
    ['no id', { kind: 'pause' }],
    ['an id that is too long', { id: 'x'.repeat(65), kind: 'pause' }],
    ['an unknown kind', { id: 'x', kind: 'destroy' }],
    ['an acceptance without a reason', { id: 'x', kind: 'accept', reason: ' ' }],
    ['a target that is no name', { id: 'x', kind: 'switchover', to: 7 }],
  ])('%s: 400, and nothing is asked', async (_what, body) => {
    expect(await post(body)).toBe(400)
    expect(asked).toEqual([])
  })

  test('an unknown group: 404, and nothing is asked', async () => {
    expect(await post({ id: 'x', kind: 'pause' }, 'other')).toBe(404)
    expect(asked).toEqual([])
  })

  test.each(['true', 1, null])('dryRun: %j is neither yes nor no: refused, because the real thing could be meant as little', async (dryRun) => {
    expect(await post({ id: 'x', kind: 'failover', dryRun })).toBe(400)
    expect(asked).toEqual([])
  })

  test('a fault is crash or hang', async () => {
    expect((await app.request('/groups/sessions/fault/crash', { method: 'POST' })).status).toBe(200)
    expect((await app.request('/groups/sessions/fault/fire', { method: 'POST' })).status).toBe(400)
    expect((await app.request('/groups/sessions/fault/crash')).status).toBe(404)
  })

  test('how many events: bounded, whatever is asked', async () => {
    const limits: number[] = []
    const counting = agentRoutes(surface({ groups: () => ['g'], events: (_g, limit) => Promise.resolve(limits.push(limit)).then(() => []) }))
    for (const limit of ['', '?limit=5', '?limit=0', '?limit=-3', '?limit=1e9', '?limit=x']) await counting.request(`/groups/g/events${limit}`)
    expect((await counting.request('/groups/..%2Fother/events')).status).toBe(404)
    expect(limits).toEqual([1000, 5, 1000, 1, 10_000, 1000])
  })

  test('status and explain', async () => {
    expect(await (await agentRoutes(surface({ groups: () => ['sessions'], snapshot: () => replica })).request('/status')).json()).toMatchObject({
      host: 'b',
      groups: [{ group: 'sessions', state: { epoch: 1 } }],
    })
    expect(await (await app.request('/groups/sessions/explain')).json()).toMatchObject({ primary: 'a', successor: 'b' })
    expect((await app.request('/groups/other/explain')).status).toBe(404)
  })
})

describe('the Sentinels of a group', () => {
  const asked: unknown[] = []
  const care = {
    look: () => Promise.resolve({ asker: 'b', sentinels: [], redises: [], strangers: [] }),
    repair: (repair: unknown) => Promise.resolve(asked.push(repair)).then(() => ({ result: 'repaired' as const, why: '', tookMs: 1 })),
  }
  const app = agentRoutes(surface({ groups: () => ['sessions'], sentinels: (group) => (group === 'sessions' ? care : null) }))
  const post = (group: string, body: object) => app.request(`/groups/${group}/sentinels/repair`, { method: 'POST', body: JSON.stringify(body) })

  test('are looked at, and are not where there are none', async () => {
    expect(await (await app.request('/groups/sessions/sentinels')).json()).toMatchObject({ asker: 'b' })
    expect((await app.request('/groups/cache/sentinels')).status).toBe(404)
    expect((await post('cache', { kind: 'reset', host: 'a' })).status).toBe(404)
  })

  test.each([
    { kind: 'reset', host: 'a' },
    { kind: 'renew-id', host: 'a' },
    { kind: 'remove', host: 'a', group: 'carts' },
    { kind: 'forget', at: { ip: '10.0.0.9', port: 26_379 }, group: 'carts' },
  ])('a repair is passed on as it is, and nothing with it: %o', async (repair) => {
    expect((await post('sessions', { ...repair, more: 'x' })).status).toBe(200)
    expect(asked.at(-1)).toEqual(repair)
  })

  test.each([
    {},
    { kind: 'reset' },
    { kind: 'failover', host: 'a' },
    { kind: 'remove', host: 'a' },
    { kind: 'forget', at: { ip: '10.0.0.9' }, group: 'x' },
    { kind: 'reset', host: 7 },
  ])('what is no repair is refused: %o', async (body) => {
    const before = asked.length
    expect((await post('sessions', body)).status).toBe(400)
    expect(asked).toHaveLength(before)
  })
})
