/** The guard: a shell that starts nothing while the agent beats, and a program that fences only what nobody can vouch for. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { fenceFromOutside, liftFence, writeFence } from '../../src/act/write-fence.ts'
import { startBeat } from '../../src/agent/beat.ts'
import { parseConfig } from '../../src/config/load.ts'
import { guardGroup, reachesEnough } from '../../src/guard/guard.ts'
import type { Config } from '../../src/model/config.ts'
import type { GuardedGroup } from '../../src/model/guard.ts'
import { beatFile, stateFile, vipAllowedFile } from '../../src/model/paths.ts'
import { guardedGroups, guardPlan, renderGuardScript } from '../../src/render/guard.ts'
import { noRedis, Redises, type RealRedis } from './real-redis.ts'
import { freePort } from './wire.ts'

const dir = mkdtempSync(`${tmpdir()}/holdfast-guard-`)
afterAll(() => rmSync(dir, { recursive: true, force: true }))

function configOf(group: string): Config {
  const text = `paths: { state: ${dir}/state, run: ${dir}/run }
hosts:
  a: { ip: 10.0.0.1, interface: eth0 }
  b: { ip: 10.0.0.2, interface: eth0 }
  c: { ip: 10.0.0.3, interface: eth0 }
  w: { ip: 10.0.0.9 }
groups:
  g: { vip: 10.0.0.100/24, ${group} }
`
  const { config, problems } = parseConfig(text, '/etc/holdfast/holdfast.yaml')
  if (config === undefined) throw new Error(JSON.stringify(problems))
  return config
}

describe('who has a guard', () => {
  test.each([
    ['members: [a, b]', []],
    ['members: [a, b], witness: w', ['g']],
    ['members: [a, b], check_ips: [10.0.0.254]', ['g']],
    ['members: [a, b], durability: safe', []],
    ['members: [a, b, c], durability: safe', ['g']],
    ['members: [a, b, c], mode: sentinel', ['g']],
    ['members: [a, b], witness: w, failover: { auto: false }', []],
    ['members: [{ host: a, never_primary: true }, b], witness: w', []],
  ])('%s', (group, guarded) => {
    expect(guardedGroups(configOf(group), 'a').map((g) => g.name)).toEqual(guarded)
  })

  test('what it is told: every other voter with its ports, and how many of them are needed', () => {
    expect(guardPlan(configOf('members: [a, b], witness: w'), 'a').groups).toMatchObject([
      {
        voters: [
          { ip: '10.0.0.2', ports: [8420, 6379] },
          { ip: '10.0.0.9', ports: [8420] },
        ],
        members: [{ ip: '10.0.0.2', port: 6379 }],
        needed: 1,
        checkIps: [],
      },
    ])
    expect(guardPlan(configOf('members: [a, b], check_ips: [10.0.0.254]'), 'a').groups[0]).toMatchObject({ needed: 1, checkIps: ['10.0.0.254'] })
  })
})

test('in Sentinel mode it is told the other Sentinels, and how many of them besides its own a primary needs', () => {
  expect(guardPlan(configOf('mode: sentinel, members: [a, b, c]'), 'a').groups[0]).toMatchObject({
    voters: [
      { ip: '10.0.0.2', ports: [26379] },
      { ip: '10.0.0.3', ports: [26379] },
    ],
    needed: 1,
    sentinels: { port: 26379, ips: ['10.0.0.2', '10.0.0.3'], self: '10.0.0.1' },
  })
  expect(guardPlan(configOf('mode: sentinel, members: [a, b], sentinels: [b, c, w]'), 'a').groups[0]).toMatchObject({ needed: 2 })
})

describe('the script', () => {
  const config = configOf('members: [a, b], witness: w')
  const started = `${dir}/started`
  const uptimeS = () => Number(readFileSync('/proc/uptime', 'latin1').split(' ')[0])
  beforeEach(() => {
    mkdirSync(`${dir}/run`, { recursive: true })
    for (const file of [started, beatFile(config.paths)]) rmSync(file, { force: true })
  })

  function runs(beat: string | null, program = `touch ${started};:`): boolean {
    if (beat !== null) writeFileSync(beatFile(config.paths), beat)
    writeFileSync(`${dir}/guard.sh`, renderGuardScript(config, program))
    const { status, stderr } = spawnSync('sh', [`${dir}/guard.sh`], { encoding: 'utf8' })
    expect([status, stderr]).toEqual([0, ''])
    return existsSync(started)
  }

  test('the beat is fresh: nothing is started', () => {
    expect(runs(`${uptimeS().toFixed(2)}\n`)).toBe(false)
    expect(runs(`${(uptimeS() - 0.8).toFixed(2)}\n`)).toBe(false)
  })

  test('the beat is stale, was never there, or is no number: the program is started', () => {
    expect(runs(`${(uptimeS() - 1.2).toFixed(2)}\n`)).toBe(true)
    rmSync(started)
    rmSync(beatFile(config.paths))
    expect(runs(null)).toBe(true)
  })

  test('a program that fails takes no address away', () => {
    expect(runs('1.00\n', 'false;')).toBe(false)
    expect(runs('1.00\n', '/nowhere/node')).toBe(false)
  })

  test('what the agent writes is what it reads; not on every tick', async () => {
    const beat = startBeat(beatFile(config.paths), (why) => expect.fail(why))
    beat.tick()
    const first = statSync(beatFile(config.paths)).mtimeMs
    beat.tick()
    expect(statSync(beatFile(config.paths)).mtimeMs).toBe(first)
    expect(runs(null)).toBe(false)
    beat.stop()
  })
})

describe.skipIf(noRedis)('the program', () => {
  const redises = new Redises()
  let primary: RealRedis
  let refusing = 0
  let listening: Server
  beforeAll(async () => {
    primary = await redises.start()
    refusing = await freePort()
    listening = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1')
  })
  afterAll(async () => {
    listening.close()
    await redises.close()
  })
  beforeEach(async () => {
    for (const sub of ['run', 'state/sessions']) mkdirSync(`${redises.dir}/${sub}`, { recursive: true })
    rmSync(stateFile(plan().paths, 'sessions'), { force: true })
    writeFileSync(vipAllowedFile(plan().paths, 'sessions'), '1\n')
    expect((await liftFence(redises.hands(primary))).done).toBe(true)
  })

  const plan = () => ({ paths: redises.hands(primary).config.paths, groups: [] })
  const stale = (): boolean => true
  const dead = { ip: '255.255.255.255', ports: [9] }
  function group(more: Partial<GuardedGroup> = {}): GuardedGroup {
    return { name: 'sessions', port: primary.port, passwordFile: null, voters: [dead], members: [], needed: 1, checkIps: [], sentinels: null, ...more }
  }
  const remember = (state: object) => writeFileSync(stateFile(plan().paths, 'sessions'), JSON.stringify({ phase: 'primary', paused: { on: false }, ...state }))

  test('nobody is reached: writes are refused by the fence that the agent knows, and the address is withdrawn', async () => {
    remember({})
    expect(await guardGroup(plan(), group(), stale)).toBe('fenced')
    await expect(primary.call('SET', 'x', '1')).rejects.toThrow(/NOREPLICAS|closed|writeable/)
    expect(readFileSync(vipAllowedFile(plan().paths, 'sessions'), 'utf8')).toBe('0\n')
    expect(writeFence(plan().paths, 'sessions', true)?.inForce).toBe(true)
    primary = await again(primary)
  })

  test.each([
    ['somebody accepts', () => [{ ip: '127.0.0.1', ports: [(listening.address() as { port: number }).port] }]],
    ['a kernel refuses', () => [{ ip: '127.0.0.1', ports: [refusing] }]],
  ])('%s: nothing is touched', async (_how, voters) => {
    remember({})
    expect(await guardGroup(plan(), group({ voters: [dead, ...voters()] }), stale)).toBe('reached')
    expect(await primary.call('SET', 'x', '1')).toBe('OK')
    expect(readFileSync(vipAllowedFile(plan().paths, 'sessions'), 'utf8')).toBe('1\n')
  })

  test('one of two that are needed is not enough; one of check_ips is', async () => {
    const one = { ip: '127.0.0.1', ports: [refusing] }
    expect(await reachesEnough(group({ voters: [one, dead], needed: 2 }))).toBe(false)
    expect(await reachesEnough(group({ voters: [dead], checkIps: ['127.0.0.1'] }))).toBe(true)
  })

  test.each([
    ['the agent had resigned', { phase: 'fenced' }],
    ['the operator has paused: nobody is elected', { paused: { on: true } }],
  ])('%s: nothing is touched', async (_why, state) => {
    remember(state)
    expect(await guardGroup(plan(), group(), stale)).toBe('not ours')
    expect(await primary.call('SET', 'x', '1')).toBe('OK')
  })

  test('its members are reached again, and one of them is the primary now: fenced', async () => {
    remember({})
    const other = await redises.start('--replicaof', `127.0.0.1 ${primary.port}`)
    for (let i = 0; i < 100 && !(await other.facts()).linkUp; i += 1) await new Promise((resolve) => setTimeout(resolve, 50))
    const members = [{ ip: '127.0.0.1', port: other.port }]
    const voters = [{ ip: '127.0.0.1', ports: [other.port] }]
    expect(await guardGroup(plan(), group({ voters, members }), stale)).toBe('reached')
    await other.call('REPLICAOF', 'NO', 'ONE')
    expect(await guardGroup(plan(), group({ voters, members }), stale)).toBe('fenced')
    primary = await again(primary)
  })

  test('the agent beats again while it looks: nothing is touched', async () => {
    remember({})
    expect(await guardGroup(plan(), group(), () => false)).toBe('reached')
    expect(await primary.call('SET', 'x', '1')).toBe('OK')
  })

  test('the agent lifts the fence while the guard sets it again: writes go on, whoever is last', async () => {
    remember({})
    const hands = redises.hands(primary)
    const id = /run_id:(\w+)/.exec(String(await primary.call('INFO', 'server')))?.[1] ?? ''
    /** Something else happens right after this command of the other. */
    const meanwhile = (command: RegExp, act: () => Promise<unknown>): typeof hands => {
      let done = false
      const call: typeof primary.link.call = async (words, deadlineMs) => {
        const answer = await primary.link.call(words, deadlineMs)
        if (!done && command.test(words.join(' '))) {
          done = true
          await act()
        }
        return answer
      }
      return { ...hands, link: () => ({ ...primary.link, call }) }
    }
    expect((await fenceFromOutside(hands, id)).done).toBe(true)
    const outside = await fenceFromOutside(
      meanwhile(/SET .*to-write 99/, () => liftFence(hands)),
      id,
    )
    expect(outside).toMatchObject({ done: false })
    expect(await primary.call('SET', 'x', '1')).toBe('OK')
    expect((await fenceFromOutside(hands, id)).done).toBe(true)
    const lifted = await liftFence(meanwhile(/SET .*to-write 0/, () => primary.call('CONFIG', 'SET', 'min-replicas-to-write', '99')))
    expect(lifted).toEqual({ done: true })
    expect(await primary.call('SET', 'x', '2')).toBe('OK')
    // Its record is lost: what is ours is never remembered as the user's.
    await primary.call('CONFIG', 'SET', 'min-replicas-to-write', '99')
    expect((await fenceFromOutside(hands, id)).done).toBe(true)
    expect((await liftFence(hands)).done).toBe(true)
    expect(await primary.call('SET', 'x', '3')).toBe('OK')
  })

  test('the Sentinels name another: fenced, also where enough of them are reached; where redis hangs as well, the address alone goes', async () => {
    remember({})
    const naming = (ip: string) =>
      createServer((socket) => socket.on('data', () => socket.write(`*2\r\n$${ip.length}\r\n${ip}\r\n$4\r\n6379\r\n`))).listen(0, '127.0.0.1')
    const away = naming('10.0.0.2')
    await once(away, 'listening')
    const pid = Number(/process_id:(\d+)/.exec(String(await primary.call('INFO', 'server')))?.[1])
    const port = (away.address() as { port: number }).port
    const voters = [{ ip: '127.0.0.1', ports: [port] }]
    const sentinels = { port, ips: ['127.0.0.1'], passwordFile: null, self: '10.0.0.1' }
    expect(await guardGroup(plan(), group({ voters, sentinels: { ...sentinels, self: '10.0.0.2' } }), stale), 'they name this one').toBe('reached')
    process.kill(pid, 'SIGSTOP')
    expect(await guardGroup(plan(), group({ voters, sentinels }), stale)).toBe('fenced')
    expect(readFileSync(vipAllowedFile(plan().paths, 'sessions'), 'utf8')).toBe('0\n')
    process.kill(pid, 'SIGCONT')
    expect(await guardGroup(plan(), group({ voters, sentinels }), stale)).toBe('fenced')
    expect(writeFence(plan().paths, 'sessions', true)?.inForce).toBe(true)
    away.close()
    primary = await again(primary)
  })

  test('a replica is nobody to be fenced', async () => {
    const replica = await redises.start('--replicaof', '127.0.0.1 1')
    expect(await guardGroup(plan(), group({ port: replica.port }), stale)).toBe('not ours')
  })

  /** Its clients were ended, this one among them. */
  async function again(redis: RealRedis): Promise<RealRedis> {
    const { openRedis } = await import('../../src/redis/link.ts')
    const opened = await openRedis({ host: '127.0.0.1', port: redis.port, password: undefined }, 500, () => {})
    if (!opened.ok) throw new Error(opened.why)
    return {
      ...redis,
      link: opened.value,
      call: async (...words) => {
        const a = await opened.value.call(words, 5000)
        if (!a.ok) throw new Error(a.why)
        return a.value
      },
    }
  }
})
