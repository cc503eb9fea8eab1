/** What a newer redis writes down, in the words of older ones; that the servers take them so is asked of real ones in test/contract/feed-words.test.ts. */
import { describe, expect, test } from 'vitest'
import { tellFrom } from '../../src/migrate/feed-tell.ts'
import { oldRedisFrom, translated, type OldRedis } from '../../src/migrate/feed-translate.ts'
import { fedReplid, nothingUntold, withAnchor, type FeedPoint } from '../../src/model/feed.ts'
import { whereFrom } from '../../src/move/feed.ts'

const of = (version: string): OldRedis => oldRedisFrom(version) ?? { version: 0, format: 0 }
const [four, five, six, seven] = [of('4.0.14'), of('5.0.14'), of('6.0.16'), of('7.0.15')]

function told(line: string, old: OldRedis): string {
  const [name = '', ...args] = line.split(' ')
  const { words, lost } = translated({ name, args }, old)
  return [...words.map((one) => one.join(' ')), ...(lost === null ? [] : [`lost: ${lost}`])].join(' | ')
}

test.each<[string, OldRedis, string]>([
  ['SET k v PXAT 1795365533482', six, 'SET k v | PEXPIREAT k 1795365533482'],
  ['SET k v PXAT 1795365533482', seven, 'SET k v PXAT 1795365533482'],
  ['SET k v NX', six, 'SET k v'],
  ['SET k NX IFEQ 2', six, 'SET k NX'],
  ['SET k v XX KEEPTTL', six, 'SET k v KEEPTTL'],
  ['SET k v KEEPTTL', five, 'lost: SET … KEEPTTL (6.0)'],
  ['SET k v SOMETHING', seven, 'lost: SET … SOMETHING'],
  ['PEXPIREAT k 1 GT', six, 'PEXPIREAT k 1'],
  ['PEXPIREAT k 1 GT', seven, 'PEXPIREAT k 1 GT'],
  ['MSETEX 2 a 1 b 2 PXAT 9', six, 'SET a 1 | PEXPIREAT a 9 | SET b 2 | PEXPIREAT b 9'],
  ['LPOP l 2', six, 'LTRIM l 2 -1'],
  ['RPOP l 2', six, 'LTRIM l 0 -3'],
  ['LPOP l 2', seven, 'LPOP l 2'],
  ['LMOVE a b RIGHT LEFT', six, 'RPOPLPUSH a b'],
  ['ZADD z GT CH 9 a', six, 'ZADD z CH 9 a'],
  ['ZPOPMIN z 3', four, 'ZREMRANGEBYRANK z 0 2'],
  ['ZPOPMAX z 3', four, 'ZREMRANGEBYRANK z -3 -1'],
  ['ZPOPMIN z 0', four, ''],
  ['GEOSEARCHSTORE d g FROMMEMBER a BYRADIUS 3 KM DESC COUNT 2 STOREDIST', six, 'GEORADIUSBYMEMBER g a 3 km COUNT 2 DESC STOREDIST d'],
  ['GEOSEARCHSTORE d g FROMLONLAT 1 2 BYBOX 3 3 km', six, 'lost: GEOSEARCHSTORE BYBOX, BYPOLYGON or ANY (6.2)'],
  ['HSETEX h PXAT 9 FIELDS 1 k v', seven, 'HSET h k v | lost: the end of a single field (7.4)'],
  ['HPEXPIREAT h 9 FIELDS 1 k', seven, 'lost: the end of a single field (7.4)'],
  ['XADD x NOMKSTREAM MAXLEN = 7 LIMIT 10 5-1 a 1', six, 'XADD x MAXLEN = 7 5-1 a 1'],
  ['XADD x ACKED MAXLEN 7 5-1 a 1', six, 'lost: what becomes of references (8.2)'],
  ['XADD x SOMETHING 5-1 a 1', seven, 'lost: XADD … SOMETHING'],
  ['XADD x 5-1 a 1', four, 'lost: of a stream (5.0)'],
  ['XGROUP CREATE x g 0 MKSTREAM ENTRIESREAD 2', six, 'XGROUP CREATE x g 0 MKSTREAM'],
  ['XGROUP CREATECONSUMER x g c', six, ''],
  ['XSETID x 5-1 ENTRIESADDED 3 MAXDELETEDID 0-0', six, 'XSETID x 5-1'],
  ['FLUSHALL SYNC', six, 'FLUSHALL'],
  ['SPUBLISH c m', six, ''],
  ['FUNCTION FLUSH', six, ''],
  ['BITOP DIFF d a b', seven, 'lost: BITOP DIFF (8.2)'],
  ['VADD v x', seven, 'lost: it has no such command'],
  ['JSON.SET k $ 1', seven, 'lost: of a module'],
  ['EVAL x 0', seven, 'lost: a script as a whole: what it calls may be newer'],
])('%s, to %o: %s', (line, old, words) => {
  expect(told(line, old)).toBe(words)
})

test('the ids that MINID takes away are counted to the last one', () => {
  const last = (id: string) => translated({ name: 'XTRIM', args: ['x', 'MINID', '=', id] }, six).words[0]?.at(-1)
  expect([last('5-3'), last('5-0'), last('5'), last('0')]).toEqual(['5-2', '4-18446744073709551615', '4-18446744073709551615', '0-0'])
})

test('RESTORE of a format that it does not read is lost; before 5.0 an end is told by itself', () => {
  const payload = (format: number): string => `value${String.fromCharCode(format, 0)}12345678`
  const said = (format: number, old: OldRedis) => translated({ name: 'RESTORE', args: ['k', '99', payload(format), 'ABSTTL'] }, old)
  expect(said(10, six)).toEqual({ words: [], lost: 'RESTORE of format 10' })
  expect(said(9, six).words).toEqual([['RESTORE', 'k', '99', payload(9), 'ABSTTL']])
  expect(said(8, four).words).toEqual([
    ['RESTORE', 'k', '0', payload(8), 'REPLACE'],
    ['PEXPIREAT', 'k', '99'],
  ])
})

test('whoever is older than 4.0 cannot be fed: it would ask for a full sync', () => {
  expect([oldRedisFrom('3.2.13'), oldRedisFrom('4.0.14')]).toEqual([null, { version: 400, format: 8 }])
})

const resp = (...words: readonly string[]): string => `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`
const start: FeedPoint = { replid: 'source', offset: 99, fed: 99, database: null, untold: nothingUntold }
const stream = [
  resp('SELECT', '0'),
  resp('SET', 'a', '1', 'PXAT', '9'),
  resp('MULTI'),
  resp('SET', 'b', '1', 'PXAT', '9'),
  resp('VADD', 'v'),
  resp('EXEC'),
  resp('SELECT', '3'),
  resp('PING'),
].join('')

describe('a stream that is told', () => {
  test('is the same however it is cut, and from each point on', () => {
    const whole = tellFrom(start, 'now', six)
    const out = whole.push(stream)
    for (let cut = 0; cut <= stream.length; cut += 1) {
      const first = tellFrom(start, 'now', six)
      const before = first.push(stream.slice(0, cut))
      expect(before + first.push(stream.slice(cut))).toBe(out)
      const point = tellFrom(start, 'now', six)
      point.push(stream.slice(0, cut))
      const { offset, fed } = point.point()
      const again = tellFrom(point.point(), 'now', six)
      expect(again.push(stream.slice(offset - 99))).toBe(out.slice(fed - 99))
      expect(again.point()).toEqual(whole.point())
    }
  })

  test('keeps a value and its end together, counts what it leaves out, and is never begun in a MULTI', () => {
    const teller = tellFrom(start, 'now', six)
    const head = stream.indexOf(resp('EXEC'))
    const out = teller.push(stream.slice(0, head))
    expect(out).toContain(resp('MULTI') + resp('SET', 'a', '1') + resp('PEXPIREAT', 'a', '9') + resp('EXEC'))
    expect(teller.point()).toMatchObject({ offset: 99 + stream.indexOf(resp('MULTI')), untold: nothingUntold })
    teller.push(stream.slice(head))
    expect(teller.point()).toMatchObject({ offset: 99 + stream.length, database: 3, untold: { count: 1, first: ['VADD v: it has no such command'] } })
  })
})

describe('where it is begun anew', () => {
  const at = (offset: number, replid = 'now'): FeedPoint => ({ ...start, replid, offset, fed: offset * 2 })
  const cutOver: FeedPoint = { ...start, offset: 100, fed: 100 }
  const history = [
    { replid: 'source', from: 0, to: 100 },
    { replid: 'then', from: 101, to: 500 },
    { replid: 'now', from: 501, to: Number.POSITIVE_INFINITY },
  ]

  test('at the newest that it has, of a history that the group went on with', () => {
    const anchors = [cutOver, at(200, 'then'), at(400, 'then'), at(700, 'then')]
    const from = (asked: string, has: number) => {
      const chosen = whereFrom(asked, has, history, anchors)
      return chosen.ok ? [chosen.value.from.offset, chosen.value.end] : chosen.why
    }
    expect(from('source', 100)).toEqual([100, Number.POSITIVE_INFINITY])
    expect(from('source', 90)).toMatch(/offset 90 of its own history/)
    expect(from(fedReplid('then'), 500)).toEqual([200, 500])
    // One of the anchors is of writes that were lost.
    expect(from(fedReplid('then'), 1500)).toEqual([400, 500])
    expect(from(fedReplid('now'), 900)).toEqual([400, Number.POSITIVE_INFINITY])
    expect(from('then', 900)).toMatch(/without its place/)
    expect(from(fedReplid('other'), 900)).toMatch(/without its place/)
    expect(from(fedReplid('then'), 99)).toMatch(/not known any more/)
  })

  test('a few anchors are kept, the cut-over always, the newest ones close together, none of what was lost', () => {
    let anchors: readonly FeedPoint[] = [cutOver]
    for (let offset = 200; offset <= 20_000; offset += 100) anchors = withAnchor(anchors, at(offset))
    const offsets = anchors.map((anchor) => anchor.offset)
    expect([offsets.length, offsets[0], offsets.at(-1)]).toEqual([8, 100, 20_000])
    expect(offsets[2]).toBeLessThan(18_000)
    expect(withAnchor(anchors, at(19_999, 'later')).map(({ offset }) => offset)).toEqual([...offsets.slice(0, -1), 19_999])
  })
})
