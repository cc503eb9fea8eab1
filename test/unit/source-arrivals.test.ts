/** Who comes to the old redis, and what is written to it: from two looks at its counters. */
import { describe, expect, test } from 'vitest'
import { writtenBetween } from '../../src/move/look.ts'
import { arrivalsIn, withLook } from '../../src/observe/source.ts'

type Taken = Parameters<typeof withLook>[1]

function played(...looks: readonly (readonly [atMs: number, total: number, runId?: string])[]) {
  const taken = looks.reduce<readonly Taken[]>((before, [atMs, total, runId = 'r1']) => withLook(before, { atMs, total, runId }), [])
  return arrivalsIn(taken)
}

describe('connections that it has taken', () => {
  test('one look tells nothing; two tell what came between them', () => {
    expect(played([0, 100])).toBeNull()
    expect(played([0, 100], [1000, 130])).toEqual({ count: 30, overMs: 1000 })
  })

  test('of the last ten seconds, and of no more than the look before them', () => {
    expect(played(...Array.from({ length: 60 }, (_, i) => [i * 1000, i < 30 ? i * 100 : 3000] as const))).toEqual({ count: 0, overMs: 10_000 })
  })

  test('looks that follow each other closely do not fill it', () => {
    expect(played(...Array.from({ length: 1000 }, (_, i) => [i * 10, i] as const))).toEqual({ count: 980, overMs: 9800 })
  })

  test('another process, or a counter that was set back, begins anew', () => {
    expect(played([0, 100], [1000, 130], [2000, 131, 'r2'])).toBeNull()
    expect(played([0, 100], [1000, 3])).toBeNull()
  })

  test('a server that does not tell it', () => {
    expect(played([0, 100], [1000, Number.NaN])).toBeNull()
  })
})

describe('what is written', () => {
  const look = (offset: number, more: Record<string, string>) => ({ offset, fields: new Map(Object.entries(more)) })

  test('is what its stream has grown by', () => {
    const on = { repl_backlog_active: '1' }
    expect(writtenBetween(look(100, { ...on, total_net_input_bytes: '0' }), look(150, { ...on, total_net_input_bytes: '9000' }))).toBe(50)
  })

  test('of a redis without a replica, which counts nothing, at most what came in', () => {
    const off = { repl_backlog_active: '0' }
    expect(writtenBetween(look(0, { ...off, total_net_input_bytes: '1000' }), look(0, { ...off, total_net_input_bytes: '9000' }))).toBe(8000)
  })
})
