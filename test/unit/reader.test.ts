/** The reader address, told in small incidents: whom the primary names, and what each member makes of it. */
import { describe, expect, test } from 'vitest'
import { decide } from '../../src/decide/decide.ts'
import { watchReader } from '../../src/decide/reader.ts'
import type { State } from '../../src/model/state.ts'
import type { ReaderProbe, RedisFacts, Statement, View } from '../../src/model/view.ts'
import { freshWatch, type ReaderWatch } from '../../src/model/watch.ts'
import { facts, nowMs, peer, policy, primaryFacts, probe, silent, state, view, word } from './builders.ts'

const three = policy('a', 'b', { host: 'c', neverPrimary: true })
const idle: ReaderProbe = { process: true, vrrp: 'FAULT', allowed: false, here: false }
const here: ReaderProbe = { process: true, vrrp: 'MASTER', allowed: true, here: true }

/** A replica with an address gate, as its agent tells of it. */
function replica(host: string, more: Partial<Statement> & { readonly offset?: number; readonly linkUp?: boolean; readonly at?: ReaderProbe } = {}): Statement {
  const { offset = 1000, linkUp = true, at = idle, ...rest } = more
  return word(host, { redis: facts({ offset, linkUp }), reader: { ...at, names: null }, ...rest })
}

const primary = state('a', { phase: 'primary', servingRunId: 'run-1' })
const own = (more: Partial<RedisFacts> = {}) => probe({ facts: primaryFacts({ offset: 1000, ...more }) })

/** What the primary a sees of these replicas. */
function seen(words: readonly Statement[], more: Partial<View> = {}): View {
  return view(
    'a',
    words.map((w) => peer(w)),
    { redis: own(), reader: idle, ...more },
  )
}

function named(before: ReaderWatch | null, look: View, of: State = primary): ReaderWatch | null {
  return watchReader(before, of, look, three)
}

describe('whom the primary names', () => {
  test('at first the replica of the highest priority; where the address is already, it stays', () => {
    expect(named(null, seen([replica('b'), replica('c')]))?.names).toBe('b')
    expect(named(null, seen([replica('b'), replica('c', { at: here })]))?.names).toBe('c')
  })

  test('what may just be under way is no difference: priority decides', () => {
    const look = (bytes: number) =>
      seen([replica('b', { offset: 1_000_000 - bytes }), replica('c', { offset: 1_000_000 })], { redis: own({ offset: 1_000_000 }) })
    expect(named(null, look(65_535))?.names).toBe('b')
    expect(named(null, look(65_536))?.names).toBe('c')
  })

  test('one that is never primary reads as well as any', () => {
    expect(named(null, seen([replica('c', { fit: false, unfitWhy: 'never_primary is set' })]))?.names).toBe('c')
  })

  test.each<[string, Statement]>([
    ['its link is down', replica('b', { linkUp: false })],
    ['its redis does not answer', replica('b', { answering: false })],
    ['its data differ', replica('b', { trueCopy: false })],
    ['half of a full sync', replica('b', { partial: true })],
    ['it follows another history', replica('b', { redis: facts({ replid: 'id-9' }) })],
    ['it speaks of an older epoch', replica('b', { epoch: 0 })],
    ['it is fenced', replica('b', { phase: 'fenced' })],
    ['it refuses this primary', replica('b', { refuses: true })],
    ['its keepalived is dead', replica('b', { at: { ...idle, process: false } })],
    ['its agent is of an earlier version', word('b')],
  ])('not one of which is known: %s', (_why, unfit) => {
    expect(named(null, seen([unfit, replica('c')]))?.names).toBe('c')
  })

  test('a replica that falls silent loses it at once to the next', () => {
    const before: ReaderWatch = { names: 'b', rival: null, noneSinceMs: null }
    const look = view('a', [silent('b'), peer(replica('c'))], { redis: own(), reader: idle })
    expect(named(before, look)?.names).toBe('c')
  })

  test('less lag moves it only if it is much, and for two seconds', () => {
    const lagging = (bytes: number, atMs: number) =>
      seen([replica('b', { offset: 1_000_000 - bytes, at: here }), replica('c', { offset: 1_000_000 })], { redis: own({ offset: 1_000_000 }), nowMs: atMs })
    const before: ReaderWatch = { names: 'b', rival: null, noneSinceMs: null }
    expect(named(before, lagging(65_535, nowMs))).toBe(before)
    const first = named(before, lagging(65_536, nowMs))
    expect(first).toEqual({ names: 'b', rival: { host: 'c', sinceMs: nowMs }, noneSinceMs: null })
    expect(named(first, lagging(70_000, nowMs + 1999))).toBe(first)
    expect(named(first, lagging(0, nowMs + 1999))?.rival, 'it has caught up: counted anew').toBeNull()
    expect(named(first, lagging(70_000, nowMs + 2000))?.names).toBe('c')
  })

  test("redis' own account of its replicas is younger than their words", () => {
    const followers = [{ ip: 'ip-b', port: 6379, online: true, offset: 500_000, ackAgeS: 0 }]
    const look = seen([replica('b', { offset: 1_000_000 }), replica('c', { offset: 1_000_000 })], { redis: own({ offset: 1_000_000, followers }) })
    expect(named(null, look)?.names).toBe('c')
  })

  test('nobody fit: it stays where it is for a second, then the primary takes it, and gives it away again', () => {
    const before: ReaderWatch = { names: 'b', rival: null, noneSinceMs: null }
    const down = (atMs: number) => seen([replica('b', { linkUp: false, at: here }), replica('c', { linkUp: false })], { nowMs: atMs })
    const first = named(before, down(nowMs))
    expect(first).toEqual({ names: 'b', rival: null, noneSinceMs: nowMs })
    expect(named(first, down(nowMs + 999))).toBe(first)
    const taken = named(first, down(nowMs + 1000))
    expect(taken?.names).toBe('a')
    expect(named(taken, seen([replica('c')], { reader: here }))).toEqual({ names: 'c', rival: null, noneSinceMs: null })
  })

  test('promoted where the address is: it keeps it until a replica follows', () => {
    const promoted = seen([replica('b', { linkUp: false })], { reader: here })
    expect(named(null, promoted)?.names).toBe('a')
    expect(named(named(null, promoted), seen([replica('b')], { reader: here }))?.names).toBe('b')
  })

  test('who does not serve names nobody; who hands over changes nothing; and a group without such an address has none', () => {
    const before: ReaderWatch = { names: 'b', rival: null, noneSinceMs: null }
    expect(named(before, seen([replica('c')]), state('a'))).toBeNull()
    expect(named(before, seen([replica('c')]), { ...primary, phase: 'handing' })).toBe(before)
    expect(named(null, view('a', [peer(replica('b'))], { redis: own() }))).toBeNull()
  })
})

/** What member b does about its gate, by the whole decision. */
function gate(of: State, look: View): boolean | undefined {
  return decide(of, look, three).actions.flatMap((action) => (action.kind === 'reader-vip' ? [action.allowed] : []))[0]
}

const naming = (names: string | null, more: Partial<Statement> = {}) =>
  peer(word('a', { phase: 'primary', redis: primaryFacts(), reader: { ...idle, names }, ...more }))

describe('what a member makes of it', () => {
  test('named: it stands for the address, once', () => {
    expect(gate(state('b'), view('b', [naming('b'), peer(replica('c'))], { reader: idle }))).toBe(true)
    expect(gate(state('b'), view('b', [naming('b'), peer(replica('c'))], { reader: here }))).toBeUndefined()
  })

  test('another is named: it keeps the address until that one stands for it in VRRP', () => {
    const holding = (at: ReaderProbe) => gate(state('b'), view('b', [naming('c'), peer(replica('c', { at }))], { reader: here }))
    expect(holding(idle)).toBeUndefined()
    expect(holding({ ...idle, allowed: true })).toBeUndefined()
    expect(holding({ ...idle, vrrp: 'BACKUP' }), 'a word of before: it has lost its leave').toBeUndefined()
    expect(holding({ ...idle, allowed: true, vrrp: 'BACKUP' })).toBe(false)
    expect(holding({ ...idle, allowed: true, vrrp: 'unknown' }), 'its agent has been restarted since').toBe(false)
  })

  test('another is named, and the address is not here: it stands back at once', () => {
    expect(gate(state('b'), view('b', [naming('c'), peer(replica('c'))], { reader: { ...here, here: false } }))).toBe(false)
  })

  test.each<[string, Partial<View>]>([
    ['is dead', { redis: probe({ process: false, facts: null }) }],
    ['loads', { redis: probe({ facts: facts({ loading: true }) }) }],
    ['is being filled', { redis: probe({ facts: facts({ syncing: true, linkUp: false }) }) }],
    ['owes an answer', { redis: probe({ factsAgeMs: 700 }) }],
  ])('its redis %s: it gives the address up before anything else', (_what, more) => {
    const decision = decide(state('b'), view('b', [naming('b'), peer(replica('c'))], { reader: here, ...more }), three)
    expect(decision.actions[0]).toEqual({ kind: 'reader-vip', allowed: false })
  })

  test('the primary is gone: reads go on where they are', () => {
    const lost = view('b', [silent('a'), peer(replica('c'))], { reader: here, redis: probe({ facts: facts({ linkUp: false, linkDownS: 0 }) }) })
    expect(gate(state('b'), lost)).toBeUndefined()
  })

  test('cut off from all for more than ten seconds: its data grow old, and nobody tells', () => {
    const alone = (linkDownS: number) =>
      gate(state('b'), view('b', [silent('a'), silent('c')], { reader: here, redis: probe({ facts: facts({ linkUp: false, linkDownS }) }) }))
    expect(alone(10)).toBeUndefined()
    expect(alone(11)).toBe(false)
  })

  test('the primary itself takes it when it names itself, and gives it up when the next one stands for it', () => {
    const names = (host: string): Partial<View> => ({ redis: own(), watch: { ...freshWatch, reader: { names: host, rival: null, noneSinceMs: null } } })
    expect(gate(primary, view('a', [peer(replica('b')), peer(replica('c'))], { ...names('a'), reader: idle }))).toBe(true)
    const standing: ReaderProbe = { ...idle, allowed: true, vrrp: 'BACKUP' }
    expect(gate(primary, view('a', [peer(replica('b', { at: standing })), peer(replica('c'))], { ...names('b'), reader: here }))).toBe(false)
  })

  test('a fenced member has no reads to answer', () => {
    expect(gate(state('b', { phase: 'fenced' }), view('b', [silent('a'), peer(replica('c'))], { reader: here }))).toBe(false)
  })
})
