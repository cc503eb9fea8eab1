/** The reader address with real keepalived: reads are answered from a replica, by whatever is left, while a client reads all the time. */
import { describe, expect, test } from 'vitest'
import { holders, readerVip, readsThrough, settled } from './reads.ts'
import { hostLines, poll, problems, rigFor } from './rig.ts'

const threeHosts = `${hostLines(3)}
groups:
  sessions:
    members: [red-a, red-b, red-c]
    vip: 192.168.77.9/24
    reader_vip: ${readerVip}/24
`

describe.skipIf(problems.length > 0)('the reader address', { timeout: 90_000 }, () => {
  const theRig = rigFor('reader', threeHosts)

  test('redis is killed on the replica that has it: reads go on at the other', async () => {
    const rig = theRig()
    const { reader, third } = await settled(rig)
    const reads = await readsThrough(rig, 3000, () => rig.lab.kill(reader, 'redis'))
    expect(reads.longestGapMs).toBeLessThan(1000)
    expect(reads.answers, 'never from the primary').not.toHaveProperty('master')
    expect(await holders(rig)).toEqual([third])
    expect((await rig.cli('status')).stdout).toContain(`reads ${readerVip} on ${third}`)
  })

  test('keepalived is killed on the replica that has it: what it leaves behind leads nobody astray', async () => {
    const rig = theRig()
    const { reader } = await settled(rig)
    const reads = await readsThrough(rig, 3000, () => rig.lab.kill(reader, 'keepalived'))
    expect(reads.longestGapMs).toBeLessThan(1000)
    expect(reads.answers).not.toHaveProperty('master')
    await settled(rig)
    expect(await holders(rig)).toHaveLength(1)
  })

  test('the primary fails over to the member that has it: reads go on, and leave the new primary when another follows', async () => {
    const rig = theRig()
    const before = await settled(rig)
    // The one with the address is to be promoted.
    const writer = await rig.writer()
    const reads = await readsThrough(rig, 4000, async () => {
      await rig.lab.kill(before.third, 'agent')
      await rig.lab.kill(before.primary, 'redis')
      await rig.until('the other is primary', 'sessions', (s) => s.primary === before.reader, 3000)
      await rig.lab.start(before.third, 'agent')
    })
    expect(reads.longestGapMs).toBeLessThan(1000)
    const after = await settled(rig)
    expect(after.primary).toBe(before.reader)
    expect(await holders(rig)).toEqual([after.reader])
    await rig.finishWithin(writer, 3000)
  })

  test('the host that has it is cut off: reads go on at another, and at the heal there is one that has it', async () => {
    const rig = theRig()
    const { reader, third } = await settled(rig)
    const reads = await readsThrough(rig, 4000, () => rig.lab.cut(reader))
    expect(reads.longestGapMs).toBeLessThan(1500)
    expect(reads.last).toBe('slave')
    expect(await holders(rig), 'the one that is cut off has it too, for nobody').toContain(third)
    await rig.lab.heal(reader)
    await settled(rig)
    const one = await poll(async () => ((await holders(rig)).length === 1 ? true : undefined), { withinMs: 5000 })
    expect(one, 'on one host').toBe(true)
  })

  test('a switchover to the member that has it loses no write; reads move out of its way', async () => {
    const rig = theRig()
    const { reader } = await settled(rig)
    const writer = await rig.writer()
    const reads = await readsThrough(rig, 4000, async () => {
      expect(await rig.cli('switchover', 'sessions', '--to', reader)).toMatchObject({ code: 0 })
    })
    expect(reads.longestGapMs).toBeLessThan(500)
    expect(reads.last).toBe('slave')
    await rig.finishWithin(writer, 500)
    expect((await settled(rig)).primary).toBe(reader)
  })

  test('no replica is left: the primary answers reads after a second, and gives them away again', async () => {
    const rig = theRig()
    const { primary, reader, third } = await settled(rig)
    const reads = await readsThrough(rig, 5000, async () => {
      await rig.lab.kill(third, 'all')
      await rig.lab.kill(reader, 'all')
    })
    expect(reads.last).toBe('master')
    expect(reads.longestGapMs).toBeLessThan(3000)
    expect(await rig.writable()).toEqual([primary])
    await rig.lab.start(third, 'agent')
    await rig.lab.start(reader, 'agent')
    expect((await settled(rig)).primary).toBe(primary)
    await rig.expectNoBrokenRule()
  })
})
