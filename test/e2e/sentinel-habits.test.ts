/**
 * What Sentinels and their operators are used to do, done to a group that Holdfast guards: a reset, a CONFIG REWRITE, a Sentinel that forgets or
 * names another, all Sentinels gone at once, a redis made a primary by hand, a target that stops in the middle of a switchover.
 */
import { describe, expect, test } from 'vitest'
import { pairWithSentinels, poll, problems, rigFor, type Rig } from './rig.ts'

const hosts = ['red-a', 'red-b', 'red-w']
const members = ['red-a', 'red-b']
const other = (host: string): string => (host === 'red-a' ? 'red-b' : 'red-a')
const ipOf = (host: string): string => `192.168.77.${hosts.indexOf(host) + 1}`

async function untilNamed(rig: Rig, primary: string, withinMs = 10_000): Promise<void> {
  const named = await poll(
    async () => {
      const all = await Promise.all(hosts.map((h) => rig.sentinel(h, 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'sessions')))
      return all.every((answer) => answer === `${ipOf(primary)}\n6379`) ? true : undefined
    },
    { withinMs, everyMs: 50 },
  )
  expect(named, `every Sentinel names ${primary}`).toBe(true)
}

describe.skipIf(problems.length > 0)('the habits of Sentinel', { timeout: 90_000 }, () => {
  const theRig = rigFor('habits', pairWithSentinels)

  test('CONFIG REWRITE on every redis, as a Sentinel orders it; then the primary is killed: it comes back fenced all the same', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk('sessions', 25_000)
    const writer = await rig.writer()
    for (const host of members) expect(await rig.redis(host, 'CONFIG', 'REWRITE')).toBe('OK')
    const after = await rig.incident(writer, 'killed after CONFIG REWRITE', { outageMs: 1000 }, () => rig.lab.kill(primary, 'redis'))
    expect(after?.primary).toBe(other(primary))
    await rig.finishWithin(writer, 1000)
    await rig.expectNoBrokenRule()
  })

  test('SENTINEL RESET on all three at once: nobody moves, and the next crash is survived as ever', async () => {
    const rig = theRig()
    const { primary, epoch } = await rig.untilOk('sessions', 25_000)
    const writer = await rig.writer()
    await rig.incident(writer, 'SENTINEL RESET', { outageMs: 500, mayBeUnfelt: true }, async () => {
      for (const host of hosts) expect(await rig.sentinel(host, 'SENTINEL', 'RESET', 'sessions')).toBe('1')
      await new Promise((resolve) => setTimeout(resolve, 3000))
    })
    expect(await rig.untilOk()).toMatchObject({ primary, epoch })
    await rig.incident(writer, 'kill -9', { outageMs: 1000 }, () => rig.lab.kill(primary, 'redis'))
    await rig.finishWithin(writer, 1000)
    await untilNamed(rig, other(primary))
  })

  test('a Sentinel that was made to forget the group, and told a wrong primary, learns who serves; nothing else happens', async () => {
    const rig = theRig()
    const { primary, epoch } = await rig.untilOk('sessions', 25_000)
    const writer = await rig.writer()
    await rig.incident(writer, 'REMOVE and MONITOR', { outageMs: 100, mayBeUnfelt: true, okWithinMs: 20_000 }, async () => {
      await rig.sentinel('red-w', 'SENTINEL', 'REMOVE', 'sessions')
      await rig.sentinel('red-w', 'SENTINEL', 'MONITOR', 'sessions', ipOf(other(primary)), '6379', '2')
    })
    await untilNamed(rig, primary)
    expect(await rig.untilOk()).toMatchObject({ primary, epoch })
    await rig.finishWithin(writer, 100)
    const comes = await poll(
      async () => {
        const users = await rig.redis(primary, 'CLIENT', 'LIST', 'TYPE', 'normal')
        const sentinels = users.split('\n').filter((line) => /name=sentinel-/.test(line))
        return sentinels.length === 3 && sentinels.every((line) => line.includes('user=holdfast-sentinel')) ? true : undefined
      },
      { withinMs: 15_000, everyMs: 200 },
    )
    expect(comes, 'and it comes to redis as its user again, whom the valve is made for').toBe(true)
  })

  test('SENTINEL REMOVE, on one and then on all of them: each is taught again by its agent before the primary has to refuse', async () => {
    const rig = theRig()
    const { primary, epoch } = await rig.untilOk('sessions', 25_000)
    const writer = await rig.writer()
    const watching = async (host: string): Promise<boolean> =>
      (await rig.sentinel(host, 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'sessions')).includes(ipOf(primary))
    for (const hosts of [['red-b'], ['red-a', 'red-b', 'red-w']]) {
      await rig.incident(writer, `REMOVE on ${hosts.join(', ')}`, { outageMs: 300, mayBeUnfelt: true, okWithinMs: 20_000 }, async () => {
        await Promise.all(hosts.map((host) => rig.sentinel(host, 'SENTINEL', 'REMOVE', 'sessions')))
        const all = await poll(async () => ((await Promise.all(hosts.map(watching))).every(Boolean) ? true : undefined), { withinMs: 8000, everyMs: 20 })
        expect(all, `${hosts.join(', ')} watch it again`).toBe(true)
      })
    }
    expect(await rig.untilOk()).toMatchObject({ primary, epoch })
    await rig.finishWithin(writer, 300)
    await rig.lab.kill(primary, 'redis')
    await untilNamed(rig, other(primary))
    expect(await rig.untilOk()).toMatchObject({ primary: other(primary) })
  })

  test('REPLICAOF NO ONE by hand on the replica: chosen by nobody, it is fenced, keeps what it took, and follows again', async () => {
    const rig = theRig()
    const { primary, epoch } = await rig.untilOk('sessions', 25_000)
    const writer = await rig.writer()
    await rig.incident(writer, 'a second primary by hand', { outageMs: 100, mayBeUnfelt: true }, async () => {
      expect(await rig.redis(other(primary), 'REPLICAOF', 'NO', 'ONE')).toBe('OK')
      await new Promise((resolve) => setTimeout(resolve, 500))
    })
    expect(await rig.untilOk()).toMatchObject({ primary, epoch })
    expect(await rig.writable()).toEqual([primary])
    await rig.finishWithin(writer, 100)
    await rig.expectNoBrokenRule()
  })

  test('every Sentinel is killed, and then the primary: their agents have them back, and they elect', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk('sessions', 25_000)
    const writer = await rig.writer()
    const pids = await Promise.all(hosts.map(async (h) => /process_id:(\d+)/.exec(await rig.sentinel(h, 'INFO', 'server'))?.[1] ?? ''))
    const after = await rig.incident(writer, 'no Sentinel and no primary', { outageMs: 5000 }, async () => {
      for (const pid of pids) process.kill(Number(pid), 'SIGKILL')
      await rig.lab.kill(primary, 'redis')
    })
    expect(after?.primary).toBe(other(primary))
    await untilNamed(rig, other(primary))
    await rig.finishWithin(writer, 5000)
    await rig.expectNoBrokenRule()
  })

  test('two of three Sentinels stand still: the primary refuses before they could find it down; they go on, and so does it', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk('sessions', 25_000)
    const writer = await rig.writer()
    const others = hosts.filter((h) => h !== primary)
    const pids = await Promise.all(others.map(async (h) => Number(/process_id:(\d+)/.exec(await rig.sentinel(h, 'INFO', 'server'))?.[1])))
    const stoppedMs = Date.now()
    for (const pid of pids) process.kill(pid, 'SIGSTOP')
    const refuses = await rig.until('writes are refused', 'sessions', (s) => s.health === 'down', 5000)
    expect(refuses.because).toContain('it is cut off from its Sentinels')
    const last = (await writer.history()).at(-1)?.[1] ?? Number.NaN
    expect(last - stoppedMs, 'the last acknowledgement came before a Sentinel could find it down').toBeLessThan(1000)
    for (const pid of pids) process.kill(pid, 'SIGCONT')
    expect(await writer.steady({ acks: 200, withinMs: 10_000 })).toBe(true)
    await rig.untilOk('sessions', 25_000)
    await rig.finish(writer).then((report) => expect(report.lost).toBe(0))
  })

  test('the target stops in the middle of a switchover: taken back, the Sentinels name the old one, and the next is carried out', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk('sessions', 25_000)
    const writer = await rig.writer()
    await rig.incident(writer, 'rolled back', { outageMs: 2000, mayBeUnfelt: true, okWithinMs: 20_000 }, async () => {
      await rig.lab.freeze(other(primary), 'redis')
      const result = await rig.cli('switchover', 'sessions')
      expect(result.code).toBe(1)
      await rig.lab.thaw(other(primary), 'redis')
    })
    await untilNamed(rig, primary)
    await rig.incident(writer, 'carried out', { outageMs: 500, mayBeUnfelt: true }, async () => expect((await rig.cli('switchover', 'sessions')).code).toBe(0))
    await untilNamed(rig, other(primary))
    await rig.finishWithin(writer, 2000)
    await rig.expectNoBrokenRule()
  })

  test('paused, its Sentinels may be taken down: the primary writes on without them; back and resumed, it needs them again', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk('sessions', 25_000)
    const writer = await rig.writer()
    const others = hosts.filter((h) => h !== primary)
    const pids = await Promise.all(others.map(async (h) => Number(/process_id:(\d+)/.exec(await rig.sentinel(h, 'INFO', 'server'))?.[1])))
    await rig.cli('pause', 'sessions')
    await poll(async () => ((await rig.redis(other(primary), 'ACL', 'GETUSER', 'holdfast-sentinel')).includes('+slaveof') ? undefined : true), {
      withinMs: 5000,
      everyMs: 50,
    })
    await rig.incident(writer, 'two of three Sentinels stand still for 1.5 s', { outageMs: 100, mayBeUnfelt: true }, async () => {
      // Its word of that is on its way.
      await new Promise((resolve) => setTimeout(resolve, 1000))
      // Longer than the lease lasts; after two seconds they would be in TILT for half a minute.
      for (const pid of pids) process.kill(pid, 'SIGSTOP')
      await new Promise((resolve) => setTimeout(resolve, 1500))
      for (const pid of pids) process.kill(pid, 'SIGCONT')
    })
    await rig.cli('resume', 'sessions')
    await rig.untilOk('sessions', 25_000)
    for (const pid of pids) process.kill(pid, 'SIGSTOP')
    await rig.until('writes are refused', 'sessions', (s) => s.health === 'down', 5000)
    for (const pid of pids) process.kill(pid, 'SIGCONT')
    await rig.untilOk('sessions', 25_000)
    await rig.finish(writer).then((report) => expect(report.lost).toBe(0))
  })

  test('paused: no agent stands, and no Sentinel can promote anybody; resumed, the dead primary is replaced', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk('sessions', 25_000)
    await rig.cli('pause', 'sessions')
    await new Promise((resolve) => setTimeout(resolve, 1000))
    await rig.lab.kill(primary, 'agent')
    await rig.lab.kill(primary, 'redis')
    await new Promise((resolve) => setTimeout(resolve, 5000))
    expect(await rig.redis(other(primary), 'ROLE'), 'still a replica').toMatch(/^slave/)
    await rig.startAgent(primary)
    await rig.cli('resume', 'sessions')
    await rig.untilOk('sessions', 30_000)
    await rig.expectNoBrokenRule()
  })
})
