/**
 * The seal of a report that is shown to others: whoever has the secret of the agents can tell whether it is what was written, and nobody else can make one.
 * It holds when the report is only laid out otherwise.
 */
import { createHash, createHmac, scryptSync, timingSafeEqual } from 'node:crypto'

/** The command that wrote it. */
export const reportKinds = ['holdfast migrate verify', 'holdfast migrate copy'] as const

export interface Report {
  readonly what: (typeof reportKinds)[number]
}

export interface Seal {
  /** Which secret it was: two can be told apart by it, and nothing else. */
  readonly key: string
  readonly hmac: string
}

export type Checked =
  | { readonly is: 'as written'; readonly report: Report }
  | { readonly is: 'no report' | 'changed' }
  /** It may be as it was written: the secret is not the one of then. */
  | { readonly is: 'of another secret' }

/** Dear on purpose: whoever is shown a report is not to try secrets on it, of which some are short. */
function keyOf(secret: string): Buffer {
  return scryptSync(secret, 'holdfast verify report 1', 32)
}

export function sealReport<T extends Report>(report: T, secret: string): T & { readonly seal: Seal } {
  return { ...report, seal: sealOf(report, keyOf(secret)) }
}

function sealOf(said: object, key: Buffer): Seal {
  return {
    key: createHash('sha256').update(key).digest('hex').slice(0, 8),
    hmac: createHmac('sha256', key).update(JSON.stringify(said)).digest('hex'),
  }
}

export function checkReport(text: string, secret: string): Checked {
  const read = objectIn(text)
  if (read === null || !reportKinds.some((kind) => kind === read['what'])) return { is: 'no report' }
  const { seal, ...said } = read
  const { key, hmac } = (seal ?? {}) as Partial<Seal>
  if (typeof key !== 'string' || typeof hmac !== 'string') return { is: 'no report' }
  // What is named twice is read once: somebody would see the other.
  if (withoutSpace(text) !== JSON.stringify(read)) return { is: 'changed' }
  const right = sealOf(said, keyOf(secret))
  if (key !== right.key) return { is: 'of another secret' }
  const [a, b] = [Buffer.from(hmac), Buffer.from(right.hmac)]
  return a.length === b.length && timingSafeEqual(a, b) ? { is: 'as written', report: said as unknown as Report } : { is: 'changed' }
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
