/** What is asked of the sync of a move, what it costs the source, and why it waits or was given up: for the eye and as JSON. Asks nobody. */
import { InvalidArgumentError } from '@commander-js/extra-typings'
import type { Move } from '../model/move.ts'
import { isOpen, opensNext, parseWindow, type SyncTerms, type SyncWindow } from '../model/sync-terms.ts'
import type { SourceProbe } from '../model/view.ts'
import { momentWords, sizeWords } from './backup-words.ts'

export interface SyncCost {
  readonly window: string | null
  readonly maxP99Ms: number | null
  /** When a full sync may begin next; null: now, or only when an operator asks for it. */
  readonly beginsAt: string | null
  readonly givenUp: { readonly why: string; readonly times: number; readonly again: boolean } | null
  readonly p99BeforeMs: number | null
  readonly p99Ms: number | null
  readonly forkMs: number | null
  readonly buffer: { readonly usedBytes: number; readonly limitBytes: number } | null
  /** Until a save of the source arrives again, what fails of it does not stop its writes. */
  readonly guarded: boolean
}

export function costOf(move: Move, source: SourceProbe | null, nowWallMs: number): SyncCost {
  const window = move.terms?.window ?? null
  const givenUp = move.givenUp ?? null
  const opensMs = window === null || isOpen(window, nowWallMs) ? 0 : opensNext(window, nowWallMs)
  const beginsMs = givenUp?.untilWallMs === null ? 0 : Math.max(opensMs, givenUp?.untilWallMs ?? 0)
  const care = source?.care
  return {
    window: window?.text ?? null,
    maxP99Ms: move.terms?.maxP99Ms ?? null,
    beginsAt: beginsMs > nowWallMs ? new Date(beginsMs).toISOString() : null,
    givenUp: givenUp === null ? null : { why: givenUp.why, times: givenUp.times, again: givenUp.untilWallMs !== null },
    p99BeforeMs: care?.p99BeforeMs ?? null,
    p99Ms: care?.p99Ms ?? null,
    forkMs: care?.forkMs ?? null,
    buffer: care?.buffer == null ? null : { usedBytes: care.buffer.usedBytes, limitBytes: care.buffer.limitBytes },
    guarded: source?.guarded === true,
  }
}

/** `fills`: somebody has not all yet. Empty: there is nothing to say. */
export function costWords(cost: SyncCost, fills: boolean): readonly string[] {
  const { givenUp, beginsAt } = cost
  const begins = beginsAt === null ? '' : `begins ${momentWords(Date.parse(beginsAt))}`
  const window = cost.window === null ? '' : ` (window ${cost.window})`
  const words: string[] = []
  if (givenUp !== null)
    words.push(
      `given up${givenUp.times === 1 ? '' : ` ${givenUp.times} times`}: ${givenUp.why}; ${givenUp.again ? begins || 'tried again now' : 'not tried again by itself: holdfast migrate start'}${window}`,
    )
  else if (fills && begins !== '') words.push(`${begins}${window}`)
  if (fills && cost.p99Ms !== null)
    words.push(
      `a client of the source feels ${ms(cost.p99Ms)}${cost.p99BeforeMs === null ? '' : `, before ${ms(cost.p99BeforeMs)}`}${cost.maxP99Ms === null ? '' : `, allowed ${ms(cost.maxP99Ms)}`}`,
    )
  if (fills && cost.forkMs !== null && cost.forkMs > 0) words.push(`its last fork ${ms(cost.forkMs)}`)
  if (fills && cost.buffer !== null && cost.buffer.usedBytes > 0)
    words.push(`its buffer ${sizeWords(cost.buffer.usedBytes)}${cost.buffer.limitBytes === 0 ? '' : ` of ${sizeWords(cost.buffer.limitBytes)}`}`)
  if (cost.guarded) words.push('stop-writes-on-bgsave-error is off there until a save arrives')
  return words
}

function ms(value: number): string {
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`
}

/** The words of an option: what is not named stays as it is. */
interface TermsAsked {
  readonly window?: SyncWindow | 'off' | undefined
  readonly maxP99?: number | 'off' | undefined
}

export function termsOf({ window, maxP99 }: TermsAsked): Partial<SyncTerms> {
  return {
    ...(window === undefined ? {} : { window: window === 'off' ? null : window }),
    ...(maxP99 === undefined ? {} : { maxP99Ms: maxP99 === 'off' ? null : maxP99 }),
  }
}

export function askedWindow(text: string): SyncWindow | 'off' {
  if (text === 'off') return text
  const window = parseWindow(text)
  if (window === null) throw new InvalidArgumentError('a time of the day with its zone, e.g. 01:00-05:00Z or 01:00-05:00+02:00, or off')
  return window
}

export function askedP99(text: string): number | 'off' {
  if (text === 'off') return text
  const value = Number(text)
  if (!(value > 0 && value <= 60_000)) throw new InvalidArgumentError('milliseconds, e.g. 20, or off')
  return value
}
