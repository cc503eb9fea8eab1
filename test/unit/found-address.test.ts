/** Whether keepalived waits for a group whose address is on this host already: by the durable state, by what the loop has decided since, by the interface. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { foundAddress } from '../../src/agent/found-address.ts'
import type { GroupLoop } from '../../src/agent/group.ts'
import type { Config } from '../../src/model/config.ts'
import { stateFile } from '../../src/model/paths.ts'
import { freshState, type State } from '../../src/model/state.ts'
import { groupConfig } from './builders.ts'

const here = Object.values(networkInterfaces()).flatMap((list) => list ?? [])[0]?.address ?? '127.0.0.1'
const dirs: string[] = []
afterEach(async () => {
  for (const dir of dirs.splice(0)) await rm(dir, { recursive: true, force: true })
})

async function configOf(ip: string): Promise<Config> {
  const dir = await mkdtemp(join(tmpdir(), 'hf-found-'))
  dirs.push(dir)
  const group = (name: string, at: string) => groupConfig(['a', 'b'], { name, vip: { ip: at, prefix: 24 } })
  const paths = { state: dir, run: dir, redisServer: '', redisSentinel: '', keepalived: '' }
  return { file: '/nowhere', api: { port: 1, secretFile: '' }, paths, hosts: {}, groups: { one: group('one', ip), two: group('two', '203.0.113.7') } }
}

function loopIn(state: Partial<State>, hasAddress = false): ReadonlyMap<string, GroupLoop> {
  const loop = { snapshot: () => ({ state: { ...freshState('one', 'a'), ...state } }), hasAddress: () => hasAddress }
  return new Map([['one', loop as unknown as GroupLoop]])
}

test('nobody has held the group: it waits where the address is, and only there', async () => {
  const found = foundAddress(await configOf(here), 'a', ['one', 'two'], new Map())
  expect([found('one'), found('two'), found('nobody')]).toEqual([true, false, false])
  expect(foundAddress(await configOf('203.0.113.8'), 'a', ['one'], new Map())('one')).toBe(false)
})

test.each<readonly [what: string, state: Partial<State>, hasAddress: boolean, waits: boolean]>([
  ['not begun', { epoch: 0 }, false, true],
  ['chosen, and being promoted', { epoch: 1, holder: 'a', phase: 'promoting' }, false, true],
  ['promoted, and not seen to serve', { epoch: 1, holder: 'a', phase: 'primary' }, false, true],
  ['seen to serve', { epoch: 1, holder: 'a', phase: 'primary' }, true, false],
  ['chosen, and died', { epoch: 1, holder: 'a', phase: 'fenced' }, false, false],
  ['begun elsewhere', { epoch: 1, holder: 'b', phase: 'replica' }, false, false],
])('%s', async (_, state, hasAddress, waits) => {
  expect(foundAddress(await configOf(here), 'a', ['one'], loopIn(state, hasAddress))('one')).toBe(waits)
})

test('another group of the host has served before: its keepalived waits for nothing', async () => {
  const config = await configOf(here)
  await mkdir(join(config.paths.state, 'two'))
  await writeFile(stateFile(config.paths, 'two'), JSON.stringify({ ...freshState('two', 'a'), epoch: 3 }))
  expect(foundAddress(config, 'a', ['one', 'two'], new Map())('one')).toBe(false)
})
