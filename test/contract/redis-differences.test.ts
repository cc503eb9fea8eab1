/**
 * Where the model of redis and redis differ, and stay so. Each difference is named, says why it does no harm, and is proved on both
 * sides: when one of them changes, its entry goes, and becomes a contract.
 */
import { redisContracts } from './redis-both.ts'
import { attached, caughtUp } from './redis-under-test.ts'

const { difference, runAll } = redisContracts()

difference({
  name: 'a primary that nobody writes to goes on counting: it pings its replicas',
  why: `Offsets are compared and never foretold. A primary that was cut off has pings of its own and gets everything anew where the model
    continues: what the model calls a clean return is the rarer case, and diverged bytes it has from writes.`,
  steps: async (g) => {
    const a = await attached(g, 'b')
    const before = await a.facts()
    await a.idle()
    const grew = (await a.facts()).offset > before.offset
    await caughtUp(g, g.redis('b'), a)
    return { grew, attempts: await g.redis('b').attempts() }
  },
  model: { grew: false, attempts: ['full'] },
  real: { grew: true, attempts: ['full'] },
})

difference({
  name: 'a write that reaches a redis which stands still is carried out when it goes on, also when its client has gone',
  why: `Nobody was told that it took place. It makes the dataset diverge, as writes of a client beside an old primary do, which
    the simulator plays.`,
  steps: async (g) => {
    const a = await attached(g)
    const before = (await a.keys()).length
    await a.freeze()
    const reply = await a.write()
    await a.thaw()
    return { reply, carriedOut: (await a.keys()).length - before }
  },
  model: { reply: 'no answer', carriedOut: 0 },
  real: { reply: 'no answer', carriedOut: 1 },
})

difference({
  name: 'a backlog has a size',
  why: 'The model keeps what it was told from some offset on: a story that needs a backlog which is too short says so (backlogFrom).',
  steps: async (g) => {
    const a = await attached(g, 'b')
    const b = g.redis('b')
    await b.replicaOf('nobody')
    await a.shrinkBacklog()
    await a.write(3000)
    await b.replicaOf(a)
    await caughtUp(g, b, a)
    return b.attempts()
  },
  model: ['full', 'partial'],
  real: ['full', 'full'],
})

runAll()
