/**
 * An application that asks the Sentinels, with ioredis, as a process in the client's namespace: the unmodified writing client speaks to it as to a
 * redis, and each command goes where ioredis says that the primary is. What one of its connections meets the writer meets: when ioredis is disconnected the
 * writer is, and asks anew whom it reached; when the writer gives up waiting, ioredis connects anew, which asks the Sentinels again.
 *   node --import tsx sentinel-client.ts PORT GROUP SENTINEL_IP:PORT…
 */
import { createServer, type Socket } from 'node:net'
import { Redis, ReplyError } from 'ioredis'
import { createReplyReader, encodeCommand, type Reply } from '../../src/lab/resp.ts'

const [port = '', name = '', ...addresses] = process.argv.slice(2)
const sentinels = addresses.map((address) => ({ host: address.split(':')[0] ?? '', port: Number(address.split(':')[1]) }))
const upToMs = 200
const client = new Redis({
  sentinels,
  name,
  connectTimeout: 1000,
  disconnectTimeout: 100,
  sentinelCommandTimeout: 1000,
  retryStrategy: (times) => Math.min(times * 10, upToMs),
  sentinelRetryStrategy: (times) => Math.min(times * 10, upToMs),
  // Whoever was told to be the primary and is not (any more) is asked about again.
  reconnectOnError: (error) => error.message.startsWith('READONLY'),
  // Sent again, a write would be acknowledged by a redis that the writer does not know of.
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: null,
})
client.on('error', () => undefined)

const writers = new Set<Socket>()
client.on('close', () => {
  for (const writer of [...writers]) part(writer)
})

createServer({ noDelay: true }, (writer) => {
  writers.add(writer)
  const reader = createReplyReader()
  writer.on('data', (chunk) => {
    for (const command of reader.push(chunk)) void pass(writer, command)
  })
  writer.on('error', () => undefined)
  writer.on('close', () => {
    // While it is still asking the Sentinels this would end it for good; and there it has deadlines of its own.
    if (writers.delete(writer) && (client.status === 'ready' || client.status === 'connect')) client.disconnect(true)
  })
}).listen(Number(port), '127.0.0.1')

function part(writer: Socket): void {
  writers.delete(writer)
  writer.destroy()
}

async function pass(writer: Socket, command: Reply): Promise<void> {
  const [verb = '', ...args] = Array.isArray(command) ? command.map(String) : []
  try {
    const reply = encode(await client.call(verb, ...args))
    if (writers.has(writer)) writer.write(reply)
  } catch (error) {
    if (!(error instanceof ReplyError)) part(writer)
    else if (writers.has(writer)) writer.write(`-${(error as Error).message}\r\n`)
  }
}

function encode(reply: unknown): string {
  if (reply === null || reply === undefined) return '$-1\r\n'
  if (typeof reply === 'number') return `:${reply}\r\n`
  if (Array.isArray(reply)) return `*${reply.length}\r\n${reply.map(encode).join('')}`
  return encodeCommand([String(reply)]).replace(/^\*1\r\n/, '')
}
