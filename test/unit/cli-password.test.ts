/** `holdfast password` and `holdfast secret` where the operator is wrong: refused in words, before any agent is asked. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from '@commander-js/extra-typings'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { register as registerPassword } from '../../src/cli/password.ts'
import { register as registerSecret } from '../../src/cli/secret.ts'

let dir = ''
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-words-'))
  const files = { secret: '0123456789abcdef', shared: 'hunter2', own: 'hunter3', spaced: 'a b', empty: '', two: 'a\nb', new: 'hunter4', short: 'short' }
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), `${text}\n`, { mode: 0o600 })
  writeFileSync(
    join(dir, 'h.yaml'),
    `api: { secret_file: secret }
hosts: { a: { ip: 10.0.0.1 }, b: { ip: 10.0.0.2 }, c: { ip: 10.0.0.3 } }
groups:
  bare: { members: [a, b] }
  owned: { members: [a, b], port: 6380, password_file: own }
  twins: { mode: sentinel, members: [a, b, c], port: 6381, password_file: shared, sentinel: { password_file: shared } }
  open: { mode: sentinel, members: [a, b, c], port: 6382, sentinel: { port: 26380 } }
  theirs: { mode: sentinel, members: [a, b, c], port: 6383, process: external, password_file: new, sentinel: { port: 26381, password_file: two } }
`,
  )
})
afterAll(() => rmSync(dir, { recursive: true }))

async function refusal(words: string): Promise<{ readonly code: string; readonly exitCode: number; readonly message: string }> {
  const program = new Command('holdfast').exitOverride().option('--config <file>', 'the configuration')
  registerPassword(program)
  registerSecret(program)
  const argv = words.split(' ').map((word) => word.replace('FILE:', `${dir}/`))
  return program.parseAsync(['--config', join(dir, 'h.yaml'), ...argv], { from: 'user' }).then(
    () => ({ code: '', exitCode: 0, message: 'not refused' }),
    (error: { code: string; exitCode: number; message: string }) => error,
  )
}

test.each([
  ['password nobody --new-file FILE:new', 'HF104', 'no group nobody'],
  ['password bare --new-file FILE:new', 'HF801', 'has no password_file'],
  ['password open --of sentinels --new-file FILE:new', 'HF801', 'the Sentinels of group open have no password_file'],
  ['password owned --of sentinels --new-file FILE:new', 'HF801', 'has no Sentinels'],
  ['password owned', 'HF801', 'which password?'],
  ['password owned --new-file FILE:nowhere', 'HF103', 'does not exist'],
  ['password owned --new-file FILE:empty', 'HF103', 'is empty'],
  ['password owned --new-file FILE:two', 'HF103', 'line break'],
  ['password theirs --new-file FILE:own', 'HF801', 'its redis is external'],
  ['password theirs --of sentinels --new-file FILE:own', 'HF801', 'its Sentinels are external'],
  ['password twins --new-file FILE:new', 'HF801', 'holds the password of more than one: twins (redis), twins (sentinels)'],
  ['password twins --of sentinels --new-file FILE:new', 'HF801', 'holds the password of more than one'],
  ['secret', 'HF801', 'which secret?'],
  ['secret --new-file FILE:short', 'HF103', 'can be guessed'],
])('%s: %s', async (words, code, said) => {
  expect(await refusal(words)).toMatchObject({ code, message: expect.stringContaining(said) })
})
