/** The demo tells a bad figure as plainly as a good one. */
import { expect, test } from 'vitest'
import { clientLines, decisionLines, ms, verifiedLine } from '../../script/story/tell.ts'

const mark = {
  label: 'crash',
  startMs: 0,
  endMs: 5000,
  acked: 900,
  indeterminate: 1,
  rejected: 2,
  outages: 1,
  errors: [{ kind: 'ECONNRESET', count: 3, firstAtMs: 0, lastAtMs: 1 }],
  longestOutage: { startMs: 0, lengthMs: 4321.04, open: false },
}
const verified = {
  complete: true,
  why: null,
  acked: 900,
  checked: 900,
  lost: 0,
  firstLost: null,
  lastLost: null,
  lostRuns: [],
  lostByMark: {},
  indeterminate: { count: 0, present: 0 },
  rejectedPresent: 0,
}

test('what the client saw', () => {
  expect(clientLines(mark).join('\n')).toMatch(/4321 ms[\s\S]*ECONNRESET × 3[\s\S]*900 writes acknowledged, 1 left without an answer, 2 refused/)
  expect(ms(13.94)).toBe('13.9 ms')
  expect(ms(12_345)).toBe('12.3 s')
})

test('what was decided, with its steps in the order of time', () => {
  const decision = {
    epoch: 2,
    kind: 'failover' as const,
    from: 'a',
    to: 'b',
    why: 'a is silent',
    startedAtMs: 0,
    notReplicatedBytes: null,
    timeline: { detectedMs: 0, promotedMs: 14, vipUpMs: 7 },
  }
  const text = decisionLines([decision]).join('\n')
  expect(text).toMatch(
    /failover: a → b, epoch 2[\s\S]*why: a is silent[\s\S]*detected at 0 ms, address up at 7 ms, promoted at 14 ms[\s\S]*not replicated: not known/,
  )
  expect(decisionLines([]).join()).toContain('no new primary')
})

test('what is gone, and what nobody knows', () => {
  expect(verifiedLine(verified)).toContain('nothing: all 900')
  expect(verifiedLine({ ...verified, lost: 3 })).toContain('3 of 900 acknowledged writes are GONE')
  expect(verifiedLine({ ...verified, complete: false, why: 'the connection was closed' })).toContain(
    'NOT KNOWN: not every write could be read back (the connection was closed)',
  )
})
