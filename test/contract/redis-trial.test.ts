/** A configuration tried on each server before anything runs by it: every mistake is told with its key, what is right passes, and nothing is left behind. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { spawn, spawnSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { formatPath } from '../../src/config/problem.ts'
import { poll } from '../../src/lab/run.ts'
import type { Config, GroupConfig } from '../../src/model/config.ts'
import { tryConfig } from '../../src/trial/config.ts'
import { groupConfig } from '../unit/builders.ts'
import { expectServers, servers, since, type Server } from './servers.ts'

expectServers()

let dir = ''
const tmpBefore = process.env['TMPDIR']
beforeAll(() => {
  dir = mkdtempSync(`${tmpdir()}/holdfast-tc-`)
  process.env['TMPDIR'] = dir
})
afterAll(() => {
  if (tmpBefore === undefined) delete process.env['TMPDIR']
  else process.env['TMPDIR'] = tmpBefore
  rmSync(dir, { recursive: true, force: true })
})

const itsVersion = /v=(\S+)/.exec(spawnSync('redis-server', ['--version'], { encoding: 'utf8' }).stdout ?? '')?.[1] ?? ''
const installed: Server = { name: 'installed', redisServer: 'redis-server', redisSentinel: '', version: itsVersion }
const hosts = { a: { name: 'a', ip: '10.9.9.1' }, b: { name: 'b', ip: '10.9.9.2' } }

function configOf(redisServer: string, group: Partial<GroupConfig>): Config {
  // A state directory that is not there, as on the machine of who writes the configuration.
  const paths = { state: '/nowhere/state', run: '/nowhere/run', redisServer, redisSentinel: '', keepalived: '' }
  return { file: '', api: { port: 0, secretFile: '' }, paths, hosts, groups: { sessions: groupConfig(['a', 'b'], group) } }
}

async function told(config: Config): Promise<readonly string[]> {
  const { problems, untried } = await tryConfig(config)
  return [...problems, ...untried].map(({ path, message }) => `${formatPath(path)}: ${message}`)
}

describe.each([installed, ...servers])('$name', (server) => {
  const { redisServer } = server

  test('what is right passes: with a password, an AOF, a limit of memory, a user, saves, a socket and a log of its own', async () => {
    const redisConf = `${dir}/user.conf`
    writeFileSync(redisConf, `unixsocket ${dir}/of-the-user.sock\nsyslog-enabled no\nsave 900 1\n`)
    const redis: GroupConfig['redis'] = [
      ['maxmemory', '64mb'],
      ['appendonly', 'yes'],
      ['user', 'alice on >secret ~* +@read'],
    ]
    expect(await told(configOf(redisServer, { redis, redisConf, passwordFile: '/nowhere/password', durability: 'safe' }))).toEqual([])
    expect(readdirSync(dir), 'the socket of the user was not made, and nothing is left').toEqual(['user.conf'])
  })

  test.skipIf(!since(6, 2)(server))('in mode sentinel, with what Holdfast itself puts into the file for the Sentinels', async () => {
    const sentinel = {
      hosts: ['a', 'b', 'c'],
      port: 26379,
      quorum: 2,
      downAfterMs: 1000,
      failoverTimeoutMs: 10_000,
      parallelSyncs: 1,
      process: 'direct',
    } as const
    expect(await told(configOf(redisServer, { mode: 'sentinel', sentinel, passwordFile: '/nowhere/password' }))).toEqual([])
  })

  test('every mistake at once: each at its key or line, with what was meant', async () => {
    const redisConf = `${dir}/user.conf`
    writeFileSync(redisConf, 'maxclients 9\nappendonly maybe\n')
    const redis: GroupConfig['redis'] = [
      ['maxmemry', '1gb'],
      ['maxmemory', 'lots'],
      ['user', 'alice on >secret +nocmd'],
      ['loadmodule', '/nowhere/module.so'],
      ['tls-port', '7443'],
    ]
    const all = await told(configOf(redisServer, { redis, redisConf }))
    expect(all.toSorted()).toEqual([
      expect.stringMatching(/^groups\.sessions\.redis\.loadmodule: redis \S+ does not start with `loadmodule \/nowhere\/module.so`: /),
      expect.stringMatching(/^groups\.sessions\.redis\.maxmemory: .*`maxmemory lots`: argument must be a memory value$/),
      expect.stringMatching(/^groups\.sessions\.redis\.maxmemry: .*did you mean `maxmemory`\?$/),
      expect.stringMatching(/^groups\.sessions\.redis\.tls-port: .*`tls-port`: No tls-cert-file configured!$/),
      expect.stringMatching(/^groups\.sessions\.redis\.user: .*`user alice …`: Unknown command or category name in ACL$/),
      expect.stringMatching(/^groups\.sessions\.redis_conf: .*user\.conf, line 2: .*`appendonly maybe`: argument must be 'yes' or 'no'$/),
    ])
    expect(all.join('\n')).not.toContain('secret')
    expect(readdirSync(dir)).toEqual(['user.conf'])
  })
})

test('a redis that never answers is given up in time, and goes', { timeout: 20_000 }, async () => {
  const fake = `${dir}/redis-server`
  writeFileSync(fake, `#!/bin/sh\n[ "$1" = --version ] && exec redis-server --version\necho $$ > ${dir}/pid\nexec sleep 1000\n`, { mode: 0o755 })
  expect(await told(configOf(fake, {}))).toEqual([expect.stringMatching(/redis\.conf was not tried: .*no answer within 5 s/)])
  expect(existsSync(`/proc/${readFileSync(`${dir}/pid`, 'utf8').trim()}`)).toBe(false)
  for (const left of ['redis-server', 'pid']) rmSync(`${dir}/${left}`)
})

test('whoever is killed in the middle of a trial leaves neither a process nor a folder', { timeout: 20_000 }, async () => {
  const fake = `${dir}/redis-server`
  writeFileSync(fake, `#!/bin/sh\n[ "$1" = --version ] && exec redis-server --version\necho $$ > ${dir}/pid\nexec sleep 1000\n`, { mode: 0o755 })
  const module = new URL('../../src/trial/config.ts', import.meta.url).href
  const program = `const { tryConfig } = await import('${module}'); await tryConfig(${JSON.stringify(configOf(fake, {}))})`
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], { stdio: ['ignore', 'ignore', 'inherit'] })
  const pid = await poll(() => Promise.resolve(existsSync(`${dir}/pid`) ? readFileSync(`${dir}/pid`, 'utf8').trim() || undefined : undefined), {
    withinMs: 10_000,
    everyMs: 20,
  })
  expect(existsSync(`/proc/${pid}`)).toBe(true)
  child.kill('SIGKILL')
  const isGone = () => !existsSync(`/proc/${pid}`) && readdirSync(dir).every((name) => !name.startsWith('holdfast-trial-'))
  expect(await poll(() => Promise.resolve(isGone() ? true : undefined), { withinMs: 5000, everyMs: 20 })).toBe(true)
  for (const left of ['redis-server', 'pid']) rmSync(`${dir}/${left}`)
})

test('no redis on this machine: said once, and nothing is wrong', async () => {
  const { problems, untried } = await tryConfig(configOf('/nowhere/redis-server', {}))
  expect([problems, untried.map(({ message }) => message)]).toEqual([[], ['redis.conf was not tried: /nowhere/redis-server is not on this machine']])
})
