/**
 * A child of redis (BGSAVE, the rewrite of an AOF) has every client's socket open as well: what its parent closes, or the kernel when the parent dies, is
 * closed for the client only when the child has ended too. Until then the client waits, for as long as its own timeout.
 */
import { afterEach, describe, expect, test } from 'vitest'
import { childrenOf } from '../../src/observe/process.ts'
import { OldRedis } from './moving.ts'
import type { Rig } from './rig.ts'
import { poll, problems, rigFor, twoHosts } from './rig.ts'

/** A key takes it a second: it would not be done for minutes. */
async function untilForked(ask: (...words: string[]) => Promise<string>): Promise<void> {
  for (let i = 0; i < 200; i += 1) await ask('SET', `fork:${i}`, '1')
  await ask('CONFIG', 'SET', 'rdb-key-save-delay', '1000000')
  await ask('BGSAVE')
  const forked = await poll(async () => (/rdb_bgsave_in_progress:1/.test(await ask('INFO', 'persistence')) ? true : undefined), { withinMs: 5000, everyMs: 20 })
  expect(forked, 'it saves').toBe(true)
}

const forkOn = (rig: Rig, host: string): Promise<void> => untilForked((...words) => rig.redis(host, ...words))

describe.skipIf(problems.length > 0)('redis has forked', { timeout: 90_000 }, () => {
  const unresponsiveMs = 600
  const theRig = rigFor('fork', twoHosts([`failover: { unresponsive_ms: ${unresponsiveMs} }`]))

  afterEach(async () => {
    for (const host of ['red-a', 'red-b']) await theRig().redis(host, 'CONFIG', 'SET', 'rdb-key-save-delay', '0')
  })

  test('the primary is killed while it saves: its clients come back at once', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const writer = await rig.writer()
    await forkOn(rig, before.primary)
    const after = await rig.incident(writer, 'kill -9 while it saves', { outageMs: 500 }, () => rig.lab.kill(before.primary, 'redis'))
    await rig.finishWithin(writer, 500)
    expect(after?.primary).not.toBe(before.primary)
    await rig.expectNoBrokenRule()
  })

  test('the primary hangs while it saves: killed in time, its clients come back at once', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const writer = await rig.writer()
    await forkOn(rig, before.primary)
    const outageMs = unresponsiveMs + 600
    const after = await rig.incident(writer, 'SIGSTOP while it saves', { outageMs }, () => rig.lab.freeze(before.primary, 'redis'))
    await rig.finishWithin(writer, outageMs)
    expect(after?.primary).not.toBe(before.primary)
  })

  test('a switchover while the primary saves', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const to = before.primary === 'red-a' ? 'red-b' : 'red-a'
    const writer = await rig.writer()
    await forkOn(rig, before.primary)
    const after = await rig.incident(writer, 'switchover while it saves', { outageMs: 300 }, () => rig.cli('switchover', 'sessions', '--to', to))
    await rig.finishWithin(writer, 300)
    expect(after?.primary).toBe(to)
  })
})

/** As its end, in the middle of it. */
async function endSave(old: OldRedis): Promise<void> {
  const children = childrenOf(Number(/process_id:(\d+)/.exec(await old.ask('INFO', 'server'))?.[1]))
  expect(children).toHaveLength(1)
  for (const { pid } of children) process.kill(pid, 'SIGUSR1')
}

describe.skipIf(problems.length > 0)('a move, and a redis has forked', { timeout: 90_000 }, () => {
  const theRig = rigFor('forkm', twoHosts(['migration: { awaits: true, hook: ./hook }']))

  test('there when the old redis has saved, and back while the new one saves', async () => {
    const rig = theRig()
    const old = new OldRedis(rig)
    await old.start()
    await old.startMove()
    const writer = await rig.writer()
    await untilForked((...words) => old.ask(...words))
    const refused = await rig.cli('migrate', 'cutover', 'sessions', '--unverified')
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/HF303 the source saves, or rewrites its AOF.*holdfast migrate arm/)])
    await old.ok('arm', 'sessions', '--unverified', '--at', new Date(Date.now() + 2000).toISOString(), '--within', '1m')
    await new Promise((resolve) => setTimeout(resolve, 3000))
    expect(await writer.steady({ acks: 300, withinMs: 5000 }), 'nobody is held meanwhile').toBe(true)
    expect((await old.shown()).move.stage).toBe('sync')
    await rig.incident(writer, 'cut-over when the source has saved', { outageMs: 300, okWithinMs: null }, () => endSave(old))
    await expect.poll(async () => (await old.shown()).move.stage, { timeout: 5000 }).toBe('moved')
    const { holder } = await old.shown()
    await new Promise((resolve) => setTimeout(resolve, 4000))
    await forkOn(rig, holder)
    await rig.incident(writer, 'way back while the new one saves', { outageMs: 300, okWithinMs: null }, () => old.ok('rollback', 'sessions'))
    await rig.finishWithin(writer, 300)
    await old.stop()
  })
})
