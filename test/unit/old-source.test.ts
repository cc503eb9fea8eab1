/** What a move asks of a source of 3.x and 4.0, in the words that those know (played by a stand-in: old-redis.ts). */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { followSource, orderSource, type SourceAccess } from '../../src/act/source.ts'
import { historyOf, isFencedByUs } from '../../src/decide/moving.ts'
import type { SourceRecord } from '../../src/model/move.ts'
import { done } from '../../src/model/outcome.ts'
import { observeSource, type SourceObserver } from '../../src/observe/source.ts'
import { openRedis, type RedisLink } from '../../src/redis/link.ts'
import { playOldRedis, type OldRedisStandIn, type OldVersion } from './old-redis.ts'

describe.each<OldVersion>(['3.0.4', '3.2.4', '4.0.10'])('a source of redis %s', (version) => {
  let old: OldRedisStandIn
  let member: OldRedisStandIn
  let observer: SourceObserver
  let record: SourceRecord
  let kept: SourceRecord[]
  let own: RedisLink

  beforeEach(async () => {
    old = await playOldRedis(version)
    member = await playOldRedis('4.0.10')
    kept = []
    const raises = [{ name: 'client-output-buffer-limit', from: 'slave 268435456 67108864 60', to: 'slave 1000000000 1000000000 0' }]
    record = { host: '127.0.0.1', port: old.port, user: null, password: 'of the source', raises, raised: false, hold: null }
    observer = observeSource(
      { host: '127.0.0.1', port: old.port, password: undefined },
      () => performance.now(),
      () => {},
    )
    const opened = await openRedis({ host: '127.0.0.1', port: member.port, password: undefined }, 1000, () => {})
    if (!opened.ok) throw new Error(opened.why)
    own = opened.value
    await expect.poll(async () => (await observer.probe(true)).facts?.version).toBe(version)
  })
  afterEach(async () => {
    observer.close()
    own.close()
    await Promise.all([old.close(), member.close()])
  })

  const access = (): SourceAccess => ({
    serves: () => false,
    link: () => observer.link(),
    record: () => record,
    entrance: () => ({ ok: true, value: { host: record.host, port: record.port } }),
    keep: (next) => {
      record = next
      kept.push(next)
      return Promise.resolve(done)
    },
    changed: () => observer.changed(),
    pausedForMs: () => {},
  })
  const hands = () => ({ link: () => own, password: 'of the group', source: access() }) as unknown as Parameters<typeof followSource>[0]
  const order = (what: Parameters<typeof orderSource>[1]) => orderSource(hands(), what)
  const seen = async () => {
    const { facts } = await observer.probe(true)
    if (facts === null) throw new Error('it does not answer')
    return facts
  }

  test('its history has a name, and a replica of nobody is seen to be one', async () => {
    const before = await seen()
    expect([before.role, before.offset, before.keys, before.counts]).toEqual(['primary', 700, 3, '0:3/1'])
    expect(historyOf(before)).toMatch(version === '4.0.10' ? /^4{40}$/ : /^a{40}$/)
    expect(await order({ do: 'demote' })).toEqual(done)
    expect(old.role()).toBe('slave of 127.0.0.1:1')
    const after = await seen()
    expect([after.role, isFencedByUs(after)]).toEqual(['replica', true])
  })

  test('where it lets clients write to replicas, that is ended with its role: without it the fence is none', async () => {
    old.config.set('slave-read-only', 'no')
    await order({ do: 'demote' })
    expect(old.config.get('slave-read-only')).toBe('yes')
    expect(old.heard.indexOf('CONFIG SET slave-read-only yes')).toBeLessThan(old.heard.findIndex((words) => words.startsWith('SLAVEOF')))
  })

  test('its writes are refused by a limit, which is on disk before, and put back as it was; asked twice, the first values stand', async () => {
    old.config.set('min-slaves-to-write', '1').set('min-slaves-max-lag', '0')
    expect(await order({ do: 'hold', forMs: 1500 })).toEqual(done)
    expect(kept.at(-1)?.hold).toEqual({ names: 'min-slaves', toWrite: '1', maxLag: '0' })
    expect([old.config.get('min-slaves-to-write'), old.config.get('min-slaves-max-lag')]).toEqual(['99', '10'])
    await order({ do: 'hold', forMs: 1500 })
    expect(await order({ do: 'release' })).toEqual(done)
    expect([old.config.get('min-slaves-to-write'), old.config.get('min-slaves-max-lag')]).toEqual(['1', '0'])
    expect(record.hold).toBe(null)
    expect(old.heard, 'a pause of that version holds INFO too').not.toContainEqual(expect.stringMatching(/^CLIENT PAUSE \d+$/))
  })

  test('it serves again, and its clients are sent away', async () => {
    await order({ do: 'demote' })
    expect(await order({ do: 'promote' })).toEqual(done)
    expect(old.role()).toBe('master')
    expect(await order({ do: 'kill-clients' })).toEqual(done)
    expect(old.heard.filter((words) => words.startsWith('CLIENT KILL'))).toEqual(['CLIENT KILL TYPE normal SKIPME yes', 'CLIENT KILL TYPE pubsub SKIPME yes'])
  })

  test('its limits are raised before it is followed, which is on disk before, and are put back', async () => {
    expect(await followSource(hands(), '127.0.0.1', old.port)).toEqual(done)
    expect(kept.map(({ raised }) => raised)).toEqual([true])
    expect(old.config.get('client-output-buffer-limit')).toBe('slave 1000000000 1000000000 0')
    expect([member.role(), member.config.get('masterauth')]).toEqual([`slave of 127.0.0.1:${old.port}`, 'of the source'])
    expect(await order({ do: 'settle' })).toEqual(done)
    expect([old.config.get('client-output-buffer-limit'), record.raised]).toEqual(['slave 268435456 67108864 60', false])
  })

  test('it follows the group on the way back, with the password of the group', async () => {
    expect(await order({ do: 'follow', host: '10.0.0.1', port: 6379 })).toEqual(done)
    expect([old.role(), old.config.get('masterauth')]).toEqual(['slave of 10.0.0.1:6379', 'of the group'])
  })

  test('where the group has Sentinels it is worth nothing to them before it follows, and what it was as soon as it does not', async () => {
    old.config.set('slave-priority', '70')
    record = { ...record, priority: { name: 'slave-priority', value: '70' } }
    await order({ do: 'follow', host: '10.0.0.1', port: 6379 })
    expect(old.heard.indexOf('CONFIG SET slave-priority 0')).toBeGreaterThanOrEqual(0)
    expect(old.heard.indexOf('CONFIG SET slave-priority 0')).toBeLessThan(old.heard.indexOf('SLAVEOF 10.0.0.1 6379'))
    await order({ do: 'settle' })
    expect(old.config.get('slave-priority')).toBe('0')
    await order({ do: 'promote' })
    await expect.poll(() => old.heard.at(-1)).toBe('CONFIG REWRITE')
    expect(old.config.get('slave-priority')).toBe('70')
  })
})
