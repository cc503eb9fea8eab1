/** The slow tests of which two files run at a time: each file runs once, and no two share the name of a lab. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { steps } from '../../script/check/steps.ts'
import { twoAtATime } from '../../script/check/two-at-a-time.ts'

const argsOf = (name: string): readonly string[] => steps.flatMap((step) => (step.name === name && step.kind === 'suite' ? step.args : []))

describe.each(['contract', 'e2e'] as const)('%s', (suite) => {
  test('files that run two at a time are there', () => {
    expect(twoAtATime[suite].filter((file) => !existsSync(file))).toEqual([])
  })

  test('what runs two at a time does not run alone as well, and all else does', () => {
    const wide = argsOf(`${suite}-wide`).filter((arg) => arg.startsWith('test/'))
    expect(wide).toEqual(twoAtATime[suite])
    expect(argsOf(suite)).toEqual([...wide.map((file) => `--exclude=${file}`), '--no-file-parallelism'])
  })
})

test('no two files raise a lab of the same name', () => {
  const files = readdirSync('test/e2e').filter((file) => file.endsWith('.test.ts'))
  const names = files.flatMap((file) => {
    const text = readFileSync(`test/e2e/${file}`, 'utf8')
    return [...new Set([...text.matchAll(/rigFor\(\s*['`](?:t-)?([^'`]+)['`]/g)].map(([, name = '']) => name))]
  })
  const twice = names.filter((name, i) => names.indexOf(name) !== i)
  expect(twice).toEqual([])
})
