/** The go-ahead of a cut-over that is postponed until a file is laid: what lies there now, and not what lay there once. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { orderSource } from '../../src/act/source.ts'
import { openMoveSource } from '../../src/agent/move-source.ts'
import type { Config } from '../../src/model/config.ts'
import type { Armed, Move } from '../../src/model/move.ts'
import { done } from '../../src/model/outcome.ts'
import { goAheadFile, sourceFile } from '../../src/model/paths.ts'

const calm = { holds: true, asked: false, own: null }

const during = (move: Move) => ({ move, phase: 'receiving', epoch: 1, lineage: [] }) as const

test('a file that was taken away since the last cut-over is no go-ahead for the next one', async () => {
  const state = await mkdtemp(join(tmpdir(), 'holdfast-go-'))
  const paths = { state } as Config['paths']
  const file = goAheadFile(paths, 'sessions')
  await mkdir(dirname(file), { recursive: true })
  const source = openMoveSource(paths, 'sessions', { wake: () => {}, serves: () => false })
  const onFile: Armed = { fromWallMs: null, onFile: true, untilWallMs: null }
  const seen = async (stage: Move['stage'], armed: Armed | null) => {
    const move = { source: { host: '127.0.0.1', port: 1 }, stage, armed } as Move
    await source.probe(during(move), calm)
    await new Promise((resolve) => setTimeout(resolve, 30))
    return move
  }
  try {
    await writeFile(file, '')
    expect((await source.probe(during(await seen('sync', onFile)), calm))?.goAhead).toBe(true)
    await rm(file)
    await seen('moved', null)
    expect((await source.probe(during({ source: { host: '127.0.0.1', port: 1 }, stage: 'sync', armed: onFile } as Move), calm))?.goAhead).toBe(false)
  } finally {
    source.close()
    await rm(state, { recursive: true, force: true })
  }
})

test('what an operator asks of a move is answered from a look of now, not of a second ago', async () => {
  const state = await mkdtemp(join(tmpdir(), 'holdfast-look-'))
  const paths = { state } as Config['paths']
  let offset = 0
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', (data) => {
      if (!/INFO/i.test(data.toString())) return void socket.write('+PONG\r\n')
      offset += 1
      const info = `redis_version:7.0.15\r\nrun_id:r\r\nrole:master\r\nmaster_replid:x\r\nmaster_repl_offset:${offset}\r\n`
      socket.write(`$${info.length}\r\n${info}\r\n`)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await mkdir(dirname(sourceFile(paths, 'sessions')), { recursive: true })
  await writeFile(sourceFile(paths, 'sessions'), JSON.stringify({ host: '127.0.0.1', port, user: null, password: null, raises: [], raised: false, hold: null }))
  const source = openMoveSource(paths, 'sessions', { wake: () => {}, serves: () => true })
  const move = { source: { host: '127.0.0.1', port }, stage: 'moved' } as Move
  try {
    await expect.poll(async () => (await source.probe(during(move), calm))?.facts?.offset).toBeGreaterThan(0)
    const seen = (await source.probe(during(move), calm))?.facts?.offset ?? 0
    expect((await source.probe(during(move), calm))?.facts?.offset, 'a look a second is enough while nothing is asked').toBe(seen)
    expect((await source.probe(during(move), { holds: true, asked: true, own: null }))?.facts?.offset).toBe(seen + 1)
  } finally {
    source.close()
    server.close()
    await rm(state, { recursive: true, force: true })
  }
})

test('an order that the source cannot be given is told with its address: there are two redises in a move', async () => {
  const record = { host: '10.0.0.9', port: 6379, user: null, password: null, raises: [], raised: false, hold: null }
  const source = {
    link: () => null,
    record: () => record,
    entrance: () => ({ ok: true as const, value: record }),
    keep: async () => done,
    serves: () => false,
    pausedForMs: () => {},
    changed: () => {},
  }
  expect(await orderSource({ password: undefined, link: () => null, source } as Parameters<typeof orderSource>[0], { do: 'promote' })).toMatchObject({
    done: false,
    why: expect.stringMatching(/^10\.0\.0\.9:6379: /) as unknown,
  })
})

test('a primary does not wait for a source that is far away: it goes on, and is told of the end when it asks again', async () => {
  const record = { host: '10.0.0.9', port: 6379, user: null, password: null, raises: [], raised: false, hold: null }
  const calls: string[] = []
  const link = {
    call: async (args: readonly string[]) => {
      calls.push(args.join(' '))
      await new Promise((resolve) => setTimeout(resolve, 30))
      return { ok: true as const, value: 'OK' }
    },
  }
  const source = {
    link: () => link,
    record: () => record,
    entrance: () => ({ ok: true as const, value: record }),
    keep: async () => done,
    serves: () => true,
    pausedForMs: () => {},
    changed: () => {},
  }
  const order = () =>
    orderSource({ password: undefined, source } as unknown as Parameters<typeof orderSource>[0], { do: 'follow', host: '10.0.0.1', port: 6379 })
  const beganMs = performance.now()
  expect(await order()).toMatchObject({ done: false, waiting: true })
  expect(performance.now() - beganMs).toBeLessThan(60)
  await expect.poll(order, { interval: 5 }).toEqual(done)
  expect(calls.filter((call) => call.startsWith('REPLICAOF'))).toEqual(['REPLICAOF 10.0.0.1 6379'])
})

test('who serves does not wait for what is asked of the source beside: it is asked at once, and what comes after it comes after it', async () => {
  const record = {
    host: '10.0.0.9',
    port: 6379,
    user: null,
    password: null,
    raises: [],
    raised: true,
    hold: { names: 'min-slaves' as const, toWrite: '1', maxLag: '10' },
  }
  const calls: string[] = []
  const kept: object[] = []
  let known: typeof record | (Omit<typeof record, 'hold'> & { hold: null }) = record
  const source = {
    link: () => ({
      call: async (args: readonly string[]) => {
        calls.push(args.join(' '))
        await new Promise((resolve) => setTimeout(resolve, 20))
        return { ok: true as const, value: 'OK' }
      },
      callAll: async (commands: readonly (readonly string[])[]) => {
        calls.push(...commands.map((args) => args.join(' ')))
        await new Promise((resolve) => setTimeout(resolve, 20))
        return { ok: true as const, value: commands.map(() => ({ ok: true as const, value: 1 })) }
      },
    }),
    record: () => known,
    entrance: () => ({ ok: true as const, value: record }),
    keep: async (next: typeof known) => {
      known = next
      kept.push({ hold: next.hold, raised: next.raised })
      return done
    },
    serves: () => true,
    pausedForMs: () => {},
    changed: () => {},
  }
  const hands = { password: undefined, source } as unknown as Parameters<typeof orderSource>[0]
  const beganMs = performance.now()
  expect([await orderSource(hands, { do: 'kill-clients' }), await orderSource(hands, { do: 'release' })]).toEqual([done, done])
  expect(performance.now() - beganMs).toBeLessThan(20)
  expect(calls[0]).toBe('CLIENT KILL TYPE normal SKIPME yes')
  await expect.poll(() => orderSource(hands, { do: 'settle' }), { interval: 5, timeout: 5000 }).toEqual(done)
  expect(calls.indexOf('CLIENT UNPAUSE')).toBeLessThan(calls.indexOf('CONFIG REWRITE'))
  expect(kept.at(-1), 'what one has written the next one knows').toEqual({ hold: null, raised: false })
})

test('a source that writes its file does not hold up the look by which it is seen', async () => {
  const record = { host: '10.0.0.9', port: 6379, user: null, password: null, raises: [], raised: false, hold: null }
  const calls: string[] = []
  const source = {
    link: () => ({
      call: (args: readonly string[]) => {
        calls.push(args.join(' '))
        return args[1] === 'REWRITE' ? new Promise(() => {}) : Promise.resolve({ ok: true as const, value: 'OK' })
      },
    }),
    record: () => record,
    entrance: () => ({ ok: true as const, value: record }),
    keep: async () => done,
    serves: () => false,
    pausedForMs: () => {},
    changed: () => {},
  }
  expect(await orderSource({ password: undefined, source } as unknown as Parameters<typeof orderSource>[0], { do: 'demote' })).toEqual(done)
  expect(calls).toEqual(['CONFIG SET replica-read-only yes', 'REPLICAOF 127.0.0.1 1', 'CONFIG REWRITE'])
})
