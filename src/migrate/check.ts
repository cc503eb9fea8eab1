/** One trap of a migration, looked for. PURE. */
import type { Level } from '../model/doctor.ts'

/**
 * The traps by number and name, as people speak of them. Each was met for real: values in the wrong database, a replica that was wiped, a divergence
 * that nothing showed. The numbers stay, for scripts say `--accept P6`.
 */
export const trapNames = {
  P1: 'rdb-version',
  P2: 'databases',
  P3: 'memory',
  P4: 'commands',
  P5: 'modules',
  P6: 'access',
  P7: 'scripts',
  P8: 'settings',
  P9: 'fork',
  P10: 'buffers',
  P11: 'topology',
  P12: 'clocks',
  P13: 'tls',
  P14: 'priorities',
  P15: 'psync',
  P16: 'backup',
  P17: 'target',
} as const
export type TrapId = keyof typeof trapNames

export interface Trap {
  readonly id: TrapId
  readonly name: string
  readonly level: Level
  /** What was seen. */
  readonly measured: string
  /** Which accident it is about. */
  readonly why: string
  /** What to do; null: nothing. */
  readonly fix: string | null
  /** Yellow, and the operator has said that it may be so. */
  readonly accepted: boolean
}

export interface Judged {
  readonly level: Level
  readonly measured: string
  readonly fix?: string | null
}

/** Of several findings on one trap the gravest counts, and all are told. */
export function trap(id: TrapId, why: string, all: readonly Judged[]): Trap {
  const order: readonly Level[] = ['red', 'yellow', 'unseen', 'green']
  const level = order.find((one) => all.some((judged) => judged.level === one)) ?? 'green'
  const telling = all.filter((judged) => judged.level === level || judged.level !== 'green')
  const fixes = telling.flatMap(({ fix }) => (fix == null ? [] : [fix]))
  return {
    id,
    name: trapNames[id],
    level,
    measured: telling.map(({ measured }) => measured).join('; '),
    why,
    fix: fixes.length === 0 ? null : [...new Set(fixes)].join('; '),
    accepted: false,
  }
}

export const green = (measured: string): Judged => ({ level: 'green', measured })
export const yellow = (measured: string, fix: string | null): Judged => ({ level: 'yellow', measured, fix })
export const red = (measured: string, fix: string | null): Judged => ({ level: 'red', measured, fix })
export const unseen = (what: string, why: string): Judged => ({ level: 'unseen', measured: `${what} was not seen: ${why}` })
