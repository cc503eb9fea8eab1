/** What is said to Sentinels, word for word, over connections that only write down what they are given. */
import { expect, test } from 'vitest'
import { askVotes, tellSentinels } from '../../src/act/sentinel.ts'
import type { Observed } from '../../src/model/outcome.ts'
import { candidateId } from '../../src/redis/sentinel-id.ts'
import type { SentinelLink, SentinelLinks } from '../../src/redis/sentinel-link.ts'
import type { VoteReply } from '../../src/redis/sentinel-replies.ts'

const [X, Y] = ['a'.repeat(40), 'b'.repeat(40)]
const me = candidateId('sessions', 'b')
const at = { ip: '10.0.0.1', port: 6379 }

function sentinel(host: string, over: Partial<SentinelLink> = {}, replies: readonly unknown[] = []) {
  const asked: (readonly (readonly string[])[])[] = []
  const votes: VoteReply[] = []
  const link: SentinelLink = {
    ...{ host, address: { ip: `10.0.1.${host}`, port: 26_379 }, id: host.padEnd(40, '0'), isOpen: true, answers: true, names: at },
    ask: (commands) => {
      asked.push(commands)
      return Promise.resolve<Observed<readonly Observed<unknown>[]>>({ ok: true, value: replies.map((value) => ({ ok: true, value })) })
    },
    heardVotes: (heard) => votes.push(...heard),
    poll: () => Promise.resolve(),
    ...over,
  }
  return { link, asked, votes }
}

function hands(...all: readonly { readonly link: SentinelLink }[]): { readonly sentinels: SentinelLinks } {
  const member = (host: string) => (host === 'b' ? { ip: '10.0.0.2', port: 6379 } : null)
  return { sentinels: { group: 'sessions', hosts: all.map(({ link }) => link.host), all: () => all.map(({ link }) => link), member } }
}

test('a vote is asked for together with the last one, in one write, by the address that each names', async () => {
  const first = sentinel('1', {}, [
    [1, X, 5],
    [1, me, 6],
  ])
  const second = sentinel('2', { names: { ip: '10.0.0.9', port: 7000 } }, [
    [0, '*', 0],
    [0, me, 6],
  ])
  const unknown = sentinel('3', { names: null })
  expect(await askVotes(hands(first, second, unknown), 6, 'b')).toEqual({ done: true })
  const asked = (ip: string, port: string) =>
    [
      ['0', me],
      ['6', me],
    ].map((rest) => ['SENTINEL', 'IS-MASTER-DOWN-BY-ADDR', ip, port, ...rest])
  expect(first.asked).toEqual([asked('10.0.0.1', '6379')])
  expect(second.asked).toEqual([asked('10.0.0.9', '7000')])
  expect(unknown.asked).toEqual([])
  expect(first.votes).toEqual([
    { epoch: 5, leader: X, down: true },
    { epoch: 6, leader: me, down: true },
  ])
  expect(second.votes).toEqual([{ epoch: 6, leader: me, down: false }])
})

test('one that does not answer is waited for some 60 ms, one that was silent before is not', async () => {
  const never = new Promise<never>(() => {})
  const quick = sentinel('1', {}, [
    [0, '*', 0],
    [0, me, 6],
  ])
  const fromMs = performance.now()
  expect(await askVotes(hands(quick, sentinel('2', { answers: false, ask: () => never })), 6, 'b')).toEqual({ done: true })
  const withoutMs = performance.now() - fromMs
  expect(await askVotes(hands(quick, sentinel('2', { ask: () => never })), 6, 'b')).toEqual({ done: true })
  expect(withoutMs).toBeLessThan(50)
  expect(performance.now() - fromMs - withoutMs).toBeGreaterThan(55)
})

test.each([0, -1, 1.5, 1e21, Number.NaN])('in the epoch %d nobody is asked', async (epoch) => {
  const one = sentinel('1')
  expect(await askVotes(hands(one), epoch, 'b')).toMatchObject({ done: false })
  expect(one.asked).toEqual([])
})

test('the news comes from another Sentinel than the one that is told', async () => {
  const [first, second] = [sentinel('1', {}, [1]), sentinel('2', { isOpen: false }, [1])]
  expect(await tellSentinels(hands(first, second), ['1'], 'b', 6)).toEqual({ done: true })
  expect(first.asked).toEqual([[['PUBLISH', '__sentinel__:hello', `10.0.1.2,26379,${'2'.padEnd(40, '0')},6,sessions,10.0.0.2,6379,6`]]])
})

test('where no other has told its id, it comes from one that the Sentinel knows, and from nobody where it knows none', async () => {
  const known = sentinel('1', {}, [[['ip', '10.0.1.7', 'port', '26379', 'runid', Y]]])
  await tellSentinels(hands(known, sentinel('2', { id: null })), ['1'], 'b', 6)
  expect(known.asked[1]?.[0]?.[2]).toBe(`10.0.1.7,26379,${Y},6,sessions,10.0.0.2,6379,6`)
  const alone = sentinel('1', {}, [[]])
  expect(await tellSentinels(hands(alone), ['1'], 'b', 6)).toMatchObject({ done: false, why: expect.stringContaining('knows no other Sentinel') })
  expect(alone.asked.flat().map((words) => words[0])).toEqual(['SENTINEL'])
})

test('done when one was told, not when none was', async () => {
  const [first, second] = [sentinel('1', {}, [1]), sentinel('2', { isOpen: false })]
  expect(await tellSentinels(hands(first, second), ['1', '2'], 'b', 6)).toEqual({ done: true })
  expect(await tellSentinels(hands(first, second), ['2'], 'b', 6)).toMatchObject({ done: false })
  expect(await tellSentinels(hands(first, second), [], 'b', 6)).toEqual({ done: true })
  expect(await tellSentinels(hands(first, second), ['1'], 'z', 6)).toMatchObject({ done: false })
})
