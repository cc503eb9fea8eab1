/**
 * A replica whose link is up and which is far behind, and then the redis of the primary dies. What the dead process left on its disk
 * serves again where it is more; where there is nothing, nobody waits for it.
 */
import { describe, expect, test } from 'vitest'
import type { Rig } from './rig.ts'
import { problems, rigFor, twoHosts } from './rig.ts'

const ips: Readonly<Record<string, string>> = { 'red-a': '192.168.77.1', 'red-b': '192.168.77.2' }
const value = 'x'.repeat(30_000)

describe.skipIf(problems.length > 0)('far behind, and the primary keeps an AOF', { timeout: 90_000 }, () => {
  const theRig = rigFor('behind-aof', twoHosts(['redis: { appendonly: "yes" }']))

  test('it is named while it lasts; killed then, the old primary is asked what its disk has and serves again: nothing is lost', async () => {
    const rig = theRig()
    const { primary, replica } = await roles(rig)
    const writer = await rig.writer()
    await strangle(rig, primary, replica)
    await write(rig, primary, 100)
    const named = await rig.until(
      'the alarm is on the page',
      'sessions',
      (s) => s.members.some((m) => m.host === replica && m.alarms.some((a) => a.includes('64 KiB behind'))),
      15_000,
    )
    expect(named.primary).toBe(primary)
    await write(rig, primary, 20)
    // The AOF is on disk within a second or two; what the client was told meanwhile must be in it.
    await rig.until('it is still behind', 'sessions', (s) => s.members.some((m) => m.host === replica && (m.lagBytes ?? 0) > 500_000), 5000)
    await writer.mark('kill')
    await rig.lab.kill(primary, 'redis')
    const serves = await rig.until('somebody serves', 'sessions', (s) => s.primary !== null && s.epoch > 1, 10_000)
    expect(serves.primary).toBe(primary)
    await release(rig, replica)
    await rig.untilOk()
    const report = await rig.finishWithin(writer, 2000)
    console.info(
      `behind, with an AOF: without a writable address ${Math.round(report.marks.find((m) => m.label === 'kill')?.longestOutage.lengthMs ?? Number.NaN)} ms`,
    )
    expect(await rig.redis(replica, 'EXISTS', ...names(120))).toBe('120')
    const history = await rig.cli('history', 'sessions', '--events')
    expect(history.stdout).toMatch(/most data are here|all members were heard/)
    await rig.expectNoBrokenRule()
  })
})

describe.skipIf(problems.length > 0)('far behind, and the primary keeps nothing', { timeout: 90_000 }, () => {
  const theRig = rigFor('behind-none', twoHosts(['redis: { save: "" }']))

  test('nothing can be had from an empty disk: the replica takes over at once, and says how much is missing', async () => {
    const rig = theRig()
    const { primary, replica } = await roles(rig)
    await strangle(rig, primary, replica)
    await write(rig, primary, 60)
    const lag = await rig.until('it is behind', 'sessions', (s) => s.members.some((m) => m.host === replica && (m.lagBytes ?? 0) > 500_000), 5000)
    expect(lag.primary).toBe(primary)
    const atMs = performance.now()
    await rig.lab.kill(primary, 'redis')
    const serves = await rig.until('the replica serves', 'sessions', (s) => s.primary === replica, 5000)
    console.info(`behind, without persistence: the other serves ${Math.round(performance.now() - atMs)} ms after the kill, looked at every 100`)
    expect(serves.epoch).toBe(2)
    await release(rig, replica)
    await rig.untilOk()
    const history = JSON.parse((await rig.cli('history', 'sessions', '--json')).stdout) as { failovers: { epoch: number; notReplicatedBytes: number | null }[] }
    expect(history.failovers.find((f) => f.epoch === 2)?.notReplicatedBytes).toBeGreaterThan(100_000)
    const waited = (await rig.journal(replica)).filter((l) => l.because?.includes('are missing here'))
    expect(waited, 'it did not wait').toEqual([])
    await rig.expectNoBrokenRule()
  })
})

async function roles(rig: Rig): Promise<{ readonly primary: string; readonly replica: string }> {
  const { primary } = await rig.untilOk()
  return { primary, replica: primary === 'red-a' ? 'red-b' : 'red-a' }
}

/** The stream to the replica, and nothing else, gets 20 kB a second: what is more is dropped, and sent again later. */
async function strangle(rig: Rig, primary: string, replica: string): Promise<void> {
  const port = /addr=[\d.]+:(\d+)/.exec(await rig.redis(primary, 'CLIENT', 'LIST', 'TYPE', 'replica'))?.[1] ?? ''
  const from = `ip saddr ${ips[primary]} tcp sport 6379 tcp dport ${port}`
  await nft(
    rig,
    replica,
    `add table ip slow; add chain ip slow in { type filter hook input priority 0 ; }; add rule ip slow in ${from} limit rate over 20 kbytes/second drop`,
  )
}

async function release(rig: Rig, host: string): Promise<void> {
  await nft(rig, host, 'delete table ip slow')
}

async function nft(rig: Rig, host: string, rules: string): Promise<void> {
  const done = await rig.lab.exec(host, ['nft', rules])
  expect(done.code, done.stderr).toBe(0)
}

let written = 0
async function write(rig: Rig, host: string, count: number): Promise<void> {
  for (let i = 0; i < count; i += 1) expect(await rig.redis(host, 'SET', `big-${written++}`, value)).toBe('OK')
}

function names(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `big-${i}`)
}
