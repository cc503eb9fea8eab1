/** Redis dies (kill -9) and its agent sees the socket close: failover, nothing lost, and ready for the next one by itself. */
import { spawn, type ChildProcess } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { nodeOf } from '../../src/lab/faults.ts'
import type { Lab } from '../../src/lab/lab.ts'
import { poll, problems, rigFor, twoHosts, vip } from './rig.ts'

describe.skipIf(problems.length > 0)('a redis that crashes', { timeout: 60_000 }, () => {
  const theRig = rigFor('crash', twoHosts())

  test('the replica takes over within a second, nothing is lost, the old primary is its replica', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const writer = await rig.writer()
    const after = await rig.incident(writer, 'kill -9 of the primary', { outageMs: 1000 }, () => rig.lab.kill(before.primary, 'redis'))
    await rig.finishWithin(writer, 1000)
    expect(after?.primary).not.toBe(before.primary)
    expect(after?.epoch).toBe(before.epoch + 1)
    expect(after?.members.find((m) => m.host === before.primary)).toMatchObject({ role: 'replica', state: 'streaming', fit: true })
    expect(await rig.writable()).toEqual([after?.primary])
    const history = JSON.parse((await rig.cli('history', 'sessions', '--json')).stdout) as {
      failovers: { kind: string; from: string; to: string; notReplicatedBytes: number }[]
    }
    expect(history.failovers.at(-1)).toMatchObject({ kind: 'failover', from: before.primary, to: after?.primary })
    await rig.expectNoBrokenRule()
  })

  test('twenty in a row without a hand, and not one write is lost', { timeout: 120_000 }, async () => {
    const rig = theRig()
    const writer = await rig.writer()
    let { primary, epoch } = await rig.untilOk()
    for (let round = 1; round <= 20; round += 1) {
      const after = await rig.incident(writer, `${round}: kill -9 on ${primary}`, { outageMs: 1000 }, () => rig.lab.kill(primary, 'redis'))
      expect(after?.primary, `round ${round}: the other host serves`).not.toBe(primary)
      expect(after?.epoch, `round ${round}: one promotion, not two`).toBe(epoch + 1)
      primary = after?.primary ?? ''
      epoch = after?.epoch ?? 0
    }
    await rig.finishWithin(writer, 1000)
    await rig.expectNoBrokenRule()
  })

  test('a replica that crashes is started again, and clients notice nothing', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const replica = before.primary === 'red-a' ? 'red-b' : 'red-a'
    const writer = await rig.writer()
    const after = await rig.incident(writer, 'kill -9 of the replica', { outageMs: 100, mayBeUnfelt: true }, () => rig.lab.kill(replica, 'redis'))
    await rig.finishWithin(writer, 100)
    expect(after).toMatchObject({ primary: before.primary, epoch: before.epoch })
  })

  // Longer than a crash: a redis that is asked to end holds writes until its replicas have confirmed all, once a second.
  test('SIGTERM to redis (an operator, an update): it hands its last bytes over and ends; nothing is lost', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const writer = await rig.writer()
    const after = await rig.incident(writer, 'SIGTERM to the primary', { outageMs: 2000 }, () => rig.lab.kill(before.primary, 'redis', { signal: 'SIGTERM' }))
    await rig.finishWithin(writer, 2000)
    expect(after?.primary).not.toBe(before.primary)
  })

  test('ordinary clients go on: ioredis as it comes, redis-cli in a shell loop', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const library = counting(
      rig.lab,
      `
      import { Redis } from ${JSON.stringify(import.meta.resolve('ioredis'))}
      const redis = new Redis({ host: '${vip}', port: 6379 })
      redis.on('error', () => undefined)
      for (;;) { try { await redis.incr('by-ioredis'); console.log('acked') } catch { console.log('failed') } }`,
    )
    const shell = counting(rig.lab, null)
    try {
      for (const client of [library, shell]) expect(await client.goesOn(50)).toBe(true)
      const writer = await rig.writer()
      await rig.incident(writer, 'kill -9 of the primary', { outageMs: 1000 }, () => rig.lab.kill(primary, 'redis'))
      for (const client of [library, shell]) expect(await client.goesOn(50)).toBe(true)
      const report = await rig.finish(writer)
      expect(report.marks.map(({ longestOutage }) => longestOutage.lengthMs < 1000)).toEqual(report.marks.map(() => true))
      // Of several clients in one turn of its loop redis answers the last before it writes to its replica: killed between the two, it takes that answer with it.
      expect(report.lost, 'not more than the answer that was on its way').toBeLessThanOrEqual(1)
    } finally {
      library.child.kill('SIGKILL')
      shell.child.kill('SIGKILL')
    }
    // ioredis repeats a command that had no answer, so the counter may be ahead of the answers; behind means lost.
    expect(Number(await rig.redisAt('client', vip, 'GET', 'by-ioredis'))).toBeGreaterThanOrEqual(library.acked())
    expect(Number(await rig.redisAt('client', vip, 'GET', 'by-cli'))).toBeGreaterThanOrEqual(shell.acked())
  })
})

interface Counting {
  readonly child: ChildProcess
  readonly acked: () => number
  /** So many more acknowledged writes within ten seconds. */
  readonly goesOn: (more: number) => Promise<boolean>
}

/** A client program in the client's namespace that prints `acked` for each acknowledged increment; null: redis-cli in a loop. */
function counting(lab: Lab, script: string | null): Counting {
  const netns = nodeOf(lab.record, 'client').netns
  const argv =
    script === null
      ? ['sh', '-c', `while :; do case "$(timeout 5 redis-cli -h ${vip} INCR by-cli 2>&1)" in [0-9]*) echo acked;; *) echo failed;; esac; done`]
      : [process.execPath, '--input-type=module', '-e', script]
  const child = spawn('ip', ['netns', 'exec', netns, ...argv], { stdio: ['ignore', 'pipe', 'inherit'] })
  let acked = 0
  child.stdout.on('data', (chunk: Buffer) => {
    acked += chunk
      .toString()
      .split('\n')
      .filter((line) => line === 'acked').length
  })
  const goesOn = async (more: number): Promise<boolean> => {
    const goal = acked + more
    return (await poll(() => (acked >= goal ? true : undefined), { withinMs: 10_000 })) === true
  }
  return { child, acked: () => acked, goesOn }
}
