/** The secret of the agents while it is changed, on one host: what is remembered, with which one the agent comes, what is refused. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { secretId } from '../../src/agent/password-change.ts'
import { secretKeeper, secretsOf } from '../../src/agent/secret-change.ts'
import { secretHint } from '../../src/agent/secure.ts'
import type { Config, SentinelConfig } from '../../src/model/config.ts'
import type { PasswordStep } from '../../src/model/password.ts'
import { secretChangeFile } from '../../src/model/paths.ts'
import { groupConfig } from './builders.ts'

const [one, two, three] = ['the first secret of all', 'the second secret of all', 'the third secret of all'] as const

describe('the secret of the agents, on one host', () => {
  let dir = ''
  let config: Config
  beforeEach(() => {
    dir = mkdtempSync(`${tmpdir()}/holdfast-secret-`)
    writeFileSync(`${dir}/secret`, `${one}\n`, { mode: 0o600 })
    config = {
      file: '',
      api: { port: 1, secretFile: `${dir}/secret` },
      paths: { state: dir, run: dir, redisServer: '', redisSentinel: '', keepalived: '' },
      hosts: {},
      groups: { sessions: groupConfig(['a', 'b']) },
    }
  })
  afterEach(() => rmSync(dir, { recursive: true, force: true }))

  /** Each step by an agent of its own, as it starts anew after each. */
  const keeper = (of = config) =>
    secretKeeper(
      of,
      'a',
      () => null,
      () => {},
    )
  const step = async (what: PasswordStep, password: string) => (await keeper()).step({ step: what, password })
  const done = { ok: true, why: '' }

  test('offered: both are let in; in use: the agent comes with the new one; finished: only that', async () => {
    expect(await step('offer', two)).toEqual(done)
    expect(await secretsOf(config)).toEqual({ current: one, other: two })
    expect((await stat(secretChangeFile(config.paths))).mode & 0o777).toBe(0o600)
    expect(await (await keeper()).word()).toMatchObject({
      stage: 'offered',
      current: secretId(one),
      other: secretId(two),
      takesCurrent: true,
      takesOther: true,
    })
    expect(await step('use', two)).toEqual(done)
    expect([await secretsOf(config), readFileSync(config.api.secretFile, 'utf8')]).toEqual([{ current: two, other: one }, `${two}\n`])
    expect(await step('finish', two)).toEqual(done)
    expect(await secretsOf(config)).toEqual({ current: two })
  })

  test('before the agent has started anew, what it was told is not yet what it takes', async () => {
    const before = await keeper()
    await before.step({ step: 'offer', password: two })
    expect(await before.word()).toMatchObject({ stage: 'offered', takesOther: false })
  })

  test('too short, out of turn, of another change, like the old one by its mark: refused', async () => {
    expect(await step('offer', 'short')).toMatchObject({ ok: false, why: expect.stringContaining('can be guessed') })
    expect(await step('use', two)).toMatchObject({ ok: false, why: expect.stringContaining('not offered') })
    await step('offer', two)
    expect(await step('offer', three)).toMatchObject({ ok: false, why: expect.stringContaining('under way') })
    expect(await step('finish', two)).toMatchObject({ ok: false, why: expect.stringContaining('not in use') })
    let alike = ''
    const mark = secretHint(one)
    for (let i = 0; secretHint(alike) !== mark; i += 1) alike = `the twin of that secret ${i}`
    expect(await step('offer', alike)).toMatchObject({ ok: false, why: expect.stringContaining('make another') })
  })

  test('Sentinels that somebody else starts come with a password that is made of it: refused', async () => {
    const sentinel: SentinelConfig = { hosts: ['a'], port: 1, quorum: 1, downAfterMs: 1000, failoverTimeoutMs: 1000, parallelSyncs: 1, process: 'external' }
    const external = await keeper({ ...config, groups: { sessions: groupConfig(['a', 'b'], { mode: 'sentinel', sentinel }) } })
    expect(await external.step({ step: 'offer', password: two })).toMatchObject({ ok: false, why: expect.stringContaining('external') })
  })

  test('the Sentinel here is not asked for, and its redis not looked at, before they are as they should be', async () => {
    const sentinel: SentinelConfig = { hosts: ['a'], port: 1, quorum: 1, downAfterMs: 1000, failoverTimeoutMs: 1000, parallelSyncs: 1, process: 'direct' }
    const withSentinel = await keeper({ ...config, groups: { sessions: groupConfig(['a', 'b'], { mode: 'sentinel', sentinel }) } })
    expect(await withSentinel.word()).toMatchObject({ stage: 'none', takesCurrent: false })
  })
})
