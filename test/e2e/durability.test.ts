/**
 * Partitions without a witness: what `check_ips` and `durability: safe` promise, and how wide the gap is where they promise nothing.
 * One client stays with the majority, the other on the very host that is cut off; their acknowledgements are merged.
 */
import { afterAll, describe, expect, test } from 'vitest'
import type { WriterHandle } from '../../src/lab/writer.ts'
import type { Ack } from '../../src/lab/writer-process.ts'
import { startWriter } from '../../src/lab/writer.ts'
import { countIn, keptFiles } from './evidence.ts'
import type { Rig } from './rig.ts'
import { hostLines, problems, rigFor, run, twoHosts, vip } from './rig.ts'

const gateway = '192.168.77.254'
/** The time of a lease, what the agent needs to act, and that of a loaded machine. */
const windowMs = 300
const figures: string[] = []

afterAll(() => console.info(figures.join('\n')))

describe.skipIf(problems.length > 0)('two members with check_ips', { timeout: 60_000 }, () => {
  const theRig = rigFor('checkips', twoHosts([`check_ips: [${gateway}]`]))

  test.each([1, 2, 3])('the host of the primary is cut off, a client on it: it stops before the other starts (round %i)', async (round) => {
    const rig = theRig()
    const { primary, epoch } = await rig.untilOk()
    const [there, here] = await twoWriters(rig, primary)
    const { atMs } = await rig.lab.cut(primary)
    const gap = await gapOf(rig, there, here, atMs, other(primary))
    figures.push(`check_ips, host cut, round ${round}: ${gap.text}`)
    expect(gap.stoppedMs, 'the last acknowledgement of the old primary comes before the first of the new one').toBeLessThan(gap.beganMs)
    expect(gap.stoppedMs - atMs).toBeLessThan(windowMs)
    expect(await rig.redis(primary, 'SET', 'x', '1'), 'refused, not only held').toMatch(/NOREPLICAS/)
    expect(await rig.redis(primary, 'PING'), 'and reads are served').toBe('PONG')
    const healed = await rig.lab.heal()
    expect(await rig.untilOk()).toMatchObject({ primary: other(primary), epoch: epoch + 1 })
    expect(await here.steady({ acks: 100, withinMs: 10_000 }), 'the client of the other side finds the new primary').toBe(true)
    expect((await rig.finish(there)).lost).toBe(0)
    await expectNothingLostAfter(here, healed.atMs)
    expect(await rig.writable()).toEqual([other(primary)])
    await rig.expectNoBrokenRule()
  })

  test('the replica is cut off: it promotes nobody, and the primary, which reaches the gateway, goes on', async () => {
    const rig = theRig()
    const { primary, epoch } = await rig.untilOk()
    const writer = await rig.writer()
    await rig.incident(writer, 'the replica is cut off', { outageMs: 150, mayBeUnfelt: true, okWithinMs: null }, async () => {
      await rig.lab.cut(other(primary))
      await rig.until('it is missed', 'sessions', (s) => s.health === 'degraded', 5000)
      await new Promise((resolve) => setTimeout(resolve, 1500))
    })
    await rig.lab.heal()
    expect(await rig.untilOk()).toMatchObject({ primary, epoch })
    await rig.finishWithin(writer, 500)
    await rig.expectNoBrokenRule()
  })

  test('… and the gateway drops whatever TCP it does not serve, as many do: it answers ping, and the primary goes on all the same', async () => {
    const rig = theRig()
    const { primary, epoch } = await rig.untilOk()
    const onGateway = (...argv: string[]) => run(['ip', 'netns', 'exec', rig.lab.record.plan.bridgeNetns, 'nft', ...argv])
    const writer = await rig.writer()
    const rules = 'table inet deaf { chain in { type filter hook input priority 0; ip daddr 192.168.77.254 meta l4proto tcp drop; }; }'
    expect(await onGateway(rules)).toMatchObject({ code: 0 })
    try {
      expect((await rig.lab.exec(primary, ['redis-cli', '-h', gateway, '-p', '80', '-t', '1', 'PING'], { deadlineMs: 500 })).code, 'TCP is silent').not.toBe(0)
      await rig.incident(writer, 'the replica is cut off, ping alone answers', { outageMs: 200, mayBeUnfelt: true, okWithinMs: null }, async () => {
        await rig.lab.cut(other(primary))
        await rig.until('it is missed', 'sessions', (s) => s.health === 'degraded', 5000)
        await new Promise((resolve) => setTimeout(resolve, 3000))
      })
    } finally {
      await onGateway('delete', 'table', 'inet', 'deaf')
    }
    await rig.lab.heal()
    expect(await rig.untilOk()).toMatchObject({ primary, epoch })
    const report = await rig.finishWithin(writer, 500)
    figures.push(`check_ips, only ping answers: longest gap of the primary ${Math.round(report.marks[0]?.longestOutage.lengthMs ?? 0)} ms`)
    await rig.expectNoBrokenRule()
  })

  test('both are cut off from everything: nobody writes, and at the heal the old primary goes on', async () => {
    const rig = theRig()
    const { primary, epoch } = await rig.untilOk()
    const [, here] = await twoWriters(rig, primary)
    await Promise.all([rig.lab.cut(primary), rig.lab.cut(other(primary))])
    await new Promise((resolve) => setTimeout(resolve, 2000))
    const { acked } = await here.stats()
    await new Promise((resolve) => setTimeout(resolve, 500))
    expect((await here.stats()).acked).toBe(acked)
    await rig.lab.heal()
    expect(await rig.untilOk()).toMatchObject({ primary, epoch })
    expect(await here.steady({ acks: 100, withinMs: 10_000 })).toBe(true)
    expect((await rig.finish(here)).lost).toBe(0)
    await rig.expectNoBrokenRule()
  })

  test('cut only from each other, both reach the gateway: two writers until the heal; what is given up is kept', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const [there, here] = await twoWriters(rig, primary, { prefix: 'aside' })
    // The client of this side stays with the replica, as if the switch between the hosts had split.
    // The client first: what it were told between two cuts could not be replicated any more.
    await rig.lab.isolate(primary, 'client')
    const { atMs } = await rig.lab.isolate(primary, other(primary))
    const gap = await gapOf(rig, there, here, atMs, other(primary))
    figures.push(`check_ips, cut from each other only: ${gap.text} (both write until the heal)`)
    expect(gap.stoppedMs, 'both acknowledge').toBeGreaterThan(gap.beganMs)
    await rig.lab.heal()
    expect((await rig.untilOk()).primary).toBe(other(primary))
    expect((await rig.finish(there)).lost).toBe(0)
    await here.stop()
    const left = await here.verify()
    const kept = await keptFiles(rig, primary)
    const [first, last] = [left.firstLost?.seq ?? 0, left.lastLost?.seq ?? 0]
    expect(await countIn(rig, kept.at(-1) ?? '', 'aside', first, last), 'kept, of those that are gone').toBe(left.lost)
    figures.push(`check_ips, cut from each other only: ${left.lost} acknowledged writes left the lineage and are kept`)
    expect(left.lost).toBeGreaterThan(0)
    await here.close()
    await rig.expectNoBrokenRule()
  })
})

describe.skipIf(problems.length > 0)('two members with durability: safe', { timeout: 90_000 }, () => {
  const theRig = rigFor('safe', twoHosts(['durability: safe']))

  test('redis is killed: its agent says so, the other serves as soon as somebody replicates from it', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const writer = await rig.writer()
    await rig.incident(writer, 'kill -9', { outageMs: 4000 }, () => rig.lab.kill(before.primary, 'redis'))
    const report = await rig.finishWithin(writer, 4000)
    figures.push(`safe, redis killed: outage ${Math.round(report.marks[0]?.longestOutage.lengthMs ?? 0)} ms`)
    expect((await rig.untilOk()).primary).toBe(other(before.primary))
    await rig.expectNoBrokenRule()
  })

  test('the replica is gone: writes are refused, reads go on, status says for whom it waits; it comes back and they go on', async () => {
    const rig = theRig()
    const { primary, epoch } = await rig.untilOk()
    const writer = await rig.writer()
    await rig.lab.power(other(primary), 'off')
    const offMs = Date.now()
    const down = await rig.until('writes are refused', 'sessions', (s) => s.health === 'down', 10_000)
    expect(down.because).toMatch(new RegExp(`writes are refused on ${primary}: durability is safe.*waits for ${other(primary)}`))
    const last = lastAckMs(await writer.history())
    figures.push(`safe, the replica loses power: writes acknowledged for ${Math.round(last - offMs)} ms more`)
    expect(last - offMs).toBeLessThan(3500)
    expect(await rig.redisAt('client', vip, 'SET', 'x', '1')).toMatch(/NOREPLICAS/)
    expect(await rig.redisAt('client', vip, 'GET', 'nothing')).toBe('')
    await rig.lab.power(other(primary), 'on')
    expect(await rig.untilOk()).toMatchObject({ primary, epoch })
    expect(await writer.steady({ acks: 100, withinMs: 5000 })).toBe(true)
    expect((await rig.finish(writer)).lost).toBe(0)
  })

  test('the host of the primary is lost: nobody is promoted, until the operator says so; the old one is no second writer', async () => {
    const rig = theRig()
    const { primary, epoch } = await rig.untilOk()
    const [there, here] = await twoWriters(rig, primary)
    const { atMs } = await rig.lab.cut(primary)
    await new Promise((resolve) => setTimeout(resolve, 5000))
    const waiting = await rig.until('it waits', 'sessions', (s) => s.because.includes('--force'), 5000)
    expect(waiting.because).toMatch(new RegExp(`durability: safe waits for ${primary}, or for an operator`))
    const stopped = lastAckMs(await here.history())
    figures.push(`safe, host cut: the old primary acknowledges for ${Math.round(stopped - atMs)} ms, the other from the operator's word on`)
    expect(stopped - atMs).toBeLessThan(3500)
    expect((await rig.cli('failover', 'sessions', '--to', other(primary), '--force')).code).toBe(0)
    await rig.lab.heal()
    const forced = await rig.untilOk()
    expect(forced.primary).toBe(other(primary))
    expect(forced.epoch, 'above those that were asked for in vain').toBeGreaterThan(epoch)
    expect(await there.steady({ acks: 200, withinMs: 10_000 })).toBe(true)
    const began = (await there.history()).map(([, at]) => at).find((at) => at > atMs + 1000) ?? Number.NaN
    expect(stopped).toBeLessThan(began)
    expect((await rig.finish(there)).lost).toBe(0)
    await here.close()
    await rig.expectNoBrokenRule()
  })

  test('cut from each other only: the old primary ends within seconds, nobody else begins; at the heal it goes on', async () => {
    const rig = theRig()
    const { primary, epoch } = await rig.untilOk()
    const [there, here] = await twoWriters(rig, primary)
    // The client first: what it were told between two cuts could not be replicated any more.
    await rig.lab.isolate(primary, 'client')
    const { atMs } = await rig.lab.isolate(primary, other(primary))
    await new Promise((resolve) => setTimeout(resolve, 6000))
    const ended = Math.max(lastAckMs(await here.history()), lastAckMs(await there.history()))
    figures.push(`safe, cut from each other only: writes acknowledged for ${Math.round(ended - atMs)} ms more, by the old primary alone`)
    expect(ended - atMs).toBeLessThan(3500)
    await rig.lab.heal()
    expect(await rig.untilOk()).toMatchObject({ primary, epoch })
    for (const writer of [there, here]) {
      expect(await writer.steady({ acks: 100, withinMs: 10_000 })).toBe(true)
      expect((await rig.finish(writer)).lost).toBe(0)
    }
    await rig.expectNoBrokenRule()
  })

  test('switchover and back: nothing is lost', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const writer = await rig.writer()
    for (const to of [other(primary), primary]) {
      const after = await rig.incident(writer, `switchover to ${to}`, { outageMs: 3000 }, () => rig.cli('switchover', 'sessions', '--to', to))
      expect(after?.primary).toBe(to)
    }
    const report = await rig.finishWithin(writer, 3000)
    figures.push(`safe, switchover: outage ${report.marks.map((m) => Math.round(m.longestOutage.lengthMs)).join(' and ')} ms`)
    await rig.expectNoBrokenRule()
  })
})

describe.skipIf(problems.length > 0)('three members with durability: safe', { timeout: 60_000 }, () => {
  const theRig = rigFor('safe3', `${hostLines(3)}\ngroups:\n  sessions:\n    members: [red-a, red-b, red-c]\n    vip: 192.168.77.9/24\n    durability: safe\n`)

  test('the host of the primary is cut off: two of three elect, and it stops before', async () => {
    const rig = theRig()
    const { primary, epoch } = await rig.untilOk()
    const [there, here] = await twoWriters(rig, primary)
    const { atMs } = await rig.lab.cut(primary)
    const after = await rig.until('another serves', 'sessions', (s) => s.primary !== null && s.primary !== primary, 5000)
    const gap = await gapOf(rig, there, here, atMs, after.primary ?? '')
    figures.push(`three members, safe, host cut: ${gap.text}`)
    expect(gap.stoppedMs).toBeLessThan(gap.beganMs)
    await rig.lab.heal()
    expect(await rig.untilOk()).toMatchObject({ primary: after.primary, epoch: epoch + 1 })
    expect((await rig.finish(there)).lost).toBe(0)
    await here.close()
    await rig.expectNoBrokenRule()
  })
})

interface Gap {
  readonly stoppedMs: number
  readonly beganMs: number
  readonly text: string
}

/** The last acknowledgement of the old primary, the first of the new one. */
async function gapOf(rig: Rig, there: WriterHandle, here: WriterHandle, cutAtMs: number, successor: string): Promise<Gap> {
  await rig.until('the other serves', 'sessions', (s) => s.primary === successor, 5000)
  expect(await there.steady({ acks: 300, withinMs: 10_000 })).toBe(true)
  const stoppedMs = lastAckMs(await here.history())
  const beganMs = (await there.history()).map(([, atMs]) => atMs).find((atMs) => atMs > cutAtMs + 100) ?? Number.NaN
  const text = `the old primary stops after ${Math.round(stoppedMs - cutAtMs)} ms, the new one starts after ${Math.round(beganMs - cutAtMs)} ms`
  return { stoppedMs, beganMs, text }
}

/** `there` stays with the majority, `here` is on the host of the primary. */
async function twoWriters(rig: Rig, primary: string, options: { readonly prefix?: string } = {}): Promise<readonly [there: WriterHandle, here: WriterHandle]> {
  const there = await rig.writer()
  const here = await startWriter(
    { kind: 'lab', lab: rig.lab, client: primary },
    { host: vip, port: 6379, commandTimeoutMs: 1000, connectTimeoutMs: 1000, ...options },
  )
  expect(await here.steady({ acks: 200, withinMs: 10_000 })).toBe(true)
  return [there, here]
}

/** At a heal the gateway answers before the members do: the old primary must not take writes on its word. */
async function expectNothingLostAfter(writer: WriterHandle, atMs: number): Promise<void> {
  await writer.stop()
  const left = await writer.verify()
  expect(left.complete).toBe(true)
  expect(left.lastLost?.ackedAtMs ?? 0, 'acknowledged after the heal and gone').toBeLessThan(atMs)
  await writer.close()
}

function lastAckMs(acks: readonly Ack[]): number {
  return Math.max(...acks.map(([, atMs]) => atMs))
}

function other(host: string): string {
  return host === 'red-a' ? 'red-b' : 'red-a'
}
