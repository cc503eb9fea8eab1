/**
 * The redis model of the scenarios and of the simulator behind the words of a contract. It runs in the model's own world, without
 * agents, so that what a replica meets at its upstream is found out as it is there. Adds nothing to the model's behaviour.
 */
import { keysFrom, keysOf } from '../scenarios/model-log.ts'
import { ModelRedis, newId, nobody, nothing } from '../scenarios/model-redis.ts'
import { createWorld, type World } from '../scenarios/world.ts'
import type { Attempt, PsyncAnswer, RedisGroup, RedisUnderTest, Reply } from './redis-under-test.ts'

const limitMs = 90_000

export function openModel(): RedisGroup {
  const world = createWorld('a', 'b', 'c')
  const all = new Map(world.hosts.map((host) => [host, modelRedis(world, host)]))
  return {
    redis: (name) => {
      const found = all.get(name)
      if (found === undefined) throw new Error(`no redis ${name}`)
      return found
    },
    until: async (what, isSo) => {
      const endMs = world.nowMs + limitMs
      while (!(await isSo())) {
        if (world.nowMs > endMs) throw new Error(`the model: not within ${limitMs} ms: ${what}`)
        world.run(1)
      }
    },
    close: () => Promise.resolve(),
  }
}

function modelRedis(world: World, name: string): RedisUnderTest {
  const redis = world.redis(name)
  const attempts = watchAttempts(world, redis)
  const did = (): Promise<void> => {
    world.changed()
    return Promise.resolve()
  }
  const write = async (count = 1): Promise<Reply> => {
    let reply: Reply = 'no answer'
    for (let i = 0; i < count; i += 1) {
      const loads = redis.answers(world.nowMs) && redis.loading(world.nowMs)
      const given = redis.write(newId('k'), world.nowMs)
      reply = given !== 'no answer' || !loads ? given : redis.role === 'replica' ? 'READONLY' : 'LOADING'
      world.changed()
    }
    return Promise.resolve(reply)
  }
  return {
    name,
    start: (born, how) => {
      redis.readMs = how === 'slowly' ? 600 : 10
      redis.start(world.nowMs, born)
      world.until('it answers', () => redis.answers(world.nowMs) && (how === 'slowly' || !redis.loading(world.nowMs)))
      return did()
    },
    kill: () => {
      redis.die()
      return did()
    },
    save: () => {
      redis.save()
      return did()
    },
    emptyDisk: () => {
      redis.disk = nothing
      return did()
    },
    replicaOf: (upstream) => {
      redis.replicaOf(upstream === null ? null : upstream === 'nobody' ? nobody : { host: `ip-${upstream.name}`, port: 6379 }, world.nowMs)
      return did()
    },
    write,
    writeBeyondBacklog: async () => {
      await write(20)
      redis.backlogFrom = redis.offset
    },
    shrinkBacklog: did,
    facts: () => Promise.resolve(redis.facts(world.nowMs)),
    keys: () => Promise.resolve([...keysOf(redis.log)].sort()),
    attempts: () => Promise.resolve([...attempts]),
    psync: (replid, from) => Promise.resolve(askAsReplica(world, redis, replid, from)),
    streamFrom: (_replid, from) => Promise.resolve(keysFrom(redis.log, from)),
    refuseWrites: (refuses) => {
      redis.refusesWrites = refuses
      return did()
    },
    pauseWrites: (ms) => {
      redis.pausedUntilMs = ms === null ? 0 : world.nowMs + ms
      return did()
    },
    freeze: () => {
      world.freeze(name)
      return did()
    },
    thaw: () => {
      world.thaw(name)
      return did()
    },
    idle: () => {
      world.run(60_000)
      return did()
    },
    giveSlowly: () => {
      // The model keeps it with who takes.
      for (const host of world.hosts) if (host !== name) world.redis(host).transferMs = 5000
      return did()
    },
  }
}

/** What replication does here, seen from outside: it is asked by the world as always, and looked at before and after. */
function watchAttempts(world: World, redis: ModelRedis): readonly Attempt[] {
  const attempts: Attempt[] = []
  const replicate = redis.replicateFrom.bind(redis)
  redis.replicateFrom = (source, nowMs) => {
    const idle = !redis.linkUp && redis.syncUntilMs === null && redis.answers(nowMs) && !redis.loading(nowMs)
    const moved = replicate(source, nowMs)
    if (!idle) return moved
    if (redis.syncUntilMs !== null) attempts.push('full')
    else if (redis.linkUp) attempts.push('partial')
    else if (typeof source !== 'string' && refusal(source, world.nowMs) && attempts.at(-1) !== 'NOMASTERLINK') attempts.push('NOMASTERLINK')
    return moved
  }
  return attempts
}

function refusal(source: ModelRedis, nowMs: number): boolean {
  return source.answers(nowMs) && !source.loading(nowMs) && source.role === 'replica' && !source.linkUp
}

function askAsReplica(world: World, source: ModelRedis, replid: string, from: number): PsyncAnswer {
  const asker = new ModelRedis('asker')
  asker.disk = { replid, offset: from - 1, log: null }
  asker.start(world.nowMs - 1000, 'fenced')
  asker.replicateFrom(source, world.nowMs)
  if (asker.syncUntilMs !== null) return 'FULLRESYNC'
  if (asker.linkUp) return 'CONTINUE'
  if (refusal(source, world.nowMs)) return 'NOMASTERLINK'
  throw new Error(`${source.host} answers nothing to a PSYNC`)
}
