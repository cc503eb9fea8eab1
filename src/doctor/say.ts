/** How findings are built and how sizes are written. PURE. Must not judge. */
import type { DoctorFinding, Level } from '../model/doctor.ts'

const kib = 1024
export const mib = 1024 ** 2

export function sizeOf(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = Math.max(0, bytes)
  let unit = 0
  while (value >= kib && unit < units.length - 1) {
    value /= kib
    unit += 1
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : Number(value.toFixed(1))} ${units[unit]}`
}

export function secondsOf(seconds: number): string {
  return seconds >= 100 ? `${Math.round(seconds)} s` : `${Number(seconds.toFixed(1))} s`
}

/** One check of one thing: what it is about is the same at every level, and only what is not green needs mending. */
export interface Check {
  readonly check: string
  readonly group: string | null
  readonly why: string
}

export function found(check: Check, level: Level, measured: string, fix: string | null = null): DoctorFinding {
  return { ...check, level, measured, fix: level === 'green' ? null : fix }
}

export function unseen(check: Check, why: string): DoctorFinding {
  return { ...check, level: 'unseen', measured: `not seen: ${why}`, fix: null }
}
