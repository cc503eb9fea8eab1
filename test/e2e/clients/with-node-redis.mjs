/** An application with @redis/client's createSentinel, default settings: `node with-node-redis.mjs GROUP PREFIX IP:PORT…`. Prints `COUNTER ATMS` per acknowledged write. */
import { createSentinel } from '@redis/client'

const [name, prefix, ...addresses] = process.argv.slice(2)
const sentinelRootNodes = addresses.map((a) => ({ host: a.split(':')[0], port: Number(a.split(':')[1]) }))
const client = createSentinel({ name, sentinelRootNodes })
client.on('error', () => {})
await client.connect()
for (let counter = 1; ; counter += 1) {
  try {
    await client.set(`${prefix}:${counter}`, '1')
    process.stdout.write(`${counter} ${Date.now()}\n`)
  } catch {
    // Not acknowledged; the next one is another.
  }
  await new Promise((resolve) => setTimeout(resolve, 2))
}
