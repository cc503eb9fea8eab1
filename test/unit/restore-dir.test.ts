/** The folder of a restore, in which somebody else puts something between the look and the first write. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { checkDir, openDir } from '../../src/dump/restore-dir.ts'

let dir = ''
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-restore-dir-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const half = 'dump.rdb.999999.part'

test.each([
  ['a file of somebody beside what a restore that was killed has left', ['notes.txt', half]],
  ['a dump.rdb that somebody copied there', ['dump.rdb']],
  ['a whole dump.rdb beside half of one', ['dump.rdb', half]],
])('%s: refused, and it is still there', async (_, names) => {
  await checkDir(dir, 1)
  for (const name of names) writeFileSync(join(dir, name), name)
  await expect(openDir(dir, 'port 1\n', false)).rejects.toMatchObject({ code: 'HF821', message: expect.stringContaining('it is not empty') as string })
  expect(readdirSync(dir).toSorted()).toEqual(names.toSorted())
  for (const name of names) expect(readFileSync(join(dir, name), 'utf8')).toBe(name)
})

test('what a restore that was killed has left is replaced', async () => {
  for (const name of [half, 'redis.conf', 'redis.log']) writeFileSync(join(dir, name), 'half')
  await checkDir(dir, 1)
  const opened = await openDir(dir, 'port 1\n', false)
  expect(readdirSync(dir).toSorted()).toEqual([`dump.rdb.${process.pid}.part`, 'redis.conf'])
  await opened.discard()
  expect(readdirSync(dir)).toEqual([])
})
