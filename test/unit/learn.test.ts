/** What the words of others change in what a member remembers. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { learn } from '../../src/decide/learn.ts'
import { entry, facts, peer, probe, state, view, word } from './builders.ts'

describe('epochs', () => {
  test('a higher one is learned with its holder, a lower one is not', () => {
    expect(learn(state('b', { gone: { epoch: 1, fresh: true, atMs: 1 } }), view('b', [peer(word('c', { epoch: 3, holder: 'c' }))]))).toMatchObject({
      epoch: 3,
      holder: 'c',
      gone: null,
    })
    expect(learn(state('b', { epoch: 5, holder: 'b' }), view('b', [peer(word('c', { epoch: 3, holder: 'c' }))]))).toMatchObject({ epoch: 5, holder: 'b' })
  })

  test('they only rise, whatever is said in whatever order', () => {
    const said = fc.record({ host: fc.constantFrom('a', 'c'), epoch: fc.nat(6), holder: fc.constantFrom('a', 'b', 'c', null) })
    fc.assert(
      fc.property(fc.array(said), (words) => {
        let known = state('b')
        for (const w of words) {
          const next = learn(known, view('b', [peer(word(w.host, w))]))
          expect(next.epoch).toBeGreaterThanOrEqual(known.epoch)
          known = next
        }
      }),
    )
  })

  test('one epoch, two claims: both sides agree on the one with more data at its start', () => {
    const byB = word('b', { epoch: 2, holder: 'b', phase: 'primary', lineage: [entry(2, 'b', 501)] })
    const byC = word('c', { epoch: 2, holder: 'c', phase: 'primary', lineage: [entry(2, 'c', 601)] })
    const b = state('b', { epoch: 2, holder: 'b', phase: 'primary', lineage: [entry(1, 'a', 0), entry(2, 'b', 501)] })
    const c = state('c', { epoch: 2, holder: 'c', phase: 'primary', lineage: [entry(1, 'a', 0), entry(2, 'c', 601)] })
    expect(learn(b, view('b', [peer(byC)])).holder).toBe('c')
    expect(learn(c, view('c', [peer(byB)])).holder).toBe('c')
  })
})

describe('pause', () => {
  test('the later word wins, in both directions', () => {
    const later = { on: true, atWallMs: 20, by: 'bob' }
    const earlier = { on: false, atWallMs: 10, by: 'anna' }
    expect(learn(state('b', { paused: earlier }), view('b', [peer(word('a', { paused: later }))])).paused).toEqual(later)
    expect(learn(state('b', { paused: later }), view('b', [peer(word('a', { paused: earlier }))])).paused).toEqual(later)
  })
})

describe('a full sync', () => {
  const transfer = probe({ facts: facts({ syncing: true, linkUp: false, replid: 'old', offset: 5, keys: 3 }) })
  const during = probe({ facts: facts({ syncing: true, loading: true, linkUp: false, replid: 'old', offset: 5, keys: 1 }) })
  const begun = learn(state('b'), view('b', [], { redis: during }))

  test('seen to begin: the dataset may be half of one', () => {
    expect(begun.partial).toBe(true)
    expect(learn(begun, view('b', [], { redis: during }))).toEqual(begun)
  })

  test('the link is up again: whole', () => {
    expect(learn(begun, view('b', [], { redis: probe() })).partial).toBe(false)
  })

  test('broken off while it was being loaded: the old data are gone and the new ones not there', () => {
    for (const keys of [0, 1, 3])
      expect(learn(begun, view('b', [], { redis: probe({ facts: facts({ linkUp: false, replid: 'old', offset: 5, keys }) }) })).partial).toBe(true)
  })

  test('broken off while it was being transferred: the old data are as they were', () => {
    const transferring = learn(state('b'), view('b', [], { redis: transfer }))
    expect(transferring.partial).toBe(true)
    const brokenOff = (keys: number) => view('b', [], { redis: probe({ facts: facts({ linkUp: false, replid: 'old', offset: 5, keys }) }) })
    expect(learn(transferring, brokenOff(3)).partial).toBe(false)
    expect(learn(transferring, brokenOff(2)).partial).toBe(true)
    // seen to load in between: the same number of keys proves nothing any more
    expect(learn(learn(transferring, view('b', [], { redis: during })), brokenOff(3)).partial).toBe(true)
  })

  test('the primary died right after it, before the link was seen up: it has the id of the primary, so it is whole', () => {
    expect(learn(begun, view('b', [], { redis: probe({ facts: facts({ linkUp: false, linkDownS: 0, replid: 'id-1', offset: 50 }) }) })).partial).toBe(false)
    expect(learn(begun, view('b', [], { redis: probe({ facts: facts({ linkUp: false, replid: 'id-1', offset: 50, loading: true }) }) })).partial).toBe(true)
  })

  test('a dead process says nothing about it', () => {
    expect(learn(begun, view('b', [], { redis: probe({ process: false }) })).partial).toBe(true)
  })
})
