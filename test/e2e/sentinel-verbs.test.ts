/**
 * `holdfast sentinel …` against three real Sentinels: each thing that goes wrong with what Sentinels know is brought about for real, named by
 * `check`, ended by `repair`, one Sentinel at a time, while a client writes through the address and feels nothing.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { SentinelFinding } from '../../src/model/sentinel-look.ts'
import type { RunResult } from '../../src/lab/run.ts'
import { entry, poll, problems, rigFor, threeWithSentinels, type Rig } from './rig.ts'

const hosts = ['red-a', 'red-b', 'red-c']
const outageMs = 100

async function check(rig: Rig): Promise<readonly SentinelFinding[]> {
  const { stdout } = await rig.cli('sentinel', 'check', 'sessions', '--json')
  return (JSON.parse(stdout) as { findings: SentinelFinding[] }).findings
}

/** Waits until check finds this, by name and host; fails with what it found. */
async function untilFound(rig: Rig, ...wanted: readonly (readonly [name: string, host: string | null])[]): Promise<readonly SentinelFinding[]> {
  let last: readonly SentinelFinding[] = []
  const found = await poll(
    async () => {
      last = await check(rig)
      return wanted.every(([name, host]) => last.some((f) => f.name === name && f.host === host)) ? last : undefined
    },
    { withinMs: 25_000, everyMs: 1000 },
  )
  expect(found, `found: ${JSON.stringify(wanted)}, not only ${JSON.stringify(last.map((f) => [f.name, f.host]))}`).toBeDefined()
  return found ?? []
}

async function repair(rig: Rig): Promise<RunResult> {
  const result = await rig.cli('sentinel', 'repair', 'sessions', '--yes')
  console.info(`${result.stdout}${result.stderr}`)
  return result
}

/** As by Ctrl-C, once this is so. */
async function interrupted(rig: Rig, isSo: () => Promise<boolean>): Promise<RunResult> {
  const pidFile = join(rig.base, 'interrupted.pid')
  const words = [...entry, '--config', rig.file('client', 'holdfast.yaml'), 'sentinel', 'repair', 'sessions', '--yes']
  const running = rig.lab.exec('client', ['sh', '-c', `echo $$ > ${pidFile}; exec "$@"`, 'sh', ...words], { deadlineMs: 60_000 })
  expect(await poll(async () => ((await isSo()) ? true : undefined), { withinMs: 20_000, everyMs: 10 })).toBe(true)
  process.kill(Number(await readFile(pidFile, 'utf8')), 'SIGINT')
  return running
}

async function expectClean(rig: Rig): Promise<void> {
  const shown = await rig.cli('sentinel', 'check', 'sessions')
  expect(shown.stdout).toContain('Clean')
  expect(shown.code).toBe(0)
  for (const host of hosts) expect(await rig.sentinel(host, 'SENTINEL', 'CKQUORUM', 'sessions')).toMatch(/^OK 3 usable Sentinels/)
}

/** A program of somebody else's, on a host that is in no configuration. Gone with the lab. */
async function stranger(rig: Rig, port: number, ...words: readonly string[]): Promise<(...command: readonly string[]) => Promise<string>> {
  const dir = rig.file('red-a', 'state')
  const file = `${dir}/stranger-${port}.conf`
  await writeFile(
    file,
    [`port ${port}`, 'protected-mode no', 'daemonize yes', 'bind 0.0.0.0', `dir ${dir}`, `dbfilename stranger-${port}.rdb`, 'save ""'].join('\n'),
  )
  expect(await rig.lab.exec('client2', ['redis-server', file, ...words])).toMatchObject({ code: 0 })
  const call = async (...command: readonly string[]): Promise<string> =>
    (await rig.lab.exec('client2', ['redis-cli', '-p', String(port), ...command], { deadlineMs: 5000 })).stdout.trim()
  await poll(async () => ((await call('PING')) === 'PONG' ? true : undefined), { withinMs: 5000, everyMs: 20 })
  return call
}

function ipOf(rig: Rig, name: string): string {
  return rig.lab.record.plan.nodes.find((n) => n.name === name)?.ip ?? ''
}

interface Said {
  readonly host: string
  readonly atMs: number
  readonly text: string
}

/** What the Sentinels wrote into their logs since then, in order of time. */
async function saidSince(rig: Rig, sinceMs: number): Promise<readonly Said[]> {
  const all = await Promise.all(
    hosts.map(async (host) => {
      const text = await readFile(rig.file(host, 'state', 'sessions', 'sentinel.log'), 'utf8')
      return [...text.matchAll(/(\d+ \w+ \d+ [\d:]+)\.(\d+) . ([+-].*)/g)].map((m) => ({
        host,
        atMs: Date.parse(m[1] ?? '') + Number(m[2]),
        text: m[3] ?? '',
      }))
    }),
  )
  return all
    .flat()
    .filter((said) => said.atMs >= sinceMs)
    .sort((a, b) => a.atMs - b.atMs)
}

async function resetsSince(rig: Rig, sinceMs: number): Promise<readonly Said[]> {
  return (await saidSince(rig, sinceMs)).filter((said) => said.text.startsWith('+reset-master master sessions'))
}

/** Each was told of the two others in the moment in which it was reset, and knew both replicas before the next one was. */
async function expectOneAtATime(rig: Rig, sinceMs: number): Promise<void> {
  const said = await saidSince(rig, sinceMs)
  const resets = await resetsSince(rig, sinceMs)
  for (const [i, { host, atMs }] of resets.entries()) {
    const nextMs = resets[i + 1]?.atMs ?? Number.POSITIVE_INFINITY
    const after = said.filter((s) => s.host === host && s.atMs >= atMs && s.atMs < nextMs)
    expect(after.filter((s) => s.text.startsWith('+sentinel ') && s.atMs - atMs < 200).length, `${host} was told of the others`).toBe(2)
    expect(after.filter((s) => /^\+slave .*192\.168\.77\.\d:6379/.test(s.text)).length, `${host} knew the replicas before the next was reset`).toBe(2)
  }
}

describe.skipIf(problems.length > 0)('what the Sentinels know: shown, checked, repaired', { timeout: 120_000 }, () => {
  const theRig = rigFor('sentinel-verbs', threeWithSentinels())

  test('nothing is wrong: they agree, one host may be lost, check is clean, repair has nothing to do', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk('sessions', 25_000)
    await poll(async () => ((await check(rig)).length === 0 ? true : undefined), { withinMs: 15_000, everyMs: 1000 })
    const status = await rig.cli('sentinel', 'status', 'sessions')
    expect(status.stdout).toContain('they agree')
    expect(status).toMatchObject({ code: 0 })
    const seen = JSON.parse((await rig.cli('sentinel', 'status', 'sessions', '--json')).stdout) as { sentinels: { host: string; values: { names: string } }[] }
    expect(seen.sentinels.map((s) => [s.host, s.values.names])).toEqual(hosts.map((h) => [h, primary]))
    const quorum = await rig.cli('sentinel', 'ckquorum', 'sessions')
    expect(quorum.stdout).toContain('1 more host may be lost')
    expect(quorum).toMatchObject({ code: 0 })
    await expectClean(rig)
    expect(await repair(rig)).toMatchObject({ code: 0 })
    expect(await rig.cli('sentinel', 'status', 'nosuch')).toMatchObject({ code: 2 })
  })

  test('SENTINEL SET on one whose agent is dead: marked, named, and set as configured', async () => {
    const rig = theRig()
    await rig.untilOk('sessions', 25_000)
    const writer = await rig.writer()
    await writer.mark('settings')
    await rig.killAgent('red-b')
    expect(await rig.sentinel('red-b', 'SENTINEL', 'SET', 'sessions', 'quorum', '3', 'down-after-milliseconds', '60000')).toBe('OK')
    const status = await rig.cli('sentinel', 'status', 'sessions')
    expect(status.stdout).toContain('! 60000 ms')
    expect(status.stdout).toContain('that of red-b has quorum 3, down-after 60000 ms')
    expect(status.code).toBe(1)
    await untilFound(rig, ['settings-differ', 'red-b'])
    expect(await rig.cli('sentinel', 'repair', 'sessions')).toMatchObject({ code: 1, stderr: expect.stringContaining('HF702') as string })
    expect(await rig.cli('sentinel', 'repair', 'sessions', '--dry-run')).toMatchObject({ code: 0, stdout: expect.stringContaining('would set') as string })
    await untilFound(rig, ['settings-differ', 'red-b'])
    expect(await repair(rig)).toMatchObject({ code: 0 })
    await expectClean(rig)
    await rig.startAgent('red-b')
    await rig.untilOk('sessions', 25_000)
    await rig.finishWithin(writer, outageMs)
  })

  test('a foreign replica: named while it is attached, stale when it is gone, forgotten by one Sentinel after the other', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk('sessions', 25_000)
    const writer = await rig.writer()
    await writer.mark('a foreign replica comes')
    const foreign = await stranger(rig, 7001, '--replicaof', ipOf(rig, primary), '6379')
    const all = (name: string): (readonly [string, string])[] => hosts.map((h) => [name, h] as const)
    const found = await untilFound(rig, ...all('foreign-replica'))
    expect(
      found.every((f) => f.repair === null && f.words.includes(`replicates from ${primary}`)),
      'it would be found again at once',
    ).toBe(true)
    expect(await repair(rig)).toMatchObject({ code: 1 })
    await writer.mark('it goes')
    expect(await foreign('SHUTDOWN', 'NOSAVE')).toBe('')
    await untilFound(rig, ...all('stale-replica'))

    // One Sentinel is missing: without another there would be no quorum.
    await writer.mark('a Sentinel and its agent are dead')
    await rig.killAgent('red-c')
    const pid = Number(/process_id:(\d+)/.exec(await rig.sentinel('red-c', 'INFO', 'server'))?.[1])
    process.kill(pid, 'SIGKILL')
    const sinceMs = Date.now()
    const refused = await repair(rig)
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/HF703.*2 are needed/) as string })
    expect(await resetsSince(rig, sinceMs)).toEqual([])
    const quorum = await rig.cli('sentinel', 'ckquorum', 'sessions')
    expect(quorum).toMatchObject({ code: 1, stdout: expect.stringContaining('No further host may be lost') as string })
    await rig.startAgent('red-c')
    await rig.untilOk('sessions', 25_000)

    await writer.mark('resets')
    // Broken off in the middle, and taken up again.
    const broken = await interrupted(rig, async () => (await resetsSince(rig, sinceMs)).length > 0)
    expect(broken).toMatchObject({ code: 1, stderr: expect.stringContaining('HF703') as string })
    expect(await resetsSince(rig, sinceMs), 'the next was not begun').toHaveLength(1)
    expect(await repair(rig)).toMatchObject({ code: 0 })
    const resets = await resetsSince(rig, sinceMs)
    expect(resets.map((r) => r.host).sort()).toEqual(hosts)
    await expectOneAtATime(rig, sinceMs)
    await expectClean(rig)
    await rig.untilOk('sessions', 25_000)
    await rig.finishWithin(writer, outageMs)
    await rig.expectNoBrokenRule()
  })

  test("another group's Sentinel is pointed at our redis, under our name and under its own: both are ended, and it votes no more", async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk('sessions', 25_000)
    const writer = await rig.writer()
    await writer.mark('merged')
    const theirs = await stranger(rig, 27001, '--sentinel')
    const dead = await stranger(rig, 27002, '--sentinel')
    for (const one of [theirs, dead]) expect(await one('SENTINEL', 'MONITOR', 'sessions', ipOf(rig, primary), '6379', '2')).toBe('OK')
    expect(await theirs('SENTINEL', 'MONITOR', 'carts', ipOf(rig, primary), '6379', '1')).toBe('OK')
    expect(await rig.sentinel('red-b', 'SENTINEL', 'MONITOR', 'carts', ipOf(rig, primary), '6379', '2')).toBe('OK')
    await untilFound(
      rig,
      ['merged-groups', null],
      ['foreign-watcher', null],
      ['foreign-sentinel', 'red-a'],
      ['foreign-sentinel', 'red-c'],
      ['other-group', 'red-b'],
    )
    expect(await dead('SHUTDOWN', 'NOSAVE')).toBe('')
    await untilFound(rig, ['stale-sentinel', 'red-a'], ['stale-sentinel', 'red-b'], ['stale-sentinel', 'red-c'])
    expect(await repair(rig)).toMatchObject({ code: 0 })
    await expectClean(rig)
    expect(await theirs('SENTINEL', 'MASTERS')).toBe('')
    expect(await rig.sentinel('red-b', 'SENTINEL', 'MASTER', 'carts')).toMatch(/No such master/)
    await theirs('SHUTDOWN', 'NOSAVE')
    await rig.untilOk('sessions', 25_000)
    await rig.finishWithin(writer, outageMs)
    await rig.expectNoBrokenRule()
  })

  test('a copied machine: two Sentinels with one id; the copy is given one of its own, and keeps its votes', async () => {
    const rig = theRig()
    await rig.untilOk('sessions', 25_000)
    const writer = await rig.writer()
    await writer.mark('one id')
    const id = await rig.sentinel('red-a', 'SENTINEL', 'MYID')
    const file = rig.file('red-c', 'state', 'sessions', 'sentinel', 'sentinel.conf')
    await rig.killAgent('red-c')
    process.kill(Number(/process_id:(\d+)/.exec(await rig.sentinel('red-c', 'INFO', 'server'))?.[1]), 'SIGKILL')
    const text = await readFile(file, 'utf8')
    await writeFile(file, text.replace(/sentinel myid .*/, `sentinel myid ${id}`))
    await rig.startAgent('red-c')
    await untilFound(rig, ['duplicate-id', 'red-c'])
    expect(await repair(rig)).toMatchObject({ code: 0 })
    await expectClean(rig)
    const ids = await Promise.all(hosts.map((h) => rig.sentinel(h, 'SENTINEL', 'MYID')))
    expect(new Set(ids).size).toBe(3)
    expect(ids[0]).toBe(id)
    const epochOf = (conf: string): string | undefined => /sentinel leader-epoch sessions (\d+)/.exec(conf)?.[1]
    expect(epochOf(await readFile(file, 'utf8'))).toBe(epochOf(text))
    await rig.untilOk('sessions', 25_000)
    await rig.finishWithin(writer, outageMs)
    await rig.expectNoBrokenRule()
  })
})
