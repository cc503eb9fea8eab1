/** What script/test adds up is true: on made-up reports, on a real run of vitest, and when set-up itself fails. */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { checkResult, exitCodeOf, finalLine, type SkipReason, skippedCheck, suiteResult, total, type VitestReport } from '../../script/check/tally.ts'

type File = VitestReport['testResults'][number]
const file = (statuses: readonly string[], more: Partial<File> = {}): File => ({
  name: '/t/a.test.ts',
  status: statuses.includes('failed') ? 'failed' : 'passed',
  message: '',
  assertionResults: statuses.map((status, index) => ({
    fullName: `suite test ${index}`,
    status,
    failureMessages: status === 'failed' ? ['Error: no\n  at x'] : [],
  })),
  ...more,
})
const summed = (report: VitestReport | null, code: number, reasons: readonly SkipReason[] = []): string =>
  finalLine(suiteResult('tests', report, code, reasons).count)

describe('a suite', () => {
  test('counts what passed, failed and was skipped', () => {
    expect(summed({ testResults: [file(['passed', 'failed', 'skipped']), file(['passed', 'todo'])] }, 1)).toBe('2 passed, 1 failed, 2 skipped')
    expect(suiteResult('tests', { testResults: [file(['failed'])] }, 1).failures).toEqual(['suite test 0: Error: no'])
  })

  test.each([
    ['without a report', null, 1, '0 passed, 1 failed, 0 skipped'],
    ['without a report, although vitest ended well', null, 0, '0 passed, 1 failed, 0 skipped'],
    [
      'with a file that could not be loaded',
      { testResults: [file([], { status: 'failed', message: 'SyntaxError' }), file(['passed'])] },
      1,
      '1 passed, 1 failed, 0 skipped',
    ],
    ['with an error outside the tests', { testResults: [file(['passed'])] }, 1, '1 passed, 1 failed, 0 skipped'],
    ['without any test', { testResults: [] }, 0, '0 passed, 1 failed, 0 skipped'],
  ])('%s has failed', (_, report, code, line) => {
    expect(summed(report, code)).toBe(line)
  })

  test('a skipped test says why: by its own note, by its name, or by a word of its file', () => {
    const report = { testResults: [file(['skipped', 'pending'])] }
    const reasons = [
      { file: '/t/a.test.ts', test: 'test 0', reason: 'no zsh' },
      { file: '/t/a.test.ts', test: '', reason: 'no root' },
    ]
    expect(suiteResult('tests', report, 0, reasons).skips).toEqual(['suite test 0: no zsh', 'suite test 1: no root'])
    expect(suiteResult('tests', report, 0).skips[0]).toBe('suite test 0: no reason given')
    const named = file([], { assertionResults: [{ fullName: 'fish (skipped: fish is not installed)', status: 'skipped', failureMessages: [] }] })
    expect(suiteResult('tests', { testResults: [named] }, 0).skips[0]).toMatch(/: fish is not installed$/)
  })
})

test('the total is the sum of all, and one failure is enough', () => {
  const results = [
    checkResult('lint', []),
    checkResult('types', ['no']),
    skippedCheck('shellcheck', 'not installed'),
    suiteResult('tests', { testResults: [file(['passed', 'passed'])] }, 0),
  ]
  expect(finalLine(total(results))).toBe('3 passed, 1 failed, 1 skipped')
  expect(exitCodeOf(total(results))).toBe(1)
  expect(exitCodeOf({ passed: 3, failed: 0, skipped: 9 })).toBe(0)
  expect(exitCodeOf({ passed: 0, failed: 0, skipped: 9 })).toBe(1)
})

describe('for real', () => {
  let dir = ''
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hf-tally-'))
  })
  afterEach(() => rmSync(dir, { recursive: true, force: true }))

  test('vitest: a failing test, a broken file and the reasons of skipped ones are all seen', () => {
    symlinkSync(resolve('node_modules'), join(dir, 'node_modules'))
    writeFileSync(
      join(dir, 'a.test.js'),
      `import { expect, test } from 'vitest'
test('good', () => {})
test('bad', () => expect(1).toBe(2))
test('asks to be left out', (context) => context.skip('there is no moon'))
`,
    )
    writeFileSync(
      join(dir, 'b.test.js'),
      `import { beforeAll, describe, test } from 'vitest'
beforeAll(() => console.warn('skipped: there is no root'))
test('runs', () => {})
describe.skipIf(true)('some', () => test('left out', () => {}))
`,
    )
    writeFileSync(join(dir, 'c.test.js'), "import './missing.js'")
    const [report, skips] = [join(dir, 'report.json'), join(dir, 'skips.json')]
    const argv = ['run', '--root', dir, '--reporter=json', `--reporter=${resolve('script/check/skip-reasons.ts')}`, `--outputFile.json=${report}`]
    // A run inside a run must not take itself for a part of the outer one.
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^VITEST|^NODE_ENV$|^TEST$/.test(name)))
    const ended = spawnSync(resolve('node_modules/.bin/vitest'), argv, { cwd: dir, env: { ...env, HOLDFAST_SKIP_REASONS: skips }, timeout: 60_000 })
    const read = <T>(name: string): T => JSON.parse(readFileSync(name, 'utf8')) as T
    const result = suiteResult('tests', read<VitestReport>(report), ended.status ?? 1, read<SkipReason[]>(skips))
    expect(finalLine(result.count)).toBe('2 passed, 2 failed, 2 skipped')
    expect(result.failures.join('\n')).toMatch(/bad: AssertionError[\s\S]*c\.test\.js could not be run/)
    expect([...result.skips].sort()).toEqual(['asks to be left out: there is no moon', 'some left out: there is no root'])
    expect(exitCodeOf(result.count)).toBe(1)
  }, 60_000)

  test('script/test: a set-up that fails is a failure, and the last line says so', () => {
    mkdirSync(join(dir, 'script'))
    cpSync('script/test', join(dir, 'script/test'))
    writeFileSync(join(dir, 'script/setup'), '#!/bin/sh\necho no such machine\nexit 1\n', { mode: 0o755 })
    const ended = spawnSync(join(dir, 'script/test'), [], { encoding: 'utf8' })
    expect(ended.status).toBe(1)
    expect(ended.stdout.trimEnd().split('\n').at(-1)).toBe('0 passed, 1 failed, 0 skipped')
  })

  test('script/test: a step that does not exist is wrong usage, and leaves no folder for its logs behind', () => {
    const env = { ...process.env, TMPDIR: dir }
    const ended = spawnSync(process.execPath, ['--import', 'tsx', 'script/check/run.ts', '--only', 'nothing'], { encoding: 'utf8', env })
    expect(ended.status).toBe(2)
    expect(readdirSync(dir).filter((name) => name.startsWith('holdfast-'))).toEqual([])
    expect(ended.stderr).toContain('there is no step nothing')
  })
})
