/** A machine that can start no more programs: that is told, nothing ends this process, and no folder is left. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { shortLived } from '../../src/redis/short-lived.ts'
import { leastRedisBytes, NotLoaded, openThrowaway } from '../../src/redis/throwaway.ts'

let dir = ''
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-short-lived-'))
  vi.stubEnv('TMPDIR', dir)
  vi.stubEnv('PATH', join(dir, 'nowhere'))
})
afterEach(() => {
  vi.unstubAllEnvs()
  rmSync(dir, { recursive: true, force: true })
})

test('there is no shell: it has ended, says why, and closes', async () => {
  const redis = shortLived('x-', () => ['redis-server'])
  redis.start()
  await redis.close()
  expect([redis.hasEnded(), redis.output(), readdirSync(dir)]).toEqual([true, 'Fatal error: sh cannot be started: spawn sh ENOENT', []])
})

test('a redis for an RDB: not loaded, with the reason', async () => {
  const order = { redisServer: 'redis-server', prefix: 'x-', databases: 16, capBytes: leastRedisBytes, low: false, more: [] }
  const opening = openThrowaway({ ...order, fill: ({ start }) => Promise.resolve(start()) })
  await expect(opening).rejects.toBeInstanceOf(NotLoaded)
  await expect(opening).rejects.toMatchObject({ message: 'Fatal error: sh cannot be started: spawn sh ENOENT' })
  expect(readdirSync(dir)).toEqual([])
})

test('the command cannot even be handed over: the folder goes with the error', () => {
  expect(() => shortLived('x-', () => ['a\0b'])).toThrow('null bytes')
  expect(readdirSync(dir)).toEqual([])
})
