/** Real redis-servers: a restored redis confirms no write before its file is on the disk, for until then it may still be ended. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import type * as restoreDir from '../../src/dump/restore-dir.ts'
import { restore } from '../../src/dump/restore.ts'
import { openRaw, RawError, type RawReply } from '../../src/redis/raw.ts'
import { endLater, ended, ground, order } from './restore-ground.ts'

let atCommit: () => Promise<void>
vi.mock('../../src/dump/restore-dir.ts', async (original) => {
  const real = await original<typeof restoreDir>()
  const openDir: typeof real.openDir = async (...given) => {
    const dir = await real.openDir(...given)
    const commit = async (): Promise<void> => {
      await atCommit()
      await dir.commit()
    }
    return { ...dir, commit }
  }
  return { ...real, openDir }
})

async function said(port: number, ...words: readonly string[]): Promise<RawReply> {
  const opened = await openRaw({ host: '127.0.0.1', port }, 1000)
  if (!opened.ok) throw new Error(opened.why)
  return opened.value.call(...words).finally(opened.value.close)
}

test('while its file is written down it is read, and refuses writes; after that it takes them', async () => {
  const here = await ground(10)
  const wish = await order(here)
  const { port } = wish.start
  let before: readonly RawReply[] = []
  atCommit = async () => {
    before = [await said(port, 'DBSIZE'), await said(port, 'SET', 'new', 'confirmed')]
  }
  const { served } = await restore(wish)
  endLater(served?.pid ?? 0)
  expect(before).toEqual([10, new RawError("READONLY You can't write against a read only replica.")])
  expect(await said(port, 'SET', 'new', 'confirmed')).toBe('OK')
})

test('its file cannot be written down: it goes, and nobody was told that a write is safe', async () => {
  const here = await ground(10)
  const wish = await order(here)
  let write: RawReply = null
  atCommit = async () => {
    write = await said(wish.start.port, 'SET', 'new', 'confirmed')
    throw new Error('EIO')
  }
  await expect(restore(wish)).rejects.toMatchObject({ code: 'HF824' })
  expect(write).toBeInstanceOf(RawError)
  expect([await ended(wish.start.port), existsSync(join(here.dir, 'restored'))]).toEqual([true, false])
})
