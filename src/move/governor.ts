/** When the next question may be asked of a source, and about how many keys: by what its clients feel, measured beside them; by a figure; or as fast as it answers. */
import { setTimeout as delay } from 'node:timers/promises'
import { firstPace, firstPageKeys, nextPace, nextPageKeys, p99 } from '../migrate/pace.ts'
import type { Probe } from './probe.ts'

const idleMs = 1000
const againMs = 300
const fullPageKeys = 500

/** `auto`, `full`, or so many keys a second. */
export type WantedPace = 'auto' | 'full' | number

export interface Governor {
  /** After each page. */
  readonly pause: () => Promise<void>
  readonly pageKeys: () => number
  /** How long the source took for one. */
  readonly took: (ms: number) => void
  /** Of the source, while nothing was read and at the worst since; null: not measured. */
  readonly p99Ms: () => { readonly idle: number; readonly worst: number } | null
  readonly end: () => void
}

export const fullPace: Governor = { pause: async () => {}, pageKeys: () => fullPageKeys, took: () => undefined, p99Ms: () => null, end: () => undefined }

/** So many keys a second, however long each page takes itself. */
function everySo(perS: number, keys: () => number, signal: AbortSignal): () => Promise<void> {
  let dueMs = performance.now()
  return async () => {
    const ms = (keys() * 1000) / perS
    dueMs = Math.max(dueMs + ms, performance.now() - ms)
    const waitMs = dueMs - performance.now()
    if (waitMs >= 1) await delay(waitMs, undefined, { signal })
  }
}

/** `auto`: first what the source takes while nobody else asks. */
export async function governed(pace: WantedPace, probe: Probe | null, signal: AbortSignal): Promise<Governor> {
  if (pace === 'full') return fullPace
  let keys = firstPageKeys
  // The way there and back is no time in which the source is held up: from afar every question would seem too long, and be made smaller down to one key.
  let wayMs = Number.POSITIVE_INFINITY
  const pages = {
    pageKeys: () => keys,
    took: (ms: number) => {
      wayMs = Math.min(wayMs, ...(probe?.latenciesMs() ?? []))
      keys = nextPageKeys(keys, Number.isFinite(wayMs) ? Math.max(0, ms - wayMs) : ms)
    },
  }
  if (typeof pace === 'number' || probe === null)
    return { ...pages, pause: everySo(typeof pace === 'number' ? pace : Infinity, pages.pageKeys, signal), p99Ms: () => null, end: () => undefined }
  await delay(idleMs, undefined, { signal })
  const idle = p99(probe.latenciesMs()) ?? 0
  let [now, worst] = [firstPace, idle]
  const timer = setInterval(() => {
    const seen = p99(probe.latenciesMs())
    if (seen !== null) worst = Math.max(worst, seen)
    now = nextPace(now, idle, seen)
  }, againMs)
  return {
    ...pages,
    pause: () => (now.gapMs > 0 ? delay(now.gapMs, undefined, { signal }) : Promise.resolve()),
    p99Ms: () => ({ idle, worst }),
    end: () => clearInterval(timer),
  }
}
