/** An application with ioredis and its Sentinel support, default settings: `node with-ioredis.mjs GROUP PREFIX IP:PORT…`, passwords by SENTINEL_PASSWORD and REDIS_PASSWORD. Prints `COUNTER ATMS` per acknowledged write. */
import { Redis } from 'ioredis'

const [name, prefix, ...addresses] = process.argv.slice(2)
const sentinels = addresses.map((a) => ({ host: a.split(':')[0], port: Number(a.split(':')[1]) }))
const { SENTINEL_PASSWORD: sentinelPassword, REDIS_PASSWORD: password } = process.env
const client = new Redis({ sentinels, name, sentinelPassword, password })
client.on('error', () => {})
for (let counter = 1; ; counter += 1) {
  try {
    await client.set(`${prefix}:${counter}`, '1')
    process.stdout.write(`${counter} ${Date.now()}\n`)
  } catch {
    // Not acknowledged; the next one is another.
  }
  await new Promise((resolve) => setTimeout(resolve, 2))
}
