import { expect, test } from 'vitest'
import { refusal } from '../../src/cli/ask.ts'

test('refused is not the same as nothing heard: what has no result yet may still go on', () => {
  expect(refusal({ id: '1', ok: false, message: 'redis-b is 9 bytes behind' }, 'cache')).toMatchObject({ code: 'HF303', message: 'redis-b is 9 bytes behind' })
  const late = refusal({ id: '1', ok: false, late: true, message: 'no result within 20000 ms' }, 'cache')
  expect(late.code).toBe('HF304')
  expect(late.message).toContain('writes may be held until it has ended')
  expect(late.hint).toContain('holdfast status cache')
})
