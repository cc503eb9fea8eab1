/** The redis.conf that Holdfast writes, read by each server: it starts from it without a word about it, fenced, and has what was written. */
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { expect, test } from 'vitest'
import { poll } from '../../src/lab/run.ts'
import type { Config } from '../../src/model/config.ts'
import { groupRunDir, redisConfFile, redisDataDir, redisLogFile } from '../../src/model/paths.ts'
import { openRedis } from '../../src/redis/link.ts'
import { passwordHash } from '../../src/redis/sentinel-id.ts'
import { renderRedisConf } from '../../src/render/redis-conf.ts'
import { readVersion } from '../../src/render/redis-directives.ts'
import { groupConfig } from '../unit/builders.ts'
import { freePort } from '../unit/wire.ts'
import { expectServers, servers, since } from './servers.ts'

expectServers()

/** Old names and those of Valkey: what is Holdfast's to decide is so by every name. */
const userConf = 'slave-lazy-flush yes\nmin-slaves-max-lag 7\nprimaryauth of-the-user\nprimaryuser somebody\nmaxclients 500\n'

test.each(servers)('$name', async (server) => {
  const dir = mkdtempSync(`${tmpdir()}/holdfast-conf-`)
  const port = await freePort()
  const paths = { state: `${dir}/state`, run: `${dir}/run`, redisServer: server.redisServer, redisSentinel: '', keepalived: '' }
  const group = groupConfig(['a'], { port, durability: 'safe' })
  const config: Config = { file: '', api: { port: 0, secretFile: '' }, paths, hosts: { a: { name: 'a', ip: '127.0.0.1' } }, groups: { sessions: group } }
  const [member] = group.members
  const serverVersion = readVersion(execFileSync(server.redisServer, ['--version'], { encoding: 'utf8' }))
  if (member === undefined || serverVersion === null) throw new Error('no member, or no version')
  mkdirSync(redisDataDir(paths, 'sessions'), { recursive: true })
  mkdirSync(groupRunDir(paths, 'sessions'), { recursive: true })
  const sentinelKeys = since(6, 2)(server) ? [passwordHash('of the Sentinels')] : undefined
  const { text } = renderRedisConf({ config, group, member, password: 'of-the-group', serverVersion, userConf, sentinelKeys })
  writeFileSync(redisConfFile(paths, 'sessions'), text)
  const child = spawn(server.redisServer, [redisConfFile(paths, 'sessions')], { stdio: 'ignore' })
  try {
    const link = await poll(
      async () => {
        const opened = await openRedis({ host: '127.0.0.1', port, password: 'of-the-group' }, 500, () => {})
        return opened.ok ? opened.value : undefined
      },
      { withinMs: 5000, everyMs: 20 },
    )
    if (link === undefined) throw new Error(`it does not start: ${readFileSync(redisLogFile(paths, 'sessions'), 'utf8')}`)
    const read = async (name: string): Promise<unknown> => {
      const answer = await link.call(['CONFIG', 'GET', name], 1000)
      return answer.ok ? (answer.value as readonly string[])[1] : answer.why
    }
    const settings = ['replica-priority', 'repl-backlog-ttl', 'repl-diskless-sync', 'min-replicas-to-write', 'min-replicas-max-lag', 'maxclients']
    expect(Object.fromEntries(await Promise.all([...settings, 'masterauth', 'masteruser'].map(async (name) => [name, await read(name)])))).toEqual({
      ...{ 'replica-priority': sentinelKeys === undefined ? '156' : '0', 'repl-backlog-ttl': '0', 'repl-diskless-sync': 'no' },
      ...{ 'min-replicas-to-write': '1', 'min-replicas-max-lag': '7', maxclients: '500', masterauth: 'of-the-group', masteruser: '' },
    })
    expect(await link.call(['SET', 'key', '1'], 1000), 'born fenced').toMatchObject({ ok: false, why: expect.stringContaining('READONLY') })
    link.close()
    const log = readFileSync(redisLogFile(paths, 'sessions'), 'utf8')
    expect(log).not.toMatch(/deprecated|unknown|obsolete|Bad directive|FATAL CONFIG/i)
    expect(text.includes('\nprimaryauth '), 'in the words of the server').toBe(server.name.startsWith('valkey'))
  } finally {
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await gone
    rmSync(dir, { recursive: true, force: true })
  }
})
