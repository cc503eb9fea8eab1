/** The output of the pure core, and the names of what it can find and answer. Its comments are the contract with `agent/`. */
import type { Action, Event } from './action.ts'
import type { State } from './state.ts'

/** What is the matter. Exactly one per View (`decide/diagnose.ts`). */
export const diagnoses = [
  'i-serve',
  'i-am-demoted',
  'i-am-replaced',
  'i-load',
  'i-am-slow',
  'i-hang',
  'i-crashed',
  'nobody-holds',
  'nobody-holds-redis-down',
  'nobody-holds-redis-busy',
  'holder-serves',
  'holder-serves-and-i-am-primary',
  'holder-serves-redis-down',
  'holder-serves-redis-busy',
  'holder-gone',
  'holder-gone-redis-down',
  'holder-gone-redis-busy',
  'holder-unclear',
  'holder-unclear-redis-down',
] as const
export type Diagnosis = (typeof diagnoses)[number]

/** What to do about it. One function each in `decide/responses.ts`. */
export const responses = [
  'hold',
  'serve',
  'resign',
  'end-hang',
  'finish-promotion',
  'elect',
  'follow',
  'step-down',
  'start-redis',
  'bootstrap',
  'hand-over',
  'await-successor',
  'receive',
] as const
export type ResponseName = (typeof responses)[number]

export interface Cell {
  readonly response: ResponseName
  readonly why: string
}

export interface Decision {
  /** Made durable BEFORE the first action starts; not written when it equals the current state. */
  readonly next: State
  /** In order; the first failure ends the list and the next cycle decides anew. */
  readonly actions: readonly Action[]
  readonly events: readonly Event[]
  readonly diagnosis: Diagnosis
  /** `phase × diagnosis → response`, the cell that answered. */
  readonly rule: string
  /** For people: the facts and offsets that led here. */
  readonly because: string
  /** When to look again even if nothing happens (monotonic ms). */
  readonly wakeAtMs: number
}
