/** The archive of the stream of other servers, and in stores over a network that fail meanwhile: what lies there is what redis sent, as on a disk of redis 7.0. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { StoreConfig } from '../../src/model/config.ts'
import { openStore } from '../../src/store/open.ts'
import { noRedis } from '../unit/real-redis.ts'
import { acknowledgedBy, ArchiveGround, caughtUp, follow, until, write } from './archive-ground.ts'
import { expectServers, others } from './servers.ts'
import { gateTo, hasSshd, hasSwift, startServers, type StoreServers } from './store-servers.ts'

let here: ArchiveGround | null = null
afterEach(async () => {
  await here?.close()
  here = null
})

expectServers()
describe.each(others)('$name', ({ redisServer }) => {
  test("a replica under writes, and its promotion: nothing is missing on the way to it, and the reader is nobody's replica", async () => {
    const ground = new ArchiveGround({ redisServer })
    here = ground
    const primary = await ground.primary()
    const replica = await ground.replica(primary)
    const archiver = ground.archiver(replica)
    await archiver.attached()
    await write(primary, 2000, 'before:')
    await caughtUp(replica, primary)
    expect(await acknowledgedBy(replica, '65536'), 'it acknowledges nothing').toBe('0')
    const { from } = await ground.expectWhole(replica)
    const second = await ground.replica(primary)
    await caughtUp(second, primary)
    await replica.call('REPLICAOF', 'NO', 'ONE')
    await follow(second, replica)
    await write(replica, 500, 'after:')
    expect((await ground.expectWhole(replica)).from, 'one run, over the promotion').toBe(from)
    expect(archiver.lines.filter(({ t }) => t === 'stream')).toMatchObject([{ what: 'began' }, { what: 'forked' }])
    await archiver.stop()
  })
})

describe.skipIf(noRedis)('a store over a network', () => {
  let servers: StoreServers
  beforeAll(async () => {
    servers = await startServers('holdfast-archive-stores-')
  })
  afterAll(() => servers.stop())

  const kinds = [
    {
      kind: 's3',
      isHere: hasSwift,
      port: () => servers.s3.port,
      behind: (port: number): StoreConfig => ({ ...servers.s3.config, prefix: 'archive', endpoint: `http://127.0.0.1:${port}` }),
    },
    {
      kind: 'sftp',
      isHere: hasSshd,
      port: () => servers.ssh.config.port,
      behind: (port: number): StoreConfig => {
        const path = join(servers.dir, 'archive')
        mkdirSync(path)
        return { ...servers.ssh.config, ...servers.ssh.knownAt(port), path, port }
      },
    },
  ]

  describe.each(kinds)('$kind', ({ kind, isHere, port, behind }) => {
    if (!isHere) console.warn(`skipped: the archive in ${kind}: its server is not installed`)
    test.skipIf(!isHere)('cut off under writes, and back: what came meanwhile is put then, and nothing is missing', async () => {
      const gate = await gateTo(port())
      try {
        const opened = await openStore(behind(gate.port))
        if (!opened.ok) throw new Error(opened.why)
        const ground = new ArchiveGround({ store: opened.value })
        here = ground
        const primary = await ground.primary()
        const replica = await ground.replica(primary)
        const archiver = ground.archiver(replica)
        await archiver.attached()
        await write(primary, 500, 'before:')
        await caughtUp(replica, primary)
        await ground.expectWhole(replica)
        gate.cutAfter('in', 0)
        for (let i = 0; i < 10; i += 1) {
          await write(primary, 200, `away${i}:`)
          await delay(100)
        }
        await until(() => archiver.now().trouble !== null)
        gate.mend()
        await write(primary, 200, 'back:')
        await caughtUp(replica, primary)
        await until(() => archiver.now().trouble === null, 15_000)
        await ground.expectWhole(replica)
        expect(
          archiver.lines.filter(({ t }) => t === 'stream'),
          'no gap',
        ).toMatchObject([{ what: 'began' }])
        await archiver.stop()
        await opened.value.close()
      } finally {
        await gate.close()
      }
    })
  })
})
