/**
 * What real servers log, and say in INFO, of a sync that goes wrong: a link that is too slow or stands still, a format that the replica cannot read, and
 * commands of the primary that it answers with an error.
 */
import { randomBytes } from 'node:crypto'
import { mkdtempSync } from 'node:fs'
import { createServer, connect, type Server as TcpServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { whyUnreadable } from '../../src/decide/copies.ts'
import { followLog, type SyncLog } from '../../src/observe/redis-log.ts'
import { caughtUp, noRedis, Redises, type RealRedis } from '../unit/real-redis.ts'
import { expectServers, others, servers, since } from './servers.ts'

const programs = [{ name: 'the installed redis', redisServer: 'redis-server', redisSentinel: '', version: '7.0.0' }, ...others]
/** Less than the copy of a source, more than what comes before it. */
const handshakeBytes = 2000

/** The way of a replica to its source, which carries so many bytes from there and then stands still. */
class Way {
  readonly #server: TcpServer
  readonly #sockets = new Set<Socket>()
  readonly port: number

  private constructor(server: TcpServer) {
    this.#server = server
    const address = server.address()
    this.port = typeof address === 'object' && address !== null ? address.port : 0
  }

  static async open(to: number, bytes: number): Promise<Way> {
    let isStill = false
    const server = createServer((replica) => {
      const source = connect(to, '127.0.0.1')
      let carried = 0
      way.#sockets.add(replica).add(source)
      for (const socket of [replica, source]) socket.on('error', () => undefined)
      replica.on('data', (data) => source.write(data))
      source.on('data', (data) => {
        if (isStill) return
        const piece = data.subarray(0, bytes - carried)
        carried += piece.length
        replica.write(piece)
        if (carried === bytes) source.pause()
      })
      replica.once('close', () => source.destroy())
      source.once('close', () => replica.destroy())
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const way = new Way(server)
    way.stand = () => (isStill = true)
    return way
  }

  stand: () => void = () => undefined

  close(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }
}

interface Followed {
  readonly replica: RealRedis
  readonly log: SyncLog
}

function ground(): Redises {
  const redises = new Redises()
  onTestFinished(() => redises.close())
  return redises
}

async function replicaOn(redises: Redises, program: string, ...more: readonly string[]): Promise<Followed> {
  const file = join(mkdtempSync(join(redises.dir, 'log-')), 'redis.log')
  const replica = await redises.start({ program }, '--logfile', file, '--repl-timeout', '1', ...more)
  const log = followLog(file)
  await log.look()
  return { replica, log }
}

async function wayTo(port: number, bytes: number): Promise<Way> {
  const way = await Way.open(port, bytes)
  onTestFinished(() => way.close())
  return way
}

const linkIsUp = async (replica: RealRedis): Promise<boolean> => (await replica.facts()).linkUp
const within = { timeout: 8000, interval: 50 }

async function untilTimeout({ log }: Followed, when: string): Promise<void> {
  const look = async (): Promise<boolean> => {
    await log.look()
    return log.said().timeouts > 0
  }
  await expect.poll(look, { ...within, message: when }).toBe(true)
  expect(log.said().format).toBe(null)
}

expectServers()
describe.skipIf(noRedis)('a replica', { timeout: 20_000 }, () => {
  test('of each server tells in its log of a link that stands still: before it has asked, in the middle of the copy, and afterwards', async () => {
    const redises = ground()
    const stand: { readonly followed: Followed; readonly way: Way; readonly what: string }[] = []
    for (const { name, redisServer } of programs) {
      const source = await redises.start({ program: redisServer })
      for (let i = 0; i < 40; i += 1) await source.call('SET', `key:${i}`, randomBytes(2048).toString('hex'))
      for (const bytes of [0, handshakeBytes, Number.MAX_SAFE_INTEGER]) {
        const [followed, way] = [await replicaOn(redises, redisServer), await wayTo(source.port, bytes)]
        await followed.replica.call('REPLICAOF', '127.0.0.1', String(way.port))
        if (bytes === Number.MAX_SAFE_INTEGER) await expect.poll(() => linkIsUp(followed.replica), within).toBe(true)
        stand.push({ followed, way, what: `${name} after ${bytes} bytes` })
      }
    }
    for (const { way } of stand) way.stand()
    // All of them at the same time: each waits for a second or two.
    await Promise.all(stand.map(({ followed, what }) => untilTimeout(followed, what)))
  })

  test.each(programs)(
    'of $name counts the commands of its primary that it answers with an error; before 6.2 not those that meet a value of another type',
    async (server) => {
      const redises = ground()
      const [source, { replica }] = [
        await redises.start({ program: server.redisServer }),
        await replicaOn(redises, server.redisServer, '--rename-command', 'LPUSH', ''),
      ]
      await replica.call('REPLICAOF', '127.0.0.1', String(source.port))
      await expect.poll(() => linkIsUp(replica), within).toBe(true)
      expect((await replica.facts()).unexpectedErrors).toBe(0)
      await source.call('LPUSH', 'unknown there', 'a')
      await caughtUp(source, replica)
      expect((await replica.facts()).unexpectedErrors).toBe(1)
      await replica.call('CONFIG', 'SET', 'replica-read-only', 'no')
      await replica.call('SET', 'list', 'a string here')
      await source.call('RPUSH', 'list', 'a')
      await caughtUp(source, replica)
      expect((await replica.facts()).unexpectedErrors).toBe(since(6, 2)(server) ? 2 : 1)
    },
  )

  const newer = servers.find(({ name }) => name === 'redis-8.0')

  test.skipIf(newer === undefined).each(programs.filter(({ name }) => name !== newer?.name))(
    'of $name cannot read a copy of redis 8, and says so',
    async ({ redisServer }) => {
      const redises = ground()
      const [source, { replica, log }] = [await redises.start({ program: newer?.redisServer ?? '' }), await replicaOn(redises, redisServer)]
      await source.call('SET', 'a', 'b')
      await replica.call('REPLICAOF', '127.0.0.1', String(source.port))
      const said = async (): Promise<string | null> => {
        await log.look()
        return log.said().format
      }
      await expect.poll(said, within).toContain("Can't handle RDB format version 12")
      expect(whyUnreadable(await replica.facts(), await source.facts())).toContain('RDB version 12')
    },
  )
})
