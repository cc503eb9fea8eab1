/**
 * The way of a redis to a source with TLS, through the agent, between two real servers: what is carried, who is let through, what is remembered; and what is told
 * of certificates that do not fit.
 */
import { execFile, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { createConnection, createServer } from 'node:net'
import { promisify } from 'node:util'
import { afterEach, describe, expect, test } from 'vitest'
import { openMoveSource, type MoveSource } from '../../src/agent/move-source.ts'
import { unreached } from '../../src/cli/migrate-unreached.ts'
import type { Config } from '../../src/model/config.ts'
import type { Move, SourceTls } from '../../src/model/move.ts'
import { lookAt } from '../../src/move/look.ts'
import { makeCertificates, type Certificates } from '../unit/certificates.ts'
import { noRedis, Redises, type RealRedis } from '../unit/real-redis.ts'
import { freePort } from '../unit/wire.ts'
import { expectServers, others } from './servers.ts'

const hasOpenssl = spawnSync('openssl', ['version']).status === 0
if (!hasOpenssl) console.warn('skipped: sources with TLS, because openssl is not installed')
const signal = new AbortController().signal

let redises: Redises | null = null
const open: MoveSource[] = []
afterEach(async () => {
  for (const one of open.splice(0)) one.close()
  await redises?.close()
  redises = null
})

interface Ground {
  readonly redises: Redises
  readonly its: Certificates
  readonly tls: SourceTls
  readonly tlsPort: number
  readonly startSource: (...more: readonly { readonly program: string }[]) => Promise<RealRedis>
  /** As after a start of the agent. */
  readonly startAgent: () => MoveSource
}

async function ground(names: readonly string[] = ['IP:127.0.0.1'], days = 1): Promise<Ground> {
  const all = new Redises()
  redises = all
  const its = await makeCertificates(all.dir, names, { days })
  const tlsPort = await freePort()
  const words = ['--tls-port', String(tlsPort), '--tls-cert-file', its.server.cert, '--tls-key-file', its.server.key, '--tls-ca-cert-file', its.ca]
  const paths = { state: `${all.dir}/state` } as Config['paths']
  mkdirSync(`${paths.state}/sessions`, { recursive: true })
  return {
    redises: all,
    its,
    tls: { ca: text(its.ca), cert: text(its.client.cert), key: text(its.client.key) },
    tlsPort,
    startSource: (...more) => all.start(...words, ...more),
    startAgent: () => {
      const source = openMoveSource(paths, 'sessions', { wake: () => {}, serves: () => false })
      open.push(source)
      return source
    },
  }
}

function text(file: string): string {
  return readFileSync(file, 'utf8')
}

function moveOf(port: number, more: Partial<Move>): Move {
  return { source: { host: '127.0.0.1', port, tls: true }, stage: 'sync', synced: false, runId: '', ...more } as Move
}

/** Cycles of the loop, until one says so. */
async function until(isSo: () => Promise<boolean>, withinMs = 5000): Promise<boolean> {
  for (const endMs = performance.now() + withinMs; performance.now() < endMs; ) {
    if (await isSo()) return true
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return false
}

async function partialSyncs(redis: RealRedis): Promise<number> {
  return Number(/sync_partial_ok:(\d+)/.exec(String(await redis.call('INFO', 'stats')))?.[1])
}

const linkIsUp = async (redis: RealRedis): Promise<boolean> => (await redis.facts()).linkUp

async function following(program = 'redis-server') {
  const at = await ground()
  const [source, replica] = [await at.startSource({ program }), await at.redises.start({ program })]
  await source.call('MSET', 'a', '1', 'b', '2')
  const agent = at.startAgent()
  const record = { host: '127.0.0.1', port: at.tlsPort, user: null, password: null, raises: [], raised: false, hold: null, tls: at.tls }
  expect((await agent.access.keep(record)).done).toBe(true)
  const first = moveOf(at.tlsPort, {})
  expect(await until(async () => (await agent.probe(during(first), { holds: true, asked: false, own: await replica.facts() }))?.trouble === null)).toBe(true)
  const entrance = agent.access.entrance()
  if (!entrance.ok) throw new Error(entrance.why)
  await replica.call('REPLICAOF', entrance.value.host, String(entrance.value.port))
  expect(await until(() => linkIsUp(replica))).toBe(true)
  const move = moveOf(at.tlsPort, { synced: true, runId: (await source.facts()).runId })
  return { ...at, source, replica, agent, move, way: entrance.value }
}

const during = (move: Move) => ({ move, phase: 'receiving', epoch: 1, lineage: [] }) as const

describe.skipIf(noRedis || !hasOpenssl)('a source with TLS, followed', { timeout: 40_000 }, () => {
  test('redis is seen to follow the source itself; after a restart of the agent it goes on at the same port, and where it was', async () => {
    const { source, replica, agent, move, way, startAgent, tlsPort } = await following()
    expect((await replica.facts()).upstream).toEqual(way)
    const told = agent.told({ facts: await replica.facts() })
    expect(told.facts.upstream).toEqual({ host: '127.0.0.1', port: tlsPort })
    agent.close()
    expect(await until(async () => !(await linkIsUp(replica)), 2000), 'no agent, no way').toBe(true)
    await source.call('SET', 'c', '3')
    const next = startAgent()
    expect(next.told({ facts: await replica.facts() }).facts.upstream, 'known before anything is opened').toEqual(told.facts.upstream)
    expect(
      await until(async () => {
        await next.probe(during(move), { holds: true, asked: false, own: await replica.facts() })
        return linkIsUp(replica)
      }),
    ).toBe(true)
    expect(await until(async () => (await replica.call('GET', 'c')) === '3')).toBe(true)
    expect((await source.facts()).supply?.fullSyncs).toBe(1)
    const files = readdirSync('/proc/self/fd').length
    for (let round = 0; round < 3; round += 1) {
      const before = await partialSyncs(source)
      await source.call('CLIENT', 'KILL', 'TYPE', 'replica')
      expect(await until(async () => (await partialSyncs(source)) > before && linkIsUp(replica))).toBe(true)
    }
    expect(readdirSync('/proc/self/fd').length).toBeLessThanOrEqual(files)
  })

  test('a source that was restarted empty is not followed by itself, however soon redis calls (INV-1)', async () => {
    const { source, replica, agent, move, startSource, startAgent, tlsPort } = await following()
    agent.close()
    await source.call('SHUTDOWN', 'NOSAVE').catch(() => undefined)
    const empty = await startSource()
    const next = startAgent()
    const endMs = performance.now() + 2500
    while (performance.now() < endMs) {
      await next.probe(during(move), { holds: true, asked: false, own: await replica.facts() })
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    expect([(await replica.facts()).keys, (await empty.facts()).supply?.fullSyncs]).toEqual([2, 0])
    expect(next.access.entrance().ok, 'whoever says so may have it').toBe(true)
    expect(tlsPort).toBeGreaterThan(0)
  })

  test('another user of this host does not enter the source by our certificate', async () => {
    const { way } = await following()
    const said = (uid: number): Promise<string> =>
      promisify(execFile)('redis-cli', ['-p', String(way.port), 'PING'], { uid, timeout: 3000 }).then(
        ({ stdout }) => stdout.trim(),
        () => 'refused',
      )
    expect(await said(process.getuid?.() ?? 0)).toBe('PONG')
    expect(await said(65_534)).toBe('refused')
  })

  test('only while it is needed, and by whoever holds the group; a port that another has is given up', async () => {
    const { replica, agent, move, way, startAgent, tlsPort } = await following()
    const answers = (): Promise<boolean> =>
      new Promise((resolve) => {
        const socket = createConnection(way, () => {
          socket.destroy()
          resolve(true)
        }).on('error', () => resolve(false))
      })
    expect(await answers()).toBe(true)
    await agent.probe(during({ ...move, stage: 'moved' }), { holds: true, asked: false, own: await replica.facts() })
    expect([await answers(), await linkIsUp(replica)], 'the group serves').toEqual([false, false])
    await agent.probe(during(move), { holds: true, asked: false, own: await replica.facts() })
    expect(await answers()).toBe(true)
    await agent.probe(during(move), { holds: false, asked: false, own: await replica.facts() })
    expect(await answers(), 'another holds the group').toBe(false)
    const other = createServer().listen(way.port, '127.0.0.1')
    await new Promise((resolve) => other.once('listening', resolve))
    try {
      const next = startAgent()
      await next.probe(during(move), { holds: true, asked: false, own: await replica.facts() })
      const entrance = next.access.entrance()
      expect(entrance).toMatchObject({ ok: true, value: { host: '127.0.0.1' } })
      expect(entrance.ok && entrance.value.port).not.toBe(way.port)
      const told = next.told({ facts: await replica.facts() }).facts.upstream
      expect(told, 'it calls somebody else: it is to follow anew').toEqual(way)
      expect(told?.port).not.toBe(tlsPort)
      await next.forget()
      expect(readdirSync(`${redises?.dir}/state/sessions`)).toEqual([])
    } finally {
      other.close()
    }
  })
})

describe.skipIf(noRedis || !hasOpenssl)('certificates that do not fit', { timeout: 20_000 }, () => {
  async function codeOf(port: number, tls: SourceTls | undefined): Promise<string> {
    const end = { host: '127.0.0.1', port, ...(tls === undefined ? {} : { tls }) }
    const found = await lookAt(end, { overMs: 20, signal })
    return found.ok ? 'ok' : unreached(end, found.why).code
  }

  test('another authority, none; none of ours, one of another authority, half of one; no TLS there; TLS there', async () => {
    const { tls, tlsPort, its, startSource, redises: all } = await ground()
    const source = await startSource()
    const other = await makeCertificates(all.dir, ['IP:127.0.0.1'], { prefix: 'other-' })
    const theirs = { cert: text(other.client.cert), key: text(other.client.key) }
    expect(await codeOf(tlsPort, tls)).toBe('ok')
    expect(await codeOf(tlsPort, { ...tls, ca: text(other.ca) })).toBe('HF933')
    expect(await codeOf(tlsPort, { ...tls, ca: undefined })).toBe('HF933')
    expect(await codeOf(tlsPort, { ca: text(its.ca) })).toBe('HF934')
    expect(await codeOf(tlsPort, { ca: text(its.ca), ...theirs })).toBe('HF934')
    expect(await codeOf(source.port, tls), 'it speaks none there').toBe('HF901')
    expect(await codeOf(tlsPort, undefined)).toBe('HF901')
  })

  test('of another name; by its name, although it is called by its address', async () => {
    const { tls, tlsPort, startSource } = await ground(['DNS:old.example.com'])
    await startSource()
    expect(await codeOf(tlsPort, tls)).toBe('HF933')
    expect(await codeOf(tlsPort, { ...tls, name: 'old.example.com' })).toBe('ok')
    expect(await codeOf(tlsPort, { ...tls, name: 'new.example.com' })).toBe('HF933')
  })

  test('over', async () => {
    const { tls, tlsPort, startSource } = await ground(['IP:127.0.0.1'], 0)
    await startSource()
    await new Promise((resolve) => setTimeout(resolve, 1500))
    expect(await codeOf(tlsPort, tls)).toBe('HF933')
  })
})

expectServers()
describe.skipIf(!hasOpenssl).each(others)('$name over TLS', { timeout: 20_000 }, ({ redisServer }) => {
  test('is followed, and goes on where it was when the link was lost', async () => {
    const { source, replica, agent, move } = await following(redisServer)
    await source.call('CLIENT', 'KILL', 'TYPE', 'replica').catch(() => source.call('CLIENT', 'KILL', 'TYPE', 'slave'))
    await source.call('SET', 'c', '3')
    expect(
      await until(async () => {
        await agent.probe(during(move), { holds: true, asked: false, own: await replica.facts() })
        return (await replica.call('GET', 'c')) === '3'
      }),
    ).toBe(true)
    expect((await source.facts()).supply?.fullSyncs).toBe(1)
  })
})
