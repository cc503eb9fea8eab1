/** What somebody reads before the group's name is typed: which FLUSHALL it was, and that there were others. */
import { expect, test } from 'vitest'
import { OperatorError } from '../../src/model/error.ts'
import { checkTarget } from '../../src/cli/restore-options.ts'
import type { Moment } from '../../src/dump/moment.ts'
import { drawOverPlan, noCopy, otherWords, type OverPlan } from '../../src/cli/restore-over-draw.ts'

const tally = { same: 0, differs: 0, missing: 5008, alone: 1, expired: 0 }
const plan: OverPlan = {
  id: 'the plan',
  host: 'red-a',
  keys: { backup: 5008, now: 1 },
  before: tally,
  functions: 'none',
  expired: null,
  keepOthers: false,
  copy: { kind: 'empty' },
  replicas: 2,
  expectedMs: 100,
}

test('FLUSHALL was typed twice: the last one is meant, the first one is told', () => {
  const flush = (before: number) => ({ words: ['FLUSHALL'], before, to: before + 18, commands: 1, atWallMs: before * 1000 })
  const moment = {
    backup: { manifest: { position: { offset: 100 } } },
    archive: { legs: [{ replid: 'a'.repeat(40) }], segments: [{ lastWallMs: 905_000 }, { lastWallMs: 880_000 }] },
    to: 900,
    atWallMs: 890_000,
    commands: 12,
    segments: 2,
    found: flush(900),
    earlier: [flush(300)],
    unsearched: [],
  } as unknown as Moment
  const text = drawOverPlan(plan, moment)
  expect(text).toContain('before    FLUSHALL of 1970-01-01T00:15:00.000Z: --offset 900 is before it')
  expect(text, 'a third one may have been typed just now').toContain('searched  up to 1970-01-01T00:15:05.000Z: what came later')
  expect(text).toContain('earlier   FLUSHALL of 1970-01-01T00:05:00.000Z: --offset 300 is before it')
  expect(text).toContain('5008 in the moment, 1 there')
  expect(drawOverPlan(plan, null)).toContain('5008 in the backup, 1 there')
})

test('--yes is of another way to restore: what to write in its place', () => {
  const options = { over: true, yes: true, start: true, copy: true } as const
  expect(() => checkTarget(options)).toThrow(
    expect.objectContaining({
      code: 'HF812',
      exitCode: 2,
      message: expect.stringContaining('--over and --yes') as string,
      hint: expect.stringContaining('--yes-i-mean') as string,
    }),
  )
  expect(() => checkTarget({ ...options, yes: undefined })).not.toThrow()
})

test('other words were said beforehand: both are shown', () => {
  const { code, message, hint } = otherWords('1 are removed.', 'cache', 'cache without a copy')
  expect([code, message, hint]).toEqual([
    'HF837',
    "1 are removed. --yes-i-mean says 'cache', and 'cache without a copy' was wanted: nothing was written",
    "see it with --dry-run; then say --yes-i-mean 'cache without a copy'",
  ])
})

test('Ctrl-C while the copy is made: the next step is the same command, and not a look for what failed', () => {
  const ended = new OperatorError('HF805', 'called off', 'see: holdfast status cache')
  expect(noCopy(ended, true)).toMatchObject({
    code: 'HF805',
    message: expect.stringContaining('nothing was written: called off') as string,
    hint: expect.stringContaining('same command') as string,
  })
  expect(noCopy(ended, false).hint).toBe('see: holdfast status cache')
})
