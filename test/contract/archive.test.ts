/** The stream of real redises, archived as it comes: what lies in the store afterwards is what they sent, whatever happened meanwhile. */
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import type { Store } from '../../src/store/store.ts'
import { noRedis, type RealRedis } from '../unit/real-redis.ts'
import { acknowledgedBy, ArchiveGround, caughtUp, ended, flushMs, follow, lastOf, until, write } from './archive-ground.ts'

let here: ArchiveGround
afterEach(() => here.close())

const real = test.skipIf(noRedis)

async function pair(...more: readonly string[]): Promise<{ primary: RealRedis; replica: RealRedis }> {
  here = new ArchiveGround()
  const primary = await here.primary(...more)
  return { primary, replica: await here.replica(primary, ...more) }
}

real('a replica under writes: what lies in the store is what it was sent, to the last byte; nobody counts the reader', async () => {
  const { primary, replica } = await pair()
  const archiver = here.archiver(replica)
  await archiver.attached()
  for (let i = 0; i < 12; i += 1) await write(primary, 1000, `a${i}:`)
  await caughtUp(replica, primary)
  expect(await acknowledgedBy(replica, '65536'), 'it acknowledges nothing').toBe('0')
  const run = await here.expectWhole(replica)
  expect(archiver.lines.filter(({ t }) => t === 'stream')).toMatchObject([{ what: 'began' }])
  expect(run.from).toBe(archiver.now().run?.from)
  const wholeBytes = 8 * 1024 * 1024
  const lieIn = async (): Promise<readonly number[]> =>
    (await here.stream()).segments.filter(({ from }) => from < run.from + wholeBytes).map(({ from, to }) => to - from + 1)
  await until(async () => (await lieIn()).length === 1)
  expect(await lieIn(), 'the small ones have gone into a whole one').toEqual([wholeBytes])
  const [told, seen] = [await primary.call('INFO', 'replication'), await replica.call('INFO', 'replication')].map(String)
  expect(told).toContain('connected_slaves:1')
  expect(told).not.toContain('port=65536')
  expect(seen).toMatch(/slave0:ip=127\.0\.0\.1,port=65536,/)
  await archiver.stop()
})

real('nothing but PINGs is put once a minute; what is written behind them at once', async () => {
  const { primary, replica } = await pair()
  let isAway = false
  const store: Store = { ...here.store, put: async (...put) => (isAway ? { ok: false, why: 'it is away' } : here.store.put(...put)) }
  const archiver = here.archiver(replica, { store })
  await archiver.attached()
  await primary.call('CONFIG', 'SET', 'repl-ping-replica-period', '1')
  const { came } = archiver.now()
  await until(() => (archiver.now().came ?? 0) >= (came ?? 0) + 28)
  await delay(3 * flushMs)
  expect((await here.stream()).segments).toEqual([])
  expect(Date.now() - (archiver.now().storedWallMs ?? 0), 'nothing waits').toBeLessThan(1500)
  isAway = true
  await primary.call('SET', 'a', 'b')
  await until(() => archiver.now().trouble !== null)
  isAway = false
  await until(async () => (await here.stream()).segments.length === 1, 2 * flushMs + 1000)
  const told = archiver.lines.flatMap((line) => (line.t === 'archived' && line.storedWallMs !== null ? [line.storedWallMs] : []))
  expect(told, 'what is archived never reaches less far than it did').toEqual(told.toSorted((a, b) => a - b))
})

real('killed ten times at any moment: what has come is there, but for what came just before; and no gap', async () => {
  const { primary, replica } = await pair()
  let writing = true
  const samples: { readonly atMs: number; readonly offset: number }[] = []
  const writer = (async () => {
    for (let i = 0; writing; i += 1) {
      await write(primary, 20, `w${i}:`)
      samples.push({ atMs: performance.now(), offset: (await replica.facts()).offset })
      await delay(15)
    }
  })().catch(() => undefined)
  const lostMs: number[] = []
  const stored = async (): Promise<number> => Math.max(-1, ...(await here.stream(null)).segments.map(({ to }) => to))
  for (let life = 0; life < 10; life += 1) {
    const before = await stored()
    const { child, lines } = await here.process(replica)
    // One in three at any moment, also before it is attached; of the others it is known what they must have put.
    const isEarly = life % 3 === 2
    if (!isEarly) await until(async () => (await stored()) > before)
    await delay(Math.random() * (isEarly ? 300 : 3 * flushMs))
    await ended(child, 'SIGKILL')
    const killedMs = performance.now()
    const end = await stored()
    if (!isEarly) lostMs.push(killedMs - (samples.find(({ offset }) => offset > end)?.atMs ?? killedMs))
    const told = lines.filter(({ t }) => t === 'stream')
    expect(told, 'it begins once, and no gap is told').toHaveLength(life === 0 ? 1 : 0)
  }
  writing = false
  await writer
  await caughtUp(replica, primary)
  const end = await stored()
  const { child } = await here.process(replica)
  await here.expectWhole(replica, null)
  await until(async () => (await here.stream(null)).segments.filter(({ to }) => to <= end).length <= 3)
  await here.expectWhole(replica, null)
  child.stdin?.end()
  await ended(child, 'SIGCONT')
  console.info(`archive: after ${lostMs.length} kills of the archiver the last ${lostMs.map((ms) => Math.round(ms)).join(', ')} ms were missing`)
  expect(Math.max(...lostMs)).toBeLessThan(flushMs + 500)
})

real('its redis is promoted: a new timeline with its parent; another replica goes on with it, and nothing is missing', async () => {
  const { primary, replica } = await pair()
  const second = await here.replica(primary)
  const archiver = here.archiver(replica)
  await archiver.attached()
  await write(primary, 100, 'before:')
  await caughtUp(replica, primary)
  await caughtUp(second, primary)
  const old = await replica.facts()
  await replica.call('REPLICAOF', 'NO', 'ONE')
  await follow(second, replica)
  await write(replica, 100, 'after:')
  const run = await here.expectWhole(replica)
  await archiver.stop()
  const promoted = await replica.facts()
  const { timelines } = await here.stream()
  expect(timelines.find(({ replid }) => replid === promoted.replid)).toMatchObject({ parent: { replid: old.replid }, from: promoted.secondOffset })
  expect(archiver.lines.filter(({ t }) => t === 'stream')).toMatchObject([{ what: 'began' }, { what: 'forked' }])
  expect(archiver.now().run).toMatchObject({ from: run.from, legs: [{ replid: old.replid }, { replid: promoted.replid, to: null }] })
  await write(replica, 100, 'other:')
  const other = here.archiver(second)
  await caughtUp(second, replica)
  expect((await here.expectWhole(second)).from).toBe(run.from)
  expect(other.lines.filter(({ t }) => t === 'stream')).toEqual([])
  expect(other.now().run).toMatchObject({ from: run.from })
})

real('the archive has gone beyond the fork: it goes on at the fork, and what the old primary wrote beyond stays on its own timeline', async () => {
  const { primary, replica } = await pair()
  const archiver = here.archiver(primary)
  await archiver.attached()
  await write(primary, 50, 'both:')
  await caughtUp(replica, primary)
  await replica.call('REPLICAOF', 'NO', 'ONE')
  await write(primary, 50, 'lost:')
  await write(replica, 100, 'kept:')
  const beyond = await here.expectWhole(primary)
  await archiver.stop()
  const old = await primary.facts()
  here.archiver(replica)
  const run = await here.expectWhole(replica)
  const { secondOffset } = await replica.facts()
  expect(run).toMatchObject({ from: beyond.from })
  expect(beyond.to).toBeGreaterThan(secondOffset)
  expect(
    (await here.runs(primary)).map(({ to }) => to),
    'it is still there',
  ).toEqual([old.offset])
})

real('two promotions while nobody archived: the way through both is known from the lineage', async () => {
  const { primary, replica } = await pair()
  const last = await here.replica(primary)
  const archiver = here.archiver(replica)
  await archiver.attached()
  await write(primary, 50, 'a:')
  await caughtUp(replica, primary)
  await here.expectWhole(replica)
  await archiver.stop()
  const lineage = [{ epoch: 1, replid: (await primary.facts()).replid, startOffset: 0, holder: 'a', source: 'bootstrap' as const, why: '', atWallMs: 0 }]
  for (const [epoch, next] of [
    [2, replica],
    [3, last],
  ] as const) {
    await write(epoch === 2 ? primary : replica, 20, `b${epoch}:`)
    await caughtUp(next, epoch === 2 ? primary : replica)
    if (epoch === 2) await caughtUp(last, primary)
    await next.call('REPLICAOF', 'NO', 'ONE')
    const { replid, secondOffset } = await next.facts()
    lineage.push({ epoch, replid, startOffset: secondOffset, holder: 'b', source: 'failover' as never, why: 'gone', atWallMs: 0 })
    if (epoch === 2) await follow(last, replica)
  }
  await write(last, 20, 'c:')
  const knowing = here.archiver(last, { lineage, epoch: 3 })
  await here.expectWhole(last)
  expect((await here.stream()).timelines.map(({ epoch, parent }) => [epoch, parent === null]).toSorted()).toEqual([
    [1, true],
    [2, false],
    [3, false],
  ])
  await knowing.stop()
  expect(knowing.lines.filter(({ t }) => t === 'stream').map((line) => 'what' in line && line.what)).toEqual(['forked', 'forked'])
})

real('two promotions at once, and nothing written between: the way leads past the one in the middle', async () => {
  const { primary, replica } = await pair()
  const last = await here.replica(primary)
  const archiver = here.archiver(last)
  await archiver.attached()
  await write(primary, 50, 'a:')
  await caughtUp(last, primary)
  await caughtUp(replica, primary)
  const { from } = await here.expectWhole(last)
  await archiver.stop()
  const lineage = [{ epoch: 1, replid: (await primary.facts()).replid, startOffset: 0, holder: 'a', source: 'bootstrap' as const, why: '', atWallMs: 0 }]
  for (const [epoch, next] of [
    [2, replica],
    [3, last],
  ] as const) {
    await next.call('REPLICAOF', 'NO', 'ONE')
    const { replid, secondOffset } = await next.facts()
    lineage.push({ epoch, replid, startOffset: secondOffset, holder: 'b', source: 'failover' as never, why: 'gone', atWallMs: 0 })
    if (epoch === 2) await follow(last, replica)
  }
  await write(last, 20, 'c:')
  here.archiver(last, { lineage, epoch: 3 })
  expect(await here.expectWhole(last), 'one run, from before both').toMatchObject({ from })
})

real('two archivers at once: the same bytes twice, and one run', async () => {
  const { primary, replica } = await pair()
  const [one, two] = [here.archiver(replica), here.archiver(primary)]
  await until(() => [one, two].every(({ lines }) => lines.length > 0 && lastOf(lines).isAttached))
  for (let i = 0; i < 20; i += 1) {
    await write(primary, 300, `x${i}:`)
    await delay(20)
  }
  await caughtUp(replica, primary)
  const { segments } = await here.expectWhole(replica)
  expect(segments.length).toBeGreaterThan(1)
  await Promise.all([one.stop(), two.stop()])
  await here.expectWhole(replica)
})

real('the store fails for a while: told, tried again, and nothing is missing; redis is read no further than can be held', async () => {
  const { primary, replica } = await pair('--client-output-buffer-limit', 'replica 0 0 0')
  let why: string | null = null
  const store: Store = {
    ...here.store,
    put: async (...put) => (why === null ? here.store.put(...put) : { ok: false, why }),
    remove: async (...remove) => (why === null ? here.store.remove(...remove) : { ok: false, why }),
  }
  const archiver = here.archiver(replica, { store })
  await archiver.attached()
  await write(primary, 100, 'a:')
  await caughtUp(replica, primary)
  await here.expectWhole(replica)
  why = 'no space is left in /var/backups'
  for (let i = 0; i < 6; i += 1) await write(primary, 5000, `b${i}:`)
  await caughtUp(replica, primary)
  await until(() => archiver.now().trouble !== null)
  expect(archiver.now().trouble).toContain('no space is left in /var/backups')
  await delay(300)
  const { came, stored } = archiver.now()
  expect((came ?? 0) - (stored ?? 0), 'bounded').toBeLessThan(21 * 1024 * 1024)
  expect((await replica.facts()).offset - (stored ?? 0)).toBeGreaterThan(25 * 1024 * 1024)
  why = null
  await here.expectWhole(replica)
  expect(archiver.now().trouble).toBe(null)
  expect(archiver.lines.filter(({ t }) => t === 'stream')).toMatchObject([{ what: 'began' }])
})

real('redis hangs up, again and again: it goes on where it stood', async () => {
  const { primary, replica } = await pair()
  const archiver = here.archiver(replica)
  for (let i = 0; i < 10; i += 1) {
    await until(async () => String(await replica.call('INFO', 'replication')).includes('port=65536'))
    await write(primary, 100, `a${i}:`)
    // Sometimes it has come, sometimes not.
    if (i % 2 === 0) await caughtUp(replica, primary)
    const { offset } = await replica.facts()
    if (i % 2 === 0) await until(() => (archiver.now().came ?? 0) >= offset)
    await replica.call('CLIENT', 'KILL', 'TYPE', 'replica')
    await write(primary, 100, `b${i}:`)
  }
  await caughtUp(replica, primary)
  await here.expectWhole(replica)
  const came = archiver.lines.flatMap((line) => (line.t === 'archived' && line.came !== null ? [line.came] : []))
  expect(came, 'no byte is asked for twice').toEqual(came.toSorted((a, b) => a - b))
  expect(archiver.lines.filter(({ t }) => t === 'stream')).toMatchObject([{ what: 'began' }])
})

real('its backlog does not reach back: the gap is told, and it goes on, behind a backup where there is one', async () => {
  here = new ArchiveGround()
  const redis = await here.redises.start('--repl-backlog-size', '1mb', '--repl-ping-replica-period', '3600')
  const of = await here.replica(redis)
  const first = here.archiver(redis)
  await first.attached()
  await write(redis, 50, 'a:')
  await here.expectWhole(redis)
  await first.stop()
  await forgets(redis, of)
  const { offset, replid } = await redis.facts()
  await write(redis, 20, 'c:')
  const bases = [
    { id: '20261121T120000Z-0badcafe', replid, offset, atWallMs: 2, state: 'untested' as const },
    { id: '20261121T130000Z-0badcafe', replid, offset: offset + 1, atWallMs: 3, state: 'bad' as const },
  ]
  const second = here.archiver(redis, { bases: () => Promise.resolve({ ok: true, value: bases }) })
  await until(async () => (await here.runs(redis)).at(-1)?.to === (await redis.facts()).offset)
  expect((await here.runs(redis)).map(({ from }) => from)[1]).toBe(offset + 1)
  expect(second.lines.filter(({ t }) => t === 'stream')).toMatchObject([
    {
      what: 'gap',
      text: expect.stringMatching(/not in its backlog any more.*begins again at offset \d+, behind the backup 20261121T120000Z-0badcafe/) as string,
    },
  ])
  expect(second.now().run?.from).toBe(offset + 1)
  await second.stop()
  await forgets(redis, of)
  const third = here.archiver(redis)
  await third.attached()
  expect(third.lines.filter(({ t }) => t === 'stream')).toMatchObject([{ what: 'gap', text: expect.stringContaining('no backup is there') as string }])
  await write(redis, 10, 'e:')
  await until(async () => (await here.runs(redis)).length === 3)
  expect((await of.facts()).linkUp).toBe(true)
})

/** Writes until nothing of what it has sent until now is in its backlog any more. */
async function forgets(redis: RealRedis, replica: RealRedis): Promise<void> {
  const { offset } = await redis.facts()
  await until(async () => {
    await write(redis, 200, 'forgotten:')
    await caughtUp(replica, redis)
    return ((await redis.facts()).supply?.backlogFrom ?? 0) > offset + 1
  })
}

real('a primary on which it would count as a replica is not read; nor one that becomes such', async () => {
  const { primary } = await pair('--min-replicas-to-write', '1')
  const refused = here.archiver(primary)
  await until(() => refused.lines.length > 0 && refused.now().trouble !== null)
  expect(refused.now().trouble).toBe('red-b: it is a primary with min-replicas-to-write, and would take who reads from it for a replica that has its data')
  expect(String(await primary.call('INFO', 'replication'))).not.toContain('65536')
  await primary.call('CONFIG', 'SET', 'min-replicas-to-write', '0')
  await until(() => refused.now().isAttached)
  await primary.call('SET', 'a', 'b')
  expect(await primary.call('WAIT', '1', '5000'), 'the replica').toBe(1)
  expect(await primary.call('WAIT', '2', '200'), 'it acknowledges nothing').toBe(1)
  await primary.call('CONFIG', 'SET', 'min-replicas-to-write', '2')
  await until(async () => !String(await primary.call('INFO', 'replication')).includes('65536'), 2500)
  expect((await primary.link.call(['SET', 'a', 'b'], 1000)).ok).toBe(false)
})

real('a replica that is behind the archive is waited for', async () => {
  const { primary, replica } = await pair()
  const ahead = here.archiver(primary)
  await ahead.attached()
  // Its primary sends it nothing for a while.
  await replica.call('REPLICAOF', '127.0.0.1', '1')
  await write(primary, 100, 'a:')
  await here.expectWhole(primary)
  await ahead.stop()
  const behind = here.archiver(replica)
  await until(() => behind.lines.length > 0 && behind.now().trouble !== null)
  expect(behind.now().trouble).toMatch(/^red-b: it is at offset \d+, and the archive at \d+ already$/)
  await follow(replica, primary)
  await behind.attached()
  await write(primary, 10, 'b:')
  await caughtUp(replica, primary)
  await here.expectWhole(replica)
  expect(behind.lines.filter(({ t }) => t === 'stream')).toEqual([])
})
