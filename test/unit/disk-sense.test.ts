/** The disk of a redis that has ended, looked at by an agent whose host is short of something: no failure there may end the agent. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openDiskSense } from '../../src/agent/disk-sense.ts'
import { poll } from '../../src/lab/run.ts'
import { groupConfig, probe, state } from './builders.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(`${tmpdir()}/holdfast-sense-`)
  mkdirSync(`${root}/sessions/data`, { recursive: true })
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

test('redis does not read its AOF, and its check tool cannot even be started: that is said, nobody waits for ever, and the agent lives', async () => {
  writeFileSync(`${root}/sessions/data/appendonly.aof`, '*1\r\n$4\r\nPING\r\n')
  // The kernel refuses it at once, as it does when there is no memory for a process.
  const redisServer = `/${'x'.repeat(5000)}/redis-server`
  const paths = { state: root, run: root, redisServer, redisSentinel: '', keepalived: '' }
  const sense = openDiskSense(
    paths,
    groupConfig(['a'], { redis: [['appendonly', 'yes']] }),
    undefined,
    () => null,
    () => {},
  )
  const down = probe({ process: false, facts: null })
  await sense.look(down, state('a'))
  sense.exited(1, 'Bad file format reading the append only file')
  const disk = await poll(
    async () => {
      const seen = (await sense.look(down, state('a'))).disk
      return seen?.checking === false ? seen : undefined
    },
    { withinMs: 2000 },
  )
  expect(disk?.aofEnd).toMatch(/ENAMETOOLONG/)
})
