/** The Sentinels of the scenarios and of the simulator behind the words of a contract; no agent lives in their world. */
import type { ModelSentinel } from '../scenarios/model-sentinel.ts'
import { World } from '../scenarios/world.ts'
import { downAfterMs, failoverTimeoutMs, hosts, type Host, type SentinelsUnderTest } from './sentinels-under-test.ts'

export async function openSentinelsModel(): Promise<SentinelsUnderTest> {
  const world = new World({ members: hosts, sentinels: { hosts, downAfterMs, failoverTimeoutMs } })
  for (const host of hosts) {
    const redis = world.redis(host)
    redis.start(world.nowMs, 'primary')
    redis.makeBacklog()
    if (host !== 'a') redis.replicaOf({ host: 'ip-a', port: 6379 }, world.nowMs)
  }
  const every = (): readonly ModelSentinel[] => world.sentinels?.every() ?? []
  const get = (host: Host): ModelSentinel => every().find((s) => s.host === host) as ModelSentinel
  world.until('all know all', () => every().every((s) => s.others.size === 2 && s.replicas.size === 2))
  const at = async (what: () => unknown): Promise<void> => {
    what()
    world.run(1)
  }
  const upstreams = { nobody: { host: '127.0.0.1', port: 1 } }
  return {
    crash: (redis) => at(() => world.crash(redis)),
    restart: (redis) => at(() => world.supervisorStarts(redis, 'empty')),
    follow: (redis, whom) =>
      at(() => world.redis(redis).replicaOf(whom === null ? null : whom === 'nobody' ? upstreams.nobody : { host: `ip-${whom}`, port: 6379 }, world.nowMs)),
    pause: (redis, forMs) =>
      at(() => {
        world.redis(redis).pausedUntilMs = world.nowMs + forMs
      }),
    priority: (redis, value) =>
      at(() => {
        world.redis(redis).priority = value
      }),
    valve: (redis, open) =>
      at(() => {
        world.redis(redis).orders = open
      }),
    role: async (redis) => {
      const { role, upstream } = world.redis(redis)
      return role === 'primary' ? 'primary' : `replica of ${upstream?.port === 1 ? 'nobody' : (upstream?.host.replace('ip-', '') ?? '')}`
    },
    kill: (host) => at(() => world.killSentinel(host)),
    start: (host) => at(() => world.startSentinel(host)),
    freeze: (host) => at(() => world.freezeSentinel(host)),
    thaw: (host) => at(() => world.thawSentinel(host)),
    ask: async (host, about, epoch, candidate) => {
      const { down, vote } = get(host).isDown(about, epoch, candidate)
      return { down, vote: vote === null ? '*' : `${vote.to} ${vote.epoch}` }
    },
    hello: (host, from, named, epoch) => at(() => get(host).hear({ from, epoch, names: named, configEpoch: epoch })),
    failover: (host) => at(() => world.sentinelFailover(host)),
    reset: (host) => at(() => world.sentinelReset(host)),
    pace: (pingMs, infoMs) =>
      at(() => {
        for (const s of every()) s.pace = { pingMs, infoMs }
      }),
    facts: async (host) => {
      const s = get(host)
      return { names: s.names() as Host, epoch: s.configEpoch, others: s.others.size, replicas: s.replicas.size }
    },
    told: () => (world.sentinels?.told ?? []).map(({ atMs, host, what }) => ({ atMs, by: host as Host, what })),
    nowMs: () => world.nowMs,
    until: async (what, isSo, limitMs = 15_000) => {
      const endMs = world.nowMs + limitMs
      while (!(await isSo())) {
        if (world.nowMs > endMs) throw new Error(`the model: not within ${limitMs} ms: ${what}\n${world.tale()}`)
        world.run(5)
      }
    },
    pass: async (ms) => world.run(ms),
    close: async () => {},
  }
}
