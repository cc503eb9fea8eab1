/** Planned handing over: the order of things, what rolls it back, and an agent that dies between any two steps of it. */
import { describe, expect, test } from 'vitest'
import { createWorld, type World } from './world.ts'

/** A client that writes every ms for so long; what it was told to be written must be there afterwards. */
function writing(w: World, ms: number): void {
  for (let i = 0; i < ms; i += 1) {
    w.write()
    w.run(1)
  }
}

describe('switchover', () => {
  test('pause → equal offsets → fence → promote → old connections end → the address moves; nothing is lost', () => {
    const w = createWorld('a', 'b').begin()
    writing(w, 20)
    const sinceMs = w.nowMs
    const id = w.ask('a', 'switchover', { to: 'b' })
    writing(w, 100)
    expect(w.untilWhole()).toBe('b')
    writing(w, 20)
    expect(w.results.get(id)).toMatchObject({ ok: true, message: 'b is primary, epoch 2' })
    const order = w.acts(['refuse-connections', 'pause-writes', 'soft-fence', 'promote', 'kill-clients', 'vip', 'follow'], sinceMs)
    expect(order.filter((s) => s !== 'b vip yes')).toEqual([
      'a refuse-connections',
      'a pause-writes',
      'a soft-fence',
      'b promote',
      'a kill-clients',
      'a vip no',
      'a follow',
      'a vip yes',
    ])
    expect(w.story(sinceMs)).toEqual(['a handover 2', 'a fenced 2', 'b promoted 2', 'a rejoined 2'])
    expect(w.lost('b')).toEqual([])
    expect(w.lost('a')).toEqual([])
    expect(w.state('b').lineage.at(-1)?.source).toBe('switchover')
    expect(w.assertions).toEqual([])
  })

  test('there and back, many times, with a client that never stops', () => {
    const w = createWorld('a', 'b').begin()
    for (let i = 0; i < 20; i += 1) {
      const from = w.untilWhole()
      const id = w.ask(from, 'switchover')
      writing(w, 50)
      w.untilWhole()
      expect(w.results.get(id)?.message).toMatch(/is primary, epoch/)
    }
    expect(w.lost('a')).toEqual([])
    expect(w.lost('b')).toEqual([])
    expect(w.assertions).toEqual([])
  })

  test('a dry run says what would happen, and nothing does', () => {
    const w = createWorld('a', 'b').begin()
    const sinceMs = w.nowMs
    const id = w.ask('a', 'switchover', { dryRun: true })
    w.run(500)
    expect(w.results.get(id)).toMatchObject({ ok: true, message: 'would switch over from a to b' })
    expect(w.story(sinceMs)).toEqual([])
  })

  test.each([
    { to: 'a', why: /a is the primary already/ },
    { to: 'z', why: /z is not a member/ },
    { to: 'c', why: /never_primary/ },
  ])('asked to go to $to: refused with the reason', ({ to, why }) => {
    const w = createWorld('a', 'b', { host: 'c', neverPrimary: true }).begin()
    const id = w.ask('a', 'switchover', { to })
    w.run(300)
    expect(w.results.get(id)?.ok).toBe(false)
    expect(w.results.get(id)?.message).toMatch(why)
    expect(w.isWhole()).toBe(true)
  })

  test('asked of a replica: it says that only the primary can', () => {
    const w = createWorld('a', 'b').begin()
    const id = w.ask('b', 'switchover')
    w.run(300)
    expect(w.results.get(id)?.message).toMatch(/only the primary can hand over/)
  })

  test('a redis that cannot pause writes alone: refused, because it could lose them', () => {
    const w = createWorld('a', 'b').begin()
    w.redis('a').version = '6.0.16'
    w.run(300)
    const id = w.ask('a', 'switchover')
    w.run(300)
    expect(w.results.get(id)?.message).toMatch(/6\.2/)
    expect(w.serving()).toEqual(['a'])
  })
})

function fallBehind(w: World): void {
  w.redis('b').lagging = true
  w.write()
}

describe('a switchover that cannot finish is taken back, with the old primary serving', () => {
  test.each<{ readonly what: string; readonly goWrong: (w: World) => void; readonly afterwards?: (w: World) => void }>([
    { what: 'the target falls behind and never catches up', goWrong: fallBehind, afterwards: (w) => Object.assign(w.redis('b'), { lagging: false }) },
    { what: 'the agent of the target dies', goWrong: (w) => w.killAgent('b'), afterwards: (w) => w.startAgent('b') },
    {
      what: 'the redis of the target hangs, behind',
      goWrong: (w) => {
        w.freeze('b')
        w.write()
      },
      afterwards: (w) => w.thaw('b'),
    },
    { what: 'the redis of the target crashes', goWrong: (w) => w.crash('b') },
    { what: 'writes cannot be paused', goWrong: (w) => w.failures.set('a/pause-writes', 'CLIENT: no answer within 1000 ms') },
    { what: 'the gate cannot be shut, so the pause was never reached', goWrong: (w) => w.failures.set('a/refuse-connections', 'nft: no such table') },
    { what: 'the target is cut off', goWrong: (w) => w.isolate('a', 'b', ['agent']), afterwards: (w) => w.heal() },
  ])('$what', ({ goWrong, afterwards }) => {
    const w = createWorld('a', 'b').begin()
    writing(w, 20)
    // it goes wrong in the moment in which writes stop
    w.stepHook = (host, label) => {
      if (host === 'a' && label === 'handing/before:refuse-connections') goWrong(w)
      return 'go on'
    }
    w.redis('b').lagging = false
    const id = w.ask('a', 'switchover')
    writing(w, 4000)
    expect(w.results.get(id)?.ok).toBe(false)
    expect(w.results.get(id)?.message).toMatch(/rolled back, a goes on serving/)
    expect(w.serving()).toEqual(['a'])
    expect(w.write()).toBe('OK')
    expect(w.lost('a')).toEqual([])
    w.stepHook = null
    afterwards?.(w)
    expect(w.untilWhole()).toBe('a')
    expect(w.lost('b')).toEqual([])
    expect(w.state('a').epoch).toBe(1)
    expect(w.assertions).toEqual([])
  })

  test('writes are held for no longer than max_pause_ms', () => {
    const w = createWorld('a', 'b').begin()
    w.stepHook = (host, label) => {
      if (host === 'a' && label === 'handing/before:pause-writes') fallBehind(w)
      return 'go on'
    }
    w.ask('a', 'switchover')
    let heldMs = 0
    for (let i = 0; i < 1500; i += 1) {
      if (w.write() !== 'OK') heldMs += 1
      w.run(1)
    }
    expect(heldMs).toBeGreaterThan(400)
    expect(heldMs).toBeLessThan(560)
  })

  test('the primary dies while writes are paused: a failover, and nothing is lost', () => {
    const w = createWorld('a', 'b').begin()
    writing(w, 20)
    w.stepHook = (host, label) => {
      if (host === 'a' && label === 'handing/before:pause-writes') w.crash('a')
      return 'go on'
    }
    const id = w.ask('a', 'switchover')
    w.run(100)
    expect(w.untilWhole()).toBe('b')
    expect(w.results.get(id)?.ok).toBe(false)
    expect(w.lost('b')).toEqual([])
  })

  test('the redis of the target is restarted with an older disk after the epoch was given to it: it must not serve that', () => {
    const w = createWorld('a', 'b').begin()
    writing(w, 10)
    w.redis('b').save()
    writing(w, 20)
    w.stepHook = (host, label) => {
      if (host === 'a' && label === 'handed/before:soft-fence') w.crash('b')
      return 'go on'
    }
    w.ask('a', 'switchover')
    writing(w, 200)
    const primary = w.untilWhole()
    expect(w.lost(primary)).toEqual([])
    expect(w.assertions).toEqual([])
  })

  test('the redis of the target hangs after the epoch was given to it: the old primary takes it back', () => {
    const w = createWorld('a', 'b').begin()
    writing(w, 20)
    w.stepHook = (host, label) => {
      if (host === 'a' && label === 'handed/before:soft-fence') w.freeze('b')
      return 'go on'
    }
    const id = w.ask('a', 'switchover')
    w.until('b is to serve', () => w.state('b').phase === 'promoting')
    w.until('a serves again', () => w.serving().join() === 'a' && w.write() === 'OK', 8000)
    expect(w.results.get(id)?.ok).toBe(false)
    expect(w.lost('a')).toEqual([])
    w.thaw('b')
    w.untilWhole()
    expect(w.lost('b')).toEqual([])
  })
})

/** The steps at which an agent can die, as they come by in an undisturbed switchover. */
function stepsOf(): readonly string[] {
  const w = createWorld('a', 'b').begin()
  const steps: string[] = []
  w.stepHook = (host, label) => {
    const step = `${host} ${label}`
    if (!steps.includes(step)) steps.push(step)
    return 'go on'
  }
  w.ask('a', 'switchover')
  w.until('b serves', () => w.serving().join() === 'b')
  w.untilWhole()
  return steps
}

describe('the agent of either side is killed (-9) between any two steps and comes back: one writer, no loss', () => {
  for (const backAfterMs of [1, 30, 400, 970, 985, 993, 996, 999, 1002, 1010, 3000]) {
    test.each(stepsOf())(`at "%s", back after ${backAfterMs} ms`, (step) => {
      const w = createWorld('a', 'b').begin()
      writing(w, 20)
      let armed = true
      w.stepHook = (host, label) => {
        if (!armed || step !== `${host} ${label}`) return 'go on'
        armed = false
        w.after(backAfterMs, () => w.startAgent(host))
        return 'die'
      }
      const both: string[] = []
      w.afterEach = () => {
        const unfenced = w.hosts.filter((h) => w.redis(h).role === 'primary')
        if (unfenced.length > 1) both.push(`${w.nowMs}: ${unfenced.join()}`)
      }
      w.ask('a', 'switchover')
      writing(w, 50)
      w.run(backAfterMs)
      const primary = w.untilWhole()
      writing(w, 10)
      w.untilWhole()
      expect(armed).toBe(false)
      expect(both).toEqual([])
      expect(w.lost(primary)).toEqual([])
      expect(w.assertions).toEqual([])
      expect(w.write()).toBe('OK')
    })
  }
})
