/** The import check catches what it is there for: every way to import, every forbidden direction, and what it does not know. */
import { describe, expect, test } from 'vitest'
import { importFindings, importsOf } from '../../script/check/imports.ts'
import { layers } from '../../script/check/rules.ts'
import { readSources } from '../../script/check/source.ts'

const judge = (path: string, text: string): readonly string[] => importFindings([{ path, text }]).map(({ line, message }) => `${line}: ${message}`)

describe('what counts as an import', () => {
  test('static, for types only, for its effect, re-exported, dynamic, and inside a type', () => {
    const text = [
      "import a from './a.ts'",
      "import type { B } from './b.ts'",
      "import './c.ts'",
      "export * from './d.ts'",
      'export {',
      '  e,',
      "} from './e.ts'",
      "const f = await import('./f.ts')",
      "type G = import('./g.ts').G",
      "// import './comment.ts'",
      'const text = "import \'./text.ts\'"',
    ].join('\n')
    expect(importsOf({ path: 'src/x/x.ts', text }).map(({ specifier, line }) => `${line} ${specifier}`)).toEqual([
      '1 ./a.ts',
      '2 ./b.ts',
      '3 ./c.ts',
      '4 ./d.ts',
      '7 ./e.ts',
      '8 ./f.ts',
      '9 ./g.ts',
    ])
  })

  test('a file that does not parse is an error, not a file without imports', () => {
    expect(() => judge('src/model/x.ts', 'import {')).toThrow('src/model/x.ts does not parse')
  })
})

describe('what is caught', () => {
  test.each([
    ['src/model/a.ts', "import type { X } from '../decide/x.ts'", 'model must not import decide'],
    ['src/model/a.ts', "import { join } from 'node:path'", 'model must not import node:path'],
    ['src/decide/a.ts', "import { x } from '../observe/redis.ts'", 'decide must not import observe'],
    ['src/decide/a.ts', "import { z } from 'zod'", 'decide must not import zod'],
    ['src/render/a.ts', "const x = import('../config/load.ts')", 'render must not import config'],
    ['src/observe/a.ts', "export { act } from '../act/act.ts'", 'observe must not import act'],
    ['src/act/a.ts', "import { x } from '../observe/redis.ts'", 'act may import of observe only process.ts, ahead.ts, not redis.ts'],
    ['src/agent/a.ts', "import { cut } from '../lab/faults.ts'", 'agent must not import lab'],
    ['src/act/a.ts', "import { cut } from '../lab/faults.ts'", 'act must not import lab'],
    ['src/lab/a.ts', "import { x } from '../agent/agent.ts'", 'lab must not import agent'],
    ['src/agent/a.ts', "import { ask } from '../cli/ask.ts'", 'agent must not import cli'],
    ['src/cli/a.ts', "import { x } from '../agent/store.ts'", 'cli may import of agent only'],
    ['src/cli/a.ts', "import { x } from '../decide/table.ts'", 'cli may import of decide only explain.ts'],
    ['src/main.ts', "import { x } from './agent/agent.ts'", 'src/*.ts must not import agent'],
    ['src/api/a.ts', "import { Redis } from 'ioredis'", 'ioredis is imported only in redis'],
    ['src/lab/a.ts', "import { Command } from '@commander-js/extra-typings/esm.mjs'", '@commander-js/extra-typings is imported only in cli'],
    ['src/lab/a.ts', "import { x } from '../../test/x.ts'", 'leaves src/'],
    ['src/lab/a.ts', 'const x = import(name)', 'computed'],
    ['src/helpers/a.ts', "import { x } from '../model/x.ts'", 'the folder src/helpers is not in script/check/rules.ts'],
  ])('%s: %s', (path, text, message) => {
    expect(judge(path, `\n${text}\n`)).toEqual([expect.stringMatching(/^2: /)])
    expect(judge(path, text)[0]).toContain(message)
  })
})

test.each([
  ['src/decide/a.ts', "import type { View } from '../model/view.ts'"],
  ['src/decide/a.ts', "import { x } from './table.ts'"],
  ['src/redis/link.ts', "import { Redis } from 'ioredis'"],
  ['src/main.ts', "import { x } from './cli/program.ts'"],
])('what is allowed: %s: %s', (path, text) => {
  expect(judge(path, text)).toEqual([])
})

test('the table knows every folder of src/, and speaks of no other', () => {
  const folders = new Set(readSources('.', ['src']).map(({ path }) => (path.split('/').length === 2 ? '' : (path.split('/')[1] ?? ''))))
  for (const folder of folders) expect(Object.keys(layers)).toContain(folder)
  for (const { may } of Object.values(layers)) for (const folder of Object.keys(may)) expect(Object.keys(layers)).toContain(folder)
})
