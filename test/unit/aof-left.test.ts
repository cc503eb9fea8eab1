/** What is left of an AOF that was to be removed is seen at each look, whoever started this agent. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { openDiskSense } from '../../src/agent/disk-sense.ts'
import { aofToDropFile, groupStateDir } from '../../src/model/paths.ts'
import { facts, groupConfig, probe, state } from './builders.ts'

const root = mkdtempSync(join(tmpdir(), 'holdfast-aof-left-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

test('what a removal that failed has left is seen until it is gone', async () => {
  const paths = { state: `${root}/state`, run: `${root}/run`, redisServer: '', redisSentinel: '', keepalived: '' }
  const none = { save: [], aof: 'off' } as const
  const group = groupConfig(['a', 'b'], { persistence: { primary: none, replica: none, rewritePercentage: 100, rewriteMinBytes: 64 } })
  mkdirSync(groupStateDir(paths, group.name), { recursive: true })
  const file = aofToDropFile(paths, group.name)
  const disk = openDiskSense(
    paths,
    group,
    undefined,
    () => null,
    () => {},
  )
  const left = async (): Promise<unknown> => (await disk.look(probe({ facts: facts() }), state('b'))).aofLeft
  writeFileSync(file, '')
  expect(await left()).toBe(true)
  rmSync(file)
  disk.changed()
  expect(await left()).toBeUndefined()
})
