/** What `durability: safe` asks of a redis that runs, and that it is put back when it is not asked for any more. */
import { existsSync } from 'node:fs'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { forgetOwn, rememberStart, requiredReplica } from '../../src/act/min-replicas.ts'
import { requireReplica, waiveReplica } from '../../src/act/require-replica.ts'
import { fenceFromOutside, fenceWrites, liftFence, writeFence } from '../../src/act/write-fence.ts'
import { decide } from '../../src/decide/decide.ts'
import { safeLimitsFile } from '../../src/model/paths.ts'
import { safeLimits } from '../../src/render/redis-conf.ts'
import { groupConfig, policy, primaryFacts, probe, state, view, peer, word } from './builders.ts'
import { noRedis, Redises, type RealRedis } from './real-redis.ts'

describe.skipIf(noRedis)('a redis that runs', () => {
  test('durability: safe: a limit that is off is set, a stricter one stays, and a fence that is lifted leaves no gap', async () => {
    const redises = new Redises()
    onTestFinished(() => redises.close())
    const r = await redises.start()
    const hands = redises.hands(r)
    const safe = { ...hands, group: { ...hands.group, durability: 'safe' as const } }
    const values = async () => (await r.call('CONFIG', 'GET', 'min-replicas-*')) as string[]
    const { runId } = await r.facts()
    expect((await requireReplica(safe, runId)).done).toBe(true)
    const ours = ['min-replicas-to-write', '1', 'min-replicas-max-lag', '2']
    expect(await values()).toEqual(expect.arrayContaining(ours))
    await r.call('CONFIG', 'SET', 'min-replicas-to-write', '3', 'min-replicas-max-lag', '7')
    await requireReplica(safe, runId)
    expect(await values()).toEqual(expect.arrayContaining(['min-replicas-to-write', '3', 'min-replicas-max-lag', '7']))
    // fenced before `safe` was asked for
    await r.call('CONFIG', 'SET', 'min-replicas-to-write', '0', 'min-replicas-max-lag', '10')
    await fenceWrites(safe, (await r.facts()).runId)
    expect((await liftFence(safe)).done).toBe(true)
    expect(await values()).toEqual(expect.arrayContaining(ours))
  })
})

describe.skipIf(noRedis)('durability: safe is not asked for any more', () => {
  const asked = { 'min-replicas-to-write': '1', 'min-replicas-max-lag': '2' }
  const limits = async (r: RealRedis): Promise<Record<string, string>> => {
    const words = (await r.call('CONFIG', 'GET', 'min-replicas-*')) as string[]
    return Object.fromEntries(words.flatMap((word, i) => (i % 2 === 0 ? [[word, words[i + 1] ?? '']] : [])))
  }
  async function safeRedis(...more: string[]) {
    const own = new Redises()
    onTestFinished(() => own.close())
    const r = await own.start(...more)
    const hands = own.hands(r)
    const { runId } = await r.facts()
    await requireReplica({ ...hands, group: { ...hands.group, durability: 'safe' as const } }, runId)
    return { r, hands, runId }
  }

  test('its user has his values back, once', async () => {
    const { r, hands, runId } = await safeRedis('--min-replicas-max-lag', '7')
    expect(await limits(r)).toEqual(asked)
    expect(requiredReplica(hands.config.paths, 'sessions')).toEqual({ runId })
    expect(await waiveReplica(hands, runId)).toEqual({ done: true })
    expect(await limits(r)).toEqual({ 'min-replicas-to-write': '0', 'min-replicas-max-lag': '7' })
    expect(requiredReplica(hands.config.paths, 'sessions')).toBeNull()
  })

  test('an agent that died between two of its values does the rest', async () => {
    const { r, hands, runId } = await safeRedis()
    await r.call('CONFIG', 'SET', 'min-replicas-to-write', '0')
    await waiveReplica(hands, runId)
    expect(await limits(r)).toEqual({ 'min-replicas-to-write': '0', 'min-replicas-max-lag': '10' })
  })

  test('what somebody has set since stays, and another process is left as it was started', async () => {
    const { r, hands, runId } = await safeRedis()
    await r.call('CONFIG', 'SET', 'min-replicas-to-write', '2')
    await waiveReplica(hands, runId)
    expect(await limits(r)).toMatchObject({ 'min-replicas-to-write': '2' })
    await r.call('CONFIG', 'SET', 'min-replicas-to-write', '0', 'min-replicas-max-lag', '10')
    await requireReplica(hands, runId)
    expect(await waiveReplica(hands, 'another process')).toEqual({ done: true })
    expect(await limits(r)).toEqual(asked)
    expect(requiredReplica(hands.config.paths, 'sessions')).toBeNull()
  })

  test('a fence in force stays in force, and what it gives back later goes as well', async () => {
    const { r, hands, runId } = await safeRedis()
    // The guard's, of which this agent has not heard: it stood still between its look and its act.
    expect((await fenceFromOutside(hands, runId)).done).toBe(true)
    expect(await waiveReplica(hands, runId)).toMatchObject({ done: false, waiting: true })
    await expect(r.call('SET', 'x', '1')).rejects.toThrow(/NOREPLICAS/)
    expect(await liftFence(hands)).toEqual({ done: true })
    expect(await limits(r)).toEqual(asked)
    expect(await waiveReplica(hands, runId)).toEqual({ done: true })
    expect(await r.call('SET', 'x', '1')).toBe('OK')
  })

  test('the guard fences between the look and the act: set again before anything else', async () => {
    const { r, hands, runId } = await safeRedis()
    // A process of its own.
    vi.resetModules()
    const guard = await import('../../src/act/write-fence.ts')
    const call: typeof r.link.call = async (words, deadlineMs) => {
      const answer = await r.link.call(words, deadlineMs)
      if (words.includes('GET')) await guard.fenceFromOutside(hands, runId)
      return answer
    }
    expect(writeFence(hands.config.paths, 'sessions')).toBeNull()
    const late = { ...hands, link: () => ({ ...r.link, call }) }
    expect(await waiveReplica(late, runId)).toMatchObject({ done: false, waiting: true })
    await expect(r.call('SET', 'x', '1')).rejects.toThrow(/NOREPLICAS/)
  })
})

describe('when', () => {
  const told = (more: Parameters<typeof probe>[0]) => view('a', [peer(word('b'))], { redis: probe({ facts: primaryFacts({ goodFollowers: 1 }), ...more }) })
  const serving = state('a', { phase: 'primary', holder: 'a', servingRunId: 'run-1' })
  const asks = (v: ReturnType<typeof told>, safe = false) =>
    decide(serving, v, { ...policy('a', 'b'), safe, quorum: safe ? 2 : 0 }).actions.filter((a) => a.kind.endsWith('-replica'))

  test('what was set for safe goes when it is not asked for any more, and not before; what nobody has set stays', () => {
    expect(asks(told({ required: { runId: 'run-1' } }))).toEqual([{ kind: 'waive-replica', runId: 'run-1' }])
    expect(asks(told({ required: { runId: null } }))).toEqual([{ kind: 'waive-replica', runId: 'run-1' }])
    expect(asks(told({ required: { runId: 'run-1' } }), true)).toEqual([])
    expect(asks(told({}))).toEqual([])
  })

  test('a write fence stands in the same values: nothing is put back under it', () => {
    expect(asks(told({ required: { runId: 'run-1' }, fence: { runId: 'run-1', inForce: true } }))).toEqual([])
  })
})

describe('a redis that is started', () => {
  test('what its user has, and what safe makes of it', () => {
    const of = (redis: readonly (readonly [string, string])[], conf?: string) => safeLimits(groupConfig(['a', 'b'], { durability: 'safe', redis }), conf)
    expect(of([])).toEqual({ own: { toWrite: '0', maxLag: '10' }, ours: { toWrite: '1', maxLag: '2' } })
    expect(of([], 'min-slaves-max-lag 5')).toEqual({ own: { toWrite: '0', maxLag: '5' }, ours: { toWrite: '1', maxLag: '5' } })
    expect(of([['min-replicas-to-write', '2']])).toEqual({ own: { toWrite: '2', maxLag: '10' }, ours: { toWrite: '2', maxLag: '2' } })
    expect(safeLimits(groupConfig(['a', 'b']), undefined)).toBeNull()
  })

  test('is remembered before it runs; a start without safe forgets it', async () => {
    const redises = new Redises()
    onTestFinished(() => redises.close())
    const hands = redises.hands({ port: 1 } as RealRedis)
    const file = safeLimitsFile(hands.config.paths, 'sessions')
    await rememberStart(hands, { own: { toWrite: '0', maxLag: '10' }, ours: { toWrite: '1', maxLag: '2' } })
    expect([requiredReplica(hands.config.paths, 'sessions'), existsSync(file)]).toEqual([{ runId: null }, true])
    await rememberStart(hands, null)
    expect([requiredReplica(hands.config.paths, 'sessions'), existsSync(file)]).toEqual([null, false])
    await forgetOwn(hands)
  })
})
