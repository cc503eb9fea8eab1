/** Where a redis has its files: known of one that Holdfast starts, asked of one that somebody else does. Read-only. */
import { aofDirName, oldAofName, rdbName } from '../model/paths.ts'
import type { RedisLink } from '../redis/link.ts'

const deadlineMs = 1000

export interface RedisFiles {
  readonly dir: string
  readonly rdb: string
  /** Before redis 7 there is no such folder. */
  readonly aofDir: string
  readonly aof: string
}

export function usualFiles(dir: string): RedisFiles {
  return { dir, rdb: rdbName, aofDir: aofDirName, aof: oldAofName }
}

/** null: it does not tell. */
export async function askFiles(link: RedisLink): Promise<RedisFiles | null> {
  const value = async (name: string): Promise<string | null> => {
    const answer = await link.call(['CONFIG', 'GET', name], deadlineMs)
    return answer.ok && Array.isArray(answer.value) ? String(answer.value[1] ?? '') : null
  }
  const [dir, rdb, aofDir, aof] = await Promise.all([value('dir'), value('dbfilename'), value('appenddirname'), value('appendfilename')])
  if (dir == null || rdb == null || aofDir == null || aof == null || !dir.startsWith('/')) return null
  // Until redis 7 the name of the AOF cannot be asked for.
  return { dir, rdb: rdb || rdbName, aofDir: aofDir || aofDirName, aof: aof || oldAofName }
}
