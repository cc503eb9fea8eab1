/** `migrate plan` and `migrate verify` before a group of real agents, as an operator uses them. They read, and nothing anywhere is other afterwards. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { problems, rigFor, twoHosts, type Rig } from './rig.ts'

const oldIp = '192.168.77.250'

describe.skipIf(problems.length > 0)('a move is planned', { timeout: 60_000 }, () => {
  const theRig = rigFor('mplan', twoHosts(), { files: { 'old.password': 'of-old\n' } })
  const old = (rig: Rig, ...words: readonly string[]) => rig.lab.exec('client', ['redis-cli', '-p', '6400', '-a', 'of-old', '--no-auth-warning', ...words])
  const plan = (rig: Rig, ...words: readonly string[]) =>
    rig.cli(
      'migrate',
      'plan',
      `redis://${clientIp(rig)}:6400`,
      'sessions',
      '--seconds',
      '0.2',
      '--source-password-file',
      join(rig.base, 'old.password'),
      ...words,
    )

  test('an old redis with a password, data and a setting of its own: what stops it, by name; accepted, and nothing has changed', async () => {
    const rig = theRig()
    await rig.untilOk()
    const started = await rig.lab.exec('client', [
      'sh',
      '-c',
      `redis-server --port 6400 --requirepass of-old --save "" --timeout 300 --protected-mode no --daemonize yes --dir ${rig.base} --pidfile "" >/dev/null`,
    ])
    expect(started.code, started.stderr).toBe(0)
    try {
      for (let i = 0; i < 50; i += 1) if ((await old(rig, 'SET', 'a', 'b')).stdout.includes('OK')) break
      const before = (await old(rig, 'INFO', 'stats')).stdout.match(/(sync_full|total_forks):\d+/g)
      const told = await plan(rig)
      expect([told.code, told.stdout], told.stderr).toEqual([
        1,
        expect.stringMatching(
          /yellow +P6 +access [^]*yellow +P8 +settings +red-a: timeout 300 → 0[^;]*; red-b: timeout 300 → 0[^]*it may not begin; to be mended or accepted: --accept P6 --accept P8 --accept P16/,
        ),
      ])
      const accepted = await plan(rig, '--accept', 'P6', '--accept', 'p8', '--accept', 'P16', '--json')
      expect([accepted.code, JSON.parse(accepted.stdout)], accepted.stderr).toEqual([0, expect.objectContaining({ may: true, stops: [], wayBack: 'replica' })])
      expect((await old(rig, 'INFO', 'stats')).stdout.match(/(sync_full|total_forks):\d+/g), 'no fork, no sync').toEqual(before)

      const { primary } = await rig.untilOk()
      await rig.redis(primary, 'SET', 'of-the-group', '1')
      const occupied = await plan(rig, '--json')
      const { traps } = JSON.parse(occupied.stdout) as { traps: readonly { id: string; level: string; fix: string }[] }
      const p17 = traps.find(({ id }) => id === 'P17')
      expect(p17).toMatchObject({ level: 'red', fix: expect.stringMatching(/--overwrite [0-9a-f]{40}/) })
      const runId = /[0-9a-f]{40}/.exec(p17?.fix ?? '')?.[0] ?? ''
      expect((await plan(rig, '--overwrite', runId, '--accept', 'P6', '--accept', 'P8', '--accept', 'P16')).code).toBe(0)
    } finally {
      await old(rig, 'SHUTDOWN', 'NOSAVE')
    }
  })

  test('what is no redis, the wrong password, a trap that is none: said with a code', async () => {
    const rig = theRig()
    const wrong = join(rig.base, 'wrong.password')
    await writeFile(wrong, 'wrong\n')
    const { primary } = await rig.untilOk()
    const ip = primary === 'red-a' ? '192.168.77.1' : '192.168.77.2'
    const of = (...words: readonly string[]) => rig.cli('migrate', 'plan', ...words, '--seconds', '0.1')
    expect(await of(`redis://${oldIp}:6399`, 'sessions')).toMatchObject({ code: 1, stderr: expect.stringMatching(/^HF901 /) })
    expect(await of('http://10.0.0.1', 'sessions')).toMatchObject({ code: 2, stderr: expect.stringMatching(/^HF901 /) })
    expect(await of(`redis://${ip}/3`, 'sessions')).toMatchObject({ code: 2, stderr: expect.stringContaining('moved whole') })
    expect(await of('nobody', 'sessions')).toMatchObject({ code: 2, stderr: expect.stringMatching(/^HF104 /) })
    expect(await of(`redis://${ip}`, 'nobody')).toMatchObject({ code: 2, stderr: expect.stringMatching(/^HF104 /) })
    expect((await of(`redis://${ip}`, 'sessions', '--accept', 'P99')).code).toBe(2)
    expect(await of(`redis://${ip}`, 'sessions', '--source-password-file', wrong)).toMatchObject({ code: 1, stderr: expect.stringMatching(/^HF90[12] /) })
    const itself = await of('sessions', 'sessions')
    expect([itself.code, itself.stdout]).toEqual([1, expect.stringMatching(/red +P11 +topology +the source is itself a member/)])
  })
})
describe.skipIf(problems.length > 0)('a replica is proven to hold what its primary holds', { timeout: 60_000 }, () => {
  const theRig = rigFor('mverify', twoHosts())

  test('while a client writes: no difference; after somebody has written to the replica, that key, by name', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const replica = primary === 'red-a' ? 'red-b' : 'red-a'
    const verify = (...words: readonly string[]) => rig.cli('migrate', 'verify', 'sessions', 'sessions', '--member', replica, ...words)
    await rig.redis(primary, 'EVAL', "for i = 1, 2000 do redis.call('SET', 'k:' .. i, i) redis.call('HSET', 'h:' .. i, 'a', i) end", '0')
    const writer = await rig.writer()
    const well = await verify('--pace', 'full')
    expect([well.code, well.stdout], well.stderr).toEqual([0, expect.stringMatching(/no difference; \d{4,} are the same/)])
    await rig.redis(replica, 'CONFIG', 'SET', 'replica-read-only', 'no')
    await rig.redis(replica, 'HSET', 'h:7', 'a', 'of the replica alone')
    await rig.redis(replica, 'CONFIG', 'SET', 'replica-read-only', 'yes')
    const report = join(rig.base, 'proof.json')
    const found = await verify('--report', report)
    expect([found.code, found.stdout], found.stderr).toEqual([1, expect.stringMatching(/value +h:7\n1 differ; \d+ are the same/)])
    expect(JSON.parse(await readFile(report, 'utf8'))).toMatchObject({
      follows: true,
      differ: 1,
      differences: [{ database: 0, key: 'h:7', what: 'value' }],
      unsettled: [],
      result: 'differences',
      begin: { source: { role: 'primary' }, target: { role: 'replica' } },
    })
    const check = () => rig.cli('migrate', 'verify', '--check-report', report)
    expect(await check()).toMatchObject({ code: 0, stdout: expect.stringMatching(/sessions: \d+ keys compared, differences\n$/) })
    await writeFile(report, (await readFile(report, 'utf8')).replace('"differ": 1', '"differ": 0'))
    expect(await check(), 'changed').toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(/^HF937 /) })
    await rig.finishWithin(writer, 300)
  })

  test('the same redis twice, no such member, a pace that is none: said', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    expect(await rig.cli('migrate', 'verify', 'sessions', 'sessions', '--member', primary)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('the same redis'),
    })
    expect(await rig.cli('migrate', 'verify', 'sessions', 'sessions', '--member', 'red-x')).toMatchObject({ code: 2, stderr: expect.stringMatching(/^HF104 /) })
    expect((await rig.cli('migrate', 'verify', 'sessions', 'sessions', '--pace', 'fast')).code).toBe(2)
    expect(await rig.cli('migrate', 'verify', 'sessions')).toMatchObject({ code: 2, stderr: expect.stringContaining("missing required argument 'group'") })
    expect(await rig.cli('migrate', 'verify', '--check-report', join(rig.base, 'none'))).toMatchObject({ code: 2, stderr: expect.stringMatching(/^HF938 /) })
  })
})

function clientIp(rig: Rig): string {
  return rig.lab.record.plan.nodes.find(({ name }) => name === 'client')?.ip ?? ''
}
