/**
 * The report of a comparison, as it is shown to others: what was compared, from when to when, with what result; sealed, so that whoever has the secret of
 * the agents can tell whether it is what was written. It stays so when it is only laid out otherwise.
 */
import { createHash, createHmac, scryptSync, timingSafeEqual } from 'node:crypto'
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

export interface Sealed {
  /** Which secret it was: two can be told apart by it, and nothing else. */
  readonly key: string
  readonly hmac: string
}

export type Checked =
  | { readonly is: 'as written'; readonly report: VerifyReport }
  | { readonly is: 'no report' | 'changed' }
  /** It may be as it was written: the secret is not the one of then. */
  | { readonly is: 'of another secret' }

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

/** Dear on purpose: whoever is shown a report is not to try secrets on it, of which some are short. */
function keyOf(secret: string): Buffer {
  return scryptSync(secret, 'holdfast verify report 1', 32)
}

export function sealReport(report: VerifyReport, secret: string): VerifyReport & { readonly seal: Sealed } {
  return { ...report, seal: sealOf(report, keyOf(secret)) }
}

function sealOf(said: object, key: Buffer): Sealed {
  return {
    key: createHash('sha256').update(key).digest('hex').slice(0, 8),
    hmac: createHmac('sha256', key).update(JSON.stringify(said)).digest('hex'),
  }
}

export function checkReport(text: string, secret: string): Checked {
  const read = objectIn(text)
  if (read === null || read['what'] !== 'holdfast migrate verify') return { is: 'no report' }
  const { seal, ...said } = read
  const { key, hmac } = (seal ?? {}) as Partial<Sealed>
  if (typeof key !== 'string' || typeof hmac !== 'string') return { is: 'no report' }
  // What is named twice is read once: somebody would see the other.
  if (withoutSpace(text) !== JSON.stringify(read)) return { is: 'changed' }
  const right = sealOf(said, keyOf(secret))
  if (key !== right.key) return { is: 'of another secret' }
  const [a, b] = [Buffer.from(hmac), Buffer.from(right.hmac)]
  return a.length === b.length && timingSafeEqual(a, b) ? { is: 'as written', report: said as unknown as VerifyReport } : { is: 'changed' }
}

function objectIn(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null
  } catch {
    return null
  }
}

/** What stands between the words of JSON; a word keeps its own. */
function withoutSpace(text: string): string {
  return text.replaceAll(/("(?:[^"\\]|\\.)*")|\s+/g, '$1')
}
