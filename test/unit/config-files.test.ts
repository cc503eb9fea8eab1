/** The files that a configuration names: read exactly, and every unreadable one reported together with everything else. */
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { readPassword, readSecret, readSentinelPassword, readUserRedisConf } from '../../src/config/files.ts'
import { findGroup, loadConfig } from '../../src/config/load.ts'

let dir = ''
const file = (name: string): string => join(dir, name)

async function put(name: string, text: string, mode = 0o600): Promise<void> {
  await writeFile(file(name), text)
  await chmod(file(name), mode)
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'holdfast-config-'))
  await mkdir(file('directory'))
})
afterAll(() => rm(dir, { recursive: true }))
beforeEach(async () => {
  await put('secret', '0123456789abcdef\n')
  await put('pw', ' p"a ss \n')
  await put('redis.conf', 'maxmemory 1gb\n', 0o644)
  await put('good.yaml', yaml('secret', 'pw', 'redis.conf'))
})

function yaml(secret: string, password: string, conf: string): string {
  return `api: { secret_file: ${secret} }
hosts: { a: { ip: 10.0.0.1 }, b: { ip: 10.0.0.2 } }
groups:
  g:
    members: [a, b]
    password_file: ${password}
    redis_conf: ${conf}
`
}

test('secret and password lose one trailing newline, nothing else', async () => {
  const { config, warnings } = await loadConfig(file('good.yaml'), { files: true })
  expect(warnings).toEqual([])
  expect(await readSecret(config)).toBe('0123456789abcdef')
  expect(await readPassword(findGroup(config, 'g'))).toBe(' p"a ss ')
  expect(await readUserRedisConf(findGroup(config, 'g'))).toBe('maxmemory 1gb\n')
})

test('every bad file and every bad key in one error, each at its key', async () => {
  await put('short', 'abc')
  await put('bad.yaml', yaml('short', 'nowhere', 'directory').replace('members: [a, b]', 'members: [a, x]'))
  const error = await loadConfig(file('bad.yaml'), { files: true }).catch((caught: unknown) => caught)
  expect(error).toMatchObject({
    code: 'HF102',
    exitCode: 2,
    problems: [
      { line: 1, column: 21, path: 'api.secret_file', message: `${file('short')} holds 3 bytes; that can be guessed` },
      { line: 5, column: 18, path: 'groups.g.members[1]' },
      { line: 6, column: 20, path: 'groups.g.password_file', message: `${file('nowhere')} does not exist` },
      { line: 7, column: 17, path: 'groups.g.redis_conf', message: `${file('directory')} is not a file` },
    ],
  })
})

test('only the files being wrong is HF103, also when they are read one by one', async () => {
  await put('empty', '\n')
  await put('lines', 'one\ntwo\n')
  await put('files.yaml', yaml('empty', 'lines', 'redis.conf'))
  expect(await loadConfig(file('files.yaml'), { files: true }).catch((caught: unknown) => caught)).toMatchObject({
    code: 'HF103',
    exitCode: 2,
    problems: [{}, {}],
  })
  const { config } = await loadConfig(file('files.yaml'))
  await expect(readSecret(config)).rejects.toMatchObject({ code: 'HF103', exitCode: 2, message: expect.stringContaining('is empty') })
  await expect(readPassword(findGroup(config, 'g'))).rejects.toMatchObject({ code: 'HF103', message: expect.stringContaining('line break') })
})

test('a secret that everybody can read is a warning, a redis.conf is not', async () => {
  await put('secret', '0123456789abcdef\n', 0o644)
  const { warnings } = await loadConfig(file('good.yaml'), { files: true })
  expect(warnings).toEqual([expect.stringContaining(':1:21: api.secret_file: ')])
  expect(warnings[0]).toContain('can be read by every user')
})

test('the password of the Sentinels is theirs, and checked as the others are', async () => {
  const sentinels = `hosts: { a: { ip: 10.0.0.1 }, b: { ip: 10.0.0.2 }, c: { ip: 10.0.0.3 } }
api: { secret_file: secret }
groups:
  g: { mode: sentinel, members: [a, b, c], password_file: pw, sentinel: { password_file: FILE } }
`
  await put('spw', 'theirs\n', 0o644)
  await put('sentinels.yaml', sentinels.replace('FILE', 'spw'))
  const { config, warnings } = await loadConfig(file('sentinels.yaml'), { files: true })
  expect([await readPassword(findGroup(config, 'g')), await readSentinelPassword(findGroup(config, 'g'))]).toEqual([' p"a ss ', 'theirs'])
  expect(warnings.filter((text) => !text.includes('no `vip`'))).toEqual([expect.stringContaining('groups.g.sentinel.password_file: ')])
  await put('bad.yaml', sentinels.replace('FILE', 'nowhere'))
  expect(await loadConfig(file('bad.yaml'), { files: true }).catch((caught: unknown) => caught)).toMatchObject({
    code: 'HF103',
    problems: [{ line: 4, path: 'groups.g.sentinel.password_file', message: `${file('nowhere')} does not exist` }],
  })
  // It would write it into its own file without quotes, and not start from that file again.
  await put('spaced', 'two words\n')
  await put('bad.yaml', sentinels.replace('FILE', 'spaced'))
  const message = `${file('spaced')} holds a space or a quote, which a Sentinel cannot keep in its own file`
  expect(await loadConfig(file('bad.yaml'), { files: true }).catch((caught: unknown) => caught)).toMatchObject({ problems: [{ message }] })
})
