/**
 * The stream of a group of three with `durability: safe`, archived while it is written to: through a failover, a switchover to the very replica that is
 * read from, and the loss of whatever does it. What the store holds at the end is one run without a gap, and counts for nobody as a replica.
 */
import { mkdirSync, readdirSync, readFileSync, readlinkSync, renameSync, rmSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newestTimeline, pathTo, runsOn, type Run } from '../../src/backup/chain.ts'
import type { StreamStatus } from '../../src/cli/backup-status.ts'
import { readStream } from '../../src/dump/stream.ts'
import { openStore } from '../../src/store/open.ts'
import type { Rig } from './rig.ts'
import { hostLines, poll, problems, rigFor } from './rig.ts'

const hosts = ['red-a', 'red-b', 'red-c'] as const
/** Of all hosts, as a disk of another machine would be. */
const shared = join(tmpdir(), `hf-e2e-stream-${process.pid}`)
const group = [
  'members: [red-a, red-b, red-c]',
  'vip: 192.168.77.9/24',
  'durability: safe',
  `backup: { directory: ${shared}, schedule: "0 0 1 1 *", stream: true }`,
]
const yaml = `${hostLines(3)}\ngroups:\n  sessions:\n${group.map((line) => `    ${line}\n`).join('')}`

async function until<T>(what: string, look: () => Promise<T | undefined>, withinMs = 15_000): Promise<T> {
  const found = await poll(look, { withinMs, everyMs: 50 })
  if (found === undefined) throw new Error(`not within ${withinMs} ms: ${what}`)
  return found
}

/** Somebody archives, and what is archived has a backup to begin at. */
function archived(rig: Rig, by: (host: string) => boolean = () => true): Promise<NonNullable<StreamStatus['running']>> {
  return until('it is archived', async () => {
    const running = (await rig.status())?.backup?.stream?.running
    return running?.isAttached === true && running.sinceWallMs !== null && by(running.host) ? running : undefined
  })
}

/** All hosts of a lab see all processes, and each has a network of its own. */
async function archivers(rig: Rig, host: string): Promise<readonly number[]> {
  const net = (await rig.lab.exec(host, ['readlink', '/proc/self/ns/net'])).stdout.trim()
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      try {
        // Not those that make backups: they are as low as can be.
        const stat = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ')
        return (
          pid > 0 && stat?.[16] === '5' && readlinkSync(`/proc/${pid}/ns/net`) === net && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('/backup.js')
        )
      } catch {
        return false // it ended while we looked
      }
    })
}

/** What lies in the store of the history that is written now. */
async function runs(): Promise<{ readonly runs: readonly Run[]; readonly histories: number }> {
  const opened = await openStore({ kind: 'directory', path: shared })
  if (!opened.ok) throw new Error(opened.why)
  const stored = await readStream(opened.value, 'sessions', null, AbortSignal.timeout(5000))
  if (!stored.ok) throw new Error(stored.why)
  const { timelines, segments, broken } = stored.value
  expect(broken).toEqual([])
  const path = pathTo(timelines, newestTimeline(timelines)?.replid ?? '')
  return { runs: runsOn(path, segments), histories: path.length }
}

async function offsetOf(rig: Rig, host: string): Promise<number> {
  return Number(/master_repl_offset:(\d+)/.exec(await rig.redis(host, 'INFO', 'replication'))?.[1])
}

describe.skipIf(problems.length > 0)('the stream of three', { timeout: 60_000 }, () => {
  beforeAll(() => mkdirSync(shared))
  afterAll(() => rmSync(shared, { recursive: true, force: true }))
  const theRig = rigFor('stream', yaml)

  test('is archived from a replica, with a backup to begin at, and counts as nobody', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const { host, role } = await archived(rig)
    expect([role, host]).toEqual(['replica', expect.not.stringMatching(primary)])
    expect((await rig.cli('status', 'sessions')).stdout).toMatch(
      /stream: archived up to \d\d:\d\d:\d\d UTC by red-[abc], \d\.\d s ago; any moment since \d\d:\d\d UTC\n/,
    )
    expect(await rig.redis(host, 'INFO', 'replication'), 'a port that no redis can have').toMatch(/slave0:ip=[\d.]+,port=65536/)
    expect((await rig.cli('history', 'sessions', '--events')).stdout).toContain('stream-began')
  })

  test('goes on through a failover, and through a switchover to the replica that was read from', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const before = await archived(rig)
    const writer = await rig.writer()
    await rig.incident(writer, 'the primary is killed while its stream is archived', { outageMs: 1000 }, () => rig.lab.kill(primary, 'redis'))
    const { host } = await archived(rig, () => true)
    const after = await runs()
    expect(before.run?.legs).toHaveLength(1)
    expect(after.runs, 'one run over the fork').toHaveLength(1)

    await rig.incident(writer, 'the replica that is read from is promoted', { outageMs: 1000, mayBeUnfelt: true }, async () => {
      expect(await rig.cli('switchover', 'sessions', '--to', host)).toMatchObject({ code: 0 })
      expect(await archivers(rig, host), 'ended before the promotion').toEqual([])
      expect(await rig.redis(host, 'INFO', 'replication'), 'nothing is attached').not.toContain('port=65536')
    })
    await archived(rig, (by) => by !== host)
    await until('the third history', async () => ((await runs()).histories === 3 ? true : undefined))
    expect((await runs()).runs, 'one run over both').toHaveLength(1)
    expect((await rig.cli('history', 'sessions', '--events')).stdout).not.toContain('stream-gap')
    await rig.finishWithin(writer, 1000)
  })

  test('goes on where its process was killed, and where the store was away', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const { host } = await archived(rig)
    const [pid = 0] = await archivers(rig, host)
    process.kill(pid, 'SIGKILL')
    await rig.redis(primary, 'SET', 'while', 'nobody archives')
    await until('another process', async () => ((await archivers(rig, host)).some((one) => one !== pid) ? true : undefined))
    await archived(rig)

    await rig.killAgent(host)
    await until('it has gone with its agent', async () => ((await archivers(rig, host)).length === 0 ? true : undefined))
    await archived(rig, (by) => by !== host)
    await rig.lab.start(host, 'agent')
    await rig.untilOk()

    renameSync(shared, `${shared}-away`)
    await rig.redis(primary, 'SET', 'while', 'there is no store')
    const trouble = await until('it is told', async () => ((await rig.status())?.backup?.stream?.alarms ?? [])[0])
    renameSync(`${shared}-away`, shared)
    expect(trouble.text).toContain('is not there')
    const offset = await offsetOf(rig, primary)
    await until('it is put', async () => (((await runs()).runs.at(-1)?.to ?? 0) >= offset ? true : undefined))
    expect((await runs()).runs).toHaveLength(1)
  })

  test('whoever archives is killed with its agent while others write: a second is missing at the most, and is made up for', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const { host } = await archived(rig)
    const writer = await rig.writer()
    const marks: { readonly atMs: number; readonly offset: number }[] = []
    for (const untilMs = performance.now() + 1500; performance.now() < untilMs; ) marks.push({ atMs: performance.now(), offset: await offsetOf(rig, primary) })
    const [pid] = await archivers(rig, host)
    // Both at once: what it would still put when its input ends is not to count.
    const killedMs = performance.now()
    if (pid !== undefined) process.kill(pid, 'SIGKILL')
    await rig.killAgent(host)
    const to = (await runs()).runs.at(-1)?.to ?? 0
    const had = marks.findLast(({ offset }) => offset <= to)
    const lostMs = killedMs - (had?.atMs ?? 0)
    console.info(`of what was written up to ${lostMs.toFixed(0)} ms before the end, all lies in the store`)
    expect(lostMs).toBeLessThan(1000)
    expect(await archivers(rig, host)).toEqual([])
    await archived(rig, (by) => by !== host)
    await until('the other has made up for it', async () => (((await runs()).runs.at(-1)?.to ?? 0) > to ? true : undefined))
    expect((await runs()).runs).toHaveLength(1)
    await rig.lab.start(host, 'agent')
    await rig.untilOk()
    await rig.finishWithin(writer, 1000)
  })

  test('ends where it is configured no more, and is taken up again where the store is away at first', async () => {
    const rig = theRig()
    await archived(rig)
    const file = rig.file('client', 'holdfast.yaml')
    const text = await readFile(file, 'utf8')
    await writeFile(file, text.replace(', stream: true', ''))
    expect(await rig.cli('apply', '--yes')).toMatchObject({ code: 0 })
    await until('nobody archives', async () => ((await Promise.all(hosts.map((host) => archivers(rig, host)))).flat().length === 0 ? true : undefined))
    expect((await rig.status())?.backup?.stream).toBeNull()
    renameSync(shared, `${shared}-away`)
    await writeFile(file, text)
    expect(await rig.cli('apply', '--yes')).toMatchObject({ code: 0 })
    const alarm = await until('it is told', async () => (await rig.status())?.backup?.stream?.alarms[0])
    expect(alarm.text).toContain('is not there')
    renameSync(`${shared}-away`, shared)
    await archived(rig)
    expect((await runs()).runs).toHaveLength(1)
  })

  test('counts for no write: without its replicas the primary refuses them, and nothing is attached to it', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    await archived(rig)
    await Promise.all(hosts.filter((host) => host !== primary).map((host) => rig.lab.power(host, 'off')))
    await until('writes are refused', async () => ((await rig.redis(primary, 'SET', 'x', '1')).startsWith('NOREPLICAS') ? true : undefined))
    const why = await until('it is told why nobody archives, where the primary would give a backup by now', async () => {
      const told = (await rig.status())?.backup?.stream?.why ?? ''
      return told.includes('durability: safe') ? told : undefined
    })
    expect(why).toMatch(new RegExp(`nobody but a replica may be attached to ${primary}, the primary`))
    expect(await archivers(rig, primary)).toEqual([])
    expect(await rig.redis(primary, 'SET', 'x', '1')).toMatch(/^NOREPLICAS/)
    await rig.expectNoBrokenRule()
  })
})
