/** When a full sync of a move may begin, and what it may cost the clients of the source. PURE. */

/** Of each day, in seconds of UTC; it may cross midnight. */
export interface SyncWindow {
  readonly fromS: number
  readonly toS: number
  /** As it was asked for, with its zone. */
  readonly text: string
}

export interface SyncTerms {
  readonly window: SyncWindow | null
  /** Of what a client of the source feels; null: it is told, and nothing is done about it. */
  readonly maxP99Ms: number | null
}

export const anyTerms: SyncTerms = { window: null, maxP99Ms: null }

const dayS = 86_400
const form = /^(\d{2}):(\d{2})(?::(\d{2}))?-(\d{2}):(\d{2})(?::(\d{2}))?(?:Z|([+-])(\d{2}):(\d{2}))$/

/** `01:00-05:00+02:00`. null: it is none; without a zone it would be that of whoever reads it. */
export function parseWindow(text: string): SyncWindow | null {
  const found = form.exec(text)
  if (found === null) return null
  const [fromH, fromM, fromSec, toH, toM, toSec, sign, zoneH, zoneM] = found.slice(1)
  const from = secondsOf(fromH, fromM, fromSec)
  const to = secondsOf(toH, toM, toSec)
  const zone = secondsOf(zoneH, zoneM, undefined)
  if (from === null || to === null || zone === null || from === to) return null
  const shiftS = sign === '-' ? zone : -zone
  return { fromS: ofDay(from + shiftS), toS: ofDay(to + shiftS), text }
}

export function isWindow(value: unknown): value is SyncWindow {
  const w = (typeof value === 'object' && value !== null ? value : {}) as Partial<SyncWindow>
  const parsed = typeof w.text === 'string' && w.text.length < 40 ? parseWindow(w.text) : null
  return parsed !== null && parsed.fromS === w.fromS && parsed.toS === w.toS
}

export function isOpen(window: SyncWindow, wallMs: number): boolean {
  const nowS = ofDay(wallMs / 1000)
  const { fromS, toS } = window
  return fromS < toS ? nowS >= fromS && nowS < toS : nowS >= fromS || nowS < toS
}

/** The next moment in which it begins; one that is open has begun already. */
export function opensNext(window: SyncWindow, wallMs: number): number {
  const inS = ofDay(window.fromS - ofDay(wallMs / 1000))
  return wallMs + Math.ceil((inS === 0 ? dayS : inS) * 1000)
}

function ofDay(s: number): number {
  return ((s % dayS) + dayS) % dayS
}

/** null: there is no such time. */
function secondsOf(hours = '00', minutes = '00', seconds = '00'): number | null {
  const [h, m, s] = [Number(hours), Number(minutes), Number(seconds)]
  return h < 24 && m < 60 && s < 60 ? h * 3600 + m * 60 + s : null
}
