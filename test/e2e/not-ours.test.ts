/** What must never be served or emptied by mistake: a redis that is somebody else's, and data that only an unfit member has. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import type { Rig } from './rig.ts'
import { poll, problems, rigFor, twoHosts, vip } from './rig.ts'

describe.skipIf(problems.length > 0)("somebody else's redis on the port (process: direct)", { timeout: 60_000 }, () => {
  const theRig = rigFor('stranger', twoHosts())

  test('on a replica while redis and agent are down: it keeps its data, is named (HF204), and the group goes on', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const replica = other(primary)
    const writer = await rig.writer()
    await rig.incident(writer, 'a stranger takes the port of the replica', { outageMs: 150, mayBeUnfelt: true, okWithinMs: null }, async () => {
      await rig.killAgent(replica)
      await takePort(rig, replica)
      await rig.startAgent(replica)
      const named = await rig.until('named', 'sessions', (s) => s.members.some((m) => m.host === replica && m.why.includes('HF204')), 8000)
      expect(named).toMatchObject({ health: 'degraded', primary })
    })
    expect(await rig.redis(replica, 'MGET', 'x', 'y')).toMatch(/theirs\s+theirs/)
    await rig.finishWithin(writer, 150)
    await rig.redis(replica, 'SHUTDOWN', 'NOSAVE').catch(() => '')
    expect(await rig.untilOk()).toMatchObject({ primary })
  })

  test('on the primary, in the moment in which its redis dies: its address does not lead clients to it', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const replica = other(primary)
    const writer = await rig.writer()
    await rig.incident(writer, 'a stranger in place of the primary', { outageMs: 1000, okWithinMs: null }, () => takePort(rig, primary))
    await rig.until('the replica took over', 'sessions', (s) => s.primary === replica, 5000)
    expect(await rig.redisAt('client', vip, 'EXISTS', 'x', 'y')).toMatch(/0/)
    expect(await rig.redis(primary, 'EXISTS', 'x', 'y')).toMatch(/2/)
    const { lost } = await rig.finish(writer)
    // A stranger that listens within milliseconds is reached through the address until keepalived has removed it.
    expect(lost).toBeLessThanOrEqual(30)
    await rig.redis(primary, 'SHUTDOWN', 'NOSAVE').catch(() => '')
    expect(await rig.untilOk()).toMatchObject({ primary: replica })
    await rig.expectNoBrokenRule()
  })
})

describe.skipIf(problems.length > 0)('only a member that may not be promoted has the data', { timeout: 60_000 }, () => {
  const theRig = rigFor('unfit', twoHosts([]).replace('[red-a, red-b]', '[red-a, { host: red-b, never_primary: true }]'))

  test.each(['old', 'empty'] as const)(
    'the primary comes back with an %s disk: nobody serves, it is said what to do, and the operator gets the data back',
    async (disk) => {
      const rig = theRig()
      await rig.until('red-a serves and red-b streams', 'sessions', (s) => s.primary === 'red-a' && s.members[1]?.state === 'streaming')
      await rig.redis('red-a', 'SAVE')
      for (const key of ['one', 'two', 'three']) expect(await rig.redisAt('client', vip, 'SET', key, 'precious')).toBe('OK')
      expect(await rig.redisAt('client', vip, 'WAIT', '1', '2000')).toMatch(/1/)
      await rig.lab.freeze('red-a', 'redis')
      if (disk === 'empty') {
        await rm(rig.file('red-a', 'state', 'sessions', 'data'), { recursive: true })
        await mkdir(rig.file('red-a', 'state', 'sessions', 'data'))
      }
      await rig.lab.kill('red-a', 'redis')
      const down = await rig.until('down, and it is said why', 'sessions', (s) => s.health === 'down' && s.because.includes('never_primary is set'), 8000)
      expect(down.because).toContain('Take never_primary from red-b')
      // Longer than anybody waits for anything.
      await new Promise((resolve) => setTimeout(resolve, 3000))
      expect(await rig.redis('red-a', 'SET', 'x', 'y')).toMatch(/READONLY/)
      await setNeverPrimary(rig, false)
      await rig.until('red-b serves', 'sessions', (s) => s.primary === 'red-b' && s.vipHolder === 'red-b', 8000)
      expect(await rig.redis('red-b', 'EXISTS', 'one', 'two', 'three')).toMatch(/3/)
      const filled = await poll(async () => ((await rig.redis('red-a', 'EXISTS', 'one', 'two', 'three')).includes('3') ? true : undefined), { withinMs: 8000 })
      expect(filled, 'red-a is filled again').toBe(true)
      await rig.untilOk()
      expect((await rig.cli('switchover', 'sessions', '--to', 'red-a')).code).toBe(0)
      await rig.untilOk()
      await rig.redisAt('client', vip, 'DEL', 'one', 'two', 'three')
      await setNeverPrimary(rig, true)
      await rig.expectNoBrokenRule()
    },
  )
})

/** As an operator would: in the file of every host, then each agent anew. */
async function setNeverPrimary(rig: Rig, on: boolean): Promise<void> {
  for (const host of ['red-a', 'red-b', 'client']) {
    const file = rig.file(host, 'holdfast.yaml')
    const text = await readFile(file, 'utf8')
    await writeFile(file, text.replace(/never_primary: (true|false)/, `never_primary: ${on}`))
  }
  for (const host of ['red-a', 'red-b']) {
    await rig.killAgent(host, 'SIGTERM')
    await rig.startAgent(host)
  }
}

function other(host: string): string {
  return host === 'red-a' ? 'red-b' : 'red-a'
}

/** Ends ours and starts another redis in its place, before the agent can start ours again. */
async function takePort(rig: Rig, host: string): Promise<void> {
  const dir = rig.file(host, 'theirs')
  await mkdir(dir, { recursive: true })
  const pid = /process_id:(\d+)/.exec(await rig.redis(host, 'INFO', 'server'))?.[1] ?? ''
  const start = `redis-server --port 6379 --protected-mode no --save '' --dir ${dir} --logfile ${dir}/redis.log --daemonize yes`
  // Ours is started again by its agent within milliseconds: whoever comes first has the port.
  const script = `kill -9 ${pid}; for i in $(seq 200); do ${start}; sleep 0.01; redis-cli INFO server | grep -q '^config_file:.$' && exit 0; redis-cli INFO server | grep -o '^process_id:[0-9]*' | cut -d: -f2 | xargs -r kill -9; done; exit 1`
  expect((await rig.lab.exec(host, ['sh', '-c', script], { deadlineMs: 20_000 })).code).toBe(0)
  expect(await rig.redis(host, 'MSET', 'x', 'theirs', 'y', 'theirs')).toBe('OK')
}
