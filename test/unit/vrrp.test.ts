/** The keeper of keepalived, against a stand-in program: two groups change one file in the same moment, and a file that is refused. */
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { keepalivedPid } from '../../src/act/keepalived.ts'
import { openVrrp } from '../../src/agent/vrrp.ts'
import type { Config } from '../../src/model/config.ts'
import { keepalivedConfFile } from '../../src/model/paths.ts'
import { groupConfig } from './builders.ts'
import { until } from './wire.ts'

/** Slow to check, and strict: what it is given must stay as it is meanwhile. Runs until it is killed. */
const standIn = `#!/bin/sh
case "$1" in
-t) before=$(cat "$3"); sleep 0.1; [ "$before" = "$(cat "$3")" ] || { echo 'it changed' >&2; exit 1; }; [ ! -e "$(dirname "$0")/refuse" ] ;;
*) while [ "$1" != -p ]; do shift; done; trap '' HUP; echo $$ > "$2"; while :; do sleep 1; done ;;
esac
`
const dirs: string[] = []
const pids: number[] = []
afterEach(async () => {
  for (const pid of pids.splice(0)) process.kill(pid, 'SIGKILL')
  for (const dir of dirs.splice(0)) await rm(dir, { recursive: true, force: true })
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

test('two groups yield at nearly the same moment: keepalived is given both, one after the other', async () => {
  const config = await configWithTwoGroups()
  const vrrp = openVrrp({ config, host: 'a', groups: ['one', 'two'], word: () => {}, changed: () => {}, log: () => {} })
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
  const vrrp = openVrrp({ config, host: 'a', groups: ['one', 'two'], word: () => {}, changed: () => {}, log: () => {} })
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
