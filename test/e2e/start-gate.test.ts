/**
 * What a data directory may do when redis starts: serve again where an AOF has forgotten its history; be loaded whole where AOF was
 * turned on over an RDB; be kept aside where it cannot be read; and never serve where it is empty or of another life.
 */
import { copyFile, mkdir, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import type { KeptEntry } from '../../src/model/kept.ts'
import type { Rig } from './rig.ts'
import { poll, problems, rigFor, twoHosts, vip } from './rig.ts'

describe.skipIf(problems.length > 0)('with an AOF', { timeout: 90_000 }, () => {
  const theRig = rigFor('gate-aof', twoHosts(['redis: { appendonly: "yes" }']))

  test('power cut of all: the data come back from the AOFs, nothing acknowledged is gone, and both are one group again', async () => {
    const rig = theRig()
    await rig.untilOk()
    const writer = await rig.writer()
    await writer.mark('power cut')
    await Promise.all(['red-a', 'red-b'].map((host) => rig.lab.power(host, 'off')))
    await Promise.all(['red-a', 'red-b'].map((host) => rig.lab.power(host, 'on')))
    const after = await rig.untilOk()
    expect(await writer.steady({ acks: 200, withinMs: 10_000 })).toBe(true)
    const report = await rig.finish(writer)
    expect(report.lost).toBe(0)
    expect(await events(rig, after.primary), 'said before the start').toMatch(
      /redis is started .*: its disk has an AOF of \d+ bytes.*as was noted: epoch \d+, offset about \d+/,
    )
    await rig.expectNoBrokenRule()
  })

  test('power cut of all, and the AOF of the primary is torn at its end: the replica, whose AOF is whole, serves, and nothing acknowledged is gone', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const writer = await rig.writer()
    await writer.mark('power cut')
    // What is torn below has reached the replica: of a write that only one host had, no rule could save the end.
    await rig.redis(primary, 'CLIENT', 'PAUSE', '5000', 'WRITE')
    expect(await rig.redis(primary, 'WAIT', '1', '2000')).toMatch(/1/)
    await Promise.all(['red-a', 'red-b'].map((host) => rig.lab.power(host, 'off')))
    const folder = `${dataDir(rig, primary)}/appendonlydir`
    const last = `${folder}/${(await readdir(folder)).find((name) => name.includes('.incr.')) ?? ''}`
    const torn = (await readFile(last)).subarray(0, -10)
    await writeFile(last, torn)
    await Promise.all(['red-a', 'red-b'].map((host) => rig.lab.power(host, 'on')))
    expect(await rig.untilOk()).toMatchObject({ primary: other(primary) })
    expect(await writer.steady({ acks: 200, withinMs: 10_000 })).toBe(true)
    expect((await rig.finish(writer)).lost).toBe(0)
    const { kept } = JSON.parse((await rig.cli('salvage', 'list', 'sessions', '--json')).stdout) as { kept: readonly KeptEntry[] }
    const cut = kept.find((k) => k.cut !== undefined)
    expect(cut).toMatchObject({ kind: 'aof', unreadable: true, host: primary, commands: 1 })
    expect((await readFile(`${cut?.file ?? ''}/${last.split('/').at(-1) ?? ''}`)).equals(torn), 'the file as it was').toBe(true)
    const shown = (await rig.cli('salvage', 'show', 'sessions', cut?.id ?? '')).stdout
    expect(shown).toMatch(/was torn, and was cut off: \d+ bytes, a command that is not whole: SET /)
    expect(shown).toMatch(/cat -v .*\/cut/)
    expect(await events(rig, primary)).toMatch(/redis-check-aof has cut it off a copy.*were kept as/)
    await rig.expectNoBrokenRule()
  })

  test('its only replica is away: a primary whose redis dies, twice, goes on from its own AOF; the replica joins again without a word of an operator', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const writer = await rig.writer()
    await rig.lab.power(other(primary), 'off')
    await rig.until('the replica is missed', 'sessions', (s) => s.health === 'degraded')
    expect(await writer.steady({ acks: 500, withinMs: 10_000 })).toBe(true)
    await rig.incident(writer, 'redis dies, alone', { outageMs: 5000, okWithinMs: null }, () => rig.lab.kill(primary, 'redis'))
    // Without a replica since, redis counts no offset at all.
    expect(await writer.steady({ acks: 500, withinMs: 10_000 })).toBe(true)
    await rig.incident(writer, 'and again', { outageMs: 5000, okWithinMs: null }, () => rig.lab.kill(primary, 'redis'))
    await rig.lab.power(other(primary), 'on')
    expect(await rig.untilOk()).toMatchObject({ primary })
    await rig.finishWithin(writer, 6000)
    await rig.expectNoBrokenRule()
  })

  test('a crash, and then all of its disk is lost: it says that it is empty, does not serve, and is filled again', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const writer = await rig.writer()
    await rig.lab.freeze(primary, 'redis')
    await rm(dataDir(rig, primary), { recursive: true })
    await mkdir(dataDir(rig, primary))
    await rig.incident(writer, 'crash, empty', { outageMs: 1000 }, () => rig.lab.kill(primary, 'redis'))
    expect(await events(rig, primary)).toContain('redis is started as a replica of nobody: its disk is empty')
    await rig.finishWithin(writer, 1000)
    await rig.expectNoBrokenRule()
  })
})

describe.skipIf(problems.length > 0)('with an AOF that redis cannot read', { timeout: 90_000 }, () => {
  const theRig = rigFor('gate-torn', twoHosts(['redis: { appendonly: "yes" }']))

  test('of a replica: kept aside whole and listed with its reason; show says how to look into it, and what it says is true', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const replica = other(primary)
    await rig.redisAt('client', vip, 'EVAL', "for i = 1, 500 do redis.call('set', 'k:' .. i, i) end return 1", '0')
    await rig.redis(primary, 'WAIT', '1', '2000')
    await rig.lab.freeze(replica, 'redis')
    const manifest = `${dataDir(rig, replica)}/appendonlydir/appendonly.aof.manifest`
    await writeFile(manifest, (await readFile(manifest, 'utf8')).slice(0, 20))
    await rig.lab.kill(replica, 'redis')
    const name = await poll(async () => (await keptNames(rig, replica)).find((n) => n.endsWith('.aof')), { withinMs: 10_000 })
    const id = (name ?? 'none').replace('.aof', '')
    await rig.untilOk()
    expect(await rig.redis(replica, 'EXISTS', 'k:1', 'k:500'), 'fetched anew').toMatch(/2/)
    const listed = (await rig.cli('salvage', 'list', 'sessions')).stdout
    expect(listed).toContain(`${id}: redis cannot read it: its manifest is torn or no manifest; on ${replica}: `)
    const { kept } = JSON.parse((await rig.cli('salvage', 'list', 'sessions', '--json')).stdout) as { kept: readonly KeptEntry[] }
    expect(kept.find((k) => k.id === id)).toMatchObject({
      kind: 'aof',
      unreadable: true,
      host: replica,
      file: rig.file(replica, 'state', 'sessions', 'kept', `${id}.aof`),
    })
    expect(kept.find((k) => k.id === id)?.bytes).toBeGreaterThan(500)

    const shown = await rig.cli('salvage', 'show', 'sessions', id)
    expect(shown.stdout).toContain('its manifest is torn or no manifest')
    const said = (begin: string) =>
      (new RegExp(`^ *(${begin}.*?)(?: +#.*)?$`, 'm').exec(shown.stdout)?.[1] ?? 'false').replaceAll('/tmp/look', rig.file(replica, 'look'))
    expect((await rig.lab.exec(replica, ['sh', '-c', said('mkdir')])).code).toBe(0)
    const checked = await rig.lab.exec(replica, ['sh', '-c', said('redis-check-aof')])
    expect(`${checked.stdout}${checked.stderr}`).toMatch(/manifest/i)
    expect((await rig.cli('salvage', 'replay', 'sessions', id, '--dry-run')).stderr).toMatch(/HF604.*salvage show/s)
    await rig.expectNoBrokenRule()
  })
})

describe.skipIf(problems.length > 0)('with an RDB', { timeout: 90_000 }, () => {
  const theRig = rigFor('gate-rdb', twoHosts(['redis: { save: "" }']))

  test.each([
    ['torn', (bytes: Buffer) => bytes.subarray(0, bytes.length - 40), /it is torn: its end is missing/],
    [
      'damaged in its middle',
      (bytes: Buffer) => Buffer.concat([bytes.subarray(0, 200), Buffer.alloc(300, 0xee), bytes.subarray(500)]),
      /RDB|loading|Internal error/i,
    ],
    ['of a newer redis', (bytes: Buffer) => Buffer.concat([Buffer.from('REDIS0099'), bytes.subarray(9)]), /Can't handle RDB format version 99/],
    ['no RDB at all', () => Buffer.from('hello, I am no dataset'), /it is no RDB/],
  ])('of a replica, %s: it is kept aside as it is, and the data are fetched anew', async (_what, damage, why) => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const replica = other(primary)
    await rig.redisAt('client', vip, 'EVAL', "for i = 1, 500 do redis.call('set', 'k:' .. i, i) end return 1", '0')
    await rig.redis(replica, 'SAVE')
    await rig.lab.freeze(replica, 'redis')
    const file = `${dataDir(rig, replica)}/dump.rdb`
    const broken = damage(await readFile(file))
    await writeFile(file, broken)
    const before = await keptNames(rig, replica)
    await rig.lab.kill(replica, 'redis')
    const kept = await poll(async () => (await keptNames(rig, replica)).find((name) => name.endsWith('.rdb') && !before.includes(name)), { withinMs: 10_000 })
    await rig.untilOk()
    expect((await readFile(rig.file(replica, 'state', 'sessions', 'kept', kept ?? 'none'))).equals(broken)).toBe(true)
    expect((await rig.cli('salvage', 'list', 'sessions')).stdout).toContain((kept ?? 'none').replace('.rdb', ''))
    expect(await events(rig, replica)).toMatch(why)
    expect(await rig.redis(replica, 'EXISTS', 'k:1', 'k:500')).toMatch(/2/)
  })

  test('power cut of all, and the only dump that is left is torn: nothing serves, nothing is written over it, and status says why', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    for (const host of ['red-a', 'red-b']) await rig.redis(host, 'SAVE')
    await Promise.all(['red-a', 'red-b'].map((host) => rig.lab.power(host, 'off')))
    const file = (host: string) => `${dataDir(rig, host)}/dump.rdb`
    const whole = await readFile(file(primary))
    for (const host of ['red-a', 'red-b']) await writeFile(file(host), whole.subarray(0, 300))
    await Promise.all(['red-a', 'red-b'].map((host) => rig.lab.power(host, 'on')))
    const down = await rig.until('it says why', 'sessions', (s) => s.members.every((m) => m.why.includes('not readable')))
    expect(down.primary).toBeNull()
    expect((await stat(file(primary))).size).toBe(300)
    await writeFile(file(primary), whole)
    const waits = await rig.until('mended by hand: it waits for the other, and says why', 'sessions', (s) => s.because.includes(`waits for ${other(primary)}`))
    expect(waits.because).toMatch(/cannot be compared yet .*not readable: dump.rdb: it is torn/)
    const forced = await rig.cli('failover', 'sessions', '--to', primary, '--force')
    expect(forced.code, forced.stderr).toBe(0)
    expect(await rig.untilOk(), 'the other is filled from it').toMatchObject({ primary })
    expect(await rig.redis(other(primary), 'EXISTS', 'k:1', 'k:500')).toMatch(/2/)
    await rig.expectNoBrokenRule()
  })

  test('AOF is turned on in the configuration: the data of the RDB are loaded, and AOF is on when all is calm', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    for (const host of ['red-a', 'red-b']) await rig.redis(host, 'SAVE')
    await Promise.all(['red-a', 'red-b'].map((host) => rig.lab.power(host, 'off')))
    for (const host of ['red-a', 'red-b']) {
      const config = rig.file(host, 'holdfast.yaml')
      await writeFile(config, (await readFile(config, 'utf8')).replace('save: ""', 'save: "", appendonly: "yes"'))
    }
    await Promise.all(['red-a', 'red-b'].map((host) => rig.lab.power(host, 'on')))
    expect(await rig.untilOk()).toMatchObject({ primary })
    for (const host of ['red-a', 'red-b']) {
      expect(await rig.redis(host, 'EXISTS', 'k:1', 'k:500'), host).toMatch(/2/)
      const on = await poll(async () => (/aof_enabled:1/.test(await rig.redis(host, 'INFO', 'persistence')) ? true : undefined), { withinMs: 5000 })
      expect(on, `AOF is on at ${host}`).toBe(true)
      expect(await readFile(rig.file(host, 'run', 'sessions', 'redis.conf'), 'utf8')).not.toMatch(/^appendonly no/m)
    }
    await rig.lab.kill(primary, 'redis')
    await rig.until('over', 'sessions', (s) => s.health === 'ok' && s.primary === other(primary))
    expect(await rig.redisAt('client', vip, 'EXISTS', 'k:1', 'k:500')).toMatch(/2/)
  })

  test('power cut of all, and a dump of another life lies at the old primary: it does not serve, the one with the history does', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    await Promise.all(['red-a', 'red-b'].map((host) => rig.lab.power(host, 'off')))
    await foreignDump(rig, dataDir(rig, primary))
    await Promise.all(['red-a', 'red-b'].map((host) => rig.lab.power(host, 'on')))
    const down = await rig.until('it asks an operator', 'sessions', (s) => s.because.includes('may have newer data'))
    expect(down.primary).toBeNull()
    expect(down.members.find((m) => m.host === primary)?.why).toContain('unknown history')
    const forced = await rig.cli('failover', 'sessions', '--to', other(primary), '--force')
    expect(forced.code, forced.stderr).toBe(0)
    expect(await rig.untilOk()).toMatchObject({ primary: other(primary) })
    expect(await rig.redisAt('client', vip, 'EXISTS', 'k:1', 'k:500')).toMatch(/2/)
    expect(await rig.redisAt('client', vip, 'EXISTS', 'foreign')).toMatch(/0/)
    await rig.expectNoBrokenRule()
  })
})

function other(host: string): string {
  return host === 'red-a' ? 'red-b' : 'red-a'
}

function dataDir(rig: Rig, host: string): string {
  return rig.file(host, 'state', 'sessions', 'data')
}

async function events(rig: Rig, host: string): Promise<string> {
  return readFile(rig.file(host, 'state', 'sessions', 'events.jsonl'), 'utf8')
}

async function keptNames(rig: Rig, host: string): Promise<readonly string[]> {
  return readdir(rig.file(host, 'state', 'sessions', 'kept')).catch(() => [])
}

/** A redis that never belonged to any group writes the dump. */
async function foreignDump(rig: Rig, dir: string): Promise<void> {
  const made = await rig.lab.exec('client2', [
    'sh',
    '-c',
    `d=$(mktemp -d) && redis-server --port 7778 --dir $d --save '' --daemonize yes --pidfile $d/pid >/dev/null
    for i in $(seq 50); do [ "$(redis-cli -p 7778 PING 2>/dev/null)" = PONG ] && break; sleep 0.1; done
    redis-cli -p 7778 SET foreign 1 && redis-cli -p 7778 SAVE && kill -9 $(cat $d/pid) && echo $d`,
  ])
  const from = made.stdout.trim().split('\n').at(-1) ?? ''
  await rm(dir, { recursive: true, force: true })
  await mkdir(dir)
  await copyFile(`${from}/dump.rdb`, `${dir}/dump.rdb`)
  await rm(from, { recursive: true })
}
