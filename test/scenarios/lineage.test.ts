/** `lineage accept`: an operator names the true data, and who had refused to follow them does, after a copy was kept (INV-6). */
import { describe, expect, test } from 'vitest'
import type { State } from '../../src/model/state.ts'
import { append } from './model-log.ts'
import { createWorld, type World } from './world.ts'

function accept(w: World, host: string, dryRun = false): string {
  return w.agent(host).ask({ kind: 'accept', to: host, dryRun, reason: 'ticket 7' })
}

function remembers(w: World, host: string, what: Partial<State>): void {
  const agent = w.agent(host)
  agent.state = { ...agent.state, ...what }
  agent.onDisk = agent.state
}

describe('a primary that serves is accepted', () => {
  test('members whose data were foreign keep a copy and follow; the client notices nothing; the reason is in the lineage', () => {
    const w = createWorld('a', 'b').begin()
    w.writes(5)
    w.powerOff('b')
    w.redis('b').disk = { replid: 'of-another-life', offset: 70, log: append(null, 'foreign', 70) }
    remembers(w, 'b', { phase: 'fresh', epoch: 0, holder: null, lineage: [], gone: null })
    w.powerOn('b')
    w.run(3000)
    expect(w.keys('b'), 'refused: nobody gives data up unasked').toEqual(['foreign'])
    expect(w.state('b').refusedEpoch).toBe(w.state('a').epoch)
    const id = accept(w, 'a')
    const before = w.acked.length
    w.writes(20)
    expect(w.acked.length - before, 'no write was refused').toBe(20)
    expect(w.results.get(id)?.ok).toBe(true)
    expect(w.untilWhole()).toBe('a')
    expect(w.kept.find((k) => k.host === 'b')?.keys).toEqual(['foreign'])
    expect(w.state('b').lineage.at(-1)).toMatchObject({
      epoch: w.state('a').epoch,
      holder: 'a',
      source: 'forced',
      why: 'accepted by anna: ticket 7',
      accepted: true,
    })
    expect(w.events.some((e) => e.kind === 'accepted' && e.data?.['reason'] === 'ticket 7')).toBe(true)
    expect(w.state('b').refusedEpoch, 'the word is used up').toBeNull()
    expect(w.lost('b')).toEqual([])
    expect(w.assertions).toEqual([])
  })

  test('a stranger that comes later was not meant by it: it refuses', () => {
    const w = createWorld('a', 'b').begin()
    accept(w, 'a')
    w.run(500)
    w.untilWhole()
    w.powerOff('b')
    w.redis('b').disk = { replid: 'of-another-life', offset: 70, log: append(null, 'foreign', 70) }
    remembers(w, 'b', { phase: 'fresh', epoch: 0, holder: null, lineage: [], gone: null, refusedEpoch: null })
    w.powerOn('b')
    w.run(3000)
    expect(w.keys('b')).toEqual(['foreign'])
  })

  test('a dry run changes nothing', () => {
    const w = createWorld('a', 'b').begin()
    const { epoch } = w.state('a')
    const id = accept(w, 'a', true)
    w.run(500)
    expect(w.results.get(id)?.message).toMatch(/would be/)
    expect(w.state('a').epoch).toBe(epoch)
  })
})

describe('an empty primary is accepted', () => {
  test('the member that refused to be wiped (INV-1) keeps its copy and follows', () => {
    const w = createWorld('a', 'b').begin()
    w.writes(10)
    const head = w.state('a').lineage.at(-1)
    // a serves an empty dataset that began at nothing, and b knows it
    w.killAgent('b')
    w.redis('b').replicaOf({ host: '127.0.0.1', port: 1 }, w.nowMs)
    Object.assign(w.redis('a'), { log: null, offset: 0, replid: 'empty', replid2: '', secondOffset: -1, backlogFrom: 0 })
    const wiped = [
      ...w.state('a').lineage,
      { ...head, epoch: 2, replid: 'empty', startOffset: 1, holder: 'a', source: 'forced' as const, why: 'by hand', atWallMs: 1 },
    ]
    remembers(w, 'a', { epoch: 2, lineage: wiped })
    w.startAgent('b')
    w.run(2000)
    expect(w.keys('b')).toHaveLength(10)
    expect(w.state('b')).toMatchObject({ phase: 'fenced', refusedEpoch: 2 })
    accept(w, 'a')
    expect(w.untilWhole()).toBe('a')
    expect(w.kept.find((k) => k.host === 'b')?.keys).toHaveLength(10)
    expect(w.keys('b')).toEqual([])
    expect(w.assertions).toEqual([])
  })
})

describe('a member that does not serve is accepted', () => {
  test('it is promoted; the primary steps down, keeps what only it has, and follows', () => {
    const w = createWorld('a', 'b').begin()
    w.writes(10)
    w.redis('b').lagging = true
    w.writes(5)
    accept(w, 'b')
    w.until('b serves', () => w.serving().join() === 'b', 5000)
    w.redis('b').lagging = false
    expect(w.untilWhole()).toBe('b')
    expect(w.kept.filter((k) => k.host === 'a').length).toBe(1)
    expect(w.assertions).toEqual([])
  })
})
