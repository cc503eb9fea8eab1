/** The two tables, walked whole: every combination of words has one diagnosis, every phase an answer to it, and no answer is unsafe. */
import { describe, expect, test } from 'vitest'
import { diagnoses, responses, type Diagnosis } from '../../src/model/decision.ts'
import { phases, type Phase } from '../../src/model/state.ts'
import { diagnose, diagnosisRows, matchingRows } from '../../src/decide/diagnose.ts'
import { respond } from '../../src/decide/responses.ts'
import { claimWords, holderWords, isServingPhase, redisWords, type Situation } from '../../src/decide/situation.ts'
import { respondTo, responseTable } from '../../src/decide/table.ts'

const situations: readonly Situation[] = claimWords.flatMap((claim) =>
  holderWords.flatMap((holder) => redisWords.map((redis) => ({ claim, holder, redis, holderWhy: '' }))),
)
const cells = phases.flatMap((phase) => diagnoses.map((diagnosis) => ({ phase, diagnosis, ...respondTo(phase, diagnosis) })))

function diagnosesWhere(is: (s: Situation) => boolean): readonly Diagnosis[] {
  return [...new Set(situations.filter(is).map((s) => diagnose(s).diagnosis))]
}

/** Responses that can end in REPLICAOF NO ONE. */
const promoting = ['elect', 'bootstrap', 'finish-promotion', 'await-successor'] as const

describe('diagnosis', () => {
  test('there are 63 combinations', () => {
    expect(situations).toHaveLength(3 * 3 * 7)
  })

  test.each(situations)('claim $claim, holder $holder, redis $redis: exactly one row', (situation) => {
    expect(matchingRows(situation).map((r) => r.diagnosis)).toHaveLength(1)
  })

  test('every row can match, and every diagnosis has exactly one row with a why', () => {
    expect(diagnosesWhere(() => true).toSorted()).toEqual(diagnoses.toSorted())
    expect(diagnosisRows.map((r) => r.diagnosis).toSorted()).toEqual(diagnoses.toSorted())
    for (const row of diagnosisRows) expect(row.why.length).toBeGreaterThan(15)
  })

  test('without a claim of another the holder does not matter', () => {
    for (const s of situations.filter((x) => x.claim !== 'theirs')) {
      for (const holder of holderWords) expect(diagnose({ ...s, holder }).diagnosis).toBe(diagnose(s).diagnosis)
    }
  })
})

describe('response', () => {
  test.each(cells)('$phase × $diagnosis → $response', ({ phase, diagnosis, response, why }) => {
    expect(responseTable[phase][diagnosis]).toBeDefined()
    expect(responses).toContain(response)
    expect(respond[response]).toBeTypeOf('function')
    expect(why.length).toBeGreaterThan(15)
  })

  test('every response is used', () => {
    expect([...new Set(cells.map((c) => c.response))].toSorted()).toEqual(responses.toSorted())
  })
})

describe('unknown never permits a promotion', () => {
  const unclear = diagnosesWhere((s) => s.claim === 'theirs' && s.holder === 'unclear')
  const serving = diagnosesWhere((s) => s.claim === 'theirs' && s.holder === 'serves')
  const notProven = [...unclear, ...serving]

  test('the words that leave the holder unproven', () => {
    expect(notProven.toSorted()).toEqual([
      'holder-serves',
      'holder-serves-and-i-am-primary',
      'holder-serves-redis-busy',
      'holder-serves-redis-down',
      'holder-unclear',
      'holder-unclear-redis-down',
    ])
  })

  test.each(phases.flatMap((phase) => notProven.map((diagnosis) => ({ phase, diagnosis }))))('$phase × $diagnosis', ({ phase, diagnosis }) => {
    const { response } = respondTo(phase, diagnosis)
    // Only who gave the epoch away himself may take it back, and await-successor asks for the proof.
    if (phase === 'handed' && diagnosis === 'holder-unclear') expect(response).toBe('await-successor')
    else expect(promoting).not.toContain(response)
  })

  test('who has no answer from its own redis promotes nobody', () => {
    const mute = diagnosesWhere((s) => ['loading', 'slow', 'hung', 'dead'].includes(s.redis))
    for (const phase of phases)
      for (const diagnosis of mute)
        expect([phase, diagnosis, ['elect', 'bootstrap', 'finish-promotion'].includes(respondTo(phase, diagnosis).response)]).toEqual([phase, diagnosis, false])
  })

  test('a group begins only for members that belong to none', () => {
    expect(cells.filter((c) => c.response === 'bootstrap').map((c) => [c.phase, c.diagnosis])).toEqual([['fresh', 'nobody-holds']])
  })
})

describe('a serving member', () => {
  const servingPhases = phases.filter((p) => isServingPhase(p))

  test.each(servingPhases)('%s: whatever becomes of its redis, it resigns, ends it or waits for an answer, and never follows or elects', (phase: Phase) => {
    for (const diagnosis of diagnosesWhere((s) => s.claim === 'mine' && s.redis !== 'primary')) {
      expect(['resign', 'end-hang', 'hold', 'hand-over', 'finish-promotion']).toContain(respondTo(phase, diagnosis).response)
    }
  })

  test.each(servingPhases)('%s: another serves a newer epoch: it steps down', (phase: Phase) => {
    expect(respondTo(phase, 'holder-serves-and-i-am-primary').response).toBe('step-down')
  })

  test.each(servingPhases)(
    '%s: another holds a newer epoch, whatever becomes of either redis: it steps down, and starts, follows and elects nothing',
    (phase: Phase) => {
      // Its redis is a replica already: nothing is left to be refused.
      for (const diagnosis of diagnosesWhere((s) => s.claim === 'theirs').filter((d) => d !== 'holder-serves'))
        expect([diagnosis, respondTo(phase, diagnosis).response]).toEqual([diagnosis, 'step-down'])
    },
  )

  test('a redis is ended only by the member that serves with it', () => {
    for (const c of cells.filter((x) => x.response === 'end-hang'))
      expect([c.phase === 'primary' || c.phase === 'handing', c.diagnosis]).toEqual([true, 'i-hang'])
  })

  test('another process in its place is never taken for the one that was promoted (INV-1)', () => {
    for (const phase of servingPhases) expect(respondTo(phase, 'i-am-replaced').response).toBe('resign')
  })
})

describe('a redis that is down is started only where nobody can be harmed', () => {
  test('start-redis answers only to a dead redis, and never in a phase that serves by claim', () => {
    const dead = diagnosesWhere((s) => s.redis === 'dead')
    for (const c of cells.filter((x) => x.response === 'start-redis')) expect(dead).toContain(c.diagnosis)
    // Who receives has nobody's clients: the redis that is being moved has them.
    for (const phase of phases.filter((p) => p !== 'receiving')) expect(respondTo(phase, 'i-crashed').response).not.toBe('start-redis')
  })
})
