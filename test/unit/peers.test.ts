/** Links between two agents over real sockets: who is heard, who is not, and what becomes of a link that has gone deaf. */
import type { Duplex } from 'node:stream'
import { request } from 'node:http'
import { afterEach, describe, expect, test } from 'vitest'
import { openPeerLinks, parseMessage, peerProtocol, type PeerLinks, type PeerMessage } from '../../src/agent/peers.ts'
import { secureConnect } from '../../src/agent/secure.ts'
import { word } from './builders.ts'
import { freePort, recorder, until } from './wire.ts'

const opened: { close: () => unknown }[] = []
afterEach(async () => {
  for (const o of opened.splice(0).toReversed()) await o.close()
})

interface Agent {
  readonly links: PeerLinks
  readonly port: number
  readonly heard: [string, PeerMessage][]
  readonly complaints: string[]
  opened: number
}

/** An agent with one peer: its door, and its links to the port where that peer is (or a proxy before it). */
async function agent(self: string, peer: string, port: number, peerPort: number, secret = 'right'): Promise<Agent> {
  let links: PeerLinks | null = null
  const d = await doorAt(port, secret, (host, stream) => {
    if (links === null || host !== peer) return false
    links.accept(host, stream)
    return true
  })
  const made: Agent = { links: null as unknown as PeerLinks, port, heard: [], complaints: d.complaints, opened: 0 }
  links = openPeerLinks({
    self,
    secret,
    targets: [{ host: peer, ip: '127.0.0.1', port: peerPort }],
    beatMs: 50,
    serves: () => true,
    needsEcho: () => false,
    ticked: () => {},
    heard: (host, message) => made.heard.push([host, message]),
    changed: () => {},
    opened: () => {
      made.opened += 1
    },
    complain: (text) => made.complaints.push(text),
  })
  opened.push(d, links)
  return Object.assign(made, { links })
}

async function doorAt(port: number, secret: string, peer: (host: string, stream: Duplex) => boolean) {
  const { listen } = await import('../../src/api/server.ts')
  const { surface } = await import('./wire.ts')
  const complaints: string[] = []
  const l = await listen({ ip: '127.0.0.1', port, secrets: [secret], surface: surface(), peer, complain: (text) => complaints.push(text) })
  return { complaints, close: l.close }
}

/** A stream to an agent's door as a peer would open it; writes what it likes. */
async function stranger(port: number, host: string): Promise<{ stream: Duplex | null; closed: () => boolean }> {
  const socket = secureConnect('127.0.0.1', port, 'right', host)
  let closed = false
  socket.on('error', () => {})
  socket.on('close', () => {
    closed = true
  })
  await new Promise((resolve) => socket.once('secureConnect', resolve))
  const stream = await new Promise<Duplex | null>((resolve) => {
    const r = request({ createConnection: () => socket, path: '/peer', headers: { connection: 'Upgrade', upgrade: peerProtocol, 'x-holdfast-host': host } })
    r.once('upgrade', (_response, s: Duplex) => resolve(s))
    r.once('error', () => resolve(null))
    r.end()
  })
  stream?.on('error', () => {})
  stream?.resume()
  return { stream, closed: () => closed }
}

describe('two agents', () => {
  test('hear each other, and what one says the other gets', async () => {
    const [pa, pb] = [await freePort(), await freePort()]
    const a = await agent('a', 'b', pa, pb)
    const b = await agent('b', 'a', pb, pa)
    await until('both hear', () => a.links.silentMs('b') < 100 && b.links.silentMs('a') < 100)
    a.links.send('b', { t: 'say', group: 'sessions', statement: word('a', { epoch: 7 }) })
    await until('b knows', () => b.heard.some(([from, m]) => from === 'a' && m.t === 'say' && m.statement.epoch === 7))
    expect([a.opened, b.opened]).toEqual([1, 1])
    expect(a.links.isRefused('b')).toBe(false)
  })

  test('with different secrets they do not, and it is said once, not for every attempt', async () => {
    const [pa, pb] = [await freePort(), await freePort()]
    const a = await agent('a', 'b', pa, pb, 'right')
    const b = await agent('b', 'a', pb, pa, 'wrong')
    await until('a says why', () => a.complaints.some((c) => c.includes('HF302')))
    await new Promise((resolve) => setTimeout(resolve, 500))
    expect(a.complaints.filter((c) => c.includes('HF302'))).toHaveLength(1)
    expect(a.heard).toEqual([])
    expect(b.heard).toEqual([])
  })

  test('no agent there: its kernel says so; when it comes, it is heard', async () => {
    const [pa, pb] = [await freePort(), await freePort()]
    const a = await agent('a', 'b', pa, pb)
    await until('refused', () => a.links.isRefused('b'))
    expect(a.links.silentMs('b')).toBe(Number.POSITIVE_INFINITY)
    await agent('b', 'a', pb, pa)
    await until('heard', () => a.links.silentMs('b') < 100 && !a.links.isRefused('b'))
  })

  test('one that is killed is known to have hung up long before its silence tells; when it is back, that is forgotten', async () => {
    const [pa, pb] = [await freePort(), await freePort()]
    const a = await agent('a', 'b', pa, pb)
    const b = await agent('b', 'a', pb, pa)
    await until('a hears', () => a.links.silentMs('b') < 100)
    expect(a.links.hasHungUp('b')).toBe(false)
    b.links.close()
    await until('hung up', () => a.links.hasHungUp('b'))
    expect(a.links.silentMs('b')).toBeLessThan(90)
    await opened.splice(2, 1)[0]?.close() // its door
    await agent('b', 'a', pb, pa)
    await until('back', () => !a.links.hasHungUp('b') && a.links.silentMs('b') < 100)
  })

  test('a link that has gone deaf without closing is renewed after the silence', async () => {
    const [pa, pb] = [await freePort(), await freePort()]
    const [toA, toB] = [await recorder(pa), await recorder(pb)]
    opened.push(toA, toB)
    const a = await agent('a', 'b', pa, toB.port)
    const b = await agent('b', 'a', pb, toA.port)
    await until('both hear', () => a.links.silentMs('b') < 100 && b.links.silentMs('a') < 100)
    const before = toB.connections()
    toA.deafen()
    toB.deafen()
    await until('both are deaf', () => a.links.silentMs('b') > 150 && b.links.silentMs('a') > 150)
    await until('both hear again', () => a.links.silentMs('b') < 100 && b.links.silentMs('a') < 100, 2000)
    expect(toB.connections()).toBeGreaterThan(before)
  })
})

/** A primary on a lease stamps its beats. What had been kept of the calm ones from before hid for ever that it is calm again. */
test('one that was calm, served, and is calm again is waited for as long as a calm one', async () => {
  const a = await agent('a', 'b', await freePort(), await freePort())
  const { stream } = await stranger(a.port, 'b')
  const say = async (line: string, everyMs: number) => {
    stream?.write(`${line}\n`)
    await until(line, () => a.links.everyMs('b') === everyMs)
  }
  await say('{"t":"beat","everyMs":200}', 200)
  await say('{"t":"beat","everyMs":50,"atMs":1}', 50)
  await say('{"t":"beat","everyMs":200}', 200)
  stream?.write('{"t":"beat","everyMs":200}\n{"t":"beat","everyMs":200}\n')
  await until('heard again', () => a.links.silentMs('b') < 20)
  expect(a.complaints).toEqual([])
})

describe('a stream that breaks the rules is closed', () => {
  async function bAlone(): Promise<Agent> {
    return agent('b', 'a', await freePort(), await freePort())
  }

  test('from a host that is no peer', async () => {
    const b = await bAlone()
    const s = await stranger(b.port, 'mallory')
    s.stream?.write('{"t":"beat","everyMs":50}\n')
    await until('closed', () => s.closed())
    expect(b.heard).toEqual([])
  })

  test('a peer that speaks for another host', async () => {
    const b = await bAlone()
    const s = await stranger(b.port, 'a')
    s.stream?.write(`${JSON.stringify({ t: 'say', group: 'sessions', statement: word('b') })}\n`)
    await until('closed', () => s.closed())
    expect(b.heard).toEqual([])
    expect(b.complaints.join()).toMatch(/a sent a line that is no message/)
  })

  test.each(['hello\n', '{}\n', '{"t":"say"}\n', '{"t":"say","group":"g","statement":null}\n', '{"t":"poke"}\n', 'null\n'])(
    'a line that is no message: %j',
    async (line) => {
      const b = await bAlone()
      const s = await stranger(b.port, 'a')
      s.stream?.write(line)
      await until('closed', () => s.closed())
      expect(b.heard).toEqual([])
    },
  )

  test('a line without end: closed long before it costs memory', async () => {
    const b = await bAlone()
    const s = await stranger(b.port, 'a')
    const before = process.memoryUsage().rss
    let written = 0
    const more = () => {
      while (!s.closed() && written < 200 * 1024 * 1024 && s.stream?.write('x'.repeat(65_536)) === true) written += 65_536
    }
    s.stream?.on('drain', more)
    more()
    await until('closed', () => s.closed())
    expect(written).toBeLessThan(20 * 1024 * 1024)
    expect(process.memoryUsage().rss - before).toBeLessThan(100 * 1024 * 1024)
    expect(b.complaints.join()).toMatch(/above 262144 bytes/)
  })

  test('a message may come in pieces, several in one, and with letters cut in the middle', async () => {
    const b = await bAlone()
    const s = await stranger(b.port, 'a')
    const bytes = Buffer.from(
      `{"t":"beat","everyMs":50}\n${JSON.stringify({ t: 'say', group: 'sessions', statement: word('a', { unfitWhy: 'größer — ☃' }) })}\n`,
    )
    for (const byte of bytes) {
      s.stream?.write(Buffer.from([byte]))
      await new Promise((resolve) => setImmediate(resolve))
    }
    await until('both are heard', () => b.heard.length === 2)
    expect(b.heard[1]?.[1]).toMatchObject({ statement: { unfitWhy: 'größer — ☃' } })
  })

  test('a second stream of the same peer replaces the first', async () => {
    const b = await bAlone()
    const first = await stranger(b.port, 'a')
    const second = await stranger(b.port, 'a')
    await until('the first is closed', () => first.closed())
    second.stream?.write('{"t":"beat","everyMs":50}\n')
    await until('the second is heard', () => b.heard.length === 1)
  })
})

describe('parseMessage', () => {
  test('takes the three kinds, and a statement only from its own host', () => {
    expect(parseMessage('{"t":"beat","everyMs":50}', 'a')).toEqual({ t: 'beat', everyMs: 50 })
    expect(parseMessage('{"t":"beat"}', 'a')).toBeNull()
    expect(parseMessage('{"t":"poke","group":"g"}', 'a')).toEqual({ t: 'poke', group: 'g' })
    const say = JSON.stringify({ t: 'say', group: 'g', statement: word('a') })
    expect(parseMessage(say, 'a')).not.toBeNull()
    expect(parseMessage(say, 'b')).toBeNull()
  })

  test.each([
    ['no epoch', { epoch: undefined }],
    ['an epoch with a fraction', { epoch: 1.5 }],
    ['no lineage', { lineage: undefined }],
    ['paused is missing', { paused: undefined }],
    ['paused is null', { paused: null }],
    ['paused without its time', { paused: { on: true } }],
    ['an unknown phase', { phase: 'king' }],
    ['a lineage of something else', { lineage: [null] }],
    ['redis facts that are none', { redis: { offset: 'far' } }],
  ])('a statement that the core could stumble over is no message: %s', (_what, wrong) => {
    expect(parseMessage(JSON.stringify({ t: 'say', group: 'g', statement: { ...word('a'), ...wrong } }), 'a')).toBeNull()
  })
})
