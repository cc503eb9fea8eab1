/** A redis for a kept RDB, as an operator sees it: what goes wrong with it is an error of his. */
import { OperatorError } from '../model/error.ts'
import { availableBytes, leastRedisBytes, NotLoaded, openThrowaway as openAside, type Throwaway } from '../redis/throwaway.ts'

/** `fill` writes the RDB to the path that it is given. */
export async function openThrowaway(redisServer: string, databases: number, fill: (file: string) => Promise<void>): Promise<Throwaway> {
  const capBytes = Math.max(leastRedisBytes, (await availableBytes()) / 2)
  try {
    return await openAside({
      redisServer,
      prefix: 'holdfast-salvage-',
      databases,
      capBytes,
      low: false,
      more: [],
      fill: async ({ file, start }) => {
        await fill(file)
        start()
      },
    })
  } catch (error) {
    if (!(error instanceof NotLoaded)) throw error
    throw new OperatorError(
      'HF604',
      `the kept dataset cannot be loaded: ${error.message}`,
      'is there enough memory, and is redis at least as new as the one that wrote it?',
    )
  }
}
