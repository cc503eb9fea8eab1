/** A whole job, as an agent orders it, with each kind of store on a real server: taken, tested, listed, and read back by whoever restores it. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ArchiveLine, JobLine, TakeJob } from '../../src/backup/job.ts'
import { readCatalog } from '../../src/dump/catalog.ts'
import { fetchRdb } from '../../src/dump/fetch.ts'
import { runJob } from '../../src/dump/job.ts'
import type { StoreConfig } from '../../src/model/config.ts'
import { openStore } from '../../src/store/open.ts'
import { Redises, type RealRedis } from '../unit/real-redis.ts'
import { hasSshd, hasSwift, startServers, type S3Server, type SshServer, type StoreServers } from './store-servers.ts'

const never = new AbortController().signal
const key = Buffer.alloc(32, 7)
let servers: StoreServers
let dir: string
let s3: S3Server
let ssh: SshServer
let redises: Redises
let source: RealRedis
beforeAll(async () => {
  servers = await startServers('holdfast-jobs-')
  ;({ dir, s3, ssh } = servers)
  mkdirSync(join(dir, 'disk'))
  writeFileSync(join(dir, 'key'), key, { mode: 0o600 })
  redises = new Redises()
  source = await redises.start('--rdbcompression', 'no')
  // More than one part of an upload, also when it is compressed.
  await source.call('EVAL', "for i = 1, 6000 do redis.call('SET', 'k' .. i, string.rep(redis.sha1hex(i), 80)) end", '0')
})
afterAll(async () => {
  await redises.close()
  await servers.stop()
})

function orderTo(store: StoreConfig, more: Partial<TakeJob> = {}): TakeJob {
  const keep = { hourly: 24, daily: 30, weekly: 0, monthly: 0 }
  return {
    ...{ job: 'take', group: 'sessions', id: '20261121T120000Z-0badcafe', reason: 'anna asked', everyMs: null, epoch: 4, redisServer: 'redis-server' },
    source: { host: 'red-b', role: 'replica', why: 'the only replica' },
    backup: { store, schedule: null, keep, compression: 'none', encryptionKeyFile: join(dir, 'key'), maxBytesPerS: null, test: true, stream: null },
    redis: { host: '127.0.0.1', port: source.port, passwordFile: null },
    ...more,
  }
}

async function told(job: TakeJob): Promise<JobLine | ArchiveLine | undefined> {
  const lines: (JobLine | ArchiveLine)[] = []
  await runJob(job, (line) => lines.push(line), never)
  return lines.at(-1)
}

describe.each([
  ['a directory', true, (): StoreConfig => ({ kind: 'directory', path: join(dir, 'disk') })],
  ['S3', hasSwift, (): StoreConfig => s3.config],
  ['SFTP', hasSshd, (): StoreConfig => ssh.config],
])('a backup into %s', (_kind, isHere, config) => {
  test.skipIf(!isHere)('is taken, encrypted, tested in a redis of its own, and read back', { timeout: 30_000 }, async () => {
    expect(await told(orderTo(config()))).toMatchObject({ t: 'done', glance: { alarms: [] } })
    const store = await openStore(config())
    if (!store.ok) throw new Error(store.why)
    const catalog = await readCatalog(store.value, 'sessions', never, key)
    const found = catalog.ok ? catalog.value.backups : []
    expect(found).toMatchObject([{ state: 'good', byKey: true, tested: { keys: 6000 }, manifest: { position: { epoch: 4 }, reason: 'anna asked' } }])
    let bytes = 0
    for (const { manifest } of found) for await (const chunk of fetchRdb(store.value, manifest, key, never)) bytes += chunk.length
    expect(bytes).toBe(found[0]?.manifest.rdb.bytes)
    expect(bytes).toBeGreaterThan(16 * 1024 * 1024)
    await store.value.close()
  })

  test.skipIf(!isHere)('of a redis that is not there leaves nothing in the store', async () => {
    const nobody = orderTo(config(), { group: 'others', redis: { host: '127.0.0.1', port: 1, passwordFile: null } })
    expect(await told(nobody)).toMatchObject({ t: 'failed', why: expect.stringContaining('ECONNREFUSED') as string })
    const store = await openStore(config())
    expect(store.ok && (await store.value.list('others'))).toEqual({ ok: true, value: [] })
    if (store.ok) await store.value.close()
  })
})
