/** Runs what is told once against both: the model, and the real thing. Where the real thing is not installed, that is said. */
import { afterAll, describe, expect, test } from 'vitest'
import { noRedis } from '../unit/real-redis.ts'
import { openModel } from './redis-model.ts'
import { openReal } from './redis-real.ts'
import type { RedisGroup } from './redis-under-test.ts'

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
  const contracts: { readonly name: string; readonly model: Steps<void>; readonly real: Steps<void> }[] = []
  return {
    contract: (name: string, steps: Steps<void>): void => {
      contracts.push({ name, model: steps, real: steps })
    },
    difference: <T>({ name, why, steps, model, real }: Difference<T>): void => {
      const is = (expected: T) => async (group: RedisGroup) => expect(await steps(group), why).toEqual(expected)
      contracts.push({ name, model: is(model), real: is(real) })
    },
    runAll: (): void => {
      describe('the model', () => {
        // One world at a time: they share the counter of their names.
        for (const { name, model } of contracts) test(name, () => model(openModel()))
      })
      describe.concurrent('redis-server', () => {
        if (noRedis) console.warn('skipped: redis-server is not installed')
        const groups: RedisGroup[] = []
        afterAll(() => Promise.all(groups.map((group) => group.close())))
        for (const { name, real } of contracts) {
          test.skipIf(noRedis)(name, async () => {
            const group = await openReal()
            groups.push(group)
            await real(group)
            await group.close()
          })
        }
      })
    },
  }
}
