/** The keeper of keepalived, against a stand-in program: two groups change one file in the same moment, and a file that is refused. */
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import { keepalivedPid } from '../../src/act/keepalived.ts'
import { openVrrp, type Vrrp, type VrrpOptions } from '../../src/agent/vrrp.ts'
import type { Config } from '../../src/model/config.ts'
import { keepalivedConfFile, vipAllowedFile } from '../../src/model/paths.ts'
import { groupConfig } from './builders.ts'
import { until } from './wire.ts'

/** No rule of this machine is touched. */
vi.mock('../../src/act/nftables.ts', () => ({ installRules: () => Promise.resolve({ done: true }) }))

/** Slow to check, and strict: what it is given must stay as it is meanwhile. Runs until it is killed. */
const standIn = `#!/bin/sh
case "$1" in
-t) before=$(cat "$3"); sleep 0.1; [ "$before" = "$(cat "$3")" ] || { echo 'it changed' >&2; exit 1; }; [ ! -e "$(dirname "$0")/refuse" ] ;;
*) while [ "$1" != -p ]; do shift; done; trap '' HUP; echo $$ > "$2"; while :; do sleep 1; done ;;
esac
`
const dirs: string[] = []
const pids: number[] = []
const keepers: Vrrp[] = []
// By itself, and last (they run from the bottom): one that has ended already fails the other.
afterEach(async () => {
  for (const dir of dirs.splice(0)) await rm(dir, { recursive: true, force: true })
})
afterEach(() => {
  // First: a keeper that is not closed starts anew what is ended here.
  for (const keeper of keepers.splice(0)) keeper.close()
  for (const pid of pids.splice(0)) process.kill(pid, 'SIGKILL')
})

async function configWithTwoGroups(): Promise<Config> {
  const dir = await mkdtemp(join(tmpdir(), 'hf-vrrp-'))
  dirs.push(dir)
  const keepalived = join(dir, 'keepalived')
  await writeFile(keepalived, standIn)
  await chmod(keepalived, 0o755)
  const group = (name: string, vrid: number) => groupConfig(['a', 'b'], { name, vrid, port: 6379 + vrid, vip: { ip: `10.0.0.${vrid}`, prefix: 24 } })
  const host = (name: string, ip: string) => ({ name, ip, interface: 'eth0' })
  return {
    file: '/nowhere',
    api: { port: 8420, secretFile: '/nowhere' },
    paths: { state: dir, run: dir, redisServer: 'redis-server', redisSentinel: 'redis-sentinel', keepalived },
    hosts: { a: host('a', '10.0.1.1'), b: host('b', '10.0.1.2') },
    groups: { one: group('one', 1), two: group('two', 2) },
  }
}

function keeperOf(config: Config, more: Partial<VrrpOptions> = {}): Vrrp {
  const nothing = () => {}
  const keeper = openVrrp({
    config,
    host: 'a',
    groups: ['one', 'two'],
    word: nothing,
    changed: nothing,
    keeps: () => false,
    found: () => false,
    restarted: nothing,
    log: nothing,
    ...more,
  })
  keepers.push(keeper)
  return keeper
}

test('two groups yield at nearly the same moment: keepalived is given both, one after the other', async () => {
  const config = await configWithTwoGroups()
  const vrrp = keeperOf(config)
  expect(await vrrp.yield('one', false)).toEqual({ done: true })
  await until('it runs', () => keepalivedPid(config.paths) !== null)
  pids.push(keepalivedPid(config.paths) ?? 0)
  const first = vrrp.yield('one', true)
  // While keepalived reads what it is to check.
  await new Promise((resolve) => setTimeout(resolve, 60))
  expect(await Promise.all([first, vrrp.yield('two', true)])).toEqual([{ done: true }, { done: true }])
  const text = await readFile(keepalivedConfFile(config.paths), 'utf8')
  expect(text.match(/priority 1$/gm)).toHaveLength(2)
  expect([vrrp.yields('one'), vrrp.yields('two')]).toEqual([true, true])
})

test('what keepalived refuses is not in force, and is tried again', async () => {
  const config = await configWithTwoGroups()
  const vrrp = keeperOf(config)
  await vrrp.yield('one', false)
  await until('it runs', () => keepalivedPid(config.paths) !== null)
  pids.push(keepalivedPid(config.paths) ?? 0)
  const before = await readFile(keepalivedConfFile(config.paths), 'utf8')
  const refuse = join(config.paths.run, 'refuse')
  await writeFile(refuse, '')
  expect(await vrrp.yield('one', true)).toMatchObject({ done: false })
  expect(vrrp.yields('one')).toBe(false)
  expect(await readFile(keepalivedConfFile(config.paths), 'utf8')).toBe(before)
  await rm(refuse)
  expect(await vrrp.yield('one', true)).toEqual({ done: true })
  expect(vrrp.yields('one')).toBe(true)
})

test('killed where one group serves: it is back as the owner of that address alone, and then as any other', async () => {
  const config = await configWithTwoGroups()
  let restarts = 0
  let serving = ''
  const vrrp = keeperOf(config, { keeps: (group) => group === serving, restarted: () => (restarts += 1) })
  const priorities = async () => (await readFile(keepalivedConfFile(config.paths), 'utf8')).match(/priority \d+$/gm)
  await vrrp.yield('one', false)
  expect(await priorities()).toEqual(['priority 100', 'priority 100'])
  serving = 'one'
  for (const group of ['one', 'two']) await writeFile(vipAllowedFile(config.paths, group), '1\n')
  const first = keepalivedPid(config.paths) ?? 0
  process.kill(first, 'SIGKILL')
  await until('another runs, and it is said', () => restarts === 1 && ![null, first].includes(keepalivedPid(config.paths)))
  pids.push(keepalivedPid(config.paths) ?? 0)
  expect(await priorities()).toEqual(['priority 255', 'priority 100'])
  expect(await readFile(vipAllowedFile(config.paths, 'one'), 'utf8')).toBe('1\n')
  expect(await readFile(vipAllowedFile(config.paths, 'two'), 'utf8'), 'who does not serve must be allowed anew').toBe('0\n')
  await vrrp.yield('one', false)
  expect(await priorities()).toEqual(['priority 100', 'priority 100'])
})

/** One that tells its end is looked at rarely, but not while there is something left to do. */
test('killed, and killed again before it may be started once more: it is back within a second all the same', async () => {
  const config = await configWithTwoGroups()
  const keeper = keeperOf(config)
  await keeper.yield('one', false)
  for (const round of ['first', 'second']) {
    const pid = keepalivedPid(config.paths) ?? 0
    process.kill(pid, 'SIGKILL')
    await until(`another runs after the ${round}`, () => ![null, pid].includes(keepalivedPid(config.paths)), 1000)
  }
  pids.push(keepalivedPid(config.paths) ?? 0)
})

test('killed when the agent no longer watches: it stays dead (the agent is not the service, nor its end the end of it)', async () => {
  const config = await configWithTwoGroups()
  const vrrp = keeperOf(config)
  await vrrp.yield('one', false)
  const pid = keepalivedPid(config.paths)
  if (pid === null) throw new Error('keepalived does not run')
  vrrp.close()
  process.kill(pid, 'SIGKILL')
  // On a busy machine its end takes a while; what must not come is another one.
  await until('it has ended', () => keepalivedPid(config.paths) !== pid)
  await new Promise((resolve) => setTimeout(resolve, 300))
  expect(keepalivedPid(config.paths)).toBeNull()
})

test('the address is here before the group has begun: keepalived, which would take it off, waits; then it begins as its owner, and its gate stays open', async () => {
  const config = await configWithTwoGroups()
  let begun = false
  const vrrp = keeperOf(config, { found: (group) => group === 'one' && !begun, keeps: (group) => group === 'one' && begun })
  await vrrp.start()
  await new Promise((resolve) => setTimeout(resolve, 250))
  expect([keepalivedPid(config.paths), vrrp.runs()], 'not before').toEqual([null, false])
  for (const group of ['one', 'two']) await writeFile(vipAllowedFile(config.paths, group), '1\n')
  begun = true
  await until('it runs', () => keepalivedPid(config.paths) !== null)
  pids.push(keepalivedPid(config.paths) ?? 0)
  expect((await readFile(keepalivedConfFile(config.paths), 'utf8')).match(/priority \d+$/gm)).toEqual(['priority 255', 'priority 100'])
  const gates = ['one', 'two'].map((group) => readFile(vipAllowedFile(config.paths, group), 'utf8'))
  expect(await Promise.all(gates), 'who has not begun must be allowed').toEqual(['1\n', '0\n'])
  await until('it is seen', () => vrrp.runs())
})

test('the group has begun elsewhere, or the address is not here: keepalived begins as everywhere', async () => {
  const config = await configWithTwoGroups()
  let found = true
  const vrrp = keeperOf(config, { found: () => found })
  await vrrp.start()
  expect(keepalivedPid(config.paths)).toBeNull()
  found = false
  await until('it runs', () => keepalivedPid(config.paths) !== null)
  pids.push(keepalivedPid(config.paths) ?? 0)
  expect((await readFile(keepalivedConfFile(config.paths), 'utf8')).match(/priority \d+$/gm)).toEqual(['priority 100', 'priority 100'])
})
