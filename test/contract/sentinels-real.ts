/** Three real Sentinels, and the three real redis that they watch, on loopback: known to each other from the start, gone with the test. */
import { spawn, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import type { SentinelPace } from '../../src/observe/sentinel-pace.ts'
import { observeSentinels, type SentinelObserver } from '../../src/observe/sentinels.ts'
import { openRedis, type RedisLink } from '../../src/redis/link.ts'
import { caughtUp, Redises, type RealRedis } from '../unit/real-redis.ts'
import { freePort } from '../unit/wire.ts'

export const hosts = ['a', 'b', 'c'] as const
export type Host = (typeof hosts)[number]
export const group = 'sessions'

export interface RealSentinel {
  readonly host: Host
  readonly port: number
  readonly id: string
  readonly process: () => ChildProcess
  readonly call: (...words: readonly string[]) => Promise<unknown>
  readonly start: () => Promise<void>
  readonly kill: () => Promise<void>
}

export interface SentinelGroup {
  readonly redis: Readonly<Record<Host, RealRedis>>
  readonly sentinels: Readonly<Record<Host, RealSentinel>>
  /** As the agent of this host sees them. `wake` is called at each change. */
  readonly observe: (self: Host, wake?: () => void, passwords?: Partial<Record<Host, string>>, pace?: () => SentinelPace) => SentinelObserver
  readonly close: () => Promise<void>
}

export async function openSentinels(downAfterMs: number, more: Partial<Record<Host, readonly string[]>> = {}): Promise<SentinelGroup> {
  const redises = new Redises()
  const [a, b, c] = [await redises.start(), await redises.start(), await redises.start()]
  for (const replica of [b, c]) await replica.call('REPLICAOF', '127.0.0.1', String(a.port))
  for (const replica of [b, c]) await caughtUp(a, replica)
  const redis = { a, b, c }
  const named: { host: Host; port: number; id: string }[] = []
  for (const host of hosts) named.push({ host, port: await freePort(), id: createHash('sha1').update(`${host}${process.pid}`).digest('hex') })
  const made = named.map((one) => {
    const others = named.filter((other) => other !== one).map(({ port, id }) => `sentinel known-sentinel ${group} 127.0.0.1 ${port} ${id}`)
    const lines = [
      ...[`port ${one.port}`, 'bind 127.0.0.1', `dir ${redises.dir}`, `sentinel myid ${one.id}`, `sentinel monitor ${group} 127.0.0.1 ${a.port} 2`],
      ...[`sentinel down-after-milliseconds ${group} ${downAfterMs}`, `sentinel failover-timeout ${group} 3000`],
      ...[b, c].map(({ port }) => `sentinel known-replica ${group} 127.0.0.1 ${port}`),
      ...others,
      ...(more[one.host] ?? []),
    ]
    return realSentinel(one, `${redises.dir}/sentinel-${one.host}`, lines)
  })
  const [sa, sb, sc] = made as [RealSentinel, RealSentinel, RealSentinel]
  const observers: Pick<SentinelObserver, 'close'>[] = []
  await Promise.all(made.map((sentinel) => sentinel.start()))
  return {
    redis,
    sentinels: { a: sa, b: sb, c: sc },
    observe: (self, wake = () => {}, passwords = {}, pace = () => 'alert') => {
      const observer = observeSentinels({
        ...{ group, self, downAfterMs, wake, pace, clock: () => performance.now() },
        targets: made.map(({ host, port }) => ({ host, ip: '127.0.0.1', port, password: passwords[host] })),
        members: hosts.map((host) => ({ host, ip: '127.0.0.1', port: redis[host].port })),
      })
      // As the agent's own timer.
      const timer = setInterval(observer.awake, 50)
      observers.push({
        close: () => {
          clearInterval(timer)
          observer.close()
        },
      })
      return observer
    },
    close: async () => {
      for (const observer of observers) observer.close()
      await Promise.all(made.map((sentinel) => sentinel.kill()))
      await redises.close()
    },
  }
}

function realSentinel(
  { host, port, id }: { readonly host: Host; readonly port: number; readonly id: string },
  dir: string,
  lines: readonly string[],
): RealSentinel {
  mkdirSync(dir)
  writeFileSync(`${dir}/sentinel.conf`, `${lines.join('\n')}\n`)
  let child: ChildProcess | null = null
  let link: RedisLink | null = null
  const password = lines.find((line) => line.startsWith('requirepass '))?.split(' ')[1]
  const running = (): ChildProcess => {
    if (child === null) throw new Error(`the Sentinel of ${host} does not run`)
    return child
  }
  return {
    host,
    port,
    id,
    process: running,
    call: async (...words) => {
      const answer = await link?.call(words, 5000)
      if (answer?.ok !== true) throw new Error(answer?.why ?? `the Sentinel of ${host} does not run`)
      return answer.value
    },
    start: async () => {
      child = spawn('redis-server', [`${dir}/sentinel.conf`, '--sentinel', '--logfile', `${dir}/log`], { stdio: 'ignore' })
      const endMs = performance.now() + 5000
      for (;;) {
        const opened = await openRedis({ host: '127.0.0.1', port, password }, 500, () => {})
        if (opened.ok) {
          link = opened.value
          return
        }
        if (performance.now() > endMs) throw new Error(`the Sentinel of ${host} does not start: ${opened.why}`)
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
    },
    kill: async () => {
      link?.close()
      const ending = child
      child = null
      if (ending === null || ending.exitCode !== null || ending.signalCode !== null) return
      const gone = new Promise((resolve) => ending.once('exit', resolve))
      ending.kill('SIGKILL')
      await gone
    },
  }
}
