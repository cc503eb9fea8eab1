/** What an agent tells a relay, when it answers, and whom of its redis's clients it names. */
import { describe, expect, test } from 'vitest'
import { agentRoutes } from '../../src/api/routes.ts'
import type { GroupSnapshot } from '../../src/agent/group.ts'
import type { RelayWord } from '../../src/model/relay.ts'
import type { RedisLink } from '../../src/redis/link.ts'
import { policy, state, view, word } from './builders.ts'
import { surface } from './wire.ts'

function snapshot(phase: 'primary' | 'replica' | 'promoting', answering = true, epoch = 3): GroupSnapshot {
  const its = { state: state('b', { phase, epoch }), view: view('b', []), decision: null, statement: word('b', { phase, answering }) }
  return { ...its, policy: policy(), address: null, endedAtOnce: null }
}

describe('the word for a relay', () => {
  let now = snapshot('replica')
  const app = agentRoutes(surface({ snapshot: (group) => (group === 'sessions' ? now : null) }))
  const get = async (path: string): Promise<RelayWord> => (await app.request(path)).json() as Promise<RelayWord>

  test.each([
    ['a primary that answers', snapshot('primary'), true],
    ['a primary whose redis does not answer', snapshot('primary', false), false],
    ['a replica', snapshot('replica'), false],
    ['one that is being promoted', snapshot('promoting'), false],
  ])('%s', async (_what, seen, serves) => {
    now = seen
    expect(await get('/groups/sessions/relay')).toMatchObject({ host: 'b', epoch: 3, serves, move: null, followers: [] })
  })

  test('whoever knows it waits until it changes, and not for ever', async () => {
    now = snapshot('replica')
    const { key } = await get('/groups/sessions/relay')
    const began = performance.now()
    expect((await get(`/groups/sessions/relay?since=${encodeURIComponent(key)}&wait=60`)).key).toBe(key)
    expect(performance.now() - began).toBeGreaterThan(50)
    const changed = get(`/groups/sessions/relay?since=${encodeURIComponent(key)}&wait=5000`)
    setTimeout(() => (now = snapshot('primary', true, 4)), 30)
    expect(await changed).toMatchObject({ serves: true, epoch: 4 })
    expect(performance.now() - began).toBeLessThan(2000)
  })

  test('a group that is not here', async () => {
    expect((await app.request('/groups/other/relay')).status).toBe(404)
    expect((await app.request('/groups/other/clients')).status).toBe(404)
  })
})

test('the clients of the redis here that come from one host, without its replicas', async () => {
  const list = [
    'id=3 addr=10.0.0.5:40001 name=app-1 idle=2 flags=N cmd=get',
    'id=4 addr=10.0.0.50:40001 name= idle=0 flags=N cmd=set',
    'id=5 addr=10.0.0.5:40002 name= idle=0 flags=S cmd=replconf',
  ].join('\n')
  const link = { call: () => Promise.resolve({ ok: true, value: list }) } as unknown as RedisLink
  const app = agentRoutes(surface({ redis: () => link }))
  expect(await (await app.request('/groups/sessions/clients?from=10.0.0.5')).json()).toEqual({
    clients: [{ address: '10.0.0.5:40001', name: 'app-1', command: 'get', idleS: 2 }],
  })
})
