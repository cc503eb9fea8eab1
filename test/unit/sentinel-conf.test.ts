/** What a Sentinel keeps in its file, as it is read here; what ACL GETUSER says of orders; and what a host of a sentinel group needs. */
import { describe, expect, test } from 'vitest'
import { startAgent } from '../../src/agent/agent.ts'
import type { Config } from '../../src/model/config.ts'
import { ordersIn } from '../../src/observe/orders.ts'
import { passwordHash, sentinelUserPassword } from '../../src/redis/sentinel-id.ts'
import { readSentinelConf, renderSentinelConf } from '../../src/render/sentinel-conf.ts'
import { sentinelUserRules } from '../../src/render/sentinel-user.ts'
import { groupConfig } from './builders.ts'

const sentinel = { hosts: ['a', 'b', 'c'], port: 26_379, quorum: 2, downAfterMs: 1000, failoverTimeoutMs: 10_000, parallelSyncs: 1, process: 'direct' } as const
const group = groupConfig(['a', 'b'], { mode: 'sentinel', sentinel })

const config: Config = {
  file: '/nowhere',
  api: { port: 1, secretFile: '/nowhere' },
  paths: { state: '/nowhere', run: '/nowhere', redisServer: '/nowhere/redis-server', redisSentinel: '/nowhere/redis-sentinel', keepalived: '' },
  hosts: Object.fromEntries(['a', 'b', 'c'].map((name, i) => [name, { name, ip: `10.0.0.${i + 1}`, interface: 'eth0' }])),
  groups: { sessions: group },
}

describe('sentinel.conf', () => {
  const text = renderSentinelConf({ config, group, host: 'c', userPassword: 'pw', password: undefined, watched: null })
  const myid = `sentinel myid ${'a'.repeat(40)}\n`

  test('what was written here is of this group, and no memory yet; what its Sentinel has written since is', () => {
    expect(readSentinelConf(text, 'sessions')).toEqual({
      ...{ kind: 'ours', begun: false, watches: true, port: 26_379, user: 'holdfast-sentinel', userPassword: 'pw', password: null },
    })
    expect(readSentinelConf(text + myid, 'sessions')).toMatchObject({ kind: 'ours', begun: true })
  })

  test('after SENTINEL REMOVE it is still the same Sentinel, which watches nothing', () => {
    const removed = text.replaceAll(/^sentinel (monitor|auth|down|fail|par).*\n/gm, '') + myid
    expect(readSentinelConf(removed, 'sessions')).toMatchObject({ kind: 'ours', begun: true, watches: false, user: null })
  })

  test.each([
    ['another group', text.replaceAll('sessions', 'cache') + myid, 'other'],
    ['an empty file', '', 'unreadable'],
    ['half a line', 'port 26379\nsentinel moni', 'unreadable'],
    ['a quote that does not end', `${text}sentinel auth-pass sessions "pw\n`, 'unreadable'],
  ])('%s', (_what, found, kind) => {
    expect(readSentinelConf(found, 'sessions').kind).toBe(kind)
  })

  test('the password of its user differs between groups and secrets', () => {
    const all = [sentinelUserPassword('one', 'a'), sentinelUserPassword('one', 'b'), sentinelUserPassword('two', 'a')]
    expect(new Set(all).size).toBe(3)
    expect(all.every((word) => /^[0-9a-f]{64}$/.test(word))).toBe(true)
  })
})

describe('what Sentinels may order, by ACL GETUSER', () => {
  const key = passwordHash('pw')
  const answer = (commands: string, flags: readonly string[] = ['on'], passwords: readonly string[] = [key]) => [
    ...['flags', flags, 'passwords', passwords, 'commands', commands, 'keys', [], 'channels', ['__sentinel__:hello']],
  ]
  const closed = sentinelUserRules([key], false).filter((word) => /^[-+]/.test(word))

  test.each([
    ['as Holdfast has it closed', answer(closed.join(' ')), false],
    ['as Holdfast has it open', answer([...closed, '+slaveof', '+replicaof'].join(' ')), true],
    ['one of the two names is enough', answer('-@all +replicaof'), true],
    ['somebody allows everything', answer('+@all'), true],
    ['by a category', answer('-@all +@admin'), true],
    ['and takes it back', answer('+@all -slaveof -replicaof'), false],
    ['nothing at all', answer('-@all'), false],
    ['it is switched off', answer('+@all', ['off']), 'unknown'],
    ['with a password of somebody else', answer('+@all', ['on'], [passwordHash('other')]), 'unknown'],
    ['with a password of somebody else beside ours', answer('-@all', ['on'], [key, passwordHash('other')]), 'unknown'],
    ['there is no such user', null, 'unknown'],
  ])('%s', (_what, found, orders) => {
    expect(ordersIn(found, [key])).toBe(orders)
  })

  test('while the secret of the agents is changed: with both passwords, and not with one', () => {
    const both = [key, passwordHash('made of the new secret')]
    expect(sentinelUserRules(both, false).filter((word) => word.startsWith('#'))).toEqual(both.map((one) => `#${one}`))
    expect(ordersIn(answer('-@all', ['on'], both.toReversed()), both)).toBe(false)
    expect(ordersIn(answer('-@all', ['on'], [key]), both)).toBe('unknown')
  })
})

test('a host that only runs a Sentinel needs the program of one, and no redis beside it', async () => {
  const door = () => Promise.reject(new Error('not so far'))
  const log = () => {}
  await expect(startAgent({ config, text: '', host: 'c', version: '0', log, openDoor: door, problem: null, reconfigured: () => {} })).rejects.toMatchObject({
    code: 'HF202',
    message: 'not found: /nowhere/redis-sentinel (Debian package redis-sentinel)',
  })
})
