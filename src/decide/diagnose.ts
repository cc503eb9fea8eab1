/**
 * The truth table: what is the matter? Exactly one row matches every combination of words; test/table walks all of them.
 * Must not say what to do about it (that is table.ts).
 */
import { AssertionError } from '../model/assert.ts'
import type { Diagnosis } from '../model/decision.ts'
import type { ClaimWord, HolderWord, RedisWord, Situation } from './situation.ts'

interface Row {
  readonly diagnosis: Diagnosis
  readonly claim: ClaimWord
  /** Only looked at when the claim is theirs. */
  readonly holder?: HolderWord
  readonly redis: readonly RedisWord[]
  readonly why: string
}

const answering: readonly RedisWord[] = ['primary', 'other-primary', 'replica']
const occupied: readonly RedisWord[] = ['loading', 'slow', 'hung']

export const diagnosisRows: readonly Row[] = [
  { diagnosis: 'i-serve', claim: 'mine', redis: ['primary'], why: 'this member holds the epoch and its redis answers as primary' },
  {
    diagnosis: 'i-am-replaced',
    claim: 'mine',
    redis: ['other-primary'],
    why: 'another redis process answers in place of the one that was promoted: it crashed and somebody restarted it, with who knows what data',
  },
  {
    diagnosis: 'i-am-demoted',
    claim: 'mine',
    redis: ['replica'],
    why: 'redis is a replica although this member holds the epoch: it was restarted fenced, or changed by hand',
  },
  { diagnosis: 'i-load', claim: 'mine', redis: ['loading'], why: 'redis reads its data from disk: it was restarted' },
  { diagnosis: 'i-am-slow', claim: 'mine', redis: ['slow'], why: 'redis owes an answer, not long enough to call it hung' },
  { diagnosis: 'i-hang', claim: 'mine', redis: ['hung'], why: 'redis lives and has answered nothing for unresponsive_ms' },
  { diagnosis: 'i-crashed', claim: 'mine', redis: ['dead'], why: 'the process of the primary is gone' },
  { diagnosis: 'nobody-holds', claim: 'nobody', redis: answering, why: 'no member of this group was ever promoted by Holdfast' },
  { diagnosis: 'nobody-holds-redis-down', claim: 'nobody', redis: ['dead'], why: 'the group has not begun, and redis does not run here' },
  { diagnosis: 'nobody-holds-redis-busy', claim: 'nobody', redis: occupied, why: 'the group has not begun, and redis does not answer here yet' },
  { diagnosis: 'holder-serves', claim: 'theirs', holder: 'serves', redis: ['replica'], why: 'the primary serves and this redis is a replica' },
  {
    diagnosis: 'holder-serves-and-i-am-primary',
    claim: 'theirs',
    holder: 'serves',
    redis: ['primary', 'other-primary'],
    why: 'another member serves a newer epoch while this redis still accepts writes',
  },
  { diagnosis: 'holder-serves-redis-down', claim: 'theirs', holder: 'serves', redis: ['dead'], why: 'the primary serves; the local replica is down' },
  { diagnosis: 'holder-serves-redis-busy', claim: 'theirs', holder: 'serves', redis: occupied, why: 'the primary serves; the local replica does not answer' },
  { diagnosis: 'holder-gone', claim: 'theirs', holder: 'gone', redis: answering, why: 'nobody serves, and it is proven; this redis answers' },
  { diagnosis: 'holder-gone-redis-down', claim: 'theirs', holder: 'gone', redis: ['dead'], why: 'nobody serves, and the local redis is down' },
  { diagnosis: 'holder-gone-redis-busy', claim: 'theirs', holder: 'gone', redis: occupied, why: 'nobody serves, and the local redis does not answer yet' },
  { diagnosis: 'holder-unclear', claim: 'theirs', holder: 'unclear', redis: [...answering, ...occupied], why: 'it is not known whether the primary serves' },
  {
    diagnosis: 'holder-unclear-redis-down',
    claim: 'theirs',
    holder: 'unclear',
    redis: ['dead'],
    why: 'it is not known whether the primary serves, and the local redis is down',
  },
]

export function matchingRows(situation: Situation): readonly Row[] {
  return diagnosisRows.filter(
    (row) => row.claim === situation.claim && (row.claim !== 'theirs' || row.holder === situation.holder) && row.redis.includes(situation.redis),
  )
}

export function diagnose(situation: Situation): Row {
  const rows = matchingRows(situation)
  const [row] = rows
  // What is said of a failure costs more than to look for one.
  if (row === undefined || rows.length !== 1) throw new AssertionError(`one diagnosis for ${JSON.stringify(situation)}`)
  return row
}
