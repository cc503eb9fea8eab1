/**
 * Two members and a witness (INV-3): at most one accepts writes at any time, whoever is cut from whom. Two clients write
 * through the address from the start, one on each side of every partition; the check merges their acknowledgements.
 */
import { describe, expect, test } from 'vitest'
import type { WriterHandle } from '../../src/lab/writer.ts'
import { startWriter } from '../../src/lab/writer.ts'
import type { Rig } from './rig.ts'
import { pairAndWitness, problems, rigFor, vip } from './rig.ts'

/** Of the lease: what the primary may still acknowledge after the cut, and lose; plus what its agent needs to act. */
const windowMs = 200

describe.skipIf(problems.length > 0)('two members and a witness', { timeout: 60_000 }, () => {
  const theRig = rigFor('witness', pairAndWitness)

  test('redis is killed: the vote costs a few milliseconds', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const writer = await rig.writer()
    const after = await rig.incident(writer, 'kill -9', { outageMs: 500 }, () => rig.lab.kill(before.primary, 'redis'))
    await rig.finishWithin(writer, 500)
    expect(after).toMatchObject({ primary: other(before.primary), epoch: before.epoch + 1 })
    await rig.expectNoBrokenRule()
  })

  test.each([1, 2, 3])('the primary is cut from both, a client with it: it stops before the other starts (round %i)', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const successor = other(primary)
    const [there, here] = await twoWriters(rig)
    await there.mark('cut')
    const cutAtMs = await cutWithClient(rig, primary)
    await rig.until('the other serves', 'sessions', (s) => s.primary === successor, 5000)
    expect(await there.steady({ acks: 300, withinMs: 5000 })).toBe(true)
    const stopped = lastAckMs(await here.history())
    const began = (await there.history()).map(([, atMs]) => atMs).find((atMs) => atMs > cutAtMs + 100) ?? Number.NaN
    expect(stopped, 'the last acknowledgement of the old primary comes before the first of the new one').toBeLessThan(began)
    expect(stopped - cutAtMs, 'and soon after the cut').toBeLessThan(windowMs)
    await rig.lab.heal()
    expect(await rig.untilOk()).toMatchObject({ primary: successor })
    expect(await here.steady({ acks: 100, withinMs: 10_000 }), 'the client of the other side finds the new primary').toBe(true)
    const report = await rig.finish(there)
    expect(report.lost).toBe(0)
    expect(report.marks[0]?.longestOutage.lengthMs).toBeLessThan(1000)
    await here.stop()
    const left = await here.verify()
    expect(left.lost, 'acknowledged on the wrong side and not replicated: no longer than the lease').toBeLessThanOrEqual(windowMs)
    await here.close()
    await rig.expectNoBrokenRule()
  })

  test('the primary is cut from the replica only: it goes on, the witness hears it, nobody else is elected', async () => {
    const rig = theRig()
    const { primary, epoch } = await rig.untilOk()
    const writer = await rig.writer()
    await rig.incident(writer, 'primary and replica lose each other', { outageMs: 1500, mayBeUnfelt: true, okWithinMs: null }, async () => {
      await rig.lab.isolate(primary, other(primary))
      await new Promise((resolve) => setTimeout(resolve, 1500))
    })
    await rig.lab.heal()
    const after = await rig.untilOk()
    // VRRP moves the address for a moment, the witness contradicts: a GARP a second, and the client is back.
    await rig.finishWithin(writer, 1500)
    expect(after).toMatchObject({ primary, epoch })
    await rig.expectNoBrokenRule()
  })

  test('the witness is gone: nothing happens; then redis dies: the two members are enough', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const writer = await rig.writer()
    await rig.incident(writer, 'the witness loses power', { outageMs: 150, mayBeUnfelt: true, okWithinMs: null }, () => rig.lab.power('red-w', 'off'))
    await rig.until('it is said', 'sessions', (s) => s.health === 'degraded' && s.because.includes('witness red-w'))
    await rig.incident(writer, 'kill -9 without a witness', { outageMs: 500, okWithinMs: null }, () => rig.lab.kill(before.primary, 'redis'))
    await rig.lab.power('red-w', 'on')
    expect((await rig.untilOk()).primary).toBe(other(before.primary))
    await rig.finishWithin(writer, 500)
    await rig.expectNoBrokenRule()
  })

  test('the witness is gone, and the primary is cut off: nobody may be elected, nobody writes; at the heal the old primary goes on', async () => {
    const rig = theRig()
    const { primary, epoch } = await rig.untilOk()
    const [there, here] = await twoWriters(rig)
    await rig.lab.power('red-w', 'off')
    await cutWithClient(rig, primary)
    await new Promise((resolve) => setTimeout(resolve, 2500))
    const [a, b] = [await here.stats(), await there.stats()]
    await new Promise((resolve) => setTimeout(resolve, 500))
    expect([(await here.stats()).acked, (await there.stats()).acked], 'not one more write on either side').toEqual([a.acked, b.acked])
    await rig.lab.heal()
    await rig.lab.power('red-w', 'on')
    expect(await rig.untilOk()).toMatchObject({ primary, epoch })
    for (const writer of [there, here]) {
      expect(await writer.steady({ acks: 100, withinMs: 10_000 })).toBe(true)
      expect((await rig.finish(writer)).lost).toBe(0)
    }
    await rig.expectNoBrokenRule()
  })

  test('one way only: what the primary says does not arrive, what the others say does', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const successor = other(primary)
    const [there, here] = await twoWriters(rig)
    const cutAtMs = Date.now()
    await cutWithClient(rig, primary, { oneWay: true })
    await rig.until('the other serves', 'sessions', (s) => s.primary === successor, 5000)
    expect(await there.steady({ acks: 200, withinMs: 5000 })).toBe(true)
    const began = (await there.history()).map(([, atMs]) => atMs).find((atMs) => atMs > cutAtMs + 100) ?? Number.NaN
    expect(lastAckMs(await here.history())).toBeLessThan(began)
    await rig.lab.heal()
    expect(await rig.untilOk()).toMatchObject({ primary: successor })
    expect((await rig.finish(there)).lost).toBe(0)
    await here.close()
    await rig.expectNoBrokenRule()
  })

  test('switchover and back', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const writer = await rig.writer()
    for (const to of [other(primary), primary]) {
      const after = await rig.incident(writer, `switchover to ${to}`, { outageMs: 500 }, () => rig.cli('switchover', 'sessions', '--to', to))
      expect(after?.primary).toBe(to)
    }
    await rig.finishWithin(writer, 500)
    await rig.expectNoBrokenRule()
  })
})

type Acks = Awaited<ReturnType<WriterHandle['history']>>

/** `there` stays with the majority, `here` with the primary that is cut off. */
async function twoWriters(rig: Rig): Promise<readonly [there: WriterHandle, here: WriterHandle]> {
  const there = await rig.writer()
  const here = await startWriter({ kind: 'lab', lab: rig.lab, client: 'client2' }, { host: vip, port: 6379, commandTimeoutMs: 1000, connectTimeoutMs: 1000 })
  expect(await here.steady({ acks: 200, withinMs: 10_000 })).toBe(true)
  return [there, here]
}

/** The primary and client2 on one side, all others on the other. When the last of these cuts was asked for. */
async function cutWithClient(rig: Rig, primary: string, options: { readonly oneWay?: boolean } = {}): Promise<number> {
  // The client of the other side first: what it were told between two cuts could not be replicated any more.
  await rig.lab.isolate(primary, 'client', options)
  const pairs = [primary, 'client2'].flatMap((from) => [other(primary), 'red-w', 'client'].map((to) => [from, to] as const))
  const cuts = await Promise.all(pairs.map(([from, to]) => rig.lab.isolate(from, to, options)))
  return Math.max(...cuts.map((cut) => cut.atMs))
}

function lastAckMs(acks: Acks): number {
  return Math.max(...acks.map(([, atMs]) => atMs))
}

function other(host: string): string {
  return host === 'red-a' ? 'red-b' : 'red-a'
}
