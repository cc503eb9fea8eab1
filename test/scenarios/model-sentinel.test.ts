/** The Sentinels of the model world by themselves, no agent lives: what they do to a group, and when. The same is asked of real ones in test/contract. */
import { describe, expect, it } from 'vitest'
import { sentinelPace } from '../../src/model/sentinel.ts'
import type { ModelSentinel } from './model-sentinel.ts'
import { World } from './world.ts'

const hosts = ['a', 'b', 'w']

/** a is the primary, b follows, as many Sentinels as asked; they know each other and both redises. */
function group(
  more: { quorum?: number; downAfterMs?: number; failoverTimeoutMs?: number; seed?: number; members?: string[]; sentinels?: string[] } = {},
): World {
  const { members = ['a', 'b'], sentinels = hosts, ...options } = more
  const w = new World({ members, sentinels: { hosts: sentinels, ...options } })
  for (const host of members) {
    const redis = w.redis(host)
    redis.start(w.nowMs, 'primary')
    redis.makeBacklog()
    if (host !== 'a') redis.replicaOf({ host: 'ip-a', port: 6379 }, w.nowMs)
  }
  w.until('all know all', () => every(w).every((s) => s.others.size === sentinels.length - 1 && s.replicas.size === members.length - 1), 15_000)
  // A calm moment later, with an INFO of everybody.
  w.run(12_000)
  return w
}

function every(w: World): readonly ModelSentinel[] {
  return w.sentinels?.every() ?? []
}

function on(w: World, host: string): ModelSentinel {
  const found = every(w).find((s) => s.host === host)
  if (found === undefined) throw new Error(`no Sentinel on ${host}`)
  return found
}

function told(w: World, what: RegExp, sinceMs = 0): readonly string[] {
  return (w.sentinels?.told ?? []).filter((t) => t.atMs >= sinceMs && what.test(t.what)).map((t) => `${t.host} ${t.what}`)
}

function whenTold(w: World, what: RegExp, sinceMs: number): number {
  return (w.sentinels?.told.find((t) => t.atMs >= sinceMs && what.test(t.what))?.atMs ?? Number.POSITIVE_INFINITY) - sinceMs
}

const names = (w: World) => every(w).map((s) => s.names())

describe('Sentinels alone', () => {
  it.each([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])('crash: down, agreed, elected, promoted within 1 to 4 s, and all switch (dice %i)', (seed) => {
    const w = group({ seed })
    const crashMs = w.nowMs
    w.crash('a')
    w.until('all name b', () => names(w).every((n) => n === 'b'), 30_000)
    const times = [/^\+sdown a/, /^\+odown a/, /^\+try-failover/, /^\+elected-leader/, /^\+selected-slave b/, /^\+promoted-slave b/].map((what) =>
      whenTold(w, what, crashMs),
    )
    expect(times.toSorted((x, y) => x - y)).toEqual(times)
    expect(times[0]).toBeGreaterThan(1000)
    expect(times[0]).toBeLessThan(1300)
    expect(times.at(-1)).toBeLessThan(4000)
    expect(w.redis('b').role).toBe('primary')
    expect(new Set(every(w).map((s) => s.configEpoch)).size).toBe(1)
    expect(on(w, 'a').configEpoch).toBeGreaterThan(0)
  })

  it('a minority finds it down and promotes nobody, however long', () => {
    const w = group()
    w.cut('b')
    w.run(120_000)
    expect(told(w, /^\+sdown a/)).toEqual(['b +sdown a'])
    expect(told(w, /^\+odown|^\+try/)).toEqual([])
    expect(names(w)).toEqual(['a', 'a', 'a'])
    w.heal()
    w.until('b sees it again', () => !on(w, 'b').primary.down, 20_000)
    expect(names(w)).toEqual(['a', 'a', 'a'])
  })

  it('a quorum of one is not a majority: it finds it down for all and is not elected', () => {
    const w = group({ quorum: 1 })
    w.cut('b')
    w.run(15_000)
    expect(told(w, /^\+odown/)).toEqual(['b +odown a'])
    expect(told(w, /abort-not-elected/)).toEqual(['b -failover-abort-not-elected'])
    expect(names(w)).toEqual(['a', 'a', 'a'])
  })

  it('one vote per epoch, for who comes first; a higher epoch has a new one; the disk remembers that, not for whom', () => {
    const w = group()
    const s = on(w, 'w')
    expect(s.isDown('a', 5, 'anna')).toEqual({ down: false, vote: { epoch: 5, to: 'anna' } })
    expect(s.isDown('a', 5, 'berta').vote).toEqual({ epoch: 5, to: 'anna' })
    expect(s.isDown('a', 4, 'berta').vote).toEqual({ epoch: 5, to: 'anna' })
    expect(s.isDown('a', 0, 'anybody').vote).toEqual({ epoch: 5, to: 'anna' })
    expect(s.isDown('b', 9, 'berta').vote).toBeNull()
    w.killSentinel('w')
    w.startSentinel('w')
    expect(s.isDown('a', 5, 'berta').vote).toBeNull()
    expect(s.isDown('a', 6, 'berta').vote).toEqual({ epoch: 6, to: 'berta' })
  })

  it('who has voted for another waits twice the failover-timeout before it begins itself', () => {
    const w = group({ failoverTimeoutMs: 5000 })
    const fromMs = w.nowMs
    for (const s of every(w)) s.isDown('a', 7, 'an agent that then says nothing')
    w.crash('a')
    w.run(9900)
    expect(told(w, /^\+odown/, fromMs).length).toBe(3)
    expect(told(w, /^\+try/, fromMs)).toEqual([])
    w.until('one begins', () => told(w, /^\+try/, fromMs).length > 0, 1300)
  })

  it('a restarted primary, empty: +reboot, and nothing more', () => {
    const w = group()
    w.run(1)
    w.crash('a')
    w.supervisorStarts('a', 'empty')
    w.run(60_000)
    expect(new Set(told(w, /^\+reboot a/))).toEqual(new Set(hosts.map((h) => `${h} +reboot a`)))
    expect(told(w, /down|try-failover/)).toEqual([])
    expect(w.sentinels?.orders).toEqual([])
  })

  it('a replica that says that it is a primary is converted once it has said so for 8 s', () => {
    const w = group()
    const fromMs = w.nowMs
    w.redis('b').replicaOf(null, w.nowMs)
    w.until('converted', () => w.redis('b').role === 'replica', 40_000)
    expect(whenTold(w, /^\+convert-to-slave b/, fromMs)).toBeGreaterThan(8000)
    expect(whenTold(w, /^\+convert-to-slave b/, fromMs)).toBeLessThan(8000 + 20_000 + 500)
    expect(w.redis('b').upstream?.host).toBe('ip-a')
  })

  it('a replica of nobody is told to follow the primary after failover-timeout', () => {
    const w = group({ failoverTimeoutMs: 6000 })
    const fromMs = w.nowMs
    w.redis('b').replicaOf({ host: '127.0.0.1', port: 1 }, w.nowMs)
    w.until('fixed', () => w.redis('b').upstream?.host === 'ip-a', 40_000)
    expect(whenTold(w, /^\+fix-slave-config b/, fromMs)).toBeGreaterThan(6000)
  })

  it('behind a closed valve no order is taken: selected, refused, given up after failover-timeout', () => {
    const w = group({ failoverTimeoutMs: 5000 })
    w.redis('b').orders = false
    const crashMs = w.nowMs
    w.crash('a')
    w.until('given up', () => told(w, /abort-slave-timeout/).length > 0, 15_000)
    expect(whenTold(w, /abort-slave-timeout/, crashMs)).toBeGreaterThan(6000)
    expect(w.sentinels?.orders.map((o) => [o.redis, o.to, o.taken])).toEqual([['b', null, false]])
    expect(w.redis('b').role).toBe('replica')
    expect(names(w)).toEqual(['a', 'a', 'a'])
  })

  it('asked to hurry too much, they know of no replica that is fresh enough; at the pace of Holdfast they do', () => {
    const abortsAt = (pingMs: number): number =>
      Array.from({ length: 20 }, (_, seed) => {
        const w = group({ seed })
        for (const s of every(w)) s.pace = { pingMs, infoMs: sentinelPace.infoMs }
        w.run(3000 + 53 * seed)
        w.crash('a')
        w.run(6000)
        return told(w, /no-good-slave/).length
      }).filter((aborts) => aborts > 0).length
    expect(abortsAt(sentinelPace.pingMs)).toBe(0)
    expect(abortsAt(100)).toBeGreaterThan(0)
  })

  it('priority 0: never selected', () => {
    const w = group({ members: ['a', 'b', 'c'] })
    w.redis('b').priority = 0
    w.run(12_000)
    w.crash('a')
    w.until('c', () => names(w).every((n) => n === 'c'), 30_000)
    expect(told(w, /^\+selected-slave/)).toHaveLength(1)
  })

  it('the other replica is told to follow the new primary, and the old one when it comes back', () => {
    const w = group({ members: ['a', 'b', 'c'] })
    w.crash('a')
    w.until('a new one', () => names(w).every((n) => n !== 'a'), 30_000)
    const [now = ''] = names(w)
    const other = now === 'b' ? 'c' : 'b'
    w.until('the other follows', () => w.redis(other).upstream?.host === `ip-${now}`, 30_000)
    const backMs = w.nowMs
    w.supervisorStarts('a', 'old')
    w.until('the old one follows', () => w.redis('a').upstream?.host === `ip-${now}`, 40_000)
    expect(w.nowMs - backMs).toBeGreaterThan(8000)
  })

  it('an operator’s SENTINEL FAILOVER asks nobody and needs nobody down: a Sentinel that is cut off does it as gladly', () => {
    const w = group()
    for (const other of ['a', 'w']) w.isolate('b', other)
    w.run(100)
    const fromMs = w.nowMs
    expect(w.sentinelFailover('b')).toBe('OK')
    w.until('promoted', () => w.redis('b').role === 'primary', 3000)
    expect(w.nowMs - fromMs).toBeLessThan(600)
    expect(w.redis('a').role).toBe('primary')
    w.heal()
    w.until('all name b', () => names(w).every((n) => n === 'b'), 20_000)
  })

  it('SENTINEL RESET: it finds replica and Sentinels again', () => {
    const w = group()
    w.sentinelReset('w')
    expect([on(w, 'w').others.size, on(w, 'w').replicas.size]).toEqual([0, 0])
    w.until('found', () => on(w, 'w').others.size === 2 && on(w, 'w').replicas.size === 1, 12_000)
  })

  it('who stood still for more than 2 s does nothing for 30 s', () => {
    const w = group()
    w.freezeSentinel('w')
    w.run(3000)
    w.crash('a')
    w.thawSentinel('w')
    const fromMs = w.nowMs
    w.run(29_000)
    expect(told(w, /down/, fromMs).filter((t) => t.startsWith('w'))).toEqual([])
    expect(on(w, 'w').isDown('a', 0, null).down).toBe(false)
  })

  it('a primary that holds writes back (CLIENT PAUSE) holds the hellos back too, and with them every PING behind them', () => {
    const w = group()
    const fromMs = w.nowMs
    w.redis('a').pausedUntilMs = w.nowMs + 6000
    w.run(6000)
    expect(whenTold(w, /^\+sdown a/, fromMs)).toBeGreaterThan(1000)
    expect(whenTold(w, /^\+sdown a/, fromMs)).toBeLessThan(4500)
  })
})

describe('what an agent sees of them', () => {
  const calm = () => {
    const w = group()
    for (const host of hosts) w.startAgent(host)
    w.run(2000)
    return w
  }
  const seen = (w: World, agent: string) => w.agent(agent).senses.sentinels().sentinels ?? []

  it('whom each names, with an age that counts from the question', () => {
    const w = calm()
    expect(seen(w, 'w').map((s) => [s.host, s.reach, s.facts?.names, s.facts?.others, s.facts?.down])).toEqual(hosts.map((h) => [h, 'answers', 'a', 2, false]))
    for (const s of seen(w, 'w')) expect(s.ageMs).toBeLessThanOrEqual(201)
    w.slow('a', 'w', 150)
    w.run(1000)
    expect(Math.max(...seen(w, 'w').map((s) => s.ageMs))).toBeGreaterThan(150)
  })

  it('refused, silent, and back', () => {
    const w = calm()
    w.killSentinel('a')
    w.isolate('b', 'w')
    w.run(700)
    expect(seen(w, 'w').map((s) => s.reach)).toEqual(['refused', 'silent', 'answers'])
    expect(seen(w, 'w')[1]?.ageMs).toBeGreaterThan(700)
    w.startSentinel('a')
    w.heal()
    w.run(900)
    expect(seen(w, 'w').map((s) => s.reach)).toEqual(['answers', 'answers', 'answers'])
  })

  it('asked for their votes and told who serves: all switch at once, and their clients hear of it', () => {
    const w = calm()
    const fromMs = w.nowMs
    w.sentinels?.askVotes('b', 3, 'b')
    w.until('three votes', () => seen(w, 'b').every((s) => s.vote?.epoch === 3 && s.vote.to === 'b'), 10)
    for (const host of hosts) w.sentinels?.tellWho('b', host, 'b', 3)
    w.until('all name b', () => seen(w, 'b').every((s) => s.facts?.names === 'b' && s.facts.configEpoch === 3), 10)
    expect(told(w, /^\+switch-master a b/, fromMs)).toHaveLength(3)
  })
})
