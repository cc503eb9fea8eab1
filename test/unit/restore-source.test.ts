/** A backup that is to go into a running primary, and whose bytes in the store are not those that were written. */
import { expect, test } from 'vitest'
import type { Vault } from '../../src/cli/backup-open.ts'
import { inWords, openSource } from '../../src/cli/restore-source.ts'
import { openRaw } from '../../src/redis/raw.ts'
import { noRedis, Redises } from './real-redis.ts'
import { memoryStore, rdbOf, storedBackup } from './stored-backups.ts'

test.skipIf(noRedis)('the file is named, and its store once', async () => {
  const redises = new Redises()
  const r = await redises.start()
  const opened = await openRaw({ host: '127.0.0.1', port: r.port }, 5000)
  if (!opened.ok) throw new Error(opened.why)
  try {
    const store = memoryStore()
    const manifest = await storedBackup(store, rdbOf(Buffer.alloc(0)), 'none', null)
    const { name } = manifest.stored
    const bytes = Buffer.from(store.objects.get(name) ?? '')
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1
    store.objects.set(name, bytes)
    const vault = { config: { paths: { redisServer: 'redis-server' } }, group: { name: 'cache' }, store, key: null, signal: new AbortController().signal }
    const backup = { manifest } as Parameters<typeof openSource>[1]['backup']
    const open = () => openSource(vault as unknown as Vault, { backup, moment: null }, opened.value, 'holdfast-restore-source-')
    await expect(inWords(vault as unknown as Vault, 'HF819', open)).rejects.toMatchObject({
      code: 'HF816',
      message: `${name} in memory: it has other bytes than were stored (SHA-256)`,
      hint: 'holdfast backup list cache',
    })
  } finally {
    opened.value.close()
    await redises.close()
  }
})
