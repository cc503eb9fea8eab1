/** Archived streams for tests, in a few words: a minute of a history is a hundred bytes of it. */
import type { Base, TimelineFact } from '../../src/backup/chain.ts'
import type { Stream } from '../../src/backup/coverage.ts'
import { segmentName, type StoredSegment } from '../../src/backup/stream.ts'

export const minuteMs = 60_000
export const hourMs = 60 * minuteMs
export const dayMs = 24 * hourMs
export const startMs = Date.parse('2026-11-01T00:00:00Z')
export const at = (minute: number): number => startMs + minute * minuteMs
export const offsetAt = (minute: number): number => 1 + minute * 100

export const replidOf = (letter: string): string => letter.repeat(40)

export function timeline(letter: string, minute: number, parent: string | null = null): TimelineFact {
  return {
    replid: replidOf(letter),
    epoch: letter.charCodeAt(0),
    from: offsetAt(minute),
    parent: parent === null ? null : { replid: replidOf(parent) },
    atWallMs: at(minute),
  }
}

/** One segment from minute to minute. */
export function segment(letter: string, from: number, to: number, lastWallMs: number = at(to)): StoredSegment {
  const one = { replid: replidOf(letter), from: offsetAt(from), to: offsetAt(to) - 1, lastWallMs }
  return { ...one, name: segmentName('cache', one), bytes: 10 }
}

export function every(minutes: number, letter: string, from: number, to: number): readonly StoredSegment[] {
  return Array.from({ length: Math.ceil((to - from) / minutes) }, (_, n) => segment(letter, from + n * minutes, Math.min(to, from + (n + 1) * minutes)))
}

export function base(letter: string, minute: number, state: Base['state'] = 'good'): Base {
  return { id: `${letter}@${minute}`, replid: replidOf(letter), offset: offsetAt(minute) - 1, atWallMs: at(minute), state }
}

export function streamOf(timelines: readonly TimelineFact[], ...segments: readonly (readonly StoredSegment[])[]): Stream {
  return { timelines, segments: segments.flat().sort((a, b) => (a.name < b.name ? -1 : 1)) }
}
