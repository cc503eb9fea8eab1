/** Who is named to the operator as the one to serve, where the source of a move has come back with less. */
import { expect, test } from 'vitest'
import { decide } from '../../src/decide/decide.ts'
import { entry, facts, moveOf, peer, policy, primaryFacts, probe, state, view, word } from './builders.ts'

const move = moveOf()
const nobody = { host: '127.0.0.1', port: 1 }
const own = facts({ upstream: nobody, linkUp: false, replid: 'id-old', keys: 5, offset: 900 })
const anew = primaryFacts({ runId: 'run-new', replid: 'id-new', offset: 20, keys: 1 })

function alarmWhere(theirs: Parameters<typeof word>[1]): string {
  const before = state('a', {
    phase: 'receiving',
    epoch: 2,
    lineage: [entry(1, 'a', 0), entry(2, 'a', 10, { replid: 'id-old', source: 'migration', accepted: true })],
    move,
  })
  const source = { facts: anew, factsAgeMs: 1, trouble: null, held: false, raised: false, goAhead: false }
  const now = view('a', [peer(word('b', { epoch: 2, move, ...theirs }))], { redis: probe({ facts: own }), source })
  const { events } = decide(before, now, policy())
  return events.find(({ kind }) => kind === 'alarm')?.text ?? ''
}

const more = facts({ upstream: nobody, linkUp: false, replid: 'id-old', keys: 7, offset: 950 })

test('the member with the most of what was received', () => {
  expect(alarmWhere({ redis: more })).toContain('--to b --force')
})

test('not one that has the half of a sync: not even --force takes that', () => {
  expect(alarmWhere({ redis: more, partial: true })).toContain('--to a --force')
})
