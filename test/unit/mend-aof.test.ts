/** The torn end of an AOF is cut off a copy, which takes a while: what somebody does to the file meanwhile is not undone. */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { mendAof } from '../../src/act/mend-aof.ts'
import type { RedisHands } from '../../src/act/redis.ts'
import type { Outcome } from '../../src/model/outcome.ts'
import type { RedisLink } from '../../src/redis/link.ts'
import { poll } from '../../src/lab/run.ts'
import { groupConfig } from './builders.ts'

const whole = '*1\r\n$4\r\nPING\r\n'
const torn = `${whole}*1\r\n$4\r\nPI`
const end = {
  ...{ file: 'appendonly.aof', bytes: torn.length, wholeBytes: whole.length, kind: 'torn' as const, why: 'a command that is not whole' },
  ...{ commands: 1, first: 'PI', last: 'PI' },
}
let root: string
let file: string
let cuts: number
beforeEach(() => {
  root = mkdtempSync(`${tmpdir()}/holdfast-mend-`)
  mkdirSync(`${root}/sessions/data`, { recursive: true })
  file = `${root}/sessions/data/appendonly.aof`
  cuts = 0
  writeFileSync(file, torn)
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

/** `meanwhile`: a line of shell, run while the check tool works on the copy. */
async function mended(meanwhile: string, link: () => RedisLink | null = () => null): Promise<Outcome> {
  const paths = { state: root, run: root, redisServer: `${root}/redis-server`, redisSentinel: '', keepalived: '' }
  writeFileSync(`${root}/redis-check-aof`, `#!/bin/sh\n${meanwhile}\ntruncate -s ${whole.length} "$2"\n`)
  chmodSync(`${root}/redis-check-aof`, 0o755)
  const group = groupConfig(['a'])
  const [member] = group.members
  if (member === undefined) throw new Error('no member')
  const hands: RedisHands = {
    config: { file: '', api: { port: 0, secretFile: '' }, paths, hosts: { a: { name: 'a', ip: '127.0.0.1' } }, groups: { sessions: group } },
    ...{ group, member, password: undefined, userConf: undefined, link },
    ...{ started: () => {}, exited: () => {}, settingsChanged: () => {}, diskChanged: () => {}, note: () => {} },
    aofIsCut: async () => {
      cuts += 1
    },
  }
  const outcome = await poll(
    async () => {
      const seen = await mendAof(hands, end)
      return !seen.done && /is being cut off/.test(seen.why) ? undefined : seen
    },
    { withinMs: 5000 },
  )
  if (outcome === undefined) throw new Error('it does not end')
  return outcome
}

test('nobody touches it: it is cut, and the file as it was is kept', async () => {
  expect(await mended(':')).toEqual({ done: true })
  expect([readFileSync(file, 'utf8'), cuts]).toEqual([whole, 1])
})

test.each([
  ['puts another file of the same length in its place', (f: string) => `printf '%0${torn.length}d' 7 > ${f}.hand; touch -r ${f} ${f}.hand; mv ${f}.hand ${f}`],
  ['writes into it, and it is as long as before', (f: string) => `sleep 0.01; printf '#' | dd of=${f} conv=notrunc status=none`],
  ['mends it, and redis appends to it', (f: string) => `printf 'OK' >> ${f}`],
])('meanwhile somebody %s: that stays', async (_what, byHand) => {
  const outcome = await mended(`${byHand(file)}; cp ${file} ${root}/expected`)
  expect(outcome).toMatchObject({ done: false, why: expect.stringMatching(/has changed since it was looked at/) as string })
  expect(readFileSync(file, 'utf8')).toBe(readFileSync(`${root}/expected`, 'utf8'))
  expect([cuts, existsSync(`${file}.mended`)], 'and it does not pass for one that was cut').toEqual([0, false])
})

test('meanwhile somebody starts redis, which has the file open: what it appends must not go with the file', async () => {
  const running = {} as RedisLink
  const outcome = await mended(`: > ${root}/runs`, () => (existsSync(`${root}/runs`) ? running : null))
  expect(outcome).toMatchObject({ done: false, why: expect.stringMatching(/redis runs/) as string })
  expect([readFileSync(file, 'utf8'), cuts]).toEqual([torn, 0])
})
