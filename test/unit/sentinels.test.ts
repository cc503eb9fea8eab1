/** What Sentinels answer, in the words of the model: addresses, flags, votes that were told, forgotten, overtaken. Needs no Sentinel. */
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { describe, expect, test } from 'vitest'
import { answerOf, questionsOf } from '../../src/observe/sentinel-poll.ts'
import { observeSentinels } from '../../src/observe/sentinels.ts'
import { hearVote } from '../../src/observe/sentinel-votes.ts'
import { addressFrom, masterFrom, othersFrom, selectedFrom, tiltFrom, troubleFrom, voteFrom } from '../../src/redis/sentinel-replies.ts'
import { until } from './wire.ts'

const [X, Y] = ['a'.repeat(40), 'b'.repeat(40)]
const a = { ip: '10.0.0.1', port: 6379 }
const b = { ip: '10.0.0.2', port: 6379 }
const ok = (value: unknown) => ({ ok: true, value }) as const

function masterReply(over: Record<string, string> = {}): string[] {
  return Object.entries({
    ...{ name: 'sessions', ip: a.ip, port: '6379', runid: '', flags: 'master', 'last-ping-sent': '0', 'down-after-milliseconds': '1000', 'config-epoch': '4' },
    ...{ 'num-slaves': '2', 'num-other-sentinels': '2', quorum: '2', 'failover-timeout': '180000', 'parallel-syncs': '1' },
    ...over,
  }).flat()
}

describe('SENTINEL MASTER', () => {
  test('in calm times', () => {
    expect(masterFrom(masterReply())).toEqual({
      address: a,
      ...{ configEpoch: 4, down: false, plain: true, pendingPingMs: 0, failover: false, others: 2, replicas: 2 },
      settings: { quorum: 2, downAfterMs: 1000, failoverTimeoutMs: 180_000, parallelSyncs: 1 },
    })
  })

  test.each([
    ['s_down,master,disconnected', true, false],
    ['s_down,o_down,master', true, false],
    ['master,failover_in_progress,force_failover', false, true],
    ['master,disconnected', false, false],
  ])('flags %s', (flags, down, failover) => {
    expect(masterFrom(masterReply({ flags }))).toMatchObject({ down, failover, plain: false })
  })

  test('a PING that waits', () => expect(masterFrom(masterReply({ 'last-ping-sent': '730' }))?.pendingPingMs).toBe(730))

  test.each([['OK'], [[]], [null], [masterReply({ port: '0' })], [masterReply({ ip: '' })]])('no answer to it: %j', (reply) =>
    expect(masterFrom(reply)).toBeNull(),
  )
})

test('the other words', () => {
  expect(addressFrom(['10.0.0.2', '6379'])).toEqual(b)
  expect(addressFrom(null)).toBeNull()
  const replica = (flags: string) => ['name', 'x', 'ip', b.ip, 'port', '6379', 'flags', flags]
  expect(selectedFrom([replica('slave'), replica('slave,promoted,disconnected')])).toEqual(b)
  expect(selectedFrom([replica('slave')])).toBeNull()
  expect(
    othersFrom([
      ['ip', b.ip, 'port', '26379', 'runid', X],
      ['ip', b.ip, 'port', '26379', 'runid', ''],
    ]),
  ).toEqual([{ ip: b.ip, port: 26_379, id: X }])
  expect([tiltFrom('# Sentinel\r\nsentinel_tilt:1\r\n'), tiltFrom('sentinel_tilt:0\r\n'), tiltFrom('x:1\r\n')]).toEqual([true, false, null])
})

test('refusals, as an operator reads them', () => {
  expect(troubleFrom('ERR No such master with that name', 'sessions', 26_379)).toBe('the Sentinel does not watch sessions')
  expect(troubleFrom('NOAUTH Authentication required.', 'sessions', 26_379)).toMatch(/refuses the password/)
  expect(troubleFrom("ERR unknown command 'SENTINEL'", 'sessions', 26_379)).toMatch(/port 26379 is no Sentinel/)
})

describe('a vote', () => {
  test('in the words of IS-MASTER-DOWN-BY-ADDR', () => {
    expect(voteFrom([0, X, 5])).toEqual({ epoch: 5, leader: X, down: false })
    expect(voteFrom([0, '*', 0])).toBeNull()
    // After a restart or a reset.
    expect(voteFrom([1, '*', 5])).toEqual({ epoch: 5, leader: null, down: true })
    expect(voteFrom(undefined)).toBeNull()
  })

  const told = (epoch: number, leader: string | null, down = false) => ({ epoch, leader, down })
  const at5 = hearVote(null, told(5, X), 100)

  test('heard again, it keeps the time at which it was first seen', () => {
    expect(hearVote(at5, told(5, X), 900)).toBe(at5)
  })

  test('found down or not: that is of when it was given, whatever is found later', () => {
    const given = hearVote(at5, told(6, Y, true), 200)
    expect(given).toMatchObject({ epoch: 6, down: true })
    expect(hearVote(given, told(6, Y, false), 300)).toBe(given)
    expect(hearVote(hearVote(at5, told(6, Y, false), 200), told(6, Y, true), 300)).toMatchObject({ down: false })
  })

  test('an answer that was overtaken does not take it back', () => {
    expect(hearVote(at5, told(4, Y), 900)).toBe(at5)
  })

  test('a Sentinel that was restarted has forgotten for whom, and it is remembered here', () => {
    expect(hearVote(at5, told(5, null), 900)).toBe(at5)
  })

  test('who first hears of it after that knows the epoch alone', () => {
    const forgotten = hearVote(null, told(5, null), 100)
    expect(forgotten).toMatchObject({ epoch: 5, leader: null })
    expect(hearVote(forgotten, told(5, X), 200)).toMatchObject({ epoch: 5, leader: X, seenMs: 100 })
  })

  test('the one before it for somebody else is not lost, however often is asked after it', () => {
    const at6 = hearVote(at5, told(6, Y), 200)
    expect(at6).toEqual({ epoch: 6, leader: Y, down: false, seenMs: 200, before: { epoch: 5, leader: X, seenMs: 100 } })
    expect(hearVote(at6, told(7, Y), 300)).toEqual({ epoch: 7, leader: Y, down: false, seenMs: 300, before: { epoch: 5, leader: X, seenMs: 100 } })
  })
})

describe('a poll', () => {
  const calm = { about: a, detailed: false, tilt: false, id: false }

  test('asks what it needs, the vote in epoch 0 and by the address that the Sentinel names', () => {
    expect(questionsOf(calm, 'sessions', X)).toEqual([
      ['SENTINEL', 'MASTER', 'sessions'],
      ['SENTINEL', 'IS-MASTER-DOWN-BY-ADDR', a.ip, '6379', '0', X],
    ])
    expect(questionsOf({ about: null, detailed: true, tilt: true, id: true }, 'sessions', X).map((words) => words.slice(0, 2).join(' '))).toEqual([
      ...['SENTINEL MASTER', 'SENTINEL GET-MASTER-ADDR-BY-NAME', 'SENTINEL REPLICAS', 'INFO sentinel', 'SENTINEL MYID'],
    ])
  })

  test('each reply goes with its question', () => {
    const question = { about: a, detailed: true, tilt: true, id: true }
    const replies = [masterReply({ flags: 'master,failover_in_progress' }), [0, X, 5], [b.ip, '6379'], [], 'sentinel_tilt:1\r\n', Y].map(ok)
    expect(answerOf(question, replies)).toMatchObject({
      value: { address: a, serves: b, voteTold: true, vote: { epoch: 5, leader: X }, selected: null, tilt: true, id: Y },
    })
  })

  test('asked by an address that it does not name any more, it has told no vote', () => {
    expect(answerOf(calm, [masterReply({ ip: b.ip }), [0, '*', 0]].map(ok))).toMatchObject({
      value: { voteTold: false, vote: null, serves: b, selected: undefined },
    })
  })

  test('refused, it is not answered', () => {
    expect(answerOf(calm, [{ ok: false, why: 'ERR No such master with that name' }, ok([0, '*', 0])])).toEqual({
      ok: false,
      why: 'ERR No such master with that name',
    })
  })
})

test('one that ends every connection at the first question is silent, and is not besieged', async () => {
  let connections = 0
  const server = createServer((socket) => {
    connections += 1
    socket.on('error', () => {})
    socket.on('data', (bytes) => (bytes.includes('hello') ? socket.write('%0\r\n') : socket.destroy()))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const observer = observeSentinels({
    ...{ group: 'sessions', self: 'a', members: [], downAfterMs: 1000, clock: () => performance.now(), wake: () => {}, pace: () => 'alert' },
    targets: [{ host: 'a', ip: '127.0.0.1', port: (server.address() as AddressInfo).port }],
  })
  await new Promise((resolve) => setTimeout(resolve, 900))
  expect(observer.probe()).toMatchObject([{ reach: 'silent', trouble: 'no answer within 500 ms', facts: null, vote: null }])
  expect(connections).toBeGreaterThan(2)
  expect(connections).toBeLessThan(15)
  observer.close()
  await new Promise((resolve) => server.close(resolve))
})

const bulk = (word: string): string => `$${Buffer.byteLength(word)}\r\n${word}\r\n`
const list = (words: readonly (string | number)[]): string =>
  `*${words.length}\r\n${words.map((w) => (typeof w === 'number' ? `:${w}\r\n` : bulk(w))).join('')}`

/** One Sentinel that says what it is told to, and says nothing of it on its channels. */
async function fakeSentinel() {
  const fake = {
    master: masterReply(),
    vote: [0, '*', 0] as (string | number)[],
    asked: [] as string[],
    port: 0,
    event: (_channel: string) => {},
    close: () => {},
  }
  const replyTo = (words: readonly string[], socket: Socket): string => {
    if (words[0] === 'hello') return '%0\r\n'
    if (words[0] === 'psubscribe') {
      fake.event = (channel) => void socket.write(list(['pmessage', '+*', channel, '']).replace('*', '>'))
      return words
        .slice(1)
        .map((pattern, i) => list(['psubscribe', pattern, i + 1]))
        .join('')
    }
    fake.asked.push(words.slice(0, 2).join(' '))
    if (words[1] === 'MASTER') return list(fake.master)
    if (words[1] === 'IS-MASTER-DOWN-BY-ADDR') return list(fake.vote)
    if (words[1] === 'GET-MASTER-ADDR-BY-NAME') return list([a.ip, '6379'])
    return words[1] === 'REPLICAS' ? '*0\r\n' : bulk(words[1] === 'MYID' ? Y : 'sentinel_tilt:0\r\n')
  }
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('data', (bytes) => {
      const lines = bytes.toString().split('\r\n')
      while ((lines[0] ?? '').startsWith('*')) {
        const count = Number(lines.shift()?.slice(1))
        const words = lines.splice(0, count * 2).filter((_, i) => i % 2 === 1)
        socket.write(replyTo(words, socket))
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  fake.port = (server.address() as AddressInfo).port
  fake.close = () => {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
  return fake
}

test('in calm times one short question is enough; what its answer has of news is told with the vote that belongs to it', async () => {
  const fake = await fakeSentinel()
  let nowMs = 10_000
  const told: unknown[] = []
  const observer = observeSentinels({
    ...{ group: 'sessions', self: 'a', members: [{ host: 'a', ...a }], downAfterMs: 1000, clock: () => nowMs, pace: () => 'calm' },
    targets: [{ host: 'a', ip: '127.0.0.1', port: fake.port }],
    wake: () => told.push(observer.probe().map(({ facts, vote }) => [facts?.configEpoch, vote?.epoch ?? 0])[0]),
  })
  const asks = async (words: readonly string[]): Promise<void> => {
    await until(`${words.join(', ')} is asked`, () => fake.asked.length >= words.length)
    await new Promise((resolve) => setTimeout(resolve, 30))
    expect(fake.asked.splice(0)).toEqual(words)
  }
  const [master, vote] = ['SENTINEL MASTER', 'SENTINEL IS-MASTER-DOWN-BY-ADDR']
  // At the start, and again when its events are heard.
  await asks([master, 'INFO sentinel', 'SENTINEL MYID', master, vote, master, vote])
  told.length = 0
  nowMs += 900
  observer.awake()
  nowMs += 100
  observer.awake()
  await asks([master])
  expect(observer.probe()).toMatchObject([{ reach: 'answers', ageMs: 0 }])
  expect(told).toEqual([])

  fake.master = masterReply({ 'config-epoch': '5' })
  fake.vote = [0, X, 5]
  nowMs += 980
  observer.awake()
  await asks([master, master, vote, master])
  expect(told).toEqual([[5, 5]])

  fake.event('+vote-for-leader')
  await asks([master, vote, 'SENTINEL GET-MASTER-ADDR-BY-NAME', 'SENTINEL REPLICAS'])
  observer.close()
  fake.close()
})
