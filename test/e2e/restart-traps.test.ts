/**
 * The restart traps: the primary's redis is killed and is back after 10 ms … 5 s, with whatever its disk has, while clients write and
 * the replica reconnects. Nothing that the replica had is lost, and nobody is wiped. `direct`: Holdfast starts it, so it is back at once,
 * and only the data differ. `external`: its own supervisor does, at the worst of moments. More of the empty ones: no-wipe.test.ts.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { holdInquest, type Inquest } from '../../src/lab/inquest.ts'
import { nowMs } from '../../src/lab/write-loop.ts'
import { describeVerdict } from '../../src/lab/double-writer.ts'
import type { Rig } from './rig.ts'
import { poll, problems, rigFor, twoHosts, vip } from './rig.ts'
import { superviseRedis } from './supervised.ts'

const members = ['red-a', 'red-b']
const disks = ['empty', 'old snapshot', 'append-only file', 'no persistence'] as const
type Disk = (typeof disks)[number]

interface Trap extends Inquest {
  /** For how long what came back in the place of the killed process acknowledged writes; null: not one. */
  readonly cameBackMs: number | null
}

/** Two clients write, the primary's redis is killed by `kill`; afterwards the other member serves and everything is accounted for. */
async function trap(rig: Rig, label: string, kill: (primary: string) => Promise<unknown>): Promise<Trap> {
  const before = await rig.untilOk('sessions', 20_000)
  await rig.redisAt('client', vip, 'SET', 'precious', label)
  expect(await rig.redisAt('client', vip, 'WAIT', '1', '2000')).toMatch(/1/)
  const options = { identify: true, commandTimeoutMs: 1000, connectTimeoutMs: 1000 }
  const writers = await Promise.all([rig.writer(options), rig.writer({ ...options, client: 'client2' })])
  const runId = await runIdOf(rig, before.primary)
  const fromMs = nowMs()
  await kill(before.primary)
  const successor = members.find((host) => host !== before.primary) ?? ''
  const after = await rig.until(`${successor} serves`, 'sessions', (s) => s.primary === successor && s.health === 'ok', 25_000)
  for (const writer of writers) expect(await writer.steady({ acks: 200, withinMs: 10_000 })).toBe(true)
  const clients = [
    { name: 'client', writer: writers[0] },
    { name: 'client2', writer: writers[1] },
  ]
  const deaths = [{ runId, fromMs, toMs: fromMs + 5000, lastOnly: true }]
  const found = await holdInquest(rig.lab, 'sessions', clients, { deaths })
  console.info(`${label}: ${describeVerdict(found)}`)
  expect(found.incomplete).toEqual([])
  expect(found.examples, 'acknowledged, and gone without a trace').toEqual([])
  expect(found.untraced).toBe(0)
  const successors = await runIdOf(rig, successor)
  const back = found.terms.filter((term) => term.runId !== runId && term.runId !== successors)
  for (const host of members) expect(await rig.redis(host, 'GET', 'precious'), `${host} was not wiped`).toBe(label)
  expect(await rig.writable()).toEqual([after.primary])
  await rig.expectNoBrokenRule()
  for (const writer of writers) {
    await writer.cleanup()
    await writer.close()
  }
  return { ...found, cameBackMs: back.length === 0 ? null : Math.max(...back.map(({ toMs }) => toMs)) - Math.min(...back.map((term) => term.fromMs)) }
}

async function runIdOf(rig: Rig, host: string): Promise<string> {
  return /run_id:(\w+)/.exec(await rig.redis(host, 'INFO', 'server'))?.[1] ?? ''
}

/** Of two clients in one turn of its loop redis answers the second before it writes to its replica: killed between the two, it takes that answer with it. */
const onItsWay = 1

describe.skipIf(problems.length > 0)('process: direct, whatever the disk has', { timeout: 60_000 }, () => {
  const theRig = rigFor('trap', twoHosts())

  test.each(disks)('killed, and back at once with: %s', async (disk) => {
    const rig = theRig()
    for (const host of members) await persist(rig, host, disk)
    const found = await trap(rig, disk, async (primary) => {
      const data = rig.file(primary, 'state', 'sessions', 'data')
      if (disk === 'old snapshot') await rig.redis(primary, 'SAVE')
      if (disk === 'empty' || disk === 'no persistence') {
        await rig.lab.freeze(primary, 'redis')
        await rm(data, { recursive: true })
        await mkdir(data)
      }
      await rig.lab.kill(primary, 'redis')
    })
    // Born fenced: not one write is acknowledged by the process that comes back.
    expect(found.cameBackMs).toBe(null)
    expect(found.overlapMs).toBe(0)
    expect(found.lost).toBeLessThanOrEqual(onItsWay)
  })
})

for (const fenced of [false, true]) {
  describe.skipIf(problems.length > 0)(`process: external, ${fenced ? 'born fenced by its own redis.conf' : 'as people run it'}`, { timeout: 60_000 }, () => {
    const theRig = rigFor(fenced ? 'trapf' : 'trapx', twoHosts(['process: external']), { agents: false })

    test('a running pair is adopted; explain says whether a restart exposes it', async () => {
      const rig = theRig()
      for (const host of members) await supervise(rig, host, fenced)
      if (!fenced) await rig.redis('red-b', 'REPLICAOF', '192.168.77.1', '6379')
      for (const host of members) await rig.startAgent(host)
      await rig.untilOk('sessions', 20_000)
      const explained = await rig.cli('explain', 'sessions')
      const warning = /process: external: a supervisor that restarts redis at once races.*`replicaof 127\.0\.0\.1 1` in \S+redis\.conf closes that/s
      if (fenced) expect(explained.stdout).not.toMatch(warning)
      else expect(explained.stdout.replaceAll('\n', ' ')).toMatch(warning)
    })

    // Every disk at the two worst delays, every delay with an empty disk.
    const cases: readonly (readonly [delayMs: number, disk: Disk])[] = [
      ...[10, 100, 500, 2000, 5000].map((delayMs) => [delayMs, 'empty'] as const),
      ...[10, 500].flatMap((delayMs) => (['old snapshot', 'append-only file'] as const).map((disk) => [delayMs, disk] as const)),
    ]
    test.each(fenced ? cases.filter(([delayMs]) => delayMs <= 100) : cases)('killed, and back after %i ms with: %s', async (delayMs, disk) => {
      const rig = theRig()
      for (const host of members) {
        await setUp(rig, host, delayMs, disk)
        await persist(rig, host, disk)
      }
      const found = await trap(rig, `${delayMs} ms, ${disk}`, async (primary) => {
        if (disk === 'old snapshot') await rig.redis(primary, 'SAVE')
        await rig.lab.kill(primary, 'redis')
      })
      // Documented: until its agent has fenced it (some 50 ms), what comes back may answer a client that reconnects in that moment.
      if (fenced || delayMs >= 100) expect(found.cameBackMs, 'nothing is acknowledged by what comes back').toBe(null)
      else expect(found.cameBackMs ?? 0).toBeLessThan(150)
      if (found.cameBackMs === null) expect(found.lost).toBeLessThanOrEqual(onItsWay)
      // What came back had a disk of its own, and is kept; only that one answer may be nowhere.
      expect(found.withProcess).toBeLessThanOrEqual(onItsWay)
    })
  })
}

async function persist(rig: Rig, host: string, disk: Disk): Promise<void> {
  const aof = disk === 'append-only file' ? 'yes' : 'no'
  await rig.redis(host, 'CONFIG', 'SET', 'appendonly', aof)
  if (disk === 'no persistence') await rig.redis(host, 'CONFIG', 'SET', 'save', '')
  const written = await poll(async () => ((await rig.redis(host, 'INFO', 'persistence')).includes('aof_rewrite_in_progress:0') ? true : undefined), {
    withinMs: 5000,
  })
  expect(written).toBe(true)
}

/** How long the supervisor waits, and what it does to the disk before it starts redis again. */
async function setUp(rig: Rig, host: string, delayMs: number, disk: Disk): Promise<void> {
  await writeFile(rig.file(host, 'delay'), `${(delayMs / 1000).toFixed(3)}\n`)
  await writeFile(rig.file(host, 'disk'), `${disk}\n`)
}

async function supervise(rig: Rig, host: string, fenced: boolean): Promise<void> {
  await setUp(rig, host, 10, 'empty')
  const before = `disk=$(cat ${rig.file(host, 'disk')})
    [ "$disk" = empty ] && rm -rf *.rdb appendonlydir
    aof=no; [ "$disk" = 'append-only file' ] && aof=yes`
  await superviseRedis(rig, host, {
    conf: fenced ? ['replicaof 127.0.0.1 1'] : [],
    before,
    args: '--appendonly $aof',
    pauseS: `$(cat ${rig.file(host, 'delay')})`,
  })
}
