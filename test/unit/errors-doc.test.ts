/** docs/errors.md and the list of codes say the same, in the same order. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { errorCodes } from '../../src/model/error.ts'

const doc = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8')

test('every code is in docs/errors.md with its own words, and no other code is', () => {
  const headings = [...doc.matchAll(/^## (HF\d{3}) · (.+)$/gm)].map(([, code, text]) => [code, text])
  expect(headings).toEqual(Object.entries(errorCodes))
})

test('every code has a cause and a remedy', () => {
  for (const section of doc.split(/^## /m).slice(1)) {
    expect(section).toMatch(/^\*\*Cause\.\*\* \S/m)
    expect(section).toMatch(/^\*\*Remedy\.\*\* \S/m)
  }
})
