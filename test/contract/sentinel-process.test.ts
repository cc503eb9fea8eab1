/** The real Sentinel of one host as a process: started once, adopted, started again with what it remembers, kept to the configuration. */
import { execFileSync, spawn } from 'node:child_process'
import { appendFileSync, existsSync, readFileSync, symlinkSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { sentinelConfFile, sentinelLogFile } from '../../src/model/paths.ts'
import { sentinelUser, type Watched } from '../../src/model/sentinel.ts'
import { readProcess } from '../../src/observe/process.ts'
import { passwordHash } from '../../src/redis/sentinel-id.ts'
import { Redises } from '../unit/real-redis.ts'
import { asks, ground, keeper, master, pidOf, until, userPassword, type Ground, type Kept } from './sentinel-ground.ts'

let redises: Redises
let port = 0
let open: Kept[] = []
let grounds: { readonly ground: Ground; readonly password?: string }[] = []

beforeEach(async () => {
  redises = new Redises()
  port = (await redises.start()).port
  open = []
  grounds = []
})

afterEach(async () => {
  for (const kept of open) kept.close()
  for (const { ground: one, password } of grounds) {
    const pid = await pidOf(asks(one.sentinel.port, password))
    if (pid > 0) process.kill(pid, 'SIGKILL')
    await until('it is gone', () => readProcess(pid) === null)
  }
  await redises.close()
})

async function placed(more: Parameters<typeof ground>[2] = {}, password?: string): Promise<Ground> {
  const one = await ground(redises.dir, port, more)
  grounds.push({ ground: one, ...(password === undefined ? {} : { password }) })
  return one
}

function kept(one: Ground, given: Parameters<typeof keeper>[1] = {}): Kept {
  const all = keeper(one, given)
  open.push(all)
  return all
}

const idOf = async (ask: ReturnType<typeof asks>): Promise<unknown> => {
  const answer = await ask('SENTINEL', 'MYID')
  return answer.ok ? answer.value : null
}

test('it is started as configured, in the epoch of the group; the agent ends and another comes: it is the same process', async () => {
  const one = await placed()
  const ask = asks(one.sentinel.port)
  const first = kept(one)
  await until('it watches the group', async () => (await master(ask))['name'] === 'sessions')
  expect(await master(ask)).toMatchObject({
    ...{ ip: '127.0.0.1', port: String(port), quorum: '1', 'down-after-milliseconds': '500', 'failover-timeout': '2000', 'parallel-syncs': '1' },
    'config-epoch': '3',
  })
  const pid = await pidOf(ask)
  first.close()
  const second = kept(one)
  await until('the second has it', () => second.said.length > 0)
  expect(second.said).toEqual([`started: the Sentinel of a runs (pid ${pid}, port ${one.sentinel.port})`])
  expect([await pidOf(ask), readProcess(pid)?.pid]).toEqual([pid, pid])
})

test('it is killed: it is started again, knows who it is, and in which epoch it has voted', async () => {
  const one = await placed()
  const ask = asks(one.sentinel.port)
  const { said } = kept(one)
  await until('it watches the group', async () => (await master(ask))['name'] === 'sessions')
  const voter = 'c'.repeat(40)
  const vote = async (epoch: string, to = voter): Promise<unknown> => {
    const answer = await ask('SENTINEL', 'IS-MASTER-DOWN-BY-ADDR', '127.0.0.1', String(port), epoch, to)
    return answer.ok ? (answer.value as readonly unknown[]).slice(1) : answer.why
  }
  expect(await vote('9')).toEqual([voter, 9])
  const [id, pid] = [await idOf(ask), await pidOf(ask)]
  process.kill(pid, 'SIGKILL')
  await until('another process', async () => ![0, pid].includes(await pidOf(ask)))
  expect(await idOf(ask)).toBe(id)
  // For whom is not in its file. It counts as given all the same: nobody else gets it.
  expect(await vote('0')).toEqual(['*', 9])
  expect(await vote('9', 'd'.repeat(40))).toEqual(['*', 9])
  expect(said).toContain('alarm: the Sentinel of a has ended; it is started again')
})

test('somebody changes what must be equal on all Sentinels: it is set back, and so told', async () => {
  const one = await placed()
  const ask = asks(one.sentinel.port)
  const { said } = kept(one)
  await until('it watches the group', async () => (await master(ask))['name'] === 'sessions')
  await ask('SENTINEL', 'SET', 'sessions', 'quorum', '7', 'down-after-milliseconds', '30000', 'failover-timeout', '180000', 'parallel-syncs', '4')
  await until('all are as configured', async () => {
    const now = await master(ask)
    return `${now['quorum']} ${now['down-after-milliseconds']} ${now['failover-timeout']} ${now['parallel-syncs']}` === '1 500 2000 1'
  })
  const words =
    'started: the Sentinel of a is set as configured: quorum 1 (was 7), down-after-milliseconds 500 (was 30000), failover-timeout 2000 (was 180000), parallel-syncs 1 (was 4)'
  // The Sentinel shows it before whoever set it has its answer.
  await until('it is told', () => said.includes(words))
})

test('one of somebody else is told of what differs, and left as it is but for its pace, which no file remembers', async () => {
  const one = await placed()
  const first = kept(one)
  const ask = asks(one.sentinel.port)
  await until('it watches the group', async () => (await master(ask))['name'] === 'sessions')
  first.close()
  const { said } = kept({ ...one, group: { ...one.group, sentinel: { ...one.sentinel, process: 'external', downAfterMs: 800 } } })
  const words = 'alarm: the Sentinel of a is not as configured: it should have down-after-milliseconds 800 (was 500); it is external, and left as it is'
  await until('it is told', () => said.includes(words))
  expect((await master(ask))['down-after-milliseconds']).toBe('500')
  const pace = async (): Promise<string> => String(await ask('SENTINEL', 'DEBUG').then((a) => (a.ok ? a.value : a.why)))
  await ask('SENTINEL', 'DEBUG', 'PING-PERIOD', '1000', 'INFO-PERIOD', '10000')
  await until('it asks as often as ours do', async () => (await pace()).includes('PING-PERIOD,250'))
})

test('another redis has the clients: it watches nobody, and whoever serves again as soon as that is known, not at the next look', async () => {
  const one = await placed()
  const ask = asks(one.sentinel.port)
  let watched: Watched = { host: 'a', epoch: 3 }
  const keeping = kept(one, { watched: () => watched })
  const beats = setInterval(() => keeping.awake(), 20)
  try {
    await until('it watches the group', async () => (await master(ask))['name'] === 'sessions')
    const id = await idOf(ask)
    watched = 'nobody'
    await until('it watches nobody', async () => (await master(ask))['name'] === undefined)
    expect(keeping.said).toContain('started: the Sentinel of a watches nobody while the clients of sessions are elsewhere')
    process.kill(await pidOf(ask), 'SIGKILL')
    await until('it is started again', async () => (await pidOf(ask)) > 0)
    // Longer than it takes to look again: it is not had to watch anybody.
    await delay(1500)
    expect([await idOf(ask), (await master(ask))['name']]).toEqual([id, undefined])
    watched = { host: 'a', epoch: 5 }
    const sinceMs = performance.now()
    await until('it watches the group again', async () => (await master(ask))['name'] === 'sessions')
    expect(performance.now() - sinceMs).toBeLessThan(500)
    expect(keeping.said.filter((text) => text.startsWith('alarm'))).toEqual(['alarm: the Sentinel of a has ended; it is started again'])
  } finally {
    clearInterval(beats)
  }
})

test('a group that waits for a move: its Sentinel is started without anybody to watch', async () => {
  const one = await placed()
  const ask = asks(one.sentinel.port)
  let watched: Watched = 'nobody'
  const keeping = kept(one, { watched: () => watched })
  await until('it runs', async () => (await pidOf(ask)) > 0)
  expect((await master(ask))['name']).toBeUndefined()
  expect(readFileSync(sentinelConfFile(one.config.paths, 'sessions'), 'utf8')).not.toContain('monitor')
  watched = { host: 'a', epoch: 1 }
  keeping.awake()
  await until('it watches the group', async () => (await master(ask))['failover-timeout'] === '2000')
})

test('SENTINEL REMOVE by somebody: it watches the group again, with all settings, as the same Sentinel', async () => {
  const one = await placed()
  const ask = asks(one.sentinel.port)
  const { said } = kept(one)
  await until('it watches the group', async () => (await master(ask))['name'] === 'sessions')
  const id = await idOf(ask)
  await ask('SENTINEL', 'REMOVE', 'sessions')
  await until('it watches the group again', async () => (await master(ask))['failover-timeout'] === '2000')
  expect(await master(ask)).toMatchObject({ ip: '127.0.0.1', port: String(port), quorum: '1', 'down-after-milliseconds': '500' })
  expect(await idOf(ask)).toBe(id)
  expect(readFileSync(sentinelConfFile(one.config.paths, 'sessions'), 'utf8')).toContain(`sentinel auth-pass sessions ${userPassword}`)
  expect(said.filter((line) => line.includes('did not know sessions'))).toHaveLength(1)
  // Again at once: a primary that waits for it refuses writes meanwhile.
  await ask('SENTINEL', 'REMOVE', 'sessions')
  const removedMs = performance.now()
  await until('it watches the group once more', async () => (await master(ask))['failover-timeout'] === '2000')
  expect(performance.now() - removedMs, 'as soon as it is looked at, once a second').toBeLessThan(2000)
  // The Sentinel has it before whoever told it has heard so.
  await until('that is told', async () => said.filter((line) => line.includes('did not know sessions')).length === 2)
})

test('the secret of the agents is another one: the Sentinel comes to redis with the new password', async () => {
  const one = await placed()
  const ask = asks(one.sentinel.port)
  const redis = asks(port)
  const user = async (password: string): Promise<void> => {
    await redis('ACL', 'SETUSER', sentinelUser, 'on', 'resetpass', `#${passwordHash(password)}`, '+@all', '&*')
  }
  const comes = async (): Promise<number> => String(await redis('CLIENT', 'LIST').then((a) => (a.ok ? a.value : ''))).split(`user=${sentinelUser}`).length - 1
  await user(userPassword)
  kept(one).close()
  const first = kept(one)
  await until('it comes', async () => (await comes()) > 0)
  first.close()
  await user('another')
  await redis('CLIENT', 'KILL', 'USER', sentinelUser)
  kept(one, { userPassword: 'another' })
  await until('it comes again', async () => (await comes()) > 0)
  expect((await ask('PING')).ok).toBe(true)
})

test('another Sentinel has the port: it is left alone and told, and nothing is written', async () => {
  const one = await placed()
  const file = `${redises.dir}/theirs.conf`
  appendFileSync(file, `port ${one.sentinel.port}\ndir ${redises.dir}\nsentinel monitor theirs 127.0.0.1 ${port} 1\n`)
  const theirs = spawn('redis-server', [file, '--sentinel'], { stdio: 'ignore' })
  const ask = asks(one.sentinel.port)
  await until('it answers', async () => (await pidOf(ask)) === theirs.pid)
  const { said } = kept(one)
  await until('it is told', () => said.some((line) => line.startsWith('alarm:') && line.includes('HF204') && line.includes(file)))
  expect(await pidOf(ask)).toBe(theirs.pid)
  expect(existsSync(sentinelConfFile(one.config.paths, 'sessions'))).toBe(false)
  expect((await ask('SENTINEL', 'MASTER', 'sessions')).ok).toBe(false)
})

test('its file was damaged while it was down: it is put aside, and the Sentinel begins anew in the epoch of the group', async () => {
  const one = await placed()
  const ask = asks(one.sentinel.port)
  const first = kept(one)
  await until('it watches the group', async () => (await master(ask))['name'] === 'sessions')
  first.close()
  const pid = await pidOf(ask)
  process.kill(pid, 'SIGKILL')
  await until('it is gone', () => readProcess(pid) === null)
  const file = sentinelConfFile(one.config.paths, 'sessions')
  appendFileSync(file, 'sentinel known-replica sessions 127.0.0.1\n')
  const { said } = kept(one)
  await until('it watches the group again', async () => (await master(ask))['config-epoch'] === '3')
  expect(readFileSync(`${file}.unreadable`, 'utf8')).toContain('sentinel known-replica sessions 127.0.0.1\n')
  expect(said.some((line) => line.startsWith('alarm:') && line.includes('was put aside'))).toBe(true)
})

test('with a password of its own, and under the name redis-sentinel where that is installed', async () => {
  const plain = await placed({}, 'a-password')
  const program = `${redises.dir}/redis-sentinel`
  symlinkSync(execFileSync('sh', ['-c', 'command -v redis-server'], { encoding: 'utf8' }).trim(), program)
  const one = { ...plain, config: { ...plain.config, paths: { ...plain.config.paths, redisSentinel: program } } }
  kept(one, { password: 'a-password' })
  const ask = asks(one.sentinel.port, 'a-password')
  await until('it watches the group', async () => (await master(ask))['name'] === 'sessions')
  const pid = await pidOf(ask)
  expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8')).toContain('redis-sentinel')
  const refused = await asks(one.sentinel.port)('SENTINEL', 'MASTER', 'sessions')
  expect(refused.ok === false && refused.why).toContain('NOAUTH')
  expect(readFileSync(sentinelLogFile(one.config.paths, 'sessions'), 'utf8')).toContain('+monitor master sessions')
})

test('it is started for the first time while its password is changed: both are taken, then and when it has been started again', async () => {
  const one = await placed({}, 'the-new')
  kept(one, { password: 'the-new', otherPassword: 'the-old' })
  for (const start of ['first', 'again']) {
    for (const password of ['the-new', 'the-old'])
      await until(`${start}: ${password}`, async () => (await master(asks(one.sentinel.port, password)))['name'] === 'sessions')
    const refused = await asks(one.sentinel.port, 'another')('PING')
    expect(refused.ok === false && refused.why).toContain('WRONGPASS')
    if (start === 'first') process.kill(await pidOf(asks(one.sentinel.port, 'the-old')), 'SIGKILL')
  }
})
