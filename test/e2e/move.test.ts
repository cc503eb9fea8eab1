/**
 * A running redis with its clients is moved to a group, as an operator does it: start, proof, cut-over, way back, commit. Nothing acknowledged is
 * lost, and never do two accept writes.
 */
import { describe, expect, test } from 'vitest'
import { OldRedis } from './moving.ts'
import { problems, rigFor, twoHosts } from './rig.ts'

describe.skipIf(problems.length > 0)('a running redis is moved to a new group', { timeout: 90_000 }, () => {
  const theRig = rigFor('move', twoHosts(['migration: { awaits: true, hook: ./hook }']))

  test('start, proof, cut-over, way back, cut-over again, commit: nothing lost, the old one is fenced, its clients are here', async () => {
    const rig = theRig()
    const old = new OldRedis(rig)
    await old.start()
    const writer = await rig.writer()
    expect((await rig.status())?.primary, 'it waits for what is to be moved').toBe(null)
    await rig.incident(writer, 'start', { outageMs: 300, okWithinMs: null, mayBeUnfelt: true }, () => old.startMove())
    expect(await old.shown()).toMatchObject({ stage: 'IN_SYNC' })
    expect(await old.writers(), 'the old one alone takes writes').toEqual(['old'])
    const early = await rig.cli('migrate', 'cutover', 'sessions')
    expect(early).toMatchObject({ code: 1, stderr: expect.stringContaining('has not been compared') as unknown })
    await old.ok('verify', old.url, 'sessions')
    expect(await old.shown()).toMatchObject({ stage: 'VERIFIED' })
    await rig.incident(writer, 'cut-over', { outageMs: 1500, okWithinMs: 10_000, mayBeUnfelt: true }, () => old.ok('cutover', 'sessions'))
    const { primary } = await rig.untilOk()
    expect(await old.writers()).toEqual([primary])
    await old.untilStage(['DRAINED'])
    await rig.incident(writer, 'way back', { outageMs: 1500, okWithinMs: null, mayBeUnfelt: true }, () => old.ok('rollback', 'sessions'))
    expect(await old.writers()).toEqual(['old'])
    await old.untilStage(['ROLLED_BACK'])
    // Within a second of the last word on an address Linux believes no other (locktime): nobody moves one there and back so soon.
    await new Promise((resolve) => setTimeout(resolve, 3500))
    await expect.poll(async () => (await rig.cli('migrate', 'cutover', 'sessions', '--unverified', '--dry-run')).code, { timeout: 10_000 }).toBe(0)
    await rig.incident(writer, 'cut-over again', { outageMs: 1500, okWithinMs: 10_000, mayBeUnfelt: true }, () => old.ok('cutover', 'sessions', '--unverified'))
    // Refused and gone again: on no list of clients.
    expect(await old.ask('SET', 'k', 'v')).toContain('READONLY')
    await expect.poll(async () => (await old.shown()).source?.arrivals?.count ?? 0, { timeout: 5000 }).toBeGreaterThan(0)
    expect(await rig.cli('migrate', 'commit', 'sessions')).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/connections came to it in .* refused/) as unknown,
    })
    await rig.finishWithin(writer, 1500)
    expect(await old.writers()).toEqual([(await rig.untilOk()).primary])
    await rig.expectNoBrokenRule()
    await old.stop()
  })
})
