/** Which RDBs a redis-server reads: asked of itself, so that no table of versions has to be kept. */
import type { Observed } from '../model/outcome.ts'
import { formatOfDump } from '../redis/dump-footer.ts'
import { leastRedisBytes, NotLoaded, openThrowaway } from '../redis/throwaway.ts'

export interface Reads {
  readonly version: string
  /** Its own format. It reads older ones. */
  readonly format: number
}

export async function rdbFormatOf(redisServer: string): Promise<Observed<Reads>> {
  try {
    const order = { redisServer, prefix: 'holdfast-reads-', databases: 1, capBytes: leastRedisBytes, low: false, more: [] }
    const aside = await openThrowaway({ ...order, fill: ({ start }) => Promise.resolve(start()) })
    try {
      await aside.redis.call('SET', 'a', 'b')
      const dump = await aside.redis.call('DUMP', 'a')
      const version = /^redis_version:(\S+)/m.exec(String(await aside.redis.call('INFO', 'server')))?.[1] ?? ''
      const format = Buffer.isBuffer(dump) ? formatOfDump(dump) : null
      return format === null ? { ok: false, why: `${redisServer} does not answer DUMP` } : { ok: true, value: { version, format } }
    } finally {
      await aside.close()
    }
  } catch (error) {
    return { ok: false, why: error instanceof NotLoaded ? lastWords(error, redisServer) : (error as Error).message }
  }
}

function lastWords({ message }: NotLoaded, redisServer: string): string {
  return message === '' ? `${redisServer} does not start` : message
}
