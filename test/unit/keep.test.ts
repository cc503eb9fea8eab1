/**
 * Real redis-servers: the diverged writes of a fenced former primary are read from its stream, exactly, and are durable with
 * their manifest; the fence leaves the user's values as they were.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { growBacklog, mayGrowBacklog } from '../../src/act/backlog.ts'
import { keepDataset, keepWrites } from '../../src/act/keep.ts'
import { fenceWrites, liftFence, writeFence } from '../../src/act/write-fence.ts'
import type { Kept } from '../../src/model/kept.ts'
import type { Outcome } from '../../src/model/outcome.ts'
import { attach, fetchPiece } from '../../src/redis/psync.ts'
import { isWrite, streamParser } from '../../src/salvage/stream.ts'
import { noRedis, parted, Redises, type RealRedis } from './real-redis.ts'
import { freePort } from './wire.ts'

let redises: Redises
beforeEach(() => {
  redises = new Redises()
})
afterEach(() => redises.close())

const keptDir = () => `${redises.dir}/state/sessions/kept`
const manifests = () =>
  readdirSync(keptDir())
    .filter((f) => f.endsWith('.json'))
    .map((f) => JSON.parse(readFileSync(`${keptDir()}/${f}`, 'utf8')) as Kept)

function wordsOf(kept: Kept | undefined): readonly string[] {
  const parser = streamParser(kept?.fromOffset ?? 0, kept?.startDatabase ?? null)
  const commands = parser.push(readFileSync(`${keptDir()}/${kept?.id ?? ''}.resp`, 'latin1'))
  return commands.filter(isWrite).map((c) => [`db${c.database ?? '?'}`, c.name, ...c.args].join(' '))
}

async function untilDone(act: () => Promise<Outcome>): Promise<Outcome> {
  for (let i = 0; i < 200; i += 1) {
    const outcome = await act()
    if (outcome.done || outcome.waiting !== true) return outcome
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error('waits for ever')
}

const sevenWrites = async (old: RealRedis): Promise<void> => {
  for (let i = 1; i <= 5; i += 1) await old.call('SET', `late:${i}`, String(i))
  await old.call('INCR', 'counter')
  await old.call('SELECT', '2')
  await old.call('SET', 'elsewhere', 'a\r\n$6\r\nb')
  await old.call('SELECT', '0')
}

describe.skipIf(noRedis)('the writes of a former primary', () => {
  test.each(['127.0.0.1', '127.0.1.9'])('are kept exactly: all of them, nothing else, each in its database (%s)', async (ip) => {
    await redises.close()
    redises = new Redises(ip)
    const notes: string[] = []
    const { old, fork } = await parted(redises, async (r) => {
      await r.call('SET', 'common', '1')
    })
    const hands = redises.hands(old, notes)
    await sevenWrites(old)
    expect(await fenceWrites(hands, (await old.facts()).runId)).toEqual({ done: true })
    await expect(old.call('SET', 'refused', '1')).rejects.toThrow(/NOREPLICAS/)
    expect(await old.call('GET', 'late:1'), 'reads are served').toBe('1')
    expect(await untilDone(() => keepWrites(hands, 'epoch-1-from-a', fork))).toEqual({ done: true })
    const [kept] = manifests()
    expect(wordsOf(kept)).toEqual([...[1, 2, 3, 4, 5].map((i) => `db0 SET late:${i} ${i}`), 'db0 INCR counter', 'db2 SET elsewhere a\r\n$6\r\nb'])
    expect(kept).toMatchObject({
      kind: 'commands',
      commands: 7,
      keys: 7,
      databases: [0, 2],
      startDatabase: 0,
      fromOffset: fork.fromOffset,
      replid: fork.replid,
      seenAtWallMs: null,
    })
    expect(kept?.toOffset).toBe((await old.facts()).offset)
    expect(notes.join()).toMatch(/7 diverged writes/)
    // and an agent that died before it could follow keeps nothing twice
    expect(await untilDone(() => keepWrites(redises.hands(old), 'epoch-1-from-a', fork))).toEqual({ done: true })
    expect(manifests()).toHaveLength(1)
    // what redis itself puts into the stream is nothing to keep, and what comes later is kept without what was kept before
    await old.call('PUBLISH', 'news', 'none')
    expect(await untilDone(() => keepWrites(redises.hands(old), 'epoch-1-from-a', fork))).toEqual({ done: true })
    expect(manifests()).toHaveLength(1)
    await liftFence(hands)
    await old.call('SET', 'still-later', '1')
    expect(await untilDone(() => keepWrites(redises.hands(old), 'epoch-1-from-a', fork))).toEqual({ done: true })
    expect(
      manifests()
        .map((m) => wordsOf(m).length)
        .sort(),
    ).toEqual([1, 7])
  })

  test('that were begun in another database than 0: its number is found before the fork', async () => {
    const { old, fork } = await parted(redises, async (r) => {
      await r.call('SELECT', '5')
      await r.call('SET', 'common', '*2\r\n$6\r\nSELECT\r\n$1\r\n7\r\n')
    })
    await old.call('SET', 'late', '1')
    await fenceWrites(redises.hands(old), (await old.facts()).runId)
    await untilDone(() => keepWrites(redises.hands(old), 'e', fork))
    expect(wordsOf(manifests()[0])).toEqual(['db5 SET late 1'])
  })

  test('that the backlog does not hold any more: the dataset is kept instead, and no full sync is begun', async () => {
    const notes: string[] = []
    const { old, fork } = await parted(redises, async () => {}, '--repl-backlog-size', '16384')
    for (let i = 0; i < 40; i += 1) await old.call('SET', `big:${i}`, 'x'.repeat(2000))
    const hands = redises.hands(old, notes)
    await fenceWrites(hands, (await old.facts()).runId)
    expect(await untilDone(() => keepWrites(hands, 'epoch-1-from-a', fork))).toEqual({ done: true })
    const [kept] = manifests()
    expect(kept).toMatchObject({ kind: 'dataset', keys: 40, fromOffset: fork.fromOffset })
    expect(readFileSync(`${keptDir()}/${kept?.id ?? ''}.rdb`, 'latin1').startsWith('REDIS')).toBe(true)
    expect(notes.join()).toMatch(/backlog begins at/)
    expect(/sync_full:(\d+)/.exec(String(await old.call('INFO')))?.[1], 'one full sync, that of the replica').toBe('1')
  })

  test('of a redis that is a replica of nobody: -NOMASTERLINK, the dataset is kept', async () => {
    const { old, fork } = await parted(redises, async () => {})
    await old.call('SET', 'late', '1')
    await old.call('REPLICAOF', '127.0.0.1', '1')
    const hands = redises.hands(old)
    expect(await untilDone(() => keepWrites(hands, 'e', fork))).toEqual({ done: true })
    expect(manifests()[0]?.kind).toBe('dataset')
    expect(await untilDone(() => keepDataset(redises.hands(old), 'e', fork)), 'it is there').toEqual({ done: true })
    expect(manifests()).toHaveLength(1)
  })

  test('whose offset moves on while the dataset is saved: one save, one copy', async () => {
    const { old, fork } = await parted(redises, async () => {}, '--rdb-key-save-delay', '2000')
    for (let i = 0; i < 100; i += 1) await old.call('SET', `late:${i}`, '1')
    const hands = redises.hands(old)
    const outcome = await untilDone(async () => {
      const kept = await keepDataset(hands, 'e', fork)
      await old.call('PUBLISH', 'news', 'none')
      return kept
    })
    expect(outcome).toEqual({ done: true })
    expect(manifests()).toHaveLength(1)
    const published = 3 * 37
    expect((await old.facts()).offset - (manifests()[0]?.toOffset ?? 0), 'it says the moment when the save began').toBeGreaterThan(published)
    expect(/rdb_saves:(\d+)/.exec(String(await old.call('INFO')))?.[1] ?? '1').toBe('1')
  })

  test('with a password; a wrong one keeps nothing and says so', async () => {
    const old = await redises.start('--requirepass', 'right word')
    const wrong = await attach({ host: '127.0.0.1', port: old.port, password: 'wrong' }, 'x'.repeat(40), 1, 2000)
    expect(!wrong.ok && wrong.why).toMatch(/WRONGPASS/)
    const other = await attach({ host: '127.0.0.1', port: old.port, password: 'right word' }, 'x'.repeat(40), 1, 2000)
    expect(!other.ok && other.why).toMatch(/full sync|NOMASTER|ERR/)
  })

  test('a folder that takes nothing: not done, so that nothing is given up', async () => {
    const { old, fork } = await parted(redises, async () => {})
    await old.call('SET', 'late', '1')
    const hands = redises.hands(old)
    mkdirSync(`${redises.dir}/state/sessions`, { recursive: true })
    writeFileSync(keptDir(), 'a file in its place')
    await expect(
      untilDone(() => keepWrites(hands, 'e', fork)).then(
        (o) => (o.done ? 'done' : 'not'),
        () => 'not',
      ),
    ).resolves.toBe('not')
    rmSync(keptDir())
  })
})

describe.skipIf(noRedis)('a piece of the stream', () => {
  test('from a server that takes the connection and says nothing: the deadline ends it', async () => {
    const mute = createServer(() => {})
    const port = await freePort()
    await new Promise<void>((resolve) => mute.listen(port, '127.0.0.1', resolve))
    const answer = await fetchPiece({ host: '127.0.0.1', port, password: undefined }, { replid: 'x', from: 1, to: 9 }, { deadlineMs: 100, maxBytes: 100 })
    expect(!answer.ok && answer.why).toMatch(/within 100 ms/)
    mute.close()
  })

  test('above the limit is not begun; an end that never comes is given up', async () => {
    const { old, fork } = await parted(redises, async () => {})
    await old.call('SET', 'late', '1')
    const target = { host: '127.0.0.1', port: old.port, password: undefined }
    const piece = { replid: fork.replid, from: fork.fromOffset, to: (await old.facts()).offset }
    const large = await fetchPiece(target, piece, { deadlineMs: 1000, maxBytes: 10 })
    expect(!large.ok && large.why).toMatch(/above the limit/)
    const endless = await fetchPiece(target, { ...piece, to: piece.to + 1 }, { deadlineMs: 300, maxBytes: 1000 })
    expect(!endless.ok && endless.why).toMatch(/not all of/)
    const exact = await fetchPiece(target, piece, { deadlineMs: 1000, maxBytes: 1000 })
    expect(exact.ok && exact.value.length).toBe(piece.to - piece.from + 1)
  })
})

describe.skipIf(noRedis)('the backlog', () => {
  test('is enlarged and keeps what is in it; a redis that refuses is asked once', async () => {
    const { old, fork } = await parted(redises, async () => {})
    await old.call('SET', 'late', '1')
    const hands = redises.hands(old)
    expect(await growBacklog(hands, 8 * 1024 * 1024)).toEqual({ done: true })
    expect((await old.call('CONFIG', 'GET', 'repl-backlog-size')) as string[]).toContain('8388608')
    expect(await untilDone(() => keepWrites(hands, 'e', fork))).toEqual({ done: true })
    expect(wordsOf(manifests()[0])).toEqual(['db0 SET late 1'])
    const stubborn = redises.hands(await redises.start('--rename-command', 'CONFIG', ''))
    expect([await growBacklog(stubborn, 1), mayGrowBacklog(stubborn), mayGrowBacklog(hands)]).toEqual([{ done: true }, false, true])
  })
})

describe.skipIf(noRedis)('the write fence', () => {
  const values = async (r: RealRedis) =>
    [(await r.call('CONFIG', 'GET', 'min-replicas-to-write')) as string[], (await r.call('CONFIG', 'GET', 'min-replicas-max-lag')) as string[]].map((v) => v[1])

  test.each([
    ['0', '10'],
    ['0', '0'],
    ['3', '7'],
    ['98', '0'],
  ])("the user's values %s and %s come back exactly, also when the fence is set twice", async (toWrite, maxLag) => {
    const r = await redises.start('--min-replicas-to-write', toWrite, '--min-replicas-max-lag', maxLag)
    const hands = redises.hands(r)
    const { runId } = await r.facts()
    await fenceWrites(hands, runId)
    await fenceWrites(hands, runId)
    expect(writeFence(hands.config.paths, 'sessions')).toEqual({ runId, inForce: true })
    await expect(r.call('SET', 'x', '1')).rejects.toThrow(/NOREPLICAS/)
    expect(await liftFence(hands)).toEqual({ done: true })
    expect(await values(r)).toEqual([toWrite, maxLag])
    expect(writeFence(hands.config.paths, 'sessions')).toBeNull()
    expect(await liftFence(hands)).toEqual({ done: true })
  })

  test('an agent that died after it had written the values down: the next one fences, and puts the first values back', async () => {
    const r = await redises.start('--min-replicas-to-write', '2')
    const hands = redises.hands(r)
    const { runId } = await r.facts()
    await fenceWrites(hands, runId)
    // as if it had died before the CONFIG SET
    const file = `${redises.dir}/state/sessions/write-fence.json`
    writeFileSync(file, JSON.stringify({ ...(JSON.parse(readFileSync(file, 'utf8')) as object), inForce: false }))
    await r.call('CONFIG', 'SET', 'min-replicas-to-write', '2')
    vi.resetModules()
    const next = await import('../../src/act/write-fence.ts')
    expect(next.writeFence(hands.config.paths, 'sessions')).toEqual({ runId, inForce: false })
    await next.fenceWrites(hands, runId)
    await expect(r.call('SET', 'x', '1')).rejects.toThrow(/NOREPLICAS/)
    await next.liftFence(hands)
    expect((await values(r))[0]).toBe('2')
  })

  test('a redis that refuses to be set is fenced as a replica of nobody, and what is written down does not claim more', async () => {
    const r = await redises.start()
    const hands = redises.hands(r)
    const deaf = {
      ...hands,
      link: () => ({
        ...r.link,
        call: (args: readonly string[], ms: number) => (args[1] === 'SET' ? Promise.resolve({ ok: false as const, why: 'ERR' }) : r.link.call(args, ms)),
      }),
    }
    expect(await fenceWrites(deaf, (await r.facts()).runId)).toEqual({ done: true })
    expect(writeFence(hands.config.paths, 'sessions')?.inForce).toBe(false)
    await expect(r.call('SET', 'x', '1')).rejects.toThrow(/READONLY/)
    expect(await liftFence(hands)).toEqual({ done: true })
  })

  test('what somebody has set meanwhile is theirs: it stays', async () => {
    const r = await redises.start()
    const hands = redises.hands(r)
    await fenceWrites(hands, (await r.facts()).runId)
    await r.call('CONFIG', 'SET', 'min-replicas-to-write', '1')
    await liftFence(hands)
    expect((await values(r))[0]).toBe('1')
  })

  test('a redis without CONFIG is fenced as a replica of nobody: refused all the same', async () => {
    const r = await redises.start('--rename-command', 'CONFIG', '')
    expect(await fenceWrites(redises.hands(r), (await r.facts()).runId)).toEqual({ done: true })
    await expect(r.call('SET', 'x', '1')).rejects.toThrow(/READONLY/)
  })
})
