/**
 * The agent of a primary is dead or hangs, and then its host is cut off: nobody is left there who holds the lease. The guard, which
 * keepalived runs, refuses writes and withdraws the address. How long that takes is measured; while nothing is cut it does nothing.
 */
import type { Ack } from '../../src/lab/writer-process.ts'
import { readFile, stat } from 'node:fs/promises'
import { afterAll, describe, expect, test } from 'vitest'
import { startWriter } from '../../src/lab/writer.ts'
import { pairAndWitness, poll, problems, rigFor, vip, type Rig } from './rig.ts'

/** A second until the beat is stale or the next turn comes, the start of the program, a quarter of a second of questions. */
const boundMs = 2500
const figures: string[] = []

afterAll(() => console.info(figures.join('\n')))

describe.skipIf(problems.length > 0)('the guard of a primary whose agent is', { timeout: 60_000 }, () => {
  const theRig = rigFor('guard', pairAndWitness)

  test.each([1, 2].flatMap((round) => [['killed', round] as const, ['stopped', round] as const]))(
    '%s: nothing changes for clients; then the host is cut off: writes end there (round %i)',
    async (how, round) => {
      const rig = theRig()
      const { primary, epoch } = await rig.untilOk()
      const here = await writerOn(rig, primary)
      await strike(rig, primary, how)
      const before = await here.stats()
      await new Promise((resolve) => setTimeout(resolve, 2500))
      expect((await here.stats()).errors, 'an agent is not the service').toBe(before.errors)
      expect(await rig.redis(primary, 'SET', 'x', '1')).toBe('OK')
      const { atMs } = await rig.lab.cut(primary)
      expect(await untilRefused(rig, primary)).toMatch(/NOREPLICAS/)
      const stopped = await lastAckMs(here)
      const successor = await rig.until('the other serves', 'sessions', (s) => s.primary === other(primary), 5000)
      const writer = await rig.writer()
      expect((await allowed(rig, primary)).trim()).toBe('0')
      figures.push(`agent ${how}, then cut, round ${round}: the last acknowledgement ${Math.round(stopped - atMs)} ms after the cut`)
      expect(stopped - atMs).toBeLessThan(boundMs)
      const healed = await rig.lab.heal()
      await strike(rig, primary, how === 'killed' ? 'started' : 'continued')
      expect(await rig.untilOk()).toMatchObject({ primary: successor.primary, epoch: epoch + 1 })
      expect((await rig.finish(writer)).lost).toBe(0)
      await here.stop()
      const left = await here.verify()
      expect(left.lastLost?.ackedAtMs ?? 0, 'acknowledged after the heal and gone').toBeLessThan(healed.atMs)
      await here.close()
      expect(await rig.writable()).toEqual([successor.primary])
      await rig.expectNoBrokenRule()
    },
  )

  test('killed, then cut at once: the same', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const here = await writerOn(rig, primary)
    await rig.killAgent(primary)
    const { atMs } = await rig.lab.cut(primary)
    expect(await untilRefused(rig, primary)).toMatch(/NOREPLICAS/)
    const stopped = await lastAckMs(here)
    figures.push(`agent killed and cut at once: the last acknowledgement ${Math.round(stopped - atMs)} ms after the cut`)
    expect(stopped - atMs).toBeLessThan(boundMs + 500)
    await rig.lab.heal()
    await rig.startAgent(primary)
    expect((await rig.untilOk()).primary).toBe(other(primary))
    await here.close()
    await rig.expectNoBrokenRule()
  })

  test('killed, cut, and nobody can be elected: the agent comes back, adopts the fence, and lifts it when it is heard', async () => {
    const rig = theRig()
    const { primary, epoch } = await rig.untilOk()
    const writer = await rig.writer()
    await rig.lab.power('red-w', 'off')
    await rig.killAgent(primary)
    await rig.lab.cut(primary)
    expect(await untilRefused(rig, primary)).toMatch(/NOREPLICAS/)
    await rig.startAgent(primary)
    await new Promise((resolve) => setTimeout(resolve, 1500))
    expect(await rig.redis(primary, 'SET', 'x', '1'), 'a new agent does not know better than the guard').toMatch(/NOREPLICAS/)
    await rig.lab.heal()
    await rig.lab.power('red-w', 'on')
    expect(await rig.untilOk()).toMatchObject({ primary, epoch })
    expect(await writer.steady({ acks: 100, withinMs: 10_000 })).toBe(true)
    expect(await rig.redis(primary, 'CONFIG', 'GET', 'min-replicas-to-write')).toMatch(/\n0$/)
    expect((await rig.finish(writer)).lost).toBe(0)
    await rig.expectNoBrokenRule()
  })

  test('stopped in good order: keepalived and redis run on, clients notice nothing', async () => {
    const rig = theRig()
    const { primary, epoch } = await rig.untilOk()
    const writer = await rig.writer()
    await rig.incident(writer, 'the agent is stopped for 4 s', { outageMs: 100, mayBeUnfelt: true }, async () => {
      await rig.killAgent(primary, 'SIGTERM')
      await new Promise((resolve) => setTimeout(resolve, 4000))
      await rig.startAgent(primary)
    })
    expect(await rig.untilOk()).toMatchObject({ primary, epoch })
    await rig.finishWithin(writer, 100)
  })

  test('well: what it costs, and the beat goes on', async () => {
    const rig = theRig()
    await rig.untilOk()
    const [cpu, file] = [await keepalivedCpuMs(rig, 'red-a'), rig.file('red-a', 'run', 'agent.beat')]
    const beat = (await stat(file)).mtimeMs
    await new Promise((resolve) => setTimeout(resolve, 10_000))
    figures.push(`keepalived with the guard: ${((await keepalivedCpuMs(rig, 'red-a')) - cpu) / 100} % of a core`)
    expect((await stat(file)).mtimeMs).toBeGreaterThan(beat)
  })
})

async function strike(rig: Rig, host: string, how: 'killed' | 'stopped' | 'started' | 'continued'): Promise<void> {
  if (how === 'killed') await rig.killAgent(host)
  else if (how === 'stopped') await rig.lab.freeze(host, 'agent')
  else if (how === 'continued') await rig.lab.thaw(host, 'agent')
  else await rig.startAgent(host)
}

/** On the host itself: the only client that a cut leaves there. */
async function writerOn(rig: Rig, host: string) {
  const writer = await startWriter({ kind: 'lab', lab: rig.lab, client: host }, { host: vip, port: 6379, commandTimeoutMs: 1000, connectTimeoutMs: 1000 })
  expect(await writer.steady({ acks: 200, withinMs: 10_000 })).toBe(true)
  return writer
}

async function untilRefused(rig: Rig, host: string): Promise<string> {
  const refused = await poll(
    async () => {
      const answer = await rig.redis(host, 'SET', 'probe', '1')
      return answer === 'OK' ? undefined : answer
    },
    { withinMs: 8000, everyMs: 50 },
  )
  return refused ?? 'writes were never refused'
}

async function lastAckMs(writer: { readonly history: () => Promise<readonly Ack[]> }): Promise<number> {
  return Math.max(...(await writer.history()).map(([, atMs]) => atMs))
}

async function allowed(rig: Rig, host: string): Promise<string> {
  return readFile(rig.file(host, 'run', 'sessions.vip-allowed'), 'utf8')
}

/** Its own time and that of the scripts that it has run. */
async function keepalivedCpuMs(rig: Rig, host: string): Promise<number> {
  const pid = (await readFile(rig.file(host, 'run', 'keepalived-vrrp.pid'), 'utf8')).trim()
  const fields = (await readFile(`/proc/${pid}/stat`, 'latin1')).split(') ')[1]?.split(' ') ?? []
  return [11, 12, 13, 14].reduce((sum, i) => sum + Number(fields[i]) * 10, 0)
}

function other(host: string): string {
  return host === 'red-a' ? 'red-b' : 'red-a'
}
