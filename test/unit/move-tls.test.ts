/** A source with TLS as the core, the plan and the routes know it: it follows nobody without TLS unless that was said, and nothing takes it for one without. */
import { describe, expect, test } from 'vitest'
import { agentRoutes } from '../../src/api/routes.ts'
import { parseOrder, withLook } from '../../src/api/move-routes.ts'
import { decide } from '../../src/decide/decide.ts'
import { mayBeFollowed } from '../../src/decide/moving.ts'
import { planOf } from '../../src/migrate/plan.ts'
import type { Move, SourceAt, SourceRecord } from '../../src/model/move.ts'
import { done } from '../../src/model/outcome.ts'
import type { Request } from '../../src/model/view.ts'
import { facts, peer, policy, primaryFacts, probe, state, view, word } from './builders.ts'
import { source, target } from './migration-facts.ts'
import { surface } from './wire.ts'

const old = primaryFacts({ runId: 'run-old', replid: 'id-old' })

describe('after the cut-over', () => {
  function wayBackOf(at: SourceAt, more: { readonly plainWayBack?: true } = {}): Move['wayBack'] | undefined {
    const move = { verb: 'start', source: at, seen: old, overwrite: null, ...more }
    const request = { id: 'request-1', kind: 'move', to: null, dryRun: false, by: 'somebody', move } as Request
    const own = primaryFacts({ keys: 0 })
    return decide(state('a', { phase: 'primary' }), view('a', [peer(word('b'))], { request, redis: probe({ facts: own }) }), policy()).next.move?.wayBack
  }
  const at = { host: '10.0.0.9', port: 6390 }

  test('a source with TLS stands still, unless it was said that it may follow without', () => {
    expect([wayBackOf(at), wayBackOf({ ...at, tls: true }), wayBackOf({ ...at, tls: true }, { plainWayBack: true })]).toEqual(['replica', 'copy', 'replica'])
  })

  test('the plan says the same, and which of the two stands against it', () => {
    const planned = (plainWayBack: boolean, speaksTls?: string) => {
      const from = { ...source('7.0.15', {}, speaksTls === undefined ? {} : { 'tls-replication': speaksTls }), tls: true }
      const plan = planOf(from, target('7.0.15'), { accepted: [], overwrite: null, plainWayBack })
      return [plan.wayBack, plan.plainWayBack, plan.wayBackWhy]
    }
    expect(planned(false, 'no')).toEqual(['fenced copy', false, expect.stringContaining('--plain-way-back')])
    expect(planned(true, 'no')).toEqual(['replica', true, expect.anything()])
    expect(planned(true, 'yes')).toEqual(['fenced copy', false, expect.stringContaining('is on')])
    expect(planned(true)).toEqual(['fenced copy', false, expect.stringContaining('not told')])
  })
})

test('redis is let through to the process that was followed, to one that goes on with its history, and to any while there is nothing to lose', () => {
  const move = { synced: true, runId: 'run-old' } as Move
  const own = facts({ replid: 'id-old', offset: 1000, keys: 10 })
  const empty = { ...old, runId: 'run-new', replid: 'id-new', keys: 0, offset: 0 }
  expect(mayBeFollowed(move, own, old)).toBe(true)
  expect(mayBeFollowed(move, own, empty)).toBe(false)
  expect(mayBeFollowed(move, null, empty)).toBe(false)
  expect(mayBeFollowed(move, own, { ...old, runId: 'run-new', offset: 500 })).toBe(false)
  expect(mayBeFollowed(move, own, { ...empty, replid2: 'id-old', secondOffset: 1001 })).toBe(true)
  expect(mayBeFollowed(move, { ...own, keys: 0 }, empty)).toBe(true)
  expect(mayBeFollowed({ ...move, synced: false }, own, empty)).toBe(true)
})

describe('what a member is told of it', () => {
  const body = { host: '10.0.0.9', port: 6390, user: null, password: null, raises: [] }
  function member(known: SourceRecord | null = null) {
    let record = known
    const access = {
      record: () => record,
      keep: async (next: SourceRecord) => {
        record = next
        return done
      },
    }
    const moveSource = { access, look: async () => ({ ok: true as const, value: old }) }
    const agent = surface({ source: () => moveSource as never })
    const tell = (text: object) =>
      agentRoutes(agent).request('/groups/sessions/source', { method: 'POST', body: JSON.stringify(text), headers: { 'content-type': 'application/json' } })
    return { agent, tell, record: () => record }
  }

  test('all authorities of a distribution; certificates that are none are refused, and not taken for "without"', async () => {
    const { tell, record } = member()
    const tls = { name: 'old.example.com', ca: 'x'.repeat(250_000), cert: 'c', key: 'k' }
    expect((await tell({ ...body, tls })).status).toBe(200)
    expect(record()?.tls).toEqual(tls)
    for (const wrong of [null, 'yes', { ca: 1 }, { ca: 'x'.repeat(1_100_000) }]) expect((await tell({ ...body, tls: wrong })).status).toBe(400)
    expect((await tell({ ...body, tls: { ca: 'x'.repeat(3_000_000) } })).status).toBe(413)
    expect(record()?.tls).toEqual(tls)
  })

  test('told again, redis still calls where it did', async () => {
    const known = { ...body, raised: false, hold: null, tls: { ca: 'a' }, wayPort: 777 }
    const { tell, record } = member(known)
    await tell({ ...body, tls: { ca: 'b' } })
    expect(record()).toMatchObject({ tls: { ca: 'b' }, wayPort: 777 })
    await tell({ ...body, host: '10.0.0.8', tls: { ca: 'b' } })
    expect(record()).not.toHaveProperty('wayPort')
  })

  test('that it is reached over TLS is said by who enters it, not by who asks', async () => {
    const asked = parseOrder({ verb: 'start', source: { host: body.host, port: body.port, tls: true }, overwrite: null, plainWayBack: 'yes' })
    expect(asked).toEqual({ verb: 'start', source: { host: body.host, port: body.port }, overwrite: null, terms: {} })
    if (asked === null) return
    const { agent } = member({ ...body, raised: false, hold: null, tls: {} })
    expect(await withLook(agent, 'sessions', asked)).toMatchObject({ order: { source: { tls: true }, seen: { runId: 'run-old' } } })
    const plain = await withLook(member({ ...body, raised: false, hold: null }).agent, 'sessions', asked)
    expect('order' in plain && plain.order.verb === 'start' && plain.order.source).toEqual({ host: body.host, port: body.port })
  })
})
