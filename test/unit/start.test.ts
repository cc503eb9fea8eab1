/** A redis that is started and ends before it serves: what the agent makes of its last words. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { RedisHands } from '../../src/act/redis.ts'
import { startRedis } from '../../src/act/start.ts'
import type { Config, GroupConfig } from '../../src/model/config.ts'
import { groupConfig } from './builders.ts'
import { noRedis } from './real-redis.ts'
import { freePort } from './wire.ts'

interface Ended {
  /** For the log and for people. */
  readonly text: string
  readonly failures: number
  /** For whoever judges the files that it read. */
  readonly words: string
}

async function endOf(redis: GroupConfig['redis'], serverScript?: string): Promise<Ended> {
  const dir = await mkdtemp(join(tmpdir(), 'holdfast-start-'))
  try {
    const group = groupConfig(['a'], { port: await freePort(), redis })
    const [member] = group.members
    if (member === undefined) throw new Error('no member')
    if (serverScript !== undefined) await writeFile(join(dir, 'server'), serverScript, { mode: 0o755 })
    const redisServer = serverScript === undefined ? 'redis-server' : join(dir, 'server')
    const paths = { state: join(dir, 'state'), run: join(dir, 'run'), redisServer, redisSentinel: '', keepalived: '' }
    const config: Config = { file: '', api: { port: 0, secretFile: '' }, paths, hosts: { a: { name: 'a', ip: '127.0.0.1' } }, groups: { sessions: group } }
    return await new Promise((resolve) => {
      const hands: RedisHands = {
        ...{ config, group, member, password: undefined, userConf: undefined },
        ...{ link: () => null, started: () => {}, settingsChanged: () => {}, diskChanged: () => {}, aofIsCut: async () => {}, note: () => {} },
        exited: (text, failures, words) => resolve({ text, failures, words }),
      }
      void startRedis(hands)
    })
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

describe.skipIf(noRedis)('redis ends at once', () => {
  test('because of its redis.conf: HF403 with the directive, and not a word of it to who judges its files: "aof" and "rdb" would condemn them', async () => {
    const { text, words } = await endOf([['aof-use-rdb-preamble', 'perhaps']])
    expect(text).toMatch(
      /^redis ended \(exit 1\) after \d+ ms: HF403 it refuses its redis\.conf: aof-use-rdb-preamble perhaps: argument must be 'yes' or 'no'$/,
    )
    expect(words).toBe('')
  })
})

test('redis ends after it has loaded for long: that counts as well, or a large file that is damaged would be loaded for ever; not once it has served', async () => {
  const line = (mark: string, words: string): string => `echo '1:M 01 Jan 2026 00:00:00.000 ${mark} ${words}'`
  const script = (...loaded: readonly string[]): string =>
    [
      '#!/bin/sh',
      '[ "$1" = --version ] && echo \'Redis server v=7.0.15\' && exit 0',
      line('*', 'Loading RDB produced by version 7.0.15'),
      ...loaded,
      'sleep 3.1',
      line('#', 'Wrong RDB checksum expected: (1) but got (2). Aborting now.'),
      line('#', 'Internal error in RDB reading offset 0, function at rdb.c:3217 -> RDB CRC error'),
      'exit 1',
    ].join('\n')
  const [loading, served] = await Promise.all([endOf([], script()), endOf([], script(line('*', 'Ready to accept connections')))])
  expect(loading).toMatchObject({ failures: 1, words: 'Wrong RDB checksum expected: (1) but got (2). Aborting now.' })
  expect(served).toMatchObject({ failures: 0, words: '' })
})
