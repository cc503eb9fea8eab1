/**
 * The other servers that script/servers has fetched (docs/servers.md), each of which Holdfast is tried on. A folder of one's own in the
 * same place counts as well: NAME/redis-server and NAME/redis-sentinel.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

export interface Server {
  /** `redis-6.0`, `valkey-8.1`: the name of its folder. */
  readonly name: string
  readonly redisServer: string
  readonly redisSentinel: string
  /** What it says of itself: `8.1.1`. */
  readonly version: string
}

const place = process.env['HOLDFAST_SERVERS'] ?? join(process.env['XDG_CACHE_HOME'] ?? '/var/cache', 'holdfast-servers')

function found(): readonly Server[] {
  const names = existsSync(place) ? readdirSync(place).toSorted() : []
  return names.flatMap((name) => {
    const [redisServer, redisSentinel] = [join(place, name, 'redis-server'), join(place, name, 'redis-sentinel')]
    if (!existsSync(redisServer) || !existsSync(redisSentinel)) return []
    const told = execFileSync(redisServer, ['--version'], { encoding: 'utf8' })
    return [{ name, redisServer, redisSentinel, version: /v=(\S+)/.exec(told)?.[1] ?? '' }]
  })
}

export const servers = found()

const installed = spawnSync('redis-server', ['--version'], { encoding: 'utf8' }).stdout ?? ''

/** Without the one that is installed as well: every other test tries that. */
export const others = servers.filter(({ version }) => !installed.includes(`v=${version} `))

/** Skipped where none is there, with one line, because what is left out without a word looks like what passed. */
export function expectServers(): void {
  if (servers.length === 0) console.warn(`skipped: no other servers in ${place}: script/servers fetches them`)
  test.skipIf(servers.length === 0)('servers are here, and tell their versions', () => {
    expect(servers.map(({ version }) => /^\d+\.\d+\.\d+$/.test(version))).toEqual(servers.map(() => true))
  })
}

/** For what came with a version of redis: CLIENT PAUSE … WRITE with 6.2, answers at small intervals while loading with 7.0. Valkey began with 7.2. */
export function since(major: number, minor: number): (server: Server) => boolean {
  return ({ version }) => {
    const [its = 0, itsMinor = 0] = version.split('.').map(Number)
    return its > major || (its === major && itsMinor >= minor)
  }
}
