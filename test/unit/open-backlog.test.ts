/** Real redis: a lone primary is made to count its bytes. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openBacklog } from '../../src/act/backlog.ts'
import { noRedis, Redises } from './real-redis.ts'

let redises: Redises
beforeEach(() => {
  redises = new Redises()
})
afterEach(() => redises.close())

describe.skipIf(noRedis)('a primary that was started fenced and promoted', () => {
  test.each([
    ['127.0.0.1', undefined],
    ['127.0.0.1', 'secret'],
    ['127.0.1.9', undefined],
  ])('counts from then on; its dataset is not saved for it, its settings are as they were (%s, password: %s)', async (ip, password) => {
    await redises.close()
    redises = new Redises(ip)
    const r = await redises.start('--replicaof', '127.0.0.1', '1', '--repl-diskless-sync', 'no', ...(password === undefined ? [] : ['--requirepass', password]))
    await r.call('REPLICAOF', 'NO', 'ONE')
    await r.call('SET', 'uncounted', '1')
    const before = await r.facts()
    expect([before.supply?.backlogFrom, before.offset]).toEqual([-1, 0])
    const hands = redises.hands(r, [], password)
    expect(await openBacklog(hands)).toEqual({ done: true })
    await r.call('SET', 'counted', '1')
    const after = await r.facts()
    expect([(after.supply?.backlogFrom ?? -1) >= 0, after.offset > 0, after.replid === before.replid, after.followers]).toEqual([true, true, false, []])
    expect(await openBacklog(hands), 'twice changes nothing').toEqual({ done: true })
    expect((await r.facts()).replid).toBe(after.replid)
    const info = String(await r.call('INFO'))
    expect(info).toMatch(/total_forks:0/)
    expect([await r.call('CONFIG', 'GET', 'repl-diskless-sync'), await r.call('CONFIG', 'GET', 'repl-diskless-sync-delay')]).toEqual([
      ['repl-diskless-sync', 'no'],
      ['repl-diskless-sync-delay', '0'],
    ])
  })

  test('one that refuses is told as a failure, with the reason', async () => {
    const r = await redises.start('--rename-command', 'PSYNC', '', '--repl-diskless-sync', 'yes')
    expect(await openBacklog(redises.hands(r))).toMatchObject({ done: false, why: expect.stringContaining('could not be opened') })
    expect(await r.call('CONFIG', 'GET', 'repl-diskless-sync')).toEqual(['repl-diskless-sync', 'yes'])
  })
})
