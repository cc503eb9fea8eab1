/** The checks of purity and size, on made-up sources. */
import { describe, expect, test } from 'vitest'
import { purityFindings } from '../../script/check/purity.ts'
import { sizeFindings } from '../../script/check/sizes.ts'

const impure = (text: string, path = 'src/decide/a.ts'): readonly string[] =>
  purityFindings([{ path, text }]).map(({ line, message }) => `${line} ${message.split(' in a pure')[0]}`)

describe('purity', () => {
  test.each([
    ['const now = Date.now()', '1 Date'],
    ['const now = new Date()', '1 Date'],
    ['const dice = Math.random()', '1 Math.random'],
    ['const { random } = Math', '1 taking Math apart'],
    ['export async function f() {}', '1 async'],
    ['const f = async () => 1', '1 async'],
    ['class A { async f() {} }', '1 async'],
    ['await x', '1 await'],
    ['Promise.resolve()', '1 Promise'],
    ['globalThis.x()', '1 globalThis'],
  ])('%s', (text, finding) => {
    expect(impure(text)).toContain(finding)
    expect(impure(text, 'src/render/a.ts')).toContain(finding)
    expect(impure(text, 'src/act/a.ts')).toEqual([])
  })

  test('words in comments, texts, keys and properties are no clock', () => {
    expect(impure("// Date\nconst text = 'Math.random() async await'\nconst x = { Date: 1 }.Date\nconst up = Math.max(1, 2)")).toEqual([])
  })
})

describe('sizes', () => {
  const lines = (count: number): string => '  x()\n'.repeat(count)
  const weigh = (text: string, path = 'src/a.ts') => {
    const { warnings, failures } = sizeFindings([{ path, text }])
    return { warnings: warnings.map(({ message }) => message.split(';')[0]), failures: failures.map(({ message }) => message.split(';')[0]) }
  }

  test('files warn above 300 lines and fail above 400', () => {
    expect(weigh(lines(300))).toEqual({ warnings: [], failures: [] })
    expect(weigh(lines(301))).toEqual({ warnings: ['the file has 301 lines'], failures: [] })
    expect(weigh(lines(401))).toEqual({ warnings: [], failures: ['the file has 401 lines'] })
  })

  test('functions warn above 70 and fail above 150, and not in tests', () => {
    expect(weigh(`function f() {\n${lines(69)}}`).warnings).toEqual(['the function has 71 lines'])
    expect(weigh(`const f = () => {\n${lines(149)}}`).failures).toEqual(['the function has 151 lines'])
    expect(weigh(`const f = () => {\n${lines(149)}}`, 'test/a.test.ts').failures).toEqual([])
  })

  test('what is declared inside a function is weighed on its own', () => {
    const inner = `function inner() {\n${lines(60)}}\n`
    expect(weigh(`function outer() {\n${inner}${inner}${lines(10)}}`)).toEqual({ warnings: [], failures: [] })
    expect(weigh(`function outer() {\n${inner}${lines(70)}}`).warnings).toEqual(['the function has 72 lines'])
  })
})
