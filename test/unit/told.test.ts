/** A connection on which a redis tells by itself: whole messages however they arrive, and what was told before a question is heard before its answer. */
import { createServer, type Server, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { openTold } from '../../src/redis/told.ts'

let server: Server | undefined
const sockets: Socket[] = []
afterEach(() => {
  for (const one of sockets.splice(0)) one.destroy()
  server?.close()
})

async function answering(take: (text: string, socket: Socket) => void): Promise<number> {
  server = createServer((socket) => {
    sockets.push(socket)
    socket.on('data', (chunk: Buffer) => take(chunk.toString('latin1'), socket))
    socket.on('error', () => undefined)
  })
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

const bulk = (...words: readonly string[]): string => `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`
const message = (key: string): string => bulk('pmessage', 'p', `__keyspace@0__:${key}`, 'set')

test('messages in pieces, a key that is no text, and all of it before the answer', async () => {
  let pings = 0
  const port = await answering((text, socket) => {
    if (text.includes('PSUBSCRIBE')) socket.write(`*3\r\n$10\r\npsubscribe\r\n$1\r\np\r\n:1\r\n${message('early')}`)
    else if (pings++ === 0) socket.write('+PONG\r\n')
    else {
      const all = Buffer.from(`${message('a\r\n\xff')}${message('b')}${bulk('pong', '')}`, 'latin1')
      socket.write(all.subarray(0, 25))
      setTimeout(() => socket.write(all.subarray(25)), 20)
    }
  })
  const heard: string[] = []
  const told = await openTold(
    { host: '127.0.0.1', port },
    { patterns: ['p'], heard: (channel) => heard.push(channel.toString('latin1')), lost: () => undefined },
    1000,
  )
  if (!told.ok) throw new Error(told.why)
  await told.value.heardAll(1000)
  expect(heard).toEqual(['__keyspace@0__:early', '__keyspace@0__:a\r\n\xff', '__keyspace@0__:b'])
  told.value.close()
})

test('not allowed: it says so; lost: it is told once, and whoever waits is not left waiting', async () => {
  const refusing = await answering((text, socket) => void socket.write(text.includes('PSUBSCRIBE') ? '-NOPERM no channel\r\n' : '+PONG\r\n'))
  const hearer = { patterns: ['p'], heard: () => undefined, lost: () => undefined }
  expect(await openTold({ host: '127.0.0.1', port: refusing }, hearer, 1000)).toEqual({ ok: false, why: 'NOPERM no channel' })
  server?.close()
  const port = await answering((text, socket) => void socket.write(text.includes('PSUBSCRIBE') ? '*3\r\n$10\r\npsubscribe\r\n$1\r\np\r\n:1\r\n' : '+PONG\r\n'))
  const lost: string[] = []
  const told = await openTold({ host: '127.0.0.1', port }, { ...hearer, lost: (why) => lost.push(why) }, 1000)
  if (!told.ok) throw new Error(told.why)
  sockets.at(-1)?.pause()
  const waiting = expect(told.value.heardAll(50)).rejects.toThrow(/no answer within 50 ms/)
  sockets.at(-1)?.removeAllListeners('data')
  await waiting
  expect(lost).toEqual(['no answer within 50 ms'])
})
