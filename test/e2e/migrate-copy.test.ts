/**
 * `migrate copy` into a group of real agents, as an operator uses it: a source whose user may not follow it is copied while it is written to, the primary of the group
 * dies in the middle of it, and in the end nothing differs, proven by `migrate verify`.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { poll } from '../../src/lab/run.ts'
import { pairWithSentinels, problems, rigFor, twoHosts, type Rig } from './rig.ts'

const port = '6400'

const old = (rig: Rig, ...words: readonly string[]) => rig.lab.exec('client', ['redis-cli', '-p', port, ...words])
const copy = (rig: Rig, ...words: readonly string[]) =>
  rig.cli('migrate', 'copy', `redis://mover@${clientIp(rig)}:${port}`, 'sessions', '--source-password-file', join(rig.base, 'mover.password'), ...words)
const sh = (rig: Rig, script: string) => rig.lab.exec('client', ['sh', '-c', script])

async function start(rig: Rig): Promise<void> {
  await sh(
    rig,
    `redis-server --port ${port} --save "" --protected-mode no --notify-keyspace-events KA --daemonize yes --dir ${rig.base} --pidfile "" >/dev/null`,
  )
  for (let i = 0; i < 50; i += 1) if ((await old(rig, 'PING')).stdout.includes('PONG')) break
  await old(rig, 'ACL', 'SETUSER', 'mover', 'on', '>pw', '~*', '&*', '+@all', '-psync', '-sync', '-replconf')
  await old(
    rig,
    'EVAL',
    "for i = 1, 6000 do redis.call('SET', 's:' .. i, i, 'EX', 9000) redis.call('HSET', 'h:' .. i, 'a', i) redis.call('RPUSH', 'l:' .. i, i, 'x') end",
    '0',
  )
}

describe.skipIf(problems.length > 0)('a redis that refuses PSYNC is copied', { timeout: 90_000 }, () => {
  const theRig = rigFor('cpcopy', twoHosts(), { files: { 'mover.password': 'pw\n' } })

  test('its limits are told first; the primary dies in the middle; writers wait at the end; nothing differs', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    await start(rig)
    const load = await sh(rig, `redis-benchmark -p ${port} -q -c 1 -n 100000000 -r 3000 --threads 1 HINCRBY h:__rand_int__ n 1 >/dev/null 2>&1 & echo $!`)
    const loadPid = load.stdout.trim()
    try {
      const told = await copy(rig, '--dry-run')
      expect([told.code, told.stdout], told.stderr).toEqual([
        1,
        expect.stringMatching(/DUMP and RESTORE[^]*the source tells of each[^]*to accept L1[^]*to accept L6/),
      ])
      const refused = await copy(rig, '--accept', 'L1')
      expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/^HF920 [^]*--accept L2,L3,L4,L5,L6/) })
      const accept = ['--accept', 'L1,L2,L3,L4,L5,L6', '--accept', 'P2,P3,P12']
      expect((await rig.redis(primary, 'DBSIZE')).trim(), 'nothing was written').toBe('0')

      const going = copy(rig, ...accept, '--pace', '9000', '--json')
      expect(await poll(async () => (Number(await rig.redis(primary, 'DBSIZE')) > 5000 ? true : undefined), { withinMs: 15_000, everyMs: 50 })).toBe(true)
      await rig.lab.kill(primary, 'redis')
      const first = await going
      expect(first.code, first.stderr).toBe(0)
      const lines = first.stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>)
      expect(lines[0]).toMatchObject({ phase: 'copying', round: 0 })
      const { report: their } = lines.at(-1) as { report: { figures: { lost: number } } }
      expect(their).toMatchObject({ way: 'dump', finished: null, uncopied: [], again: expect.stringMatching(/--finish --overwrite [0-9a-f]{40}/) })
      expect(their.figures.lost).toBeGreaterThan(0)

      const { primary: now } = await rig.untilOk()
      const occupied = await copy(rig, ...accept, '--finish')
      expect(occupied).toMatchObject({ code: 1, stderr: expect.stringMatching(/^HF921 P17 target: [^]*--overwrite [0-9a-f]{40}/) })
      const runId = /--overwrite ([0-9a-f]{40})/.exec(occupied.stderr)?.[1] ?? ''
      const report = join(rig.base, 'copy.json')
      const done = await copy(rig, ...accept, '--overwrite', runId, '--finish', '--pace', 'full', '--hold', '20', '--report', report)
      expect([done.code, done.stdout], done.stderr).toEqual([
        0,
        expect.stringMatching(/compared while writers were waiting[^]*no difference[^]*point the clients at the group NOW/),
      ])
      expect(JSON.parse(await readFile(report, 'utf8'))).toMatchObject({ finished: { held: 'pause', proof: 'all' }, uncopied: [], again: null })
      const sealed = await rig.cli('migrate', 'verify', '--check-report', report)
      expect([sealed.code, sealed.stdout], sealed.stderr).toEqual([
        0,
        expect.stringMatching(/as Holdfast [^]* \d+ keys, 0 of them not copied\n\d+ keys compared while nobody wrote, no difference/),
      ])
      await writeFile(report, (await readFile(report, 'utf8')).replace('"held": "pause"', '"held": "stopped"'))
      expect(await rig.cli('migrate', 'verify', '--check-report', report)).toMatchObject({ code: 1, stderr: expect.stringMatching(/^HF937 /) })

      const proof = await rig.cli('migrate', 'verify', `redis://${clientIp(rig)}:${port}`, 'sessions', '--member', now, '--pace', 'full')
      expect([proof.code, proof.stdout], proof.stderr).toEqual([0, expect.stringContaining('no difference')])
    } finally {
      await sh(rig, `kill ${loadPid}`)
      await old(rig, 'CLIENT', 'UNPAUSE')
      await old(rig, 'SHUTDOWN', 'NOSAVE')
    }
  })

  test('bad words: said with a code, and nothing is touched', async () => {
    const rig = theRig()
    expect(await copy(rig, '--accept', 'L99')).toMatchObject({ code: 2 })
    expect(await copy(rig, '--writers-stopped')).toMatchObject({ code: 2, stderr: expect.stringMatching(/^HF925 /) })
    expect(await copy(rig, '--max-pause', '0')).toMatchObject({ code: 2 })
    expect(await copy(rig)).toMatchObject({ code: 1, stderr: expect.stringMatching(/^HF901 /) })
    expect(await rig.cli('migrate', 'copy', 'sessions', 'sessions', '--pace', 'full')).toMatchObject({ code: 1, stderr: expect.stringMatching(/^HF921 P11 /) })
  })
})

describe.skipIf(problems.length > 0)('into a group with Sentinels', { timeout: 90_000 }, () => {
  const theRig = rigFor('cpsent', pairWithSentinels, { files: { 'mover.password': 'pw\n' } })

  test('it is copied into as into any other, and nobody is elected for it', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    await start(rig)
    const accept = ['--accept', 'L1,L2,L3,L4,L5,L6', '--accept', 'P2,P3,P12']
    const done = await copy(rig, ...accept, '--finish', '--pace', 'full', '--hold', '20')
    expect([done.code, done.stdout], done.stderr).toEqual([0, expect.stringMatching(/no difference[^]*point the clients at the group NOW/)])
    expect((await rig.untilOk()).primary, 'nobody was elected for it').toBe(primary)
    await old(rig, 'SHUTDOWN', 'NOSAVE')
  })
})

function clientIp(rig: Rig): string {
  return rig.lab.record.plan.nodes.find(({ name }) => name === 'client')?.ip ?? ''
}
