/**
 * Runs what is told once against both: the model, and the real thing, which is the redis-server that is installed and each of those that
 * script/servers has fetched. Where one is not there, that is said.
 */
import { afterAll, describe, expect, test } from 'vitest'
import { noRedis } from '../unit/real-redis.ts'
import { openModel } from './redis-model.ts'
import { openReal } from './redis-real.ts'
import type { RedisGroup } from './redis-under-test.ts'
import { others, type Server } from './servers.ts'

type Since = (server: Server) => boolean
const anyServer: Since = () => true

type Steps<T> = (group: RedisGroup) => Promise<T>

/** Something that the two do not have in common, and that is known: both sides are looked at, so that it is not forgotten here. */
interface Difference<T> {
  readonly name: string
  /** Why it may stay. */
  readonly why: string
  readonly steps: Steps<T>
  readonly model: T
  readonly real: T
}

export function redisContracts() {
  const contracts: { readonly name: string; readonly model: Steps<void>; readonly real: Steps<void>; readonly from: Since }[] = []
  return {
    /** `from`: servers that cannot do it are not asked to. */
    contract: (name: string, steps: Steps<void>, from: Since = anyServer): void => {
      contracts.push({ name, model: steps, real: steps, from })
    },
    difference: <T>({ name, why, steps, model, real }: Difference<T>): void => {
      const is = (expected: T) => async (group: RedisGroup) => expect(await steps(group), why).toEqual(expected)
      contracts.push({ name, model: is(model), real: is(real), from: anyServer })
    },
    runAll: (): void => {
      describe('the model', () => {
        // One world at a time: they share the counter of their names.
        for (const { name, model } of contracts) test(name, () => model(openModel()))
      })
      if (noRedis) console.warn('skipped: redis-server is not installed')
      for (const [name, program, can] of [
        ['redis-server', 'redis-server', () => !noRedis] as const,
        ...others.map((server) => [server.name, server.redisServer, (from: Since) => from(server)] as const),
      ]) {
        describe.concurrent(name, () => {
          const groups: RedisGroup[] = []
          afterAll(() => Promise.all(groups.map((group) => group.close())))
          for (const { name, real, from } of contracts) {
            test.skipIf(!can(from))(name, async () => {
              const group = await openReal(program)
              groups.push(group)
              await real(group)
              await group.close()
            })
          }
        })
      }
    },
  }
}
