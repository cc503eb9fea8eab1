/**
 * Hosts without agents: redis, keepalived and sentinel started by hand on a lab's hosts, and looked at from outside. It
 * speaks to them as an operator does (redis-cli, ip); it decides nothing.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Lab } from '../../src/lab/lab.ts'
import { nodeDir } from '../../src/lab/record.ts'
import { poll } from '../../src/lab/run.ts'
import { plainRedisConf } from './redis-conf.ts'

export interface RedisView {
  readonly host: string
  readonly role: 'primary' | 'replica'
  readonly linkUp: boolean
  readonly onlineReplicas: number
  readonly loading: boolean
}

/** Which redis.conf and directory a redis uses: one host may run several. */
function redisDir(lab: Lab, host: string, port: number): string {
  return join(nodeDir(lab.record, host), `plain-${port}`)
}

export async function writeRedisConf(lab: Lab, host: string, replicaOf: string | null, port = 6379): Promise<void> {
  const dir = redisDir(lab, host, port)
  await mkdir(dir, { recursive: true })
  await writeFile(join(dir, 'redis.conf'), plainRedisConf({ dir, replicaOf, port }))
}

/** Starts redis from the file that is there, as a supervisor would. Idempotent: a second one cannot take the port. */
export async function startRedis(lab: Lab, host: string, extra: readonly string[] = [], port = 6379): Promise<void> {
  const started = await lab.exec(host, ['redis-server', join(redisDir(lab, host, port), 'redis.conf'), ...extra])
  if (started.code !== 0) throw new Error(`redis does not start on ${host}: ${started.stderr || started.stdout}`)
}

export async function waitForRedis(lab: Lab, host: string, port = 6379): Promise<void> {
  const up = await poll(
    async () => {
      const reply = await lab.exec(host, ['redis-cli', '-h', '127.0.0.1', '-p', String(port), 'ping'], { deadlineMs: 1000 })
      return reply.stdout.trim() === 'PONG' ? true : undefined
    },
    { withinMs: 10_000, everyMs: 20 },
  )
  if (up === undefined) throw new Error(`redis on ${host} does not answer on port ${port}`)
}

/** In the background, with its output in a file beside it. It ends with its namespace. */
export async function startDaemon(lab: Lab, host: string, name: string, argv: readonly string[]): Promise<void> {
  const log = join(nodeDir(lab.record, host), `${name}.log`)
  const quoted = argv.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')
  const started = await lab.exec(host, ['sh', '-c', `setsid ${quoted} >'${log}' 2>&1 </dev/null &`])
  if (started.code !== 0) throw new Error(`${name} does not start on ${host}: ${started.stderr}`)
}

export async function lookAtRedis(lab: Lab, host: string, port = 6379): Promise<RedisView | null> {
  const reply = await lab.exec(host, ['redis-cli', '-h', '127.0.0.1', '-p', String(port), 'info'], { deadlineMs: 1500 })
  const field = (name: string): string | undefined => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(reply.stdout)?.[1]
  const role = field('role')
  if (role === undefined) return null
  return {
    host,
    role: role === 'master' ? 'primary' : 'replica',
    linkUp: field('master_link_status') === 'up',
    onlineReplicas: [...reply.stdout.matchAll(/^slave\d+:.*state=online/gm)].length,
    loading: field('loading') === '1',
  }
}

export async function holdsVip(lab: Lab, host: string, vip: string): Promise<boolean> {
  const shown = await lab.exec(host, ['ip', '-o', '-4', 'addr', 'show'])
  return shown.stdout.includes(` ${vip}/`)
}
