/** `ping` as the fallback of check_ips, with a stand-in for the program: what counts as an answer, and what it is asked for where it cannot go on by itself. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'

/** Nobody answers TCP there: the kernel itself refuses. */
const nowhere = '255.255.255.255'
let dir: string
const path = process.env['PATH'] ?? ''

beforeEach(() => {
  dir = mkdtempSync(`${tmpdir()}/holdfast-ping-`)
  process.env['PATH'] = `${dir}:${path}`
  vi.spyOn(process, 'getuid').mockReturnValue(0)
  vi.resetModules()
})
afterEach(() => {
  process.env['PATH'] = path
  vi.restoreAllMocks()
  rmSync(dir, { recursive: true, force: true })
})

/** Says what it was called with, then does this. */
function standIn(script: string): void {
  writeFileSync(`${dir}/ping`, `#!/bin/sh\necho "$*" >> ${dir}/calls\n${script}\n`)
  chmodSync(`${dir}/ping`, 0o755)
}
const calls = (): readonly string[] => readFileSync(`${dir}/calls`, 'utf8').trim().split('\n')
const load = () => import('../../src/observe/checks.ts')
const echoes = `while :; do echo "[$(date +%s.%6N)] 64 bytes from ${nowhere}: icmp_seq=1 ttl=64 time=0.05 ms"; sleep 0.02; done`

test('it answers, question after question, and is started once', async () => {
  standIn(echoes)
  const { askChecks } = await load()
  // The first one may be late: a process has to be started.
  await vi.waitFor(async () => expect(await askChecks([nowhere])).toBe(true), { timeout: 3000, interval: 0 })
  for (let i = 0; i < 5; i += 1) await vi.waitFor(async () => expect(await askChecks([nowhere])).toBe(true), { timeout: 500, interval: 0 })
  expect(calls()).toEqual([`-n -D -i 0.02 -w 60 ${nowhere}`])
})

test('an echo that was asked for before the question is none: its line may have waited while this agent stood still', async () => {
  standIn(`while :; do echo "[$(($(date +%s) - 5)).000000] 64 bytes from ${nowhere}: icmp_seq=1 ttl=64 time=0.05 ms"; sleep 0.01; done`)
  const { askChecks } = await load()
  for (let i = 0; i < 5; i += 1) expect(await askChecks([nowhere])).toBe(false)
})

test('an answer that took longer than the question is old', async () => {
  standIn(`while :; do echo "[$(date +%s.%6N)] 64 bytes from ${nowhere}: icmp_seq=1 ttl=64 time=900 ms"; sleep 0.01; done`)
  const { askChecks } = await load()
  for (let i = 0; i < 5; i += 1) expect(await askChecks([nowhere])).toBe(false)
})

test.each([
  ['unreachable, it says', 'echo "From 10.0.0.1 icmp_seq=1 Destination Host Unreachable"; exit 1'],
  ['silence', 'sleep 5'],
])('%s: no answer', async (_what, script) => {
  standIn(script)
  const { askChecks } = await load()
  for (let i = 0; i < 3; i += 1) expect(await askChecks([nowhere])).toBe(false)
})

test('a ping that cannot go on by itself is asked one by one', async () => {
  standIn('case "$*" in *-D*) echo "ping: invalid option -- D" >&2; exit 2;; esac')
  const { askChecks } = await load()
  await vi.waitFor(async () => expect(await askChecks([nowhere])).toBe(true), { timeout: 3000, interval: 0 })
  expect(calls().at(-1)).toBe(`-n -q -c 1 -W 1 ${nowhere}`)
})

test('no ping at all: no answer, and no longer a wait for it', async () => {
  process.env['PATH'] = dir
  const [{ askChecks }, { mayPing }] = [await load(), await import('../../src/observe/ping.ts')]
  expect(await askChecks([nowhere])).toBe(false)
  expect(mayPing()).toBe(false)
  expect(await askChecks([nowhere])).toBe(false)
})

test('it ends when nobody asks any more', async () => {
  standIn(`echo $$ > ${dir}/pid; exec sleep 30`)
  const { askChecks } = await load()
  await vi.waitFor(async () => {
    await askChecks([nowhere])
    expect(readFileSync(`${dir}/pid`, 'utf8')).not.toBe('')
  })
  const pid = Number(readFileSync(`${dir}/pid`, 'utf8'))
  expect(() => process.kill(pid, 0)).not.toThrow()
  await vi.waitFor(() => expect(() => process.kill(pid, 0)).toThrow(/ESRCH/), { timeout: 5000 })
})
