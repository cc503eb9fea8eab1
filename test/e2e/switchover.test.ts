/** The planned change of the primary (INV-5): it loses nothing, costs clients one reconnect, and is taken back when it cannot be done. */
import { describe, expect, test } from 'vitest'
import type { Rig } from './rig.ts'
import { problems, rigFor, twoHosts } from './rig.ts'

/** What a reconnect looks like. Anything else would be an error that an application has to handle. */
const reconnects = ['closed', 'ECONNRESET', 'ECONNREFUSED', 'EPIPE']
const maxPauseMs = 800

async function switchover(rig: Rig, ...args: string[]): Promise<void> {
  const result = await rig.cli('switchover', 'sessions', ...args)
  expect(result, 'the switchover is done').toMatchObject({ code: 0 })
}

describe.skipIf(problems.length > 0)('a switchover', { timeout: 60_000 }, () => {
  const theRig = rigFor('switch', twoHosts([`failover: { max_pause_ms: ${maxPauseMs} }`]))

  test('there and back five times: nothing lost, no error but a reconnect', async () => {
    const rig = theRig()
    let { primary, epoch } = await rig.untilOk()
    const writer = await rig.writer()
    for (let round = 1; round <= 10; round += 1) {
      const to = primary === 'red-a' ? 'red-b' : 'red-a'
      const args = round % 2 === 0 ? ['--to', to] : []
      const after = await rig.incident(writer, `${round}: ${primary} → ${to}`, { outageMs: 1000, mayBeUnfelt: true }, () => switchover(rig, ...args))
      expect(after).toMatchObject({ primary: to, epoch: epoch + 1 })
      expect(await rig.writable()).toEqual([to])
      primary = to
      epoch += 1
    }
    const report = await rig.finishWithin(writer, 1000)
    expect(report.errorKinds.filter((kind) => !reconnects.includes(kind))).toEqual([])
    const history = JSON.parse((await rig.cli('history', 'sessions', '--json')).stdout) as { failovers: { kind: string; notReplicatedBytes: number }[] }
    expect(history.failovers.slice(-10).every((f) => f.kind === 'switchover' && f.notReplicatedBytes === 0)).toBe(true)
    await rig.expectNoBrokenRule()
  })

  test('the old primary needs no full copy: it goes on from where the new one began', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    await switchover(rig)
    const after = await rig.untilOk()
    const stats = await rig.redis(after.primary, 'INFO', 'stats')
    expect(/sync_full:(\d+)/.exec(stats)?.[1]).toBe('0')
    expect(Number(/sync_partial_ok:(\d+)/.exec(stats)?.[1])).toBeGreaterThan(0)
    expect(after.primary).not.toBe(before.primary)
  })

  test('--dry-run, to itself, to a stranger: nothing happens, and each says why', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const writer = await rig.writer()
    await rig.incident(writer, 'asked three times', { outageMs: 100, mayBeUnfelt: true }, async () => {
      const dry = await rig.cli('switchover', 'sessions', '--dry-run')
      expect(dry).toMatchObject({ code: 0, stdout: expect.stringContaining('would switch over') as unknown })
      const itself = await rig.cli('switchover', 'sessions', '--to', before.primary)
      expect(itself.code).toBe(1)
      expect(itself.stderr).toMatch(/HF303.*is the primary already/)
      const stranger = await rig.cli('switchover', 'sessions', '--to', 'red-z')
      expect(stranger.code).toBe(2)
      expect(stranger.stderr).toMatch(/HF104.*red-z is not a member/)
    })
    await rig.finishWithin(writer, 100)
    expect(await rig.untilOk()).toMatchObject({ primary: before.primary, epoch: before.epoch })
  })

  test('the target stops at that very moment: taken back within max_pause_ms, nothing lost', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const target = before.primary === 'red-a' ? 'red-b' : 'red-a'
    for (const delayMs of [0, 5, 300]) {
      const writer = await rig.writer()
      await rig.incident(
        writer,
        `the redis of ${target} stopped ${delayMs} ms before`,
        { outageMs: maxPauseMs + 500, okWithinMs: null, mayBeUnfelt: true },
        async () => {
          await rig.lab.freeze(target, 'redis')
          await new Promise((resolve) => setTimeout(resolve, delayMs))
          const result = await rig.cli('switchover', 'sessions')
          expect(result.code).toBe(1)
          expect(result.stderr).toMatch(/HF303/)
        },
      )
      const status = await rig.status()
      expect(status).toMatchObject({ primary: before.primary, epoch: before.epoch })
      await rig.lab.thaw(target, 'redis')
      await rig.untilOk()
      await rig.finishWithin(writer, maxPauseMs + 500)
    }
    await rig.expectNoBrokenRule()
  })

  test('the agent of the target is gone: refused, and nobody is disturbed', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const target = before.primary === 'red-a' ? 'red-b' : 'red-a'
    const writer = await rig.writer()
    const after = await rig.incident(writer, 'no agent to agree', { outageMs: 100, mayBeUnfelt: true }, async () => {
      await rig.killAgent(target)
      const refused = await rig.cli('switchover', 'sessions')
      expect(refused.code).toBe(1)
      expect(refused.stderr).toMatch(/HF303/)
      await rig.startAgent(target)
    })
    await rig.finishWithin(writer, 100)
    expect(after).toMatchObject({ primary: before.primary, epoch: before.epoch })
  })

  test('two orders at once: one is done or both are refused, never a mess', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const writer = await rig.writer()
    const after = await rig.incident(writer, 'two operators', { outageMs: 1000, mayBeUnfelt: true }, async () => {
      const results = await Promise.all([rig.cli('switchover', 'sessions'), rig.cli('switchover', 'sessions')])
      expect(results.filter((r) => r.code === 0).length).toBeGreaterThanOrEqual(1)
    })
    await rig.finishWithin(writer, 1000)
    expect(after?.epoch).toBeLessThanOrEqual(before.epoch + 2)
    expect(await rig.writable()).toEqual([after?.primary])
    await rig.expectNoBrokenRule()
  })
})
