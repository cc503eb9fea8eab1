/**
 * A host is gone: cut off (silence, it lives on and does not know) or without power. The other side takes over after its
 * second opinion. What the lost host acknowledged alone, while nobody could tell it, is kept at its return and listed.
 */
import { describe, expect, test } from 'vitest'
import { countIn, keptFiles } from './evidence.ts'
import { problems, rigFor, twoHosts, vip } from './rig.ts'

const outageMs = 2000

describe.skipIf(problems.length > 0)('a host that is lost', { timeout: 90_000 }, () => {
  const theRig = rigFor('hostloss', twoHosts())

  test('cut off, then healed: the survivor keeps all it acknowledged, the lost one becomes its replica', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const writer = await rig.writer()
    await rig.incident(writer, 'the primary is cut off', { outageMs, okWithinMs: null }, () => rig.lab.cut(before.primary))
    const after = await rig.incident(writer, 'healed', { outageMs: 500, mayBeUnfelt: true }, () => rig.lab.heal(before.primary))
    await rig.finishWithin(writer, outageMs)
    expect(after?.primary).not.toBe(before.primary)
    expect(after?.epoch, 'one promotion: the heal changes nobody').toBe(before.epoch + 1)
    expect(await rig.writable()).toEqual([after?.primary])
    await rig.expectNoBrokenRule()
  })

  test('three short and long cuts in a row end well, without a hand', async () => {
    const rig = theRig()
    let { primary } = await rig.untilOk()
    const writer = await rig.writer()
    for (const cutMs of [600, 1500, 4000]) {
      await rig.incident(writer, `${primary} is cut off for ${cutMs} ms`, { outageMs, okWithinMs: null }, () => rig.lab.cut(primary))
      await new Promise((resolve) => setTimeout(resolve, cutMs))
      const after = await rig.incident(writer, 'healed', { outageMs: 500, mayBeUnfelt: true }, () => rig.lab.heal())
      expect(await rig.writable()).toEqual([after?.primary])
      primary = after?.primary ?? ''
    }
    await rig.finishWithin(writer, outageMs)
    await rig.expectNoBrokenRule()
  })

  test('a cut too short to matter moves nothing, or moves it cleanly', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const writer = await rig.writer()
    const after = await rig.incident(writer, '60 ms of silence', { outageMs: 1000, mayBeUnfelt: true }, async () => {
      await rig.lab.cut(before.primary)
      await new Promise((resolve) => setTimeout(resolve, 30))
      await rig.lab.heal()
    })
    await rig.finishWithin(writer, 1000)
    expect(after?.epoch).toBeLessThanOrEqual(before.epoch + 1)
  })

  test('power off: the other takes over; power on: it comes back by itself', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const writer = await rig.writer()
    await rig.incident(writer, 'the primary loses its power', { outageMs, okWithinMs: null }, () => rig.lab.power(before.primary, 'off'))
    const after = await rig.incident(writer, 'power on', { outageMs: 500, mayBeUnfelt: true }, () => rig.lab.power(before.primary, 'on'))
    await rig.finishWithin(writer, outageMs)
    expect(after?.primary).not.toBe(before.primary)
    expect(after?.epoch).toBe(before.epoch + 1)
  })

  test('both hosts lose their power (the whole rack): the one with the most data serves, none is wiped', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const replica = before.primary === 'red-a' ? 'red-b' : 'red-a'
    await rig.redisAt('client', vip, 'SET', 'before-the-dark', 'kept')
    await rig.redis(before.primary, 'SAVE')
    await rig.redis(replica, 'SAVE')
    await Promise.all(['red-a', 'red-b'].map((host) => rig.lab.power(host, 'off')))
    await rig.lab.power(replica, 'on')
    await rig.lab.power(before.primary, 'on')
    const after = await rig.untilOk('sessions', 20_000)
    expect(await rig.redisAt('client', vip, 'GET', 'before-the-dark')).toBe('kept')
    expect(await rig.writable()).toEqual([after.primary])
    const writer = await rig.writer()
    await rig.finishWithin(writer, 1000)
  })

  test('writes that only the cut primary has are kept before they are given up (INV-6)', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const writer = await rig.writer()
    await rig.incident(writer, 'the primary is cut off', { outageMs, okWithinMs: null }, () => rig.lab.cut(before.primary))
    // Nobody could tell it, so with `durability: available` a client on that side could still write.
    expect(await rig.redis(before.primary, 'SET', 'dark:1', '1')).toBe('OK')
    const keptBefore = await keptFiles(rig, before.primary)
    const after = await rig.incident(writer, 'healed', { outageMs: 500, mayBeUnfelt: true }, () => rig.lab.heal(before.primary))
    await rig.finishWithin(writer, outageMs)
    expect(after?.primary).not.toBe(before.primary)
    expect(await rig.redisAt('client', vip, 'GET', 'dark:1'), 'the survivor never had it').toBe('')
    const kept = (await keptFiles(rig, before.primary)).filter((file) => !keptBefore.includes(file))
    expect(kept).toHaveLength(1)
    expect(await countIn(rig, kept[0] ?? '', 'dark', 1, 1)).toBe(1)
    const history = JSON.parse((await rig.cli('history', 'sessions', '--json')).stdout) as { failovers: { notReplicatedBytes: number | null }[] }
    expect(history.failovers.at(-1)?.notReplicatedBytes, 'and history says how much').toBeGreaterThan(0)
    await rig.expectNoBrokenRule()
  })

  /**
   * Two hosts without a witness cannot tell a lost peer from a lost wire: the replica that is cut off promotes itself while
   * the clients go on with the primary. Documented for `durability: available`: at the heal the newer epoch rules, the group
   * is well by itself, and every write that leaves the lineage is in the copy that was kept first.
   */
  test('the REPLICA is cut off: at the heal one lineage rules, and what it gives up is in the kept copy', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const replica = before.primary === 'red-a' ? 'red-b' : 'red-a'
    const prefix = 'partition'
    const writer = await rig.writer({ prefix })
    await rig.incident(writer, 'the replica is cut off', { outageMs: 100, okWithinMs: null, mayBeUnfelt: true }, async () => {
      await rig.lab.cut(replica)
      await rig.until('it is missed', 'sessions', (s) => s.health === 'degraded', 5000)
    })
    const after = await rig.incident(writer, 'healed', { outageMs: 2000, mayBeUnfelt: true }, () => rig.lab.heal())
    await writer.stop()
    const verified = await writer.verify()
    expect(verified.complete).toBe(true)
    if (verified.lost > 0) {
      const [first, last] = [verified.firstLost?.seq ?? 0, verified.lastLost?.seq ?? 0]
      const kept = await keptFiles(rig, before.primary)
      expect(await countIn(rig, kept.at(-1) ?? '', prefix, first, last), 'kept, of those that are gone').toBeGreaterThanOrEqual(verified.lost)
    }
    const { marks } = await writer.stop()
    console.info(marks.map((m) => `${m.label}: outage ${m.longestOutage.lengthMs.toFixed(0)} ms`).join('\n'), `${verified.lost} left the lineage and are kept`)
    expect(marks[0]?.longestOutage.lengthMs).toBeLessThan(100)
    expect(marks[1]?.longestOutage.lengthMs).toBeLessThan(2000)
    expect(await rig.writable()).toEqual([after?.primary])
    await rig.expectNoBrokenRule()
  })
})
