import { describe, expect, test } from 'vitest'
import { describeVerdict, judge, termsOf, type ClientHistory } from '../../src/lab/double-writer.ts'

/** One write a millisecond, from..to, numbered on from `seq`, each sent half a millisecond before its answer. */
function acks(by: string, fromMs: number, toMs: number, seq = 1): ClientHistory['acks'] {
  return Array.from({ length: toMs - fromMs + 1 }, (_, i) => [seq + i, fromMs + i, fromMs + i - 0.5, by] as const)
}

function client(name: string, given: ClientHistory['acks'], lostRuns: ClientHistory['lostRuns'] = []): ClientHistory {
  return { client: name, prefix: name, acks: given, lostRuns }
}

const nothingKept: ReadonlySet<string> = new Set()

describe('two members accept writes at the same time', () => {
  test('a failover: the old one ends before the new one begins', () => {
    const verdict = judge([client('here', acks('a/1', 0, 100)), client('there', [...acks('a/1', 0, 90), ...acks('b/2', 300, 400, 91 + 1)])], nothingKept)
    expect(verdict).toMatchObject({ acked: 101 + 91 + 101, overlaps: [], overlapMs: 0, worstOverlapMs: 0, lost: 0, unidentified: 0 })
    expect(verdict.terms.map((t) => [t.runId, t.clients])).toEqual([
      ['a', ['here', 'there']],
      ['b', ['there']],
    ])
  })

  test('a partition: each side has its own writer, seen only in both histories together', () => {
    const here = client('here', acks('a/1', 0, 1000))
    const there = client('there', [...acks('a/1', 0, 90), ...acks('b/2', 300, 900, 92)])
    expect(judge([here], nothingKept).overlapMs).toBe(0)
    expect(judge([there], nothingKept).overlapMs).toBe(0)
    const verdict = judge([here, there], nothingKept)
    expect(verdict.overlaps).toEqual([{ runIds: ['a', 'b'], fromMs: 300, toMs: 899.5 }])
    expect(describeVerdict(verdict)).toContain('two writers for 600 ms')
  })

  test('a switchover there and back is no overlap: a process that is promoted again goes on under a new replication id', () => {
    const there = client('there', [...acks('a/1', 0, 100), ...acks('b/2', 150, 200, 200), ...acks('a/3', 250, 300, 300)])
    expect(judge([there], nothingKept).overlapMs).toBe(0)
    // A process that has never stopped being primary meanwhile would look like this.
    expect(judge([client('x', [...acks('a/1', 0, 100), ...acks('b/2', 150, 200, 200), ...acks('a/1', 250, 300, 300)])], nothingKept).overlapMs).toBeGreaterThan(
      49,
    )
  })

  test('a crash and a restart in place are two processes, one after the other', () => {
    expect(judge([client('x', [...acks('a/1', 0, 100), ...acks('c/1', 120, 200, 200)])], nothingKept).overlapMs).toBe(0)
  })

  test('an answer that TCP delivered only after the heal does not stretch the term of the old primary', () => {
    const late: ClientHistory['acks'] = [...acks('a/1', 0, 100), [102, 2000, 100.5, 'a/1']]
    expect(termsOf([client('here', late)])).toMatchObject([{ fromMs: 0, toMs: 100.5 }])
    expect(judge([client('here', late), client('there', acks('b/2', 300, 400))], nothingKept).overlapMs).toBe(0)
  })

  test('three at once are counted once in the sum; the longest is told', () => {
    const verdict = judge([client('x', acks('a/1', 0, 100)), client('y', acks('b/2', 50, 100)), client('z', acks('c/3', 80, 90))], nothingKept)
    expect(verdict.overlaps).toHaveLength(3)
    expect(verdict.overlapMs).toBe(49.5)
    expect(verdict.worstOverlapMs).toBe(49.5)
  })

  test('a write that nobody knows who acknowledged is said, not guessed', () => {
    expect(judge([client('x', acks('', 0, 9))], nothingKept)).toMatchObject({ unidentified: 10, terms: [] })
  })
})

describe('what became of each acknowledged write', () => {
  const lost = client('here', acks('a/1', 1, 100), [
    [50, 59],
    [100, 100],
  ])

  test('not at the address and nowhere else: without a trace, with examples', () => {
    const verdict = judge([lost], nothingKept)
    expect(verdict).toMatchObject({ lost: 11, kept: 0, withProcess: 0, untraced: 11 })
    expect(verdict.examples[0]).toEqual({ key: 'here:50', client: 'here', atMs: 50, by: 'a/1' })
    expect(describeVerdict(verdict)).toContain('11 WITHOUT A TRACE')
  })

  test('in a kept copy: kept', () => {
    const keys = new Set(Array.from({ length: 10 }, (_, i) => `here:${50 + i}`))
    expect(judge([lost], keys)).toMatchObject({ lost: 11, kept: 10, untraced: 1 })
  })

  test('gone with a process that was killed: only what that process acknowledged, and only in the time that is told', () => {
    expect(judge([lost], nothingKept, [{ runId: 'a', fromMs: 99, toMs: 120 }])).toMatchObject({ withProcess: 1, untraced: 10 })
    expect(judge([lost], nothingKept, [{ runId: 'b', fromMs: 0, toMs: 120 }])).toMatchObject({ withProcess: 0, untraced: 11 })
  })

  test('gone between the answer and the replicas: the last answer of that process and no other', () => {
    const death = { runId: 'a', fromMs: 0, toMs: 1000, lastOnly: true }
    const last = { ...client('here', [...acks('a/1', 1, 100), ...acks('b/2', 130, 140, 101)], [[100, 100]]) }
    expect(judge([last], nothingKept, [death])).toMatchObject({ withProcess: 1, untraced: 0 })
    expect(judge([{ ...last, lostRuns: [[99, 100]] }], nothingKept, [death])).toMatchObject({ withProcess: 1, untraced: 1 })
    expect(judge([{ ...last, lostRuns: [[111, 111]] }], nothingKept, [death])).toMatchObject({ withProcess: 0, untraced: 1 })
  })

  test('a write that was never acknowledged cannot be lost', () => {
    expect(judge([client('here', acks('a/1', 1, 10), [[500, 600]])], nothingKept).lost).toBe(0)
  })
})
