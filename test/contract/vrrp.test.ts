/**
 * The model of VRRP against keepalived itself: every contract is told once and runs against both, as for redis. The bounds have
 * room for a machine that is busy; the order of events has none.
 */
import { spawnSync } from 'node:child_process'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { labProblems } from '../../src/lab/capability.ts'
import { advertMs } from '../../src/render/keepalived.ts'
import { openVrrpModel } from './vrrp-model.ts'
import { openVrrpReal } from './vrrp-real.ts'
import { downMs, hostLossMs, settled, skewMs, took, vrrpHosts, type VrrpUnderTest } from './vrrp-under-test.ts'

const problems = [...labProblems(), ...(spawnSync('keepalived', ['--version']).error === undefined ? [] : ['the program keepalived is missing'])]

/** What a busy machine may add to a time. */
const slackMs = 150
const oneAdvertMs = advertMs(hostLossMs)

const contracts: [string, (v: VrrpUnderTest) => Promise<void>][] = []
const contract = (name: string, steps: (v: VrrpUnderTest) => Promise<void>) => contracts.push([name, steps])

contract('who is not allowed is in FAULT and has no address', async (v) => {
  for (const host of vrrpHosts) await v.start(host)
  await v.pass(downMs('low') + slackMs)
  expect(vrrpHosts.map((host) => v.state(host))).toEqual(['FAULT', 'FAULT', 'FAULT'])
  expect(await v.holders()).toEqual([])
})

contract('allowed at the same time, the highest takes the address after its down interval', async (v) => {
  for (const host of vrrpHosts) await v.start(host)
  const ms = await took(
    v,
    'high is MASTER',
    async () => {
      for (const host of vrrpHosts) await v.allow(host, true)
    },
    () => v.state('high') === 'MASTER',
  )
  expect(ms).toBeGreaterThanOrEqual(downMs('high') - 1)
  expect(ms).toBeLessThan(downMs('high') + slackMs)
  await v.pass(oneAdvertMs)
  expect([v.state('mid'), v.state('low')]).toEqual(['BACKUP', 'BACKUP'])
  expect(await v.holders()).toEqual(['high'])
})

contract('who comes back does not take the address from who has it', async (v) => {
  for (const host of vrrpHosts) await v.start(host)
  await v.allow('low', true)
  await v.until('low is MASTER', () => v.state('low') === 'MASTER')
  await v.allow('high', true)
  await v.until('high waits', () => v.state('high') === 'BACKUP')
  await v.pass(downMs('low') + slackMs)
  expect([v.state('high'), v.state('low')]).toEqual(['BACKUP', 'MASTER'])
  expect(await v.holders()).toEqual(['low'])
})

contract('who may not any more gives the address up, and the next has it after its skew', async (v) => {
  await settled(v)
  const ms = await took(
    v,
    'mid is MASTER',
    () => v.allow('high', false),
    () => v.state('mid') === 'MASTER',
  )
  // Priority 0 leaves the skew that orders the waiting hosts, and no more.
  expect(ms).toBeGreaterThanOrEqual(skewMs('mid') - 1)
  expect(ms).toBeLessThan(skewMs('mid') + slackMs)
  await v.until('only mid has the address', async () => (await v.holders()).join() === 'mid')
  expect([v.state('high'), v.state('low')]).toEqual(['FAULT', 'BACKUP'])
})

for (const how of ['missing', 'empty'] as const) {
  contract(`a track file that is ${how} is a no`, async (v) => {
    await settled(v)
    await v.allowNobodyKnows('high', how)
    await v.until('only mid has the address', async () => (await v.holders()).join() === 'mid')
    expect(v.state('high')).toBe('FAULT')
  })
}

contract('the holder is cut off: the next takes over after three adverts and its skew, and two have the address', async (v) => {
  await settled(v)
  const ms = await took(
    v,
    'mid is MASTER',
    () => v.cut('high'),
    () => v.state('mid') === 'MASTER',
  )
  // The last advert came up to one interval before the cut. The model is always as late as it can be.
  expect(ms).toBeGreaterThan(downMs('mid') - oneAdvertMs - 5)
  expect(ms).toBeLessThan(downMs('mid') + slackMs)
  await v.pass(oneAdvertMs)
  expect(vrrpHosts.map((host) => v.state(host))).toEqual(['MASTER', 'MASTER', 'BACKUP'])
  expect(await v.holders()).toEqual(['high', 'mid'])
})

contract('at the heal the lower gives way', async (v) => {
  await settled(v)
  await v.cut('high')
  await v.until('mid is MASTER', () => v.state('mid') === 'MASTER')
  const ms = await took(v, 'mid gave way', v.heal, () => v.state('mid') === 'BACKUP')
  expect(ms).toBeLessThan(oneAdvertMs + slackMs)
  await v.pass(downMs('low'))
  expect(vrrpHosts.map((host) => v.state(host))).toEqual(['MASTER', 'BACKUP', 'BACKUP'])
  expect(await v.holders()).toEqual(['high'])
})

contract('a holder that yields keeps the address while nobody else has it', async (v) => {
  await settled(v)
  await v.yield('high', true)
  await v.pass(2 * downMs('low'))
  expect(vrrpHosts.map((host) => v.state(host))).toEqual(['MASTER', 'BACKUP', 'BACKUP'])
  expect(await v.holders()).toEqual(['high'])
})

contract('at the heal a holder that yields gives way to a lower one', async (v) => {
  await settled(v)
  await v.cut('high')
  await v.until('mid is MASTER', () => v.state('mid') === 'MASTER')
  await v.yield('high', true)
  await v.pass(oneAdvertMs)
  await v.heal()
  await v.until('high gave way', () => v.state('high') === 'BACKUP')
  await v.pass(downMs('low'))
  expect(vrrpHosts.map((host) => v.state(host))).toEqual(['BACKUP', 'MASTER', 'BACKUP'])
  expect(await v.holders()).toEqual(['mid'])
})

contract('who yields and does not hold the address comes last', async (v) => {
  await settled(v)
  await v.yield('mid', true)
  await v.pass(oneAdvertMs)
  await v.allow('high', false)
  await v.until('low is MASTER', () => v.state('low') === 'MASTER')
  await v.pass(oneAdvertMs)
  expect([v.state('mid'), v.state('low')]).toEqual(['BACKUP', 'MASTER'])
  expect(await v.holders()).toEqual(['low'])
})

contract('keepalived is killed: nobody is told, and the next takes over when the adverts fail to come', async (v) => {
  await settled(v)
  const ms = await took(
    v,
    'mid is MASTER',
    () => v.kill('high'),
    () => v.state('mid') === 'MASTER',
  )
  expect(ms).toBeGreaterThan(downMs('mid') - oneAdvertMs - 5)
  expect(ms).toBeLessThan(downMs('mid') + slackMs)
})

contract('keepalived is killed and started again: it may not have the address before it is allowed', async (v) => {
  await settled(v)
  await v.kill('high')
  await v.start('high')
  await v.until('only mid has the address', async () => (await v.holders()).join() === 'mid')
  expect(v.state('high')).toBe('FAULT')
  await v.allow('high', true)
  await v.until('high waits', () => v.state('high') === 'BACKUP')
  await v.pass(downMs('low'))
  expect(await v.holders()).toEqual(['mid'])
})

contract('keepalived stands still: the next takes over, two have the address; when it goes on the lower gives way', async (v) => {
  await settled(v)
  await v.freeze('high')
  await v.until('mid is MASTER', () => v.state('mid') === 'MASTER')
  await v.until('two have it', async () => (await v.holders()).join() === 'high,mid')
  await v.thaw('high')
  await v.until('mid gave way', () => v.state('mid') === 'BACKUP')
  await v.pass(downMs('low'))
  expect(vrrpHosts.map((host) => v.state(host))).toEqual(['MASTER', 'BACKUP', 'BACKUP'])
  expect(await v.holders()).toEqual(['high'])
})

contract('a lower holder that stood still gives way to the higher that took over', async (v) => {
  for (const host of vrrpHosts) await v.start(host)
  await v.allow('mid', true)
  await v.until('mid is MASTER', () => v.state('mid') === 'MASTER')
  await v.allow('high', true)
  await v.until('high waits', () => v.state('high') === 'BACKUP')
  await v.freeze('mid')
  await v.until('high is MASTER', () => v.state('high') === 'MASTER')
  await v.thaw('mid')
  await v.until('mid gave way', () => v.state('mid') === 'BACKUP')
  await v.pass(downMs('low'))
  expect(await v.holders()).toEqual(['high'])
})

contract('the holder is heard by none but hears: the next takes over, and the higher stays', async (v) => {
  await settled(v)
  await v.deafen('high', 'mid')
  await v.deafen('high', 'low')
  await v.until('mid is MASTER', () => v.state('mid') === 'MASTER')
  await v.pass(2 * oneAdvertMs)
  expect(vrrpHosts.map((host) => v.state(host))).toEqual(['MASTER', 'MASTER', 'BACKUP'])
  await v.heal()
  await v.until('mid gave way', () => v.state('mid') === 'BACKUP')
})

contract('a waiting host that hears nothing takes the address, and a higher one is not moved by it', async (v) => {
  await settled(v)
  await v.deafen('high', 'low')
  await v.until('low is MASTER', () => v.state('low') === 'MASTER')
  await v.pass(2 * oneAdvertMs)
  expect([v.state('high'), v.state('low')]).toEqual(['MASTER', 'MASTER'])
  await v.heal()
  await v.until('low gave way', () => v.state('low') === 'BACKUP')
})

/** Who is killed takes nothing with it: the address stays on the interface, and another takes it as well. */
async function leftBehind(v: VrrpUnderTest): Promise<readonly string[]> {
  await settled(v)
  await v.kill('high')
  await v.until('mid is MASTER', () => v.state('mid') === 'MASTER')
  await v.pass(oneAdvertMs)
  return v.holders()
}
const leftBehindName = 'a keepalived that is killed leaves the address behind'

describe('the model', () => {
  for (const [name, steps] of contracts) test(name, () => steps(openVrrpModel()))
  test(leftBehindName, async () => {
    expect(await leftBehind(openVrrpModel())).toEqual(['high', 'mid'])
  })
})

describe('keepalived', () => {
  let real: VrrpUnderTest | null = null
  beforeAll(async () => {
    if (problems.length > 0) console.warn(`skipped: keepalived cannot run here: ${problems.join('; ')}`)
    else real = await openVrrpReal()
  })
  afterEach(() => real?.reset())
  afterAll(() => real?.close())
  for (const [name, steps] of contracts) test.skipIf(problems.length > 0)(name, () => steps(real as VrrpUnderTest))
  test.skipIf(problems.length > 0)(leftBehindName, async () => {
    expect(await leftBehind(real as VrrpUnderTest)).toEqual(['high', 'mid'])
  })
})
