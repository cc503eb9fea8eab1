/** What Sentinels know, compared with what is configured and with what answers where; what is repaired first, and when nothing may be. */
import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { hostsToSpare, mergePictures, sideBySide } from '../../src/decide/sentinel-compare.ts'
import { findingsOf } from '../../src/decide/sentinel-hygiene.ts'
import { isCalledFor, mayRepair, notYet, repairWords, repairsOf } from '../../src/decide/sentinel-repair.ts'
import {
  findingNames,
  type At,
  type Known,
  type RedisLook,
  type SentinelLayout,
  type SentinelLook,
  type SentinelPicture,
  type StrangerLook,
  type Watched,
} from '../../src/model/sentinel-look.ts'
import { helloFrom, sentinelClients } from '../../src/redis/sentinel-lists.ts'
import { withIdentity } from '../../src/render/sentinel-conf.ts'

const hosts = ['a', 'b', 'c'] as const
type Host = (typeof hosts)[number]
const settings = { quorum: 2, downAfterMs: 1000, failoverTimeoutMs: 10_000, parallelSyncs: 1 }
const redisOf = (host: Host): At => ({ ip: `10.0.0.${hosts.indexOf(host) + 1}`, port: 6379 })
const sentinelOf = (host: Host): At => ({ ip: `10.0.0.${hosts.indexOf(host) + 1}`, port: 26_379 })
const idOf = (host: string): string => host.repeat(40)
const layout: SentinelLayout = {
  group: 'sessions',
  sentinels: hosts.map((host) => ({ host, ...sentinelOf(host) })),
  members: hosts.map((host) => ({ host, ...redisOf(host) })),
  settings,
  majority: 2,
  isOurs: true,
}
const elsewhere = (port: number): At => ({ ip: '10.9.9.9', port })

function watched(more: Partial<Watched> = {}): Watched {
  return { name: 'sessions', address: redisOf('a'), flags: ['master'], configEpoch: 7, settings, ...more }
}

function known(address: At, id: string): Known {
  return { address, id, flags: ['sentinel'] }
}

function look(host: Host, more: Partial<SentinelLook> = {}): SentinelLook {
  return {
    ...{ host, address: sentinelOf(host), answers: true, trouble: null, id: idOf(host), uptimeS: 90, tilt: false, tookMs: 1 },
    watches: [watched()],
    replicas: [known(redisOf('b'), ''), known(redisOf('c'), '')],
    others: hosts.filter((h) => h !== host).map((h) => known(sentinelOf(h), idOf(h))),
    ckquorum: { ok: true, text: 'OK 3 usable Sentinels' },
    ...more,
  }
}

function redis(address: At, more: Partial<RedisLook> = {}): RedisLook {
  return { host: null, address, reach: 'answers', role: 'replica', upstream: redisOf('a'), replid: 'r', followers: [], ...more }
}

function picture(sentinels: Partial<Record<Host, Partial<SentinelLook>>> = {}, more: Partial<SentinelPicture> = {}): SentinelPicture {
  const primary = redis(redisOf('a'), { host: 'a', role: 'primary', upstream: null, followers: [redisOf('b'), redisOf('c')] })
  return {
    asker: 'a',
    sentinels: hosts.map((host) => look(host, sentinels[host])),
    redises: [primary, redis(redisOf('b'), { host: 'b' }), redis(redisOf('c'), { host: 'c' })],
    strangers: [],
    ...more,
  }
}

function stranger(more: Partial<StrangerLook> = {}): StrangerLook {
  return { address: elsewhere(26_379), id: idOf('f'), at: ['a'], says: [], answers: true, alive: true, watches: [], ...more }
}

const named = (seen: SentinelPicture, of = layout): readonly string[] => findingsOf(of, seen).map((f) => `${f.name}${f.host === null ? '' : ` ${f.host}`}`)
const planned = (seen: SentinelPicture, of = layout): readonly string[] => repairsOf(findingsOf(of, seen)).map(repairWords)
const withAnother = (host: Host, entry: Known): Partial<SentinelLook> => ({ others: [...look(host).others, entry] })

describe('what is found', () => {
  test('nothing, where each knows what is configured', () => {
    expect(findingsOf(layout, picture())).toEqual([])
  })

  test('one that is silent is named once, and nobody is blamed for what it does not say', () => {
    const seen = picture({ c: { answers: false, trouble: 'ECONNREFUSED', id: null, watches: [], replicas: [], others: [] } })
    expect(named(seen)).toEqual(['unreachable c'])
  })

  test('a replica at an address that no member has: gone, of somebody else, or attached to us', () => {
    const lost = { b: { replicas: [...look('b').replicas, known(elsewhere(6379), '')] } }
    expect(named(picture(lost))).toEqual(['stale-replica b'])
    expect(planned(picture(lost))).toEqual(['reset the Sentinel of b'])
    const with_ = (there: RedisLook): SentinelPicture => picture(lost, { redises: [...picture().redises, there] })
    const theirs = with_(redis(elsewhere(6379), { role: 'primary', upstream: null }))
    expect([named(theirs), planned(theirs)]).toEqual([['foreign-replica b'], ['reset the Sentinel of b']])
    // It would be found again in the INFO of the primary: no reset before it has let go.
    const attached = with_(redis(elsewhere(6379)))
    expect([named(attached), planned(attached)]).toEqual([['foreign-replica b'], []])
    const locked = picture(lost, {
      redises: [
        ...picture().redises.map((r) => (r.host === 'a' ? { ...r, followers: [...r.followers, elsewhere(6379)] } : r)),
        redis(elsewhere(6379), { reach: 'locked', role: null, upstream: null, replid: null }),
      ],
    })
    expect([named(locked), planned(locked)]).toEqual([['foreign-replica b'], []])
  })

  test('a redis that is being moved to the group: before the cut-over nobody is watched, after it the source is a replica like any other', () => {
    const source = elsewhere(6379)
    const away = picture({ a: { watches: [] }, b: { watches: [] }, c: { watches: [] } }, { moving: { source, watched: false } })
    expect([findingsOf(layout, away), sideBySide(layout, [away]).wrong]).toEqual([[], []])
    expect(hostsToSpare(layout, away)).toMatchObject({ spare: 0, why: expect.stringContaining('being moved') as string })
    const lists = { replicas: [known(redisOf('b'), ''), known(redisOf('c'), ''), known(source, '')] }
    const all = { a: lists, b: lists, c: lists }
    const there = redis(source)
    const { redises } = picture()
    expect(findingsOf(layout, picture(all, { redises: [...redises, there], moving: { source, watched: true } }))).toEqual([])
    expect(findingsOf(layout, picture(all, { redises: [...redises, there] })).map(({ name }) => name)).toContain('foreign-replica')
  })

  test('a voter that is none of ours: dead, living elsewhere, or heard again as long as it watches our redis', () => {
    const entry = known(elsewhere(26_379), idOf('f'))
    const counted = { b: withAnother('b', entry) }
    expect(named(picture(counted))).toEqual(['stale-sentinel b'])
    expect(named(picture(counted, { strangers: [stranger({ alive: false, answers: false, at: [] })] }))).toEqual(['stale-sentinel b'])
    const moved = picture(counted, { strangers: [stranger({ at: [] })] })
    expect([named(moved), planned(moved)]).toEqual([['foreign-sentinel b'], ['reset the Sentinel of b']])
    const merged = picture(counted, { strangers: [stranger({ watches: [watched()], says: [{ group: 'sessions', address: redisOf('a') }] })] })
    expect(named(merged)).toEqual(['merged-groups', 'foreign-sentinel b'])
    // First it forgets; the reset is for the look after that.
    expect(planned(merged)).toEqual(['have the Sentinel at 10.9.9.9:26379 forget sessions'])
    const locked = picture(counted, { strangers: [stranger({ answers: false, says: [{ group: 'sessions', address: redisOf('a') }] })] })
    expect(planned(locked)).toEqual([])
    expect(findingsOf(layout, locked)[0]?.remedy).toContain('SENTINEL REMOVE sessions')
  })

  test('a Sentinel that has our address from before it was ours takes our redis for its replica: said, not repaired', () => {
    const seen = picture(
      {},
      {
        strangers: [
          stranger({ at: ['c'], says: [{ group: 'carts', address: elsewhere(6379) }], watches: [watched({ name: 'carts', address: elsewhere(6379) })] }),
        ],
      },
    )
    expect([named(seen), planned(seen)]).toEqual([['foreign-watcher'], []])
    expect(findingsOf(layout, seen)[0]?.words).toContain('takes the redis of c for a replica of its own carts at 10.9.9.9:6379')
    const nameless = picture({}, { strangers: [stranger({ address: { ip: '10.9.9.9', port: 0 }, id: 'ffffffff', answers: false })] })
    expect([named(nameless), planned(nameless)]).toEqual([['foreign-watcher'], []])
  })

  test('what another Sentinel watches that is no affair of ours is none', () => {
    expect(named(picture({}, { strangers: [stranger({ at: [], watches: [watched({ name: 'carts', address: elsewhere(6379) })] })] }))).toEqual([])
  })

  test('one of ours watches our redis under a second name; under a name and address that are not ours it may', () => {
    const carts = (address: At): SentinelPicture => picture({ b: { watches: [watched(), watched({ name: 'carts', address })] } })
    expect(planned(carts(redisOf('c')))).toEqual(['have the Sentinel of b forget carts'])
    expect(named(carts(elsewhere(6379)))).toEqual([])
  })

  test('a copied machine: one id for two; the later one in the configuration is given another, by an operator where it is external', () => {
    const seen = picture({ a: { others: [known(sentinelOf('b'), idOf('b'))] }, c: { id: idOf('a'), others: [known(sentinelOf('b'), idOf('b'))] } })
    const findings = findingsOf(layout, seen).filter((f) => f.name === 'duplicate-id')
    expect(findings.map((f) => f.host)).toEqual(['c'])
    expect(planned(seen)[0]).toBe('give the Sentinel of c an id of its own')
    expect(named(seen), 'they cannot hear each other: that is no fault of its own').not.toContain('unknown-sentinel a')
    expect(planned(seen, { ...layout, isOurs: false })).not.toContain('give the Sentinel of c an id of its own')
    const clone = picture({}, { strangers: [stranger({ id: idOf('b') })] })
    expect(planned(clone)).toContain('give the Sentinel of b an id of its own')
  })

  test('one host under two ids, or struck out', () => {
    expect(named(picture({ a: withAnother('a', known(sentinelOf('b'), idOf('e'))) }))).toEqual(['two-entries a'])
    expect(named(picture({ a: withAnother('a', known({ ip: sentinelOf('b').ip, port: 0 }, idOf('e'))) }))).toEqual(['two-entries a'])
  })

  test('one that was not heard of is introduced; settings are set; who names another is told by the agents', () => {
    expect(planned(picture({ a: { others: [known(sentinelOf('b'), idOf('b'))] } }))).toEqual(['tell the Sentinel of a of the others'])
    const set = picture({ b: { watches: [watched({ settings: { ...settings, quorum: 1, downAfterMs: 30_000 } })] } })
    expect(findingsOf(layout, set)[0]?.words).toBe('the Sentinel of b: quorum is 1, configured is 2; down-after-milliseconds is 30000, configured is 1000')
    expect(planned(set)).toEqual(['set the Sentinel of b as configured'])
    const lost = picture({ c: { watches: [watched({ address: elsewhere(6379) })] } })
    expect([named(lost), planned(lost)], 'its agent sees to it').toEqual([['names-stranger c'], []])
    expect(named(picture({ c: { watches: [watched({ address: redisOf('b'), configEpoch: 6 })] } }))).toEqual(['names-other c'])
    expect(named(picture({ c: { watches: [] } }))).toEqual(['not-watching c'])
  })
})

describe('what is repaired', () => {
  const stale = { replicas: [...look('a').replicas, known(elsewhere(6379), '')] }
  const reset = { kind: 'reset', host: 'a' } as const

  test('what brings wrong entries goes before the entries; each once', () => {
    const twice = { replicas: [...stale.replicas, known(elsewhere(6380), '')] }
    const seen = picture(
      {
        a: { ...twice, watches: [watched({ settings: { ...settings, quorum: 3 } })] },
        b: { watches: [watched(), watched({ name: 'x', address: redisOf('a') })] },
      },
      { strangers: [stranger({ watches: [watched({ name: 'carts' })] })] },
    )
    expect(planned(seen)).toEqual([
      'have the Sentinel at 10.9.9.9:26379 forget carts',
      'have the Sentinel of b forget x',
      'set the Sentinel of a as configured',
      'reset the Sentinel of a',
    ])
  })

  test.each<[string, SentinelPicture, RegExp | null]>([
    ['the others are a majority that names the primary', picture({ a: stale }), null],
    ['one of the others is silent', picture({ a: stale, b: { answers: false, watches: [] } }), /only 1 Sentinels could elect \(c\), 2 are needed/],
    ['one of the others stands still', picture({ a: stale, b: { tilt: true } }), /2 are needed/],
    ['one of the others names another', picture({ a: stale, b: { watches: [watched({ address: redisOf('c'), configEpoch: 3 })] } }), /2 are needed/],
    ['one of the others was reset a moment ago', picture({ a: stale, b: { others: [] } }), /of b knows too few/],
    ['somebody fails over', picture({ a: stale, c: { watches: [watched({ flags: ['master', 'failover_in_progress'] })] } }), /of c leads a failover/],
    ['somebody finds the primary down', picture({ a: stale, c: { watches: [watched({ flags: ['master', 's_down'] })] } }), /of c finds the primary down/],
  ])('a reset, when %s', (_when, seen, against) => {
    const why = mayRepair(layout, seen, reset, null)
    if (against === null) expect(why).toBeNull()
    else expect(why).toMatch(against)
  })

  test('only what its own look calls for is made by an agent', () => {
    expect(isCalledFor(layout, picture({ a: stale }), reset)).toBe(true)
    expect(isCalledFor(layout, picture({ b: { replicas: stale.replicas } }), reset)).toBe(false)
  })

  test('never while the agent itself is not calm', () => {
    expect(mayRepair(layout, picture({ a: stale }), reset, 'a switchover is under way')).toBe('a switchover is under way')
  })

  test('stale voters that spoil the majority do not stand in the way of their own removal', () => {
    const four = Array.from({ length: 4 }, (_, i) => known(elsewhere(26_000 + i), String(i).repeat(40)))
    const spoilt = (host: Host): Partial<SentinelLook> => ({ others: [...look(host).others, ...four], ckquorum: { ok: false, text: 'NOQUORUM' } })
    const seen = picture({ a: spoilt('a'), b: spoilt('b'), c: spoilt('c') })
    expect(mayRepair(layout, seen, reset, null)).toBeNull()
    expect(hostsToSpare(layout, seen)).toEqual({ spare: -1, why: '3 of 7 Sentinels vote, 4 are needed' })
  })

  test.each<[string, Partial<SentinelLook>, string]>([
    ['its replicas', { replicas: [known(redisOf('b'), '')] }, 'it does not know the replica c'],
    ['the others', { others: [known(sentinelOf('b'), idOf('b'))] }, 'it does not know the Sentinel of c'],
    ['the primary', { watches: [watched({ flags: ['master', 'disconnected'] })] }, 'its view of the primary is: disconnected'],
    ['the group', { watches: [] }, 'it does not watch sessions'],
  ])('one that was reset is not whole before it knows %s again', (_what, more, why) => {
    expect(notYet(layout, picture({ a: more }), 'a')).toBe(why)
  })

  test('a member that does not follow at this moment cannot be found, and is not waited for', () => {
    const down = picture({ a: { replicas: [known(redisOf('b'), '')] } })
    const { redises } = down
    const gone = redises.map((r) => (r.host === 'a' ? { ...r, followers: [redisOf('b')] } : r))
    expect(notYet(layout, { ...down, redises: gone }, 'a')).toBeNull()
  })
})

describe('side by side', () => {
  test('nothing to say where they agree, and one host of three may be lost', () => {
    expect(sideBySide(layout, [picture()]).wrong).toEqual([])
    expect(hostsToSpare(layout, picture())).toEqual({ spare: 1, why: '3 of 3 Sentinels vote, 2 are needed' })
    expect(hostsToSpare(layout, picture({ b: { answers: false, watches: [] } })).spare).toBe(0)
  })

  test('what one has that the others have not is marked, and told in one sentence', () => {
    const seen = picture({
      b: { watches: [watched({ address: redisOf('c'), configEpoch: 8, flags: ['master', 's_down'], settings: { ...settings, quorum: 1 } })], tilt: true },
    })
    const { rows, wrong } = sideBySide(layout, [seen])
    expect(rows[1]?.differs).toEqual(['names', 'epoch', 'flags', 'quorum'])
    expect(wrong).toEqual(['that of b names c, not a, says s_down, TILT, has config epoch 8, quorum 1'])
  })

  test('one that answers only some agents is shown as it answers, and they are named', () => {
    const deaf = picture({ c: { answers: false, trouble: 'no answer within 1000 ms', watches: [], id: null } })
    const { rows, wrong } = sideBySide(layout, [deaf, { ...picture(), asker: 'b' }])
    expect(rows[2]).toMatchObject({ answers: true, seenBy: 'b', unheardBy: ['a'], differs: [] })
    expect(wrong).toEqual(['that of c answers b and not a'])
    expect(mergePictures(layout, [])).toBeNull()
  })
})

describe('words of redis and Sentinel', () => {
  test('the connections of Sentinels in CLIENT LIST, by where they come from and not by where they arrive', () => {
    const line = 'id=10 addr=10.0.0.3:35378 laddr=10.0.0.1:6379 fd=16 name=sentinel-e7cf7b87-cmd age=11 idle=1 flags=N'
    const gone = 'id=9 addr=10.0.0.4:1 laddr=10.0.0.1:6379 fd=9 name=sentinel-aaaaaaaa-cmd age=60 idle=31 flags=N'
    expect(
      sentinelClients(
        `${line}\n${line.replace('cmd', 'pubsub')}\n${gone}\n${gone.replace('cmd', 'pubsub').replace('31', '0')}\nid=3 addr=127.0.0.1:1 laddr=127.0.0.1:6379 fd=7 name=app age=1\n`,
      ),
    ).toEqual([{ ip: '10.0.0.3', id: 'e7cf7b87' }])
  })

  test('a hello; what is none', () => {
    expect(helloFrom(`10.0.0.1,26379,${idOf('a')},7,sessions,10.0.0.2,6379,6`)).toEqual({
      ...{ address: sentinelOf('a'), id: idOf('a'), group: 'sessions', primary: redisOf('b') },
    })
    expect(helloFrom('hello')).toBeNull()
  })

  test('another identity: id and address are replaced, votes stay', () => {
    const text = `port 26379\nsentinel announce-ip 10.0.0.1\nsentinel myid ${idOf('a')}\nsentinel leader-epoch sessions 7\n`
    expect(withIdentity(text, idOf('b'), '10.0.0.3').split('\n').sort().join('\n')).toBe(
      `\nport 26379\nsentinel announce-ip 10.0.0.3\nsentinel leader-epoch sessions 7\nsentinel myid ${idOf('b')}`,
    )
  })
})

test('docs/sentinel.md has a row for every finding, and for no other', async () => {
  const page = await readFile(new URL('../../docs/sentinel.md', import.meta.url), 'utf8')
  const rows = [...page.matchAll(/^\| `([a-z-]+)` \| ([^|]+) \|/gm)].map((m) => [m[1], m[2]?.trim()])
  expect(Object.fromEntries(rows)).toEqual(findingNames)
})
