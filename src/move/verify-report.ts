/** The report of a comparison, as it is shown to others: what was compared, from when to when, with what result. Its seal is in report-seal.ts. */
import type { RedisFacts } from '../model/view.ts'
import { factsFromInfo } from '../redis/info.ts'
import { RawError, type RawRedis } from '../redis/raw.ts'
import type { Verified } from './verify.ts'

/** One of the two, as it said of itself. */
export type Stood = Pick<RedisFacts, 'runId' | 'role' | 'replid' | 'offset' | 'keys'>

export interface Moment {
  /** By the clock of the host that compared. */
  readonly at: string
  readonly source: Stood
  readonly target: Stood
}

export interface VerifyReport extends Verified {
  readonly what: 'holdfast migrate verify'
  readonly result: 'no difference' | 'differences' | 'not all could be compared'
  /** Its version, and the host on which it ran. */
  readonly holdfast: string
  readonly ranOn: string
  readonly from: string
  readonly group: string
  /** As asked for; null: the primary of the group. */
  readonly member: string | null
  /** Address and version. */
  readonly source: string
  readonly target: string
  readonly begin: Moment
  readonly end: Moment
}

export async function momentOf(source: RawRedis, target: RawRedis): Promise<Moment> {
  const [mine, theirs] = await Promise.all([stood(source), stood(target)])
  return { at: new Date().toISOString(), source: mine, target: theirs }
}

async function stood(redis: RawRedis): Promise<Stood> {
  const answer = await redis.call('INFO')
  const facts = answer instanceof RawError ? null : factsFromInfo(String(answer))
  if (facts === null) throw new Error(`INFO: ${answer instanceof RawError ? answer.text : 'no answer of a redis'}`)
  const { runId, role, replid, offset, keys } = facts
  return { runId, role, replid, offset, keys }
}
