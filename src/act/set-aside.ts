/**
 * A file of redis that it cannot read is moved to what is kept (INV-6), where a person can mend it; never deleted, never written over.
 * One rename: it is in one place or the other, whatever happens.
 */
import { mkdir, readdir, rename, stat } from 'node:fs/promises'
import type { Kept } from '../model/kept.ts'
import { done, failed, type Outcome } from '../model/outcome.ts'
import { aofDirName, keptDir, oldAofName, rdbName, redisDataDir } from '../model/paths.ts'
import { syncFolder, writeDurably } from './durable.ts'
import type { RedisHands } from './redis.ts'

export async function setAside(hands: RedisHands, file: 'aof' | 'rdb', why: string): Promise<Outcome> {
  const { paths } = hands.config
  const [from, to] = [redisDataDir(paths, hands.group.name), keptDir(paths, hands.group.name)]
  const first = `unreadable-from-${hands.member.host}-${Date.now()}`
  try {
    await mkdir(to, { recursive: true, mode: 0o750 })
    for (const name of file === 'rdb' ? [rdbName] : [aofDirName, oldAofName]) {
      const bytes = await bytesIn(`${from}/${name}`)
      if (bytes === null) continue
      // The AOF of an older redis may lie beside the folder of the present one.
      const id = name === oldAofName ? `${first}-old` : first
      const kept = `${to}/${id}.${file}`
      await writeDurably(
        `${to}/${id}.json`,
        JSON.stringify(keptFile(hands, id, { kind: file === 'aof' ? 'aof' : 'dataset', bytes, why: `redis cannot read it: ${why}` })),
      )
      await rename(`${from}/${name}`, kept)
      hands.note(`${name} cannot be read (${why}): it was kept as ${kept}`, 'kept')
    }
    await syncFolder(to)
    await syncFolder(from)
    hands.diskChanged()
    return done
  } catch (error) {
    return failed(`cannot set ${file === 'rdb' ? rdbName : 'the AOF'} aside: ${(error as Error).message}`)
  }
}

/** Of a file, or of the files in a folder; null: neither is there. */
export async function bytesIn(path: string): Promise<number | null> {
  const found = await stat(path).catch(() => null)
  if (found === null) return null
  if (!found.isDirectory()) return found.size
  const sizes = await Promise.all((await readdir(path)).map((name) => stat(`${path}/${name}`)))
  return sizes.reduce((sum, { size }) => sum + size, 0)
}

/** A file that redis cannot read as it is, as what is kept says it. */
export function keptFile(hands: RedisHands, id: string, said: Pick<Kept, 'kind' | 'bytes' | 'why'>): Kept {
  return {
    format: 1,
    id,
    group: hands.group.name,
    host: hands.member.host,
    epoch: 0,
    replid: '',
    fromOffset: null,
    toOffset: null,
    commands: null,
    keys: null,
    databases: null,
    startDatabase: null,
    forkedAtWallMs: null,
    keptAtWallMs: Date.now(),
    sha256: null,
    unreadable: true,
    seenAtWallMs: null,
    seenBy: null,
    ...said,
  }
}
