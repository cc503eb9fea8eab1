/** One agent per state directory, however the last one ended. */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { takeLock } from '../../src/agent/lock.ts'
import type { Config } from '../../src/model/config.ts'
import { agentLockFile } from '../../src/model/paths.ts'
import { readProcess } from '../../src/observe/process.ts'

let dir: string
let paths: Config['paths']
beforeEach(() => {
  dir = mkdtempSync(`${tmpdir()}/holdfast-lock-`)
  paths = { state: dir, run: dir, redisServer: '', redisSentinel: '', keepalived: '' }
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const file = () => agentLockFile(paths)

test('two agents: the second is told who has it, and leaves it alone', () => {
  const lock = takeLock(paths, 'a')
  expect(() => takeLock(paths, 'a')).toThrow(expect.objectContaining({ code: 'HF203', message: expect.stringContaining(`pid ${process.pid}`) }))
  expect(existsSync(file())).toBe(true)
  lock.release()
  expect(readdirSync(dir)).toEqual([])
  takeLock(paths, 'a').release()
})

test('left by an agent that was killed: taken over', async () => {
  const child = spawn('sleep', ['60'])
  await new Promise((resolve) => child.once('spawn', resolve))
  const owner = readProcess(child.pid ?? 0)
  writeFileSync(file(), JSON.stringify({ ...owner, host: 'a' }))
  expect(() => takeLock(paths, 'a')).toThrow(expect.objectContaining({ code: 'HF203' }))
  child.kill('SIGKILL')
  await new Promise((resolve) => child.once('exit', resolve))
  takeLock(paths, 'a').release()
})

test('its pid lives again as another process: taken over', () => {
  writeFileSync(file(), JSON.stringify({ pid: process.pid, startTicks: '1', host: 'a' }))
  const lock = takeLock(paths, 'a')
  expect(JSON.parse(readFileSync(file(), 'utf8'))).toEqual({ ...readProcess(process.pid), host: 'a' })
  lock.release()
})

test.each(['', 'garbage', '{}', 'null', '{"pid":"x"}'])('a lock file that says %j: taken over', (text) => {
  writeFileSync(file(), text)
  takeLock(paths, 'a').release()
})

test('released late, after another has taken it: theirs stays', () => {
  const lock = takeLock(paths, 'a')
  writeFileSync(file(), 'theirs')
  lock.release()
  expect(readFileSync(file(), 'utf8')).toBe('theirs')
})

test('a directory that cannot be written: HF205', () => {
  expect(() => takeLock({ ...paths, state: `${dir}/none` }, 'a')).toThrow(expect.objectContaining({ code: 'HF205' }))
})
