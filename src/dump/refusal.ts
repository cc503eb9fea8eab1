/** Why a redis-server did not load an RDB, from its log: what speaks of the RDB, and what of the machine or the server. Text in, data out. */
import type { Manifest } from '../backup/manifest.ts'
import { fatalWords } from '../redis/fatal-words.ts'

export interface Refusal {
  /** Another redis, with all it needs, would not load it either. */
  readonly ofBackup: boolean
  /** A newer server may load it. */
  readonly newer: boolean
  readonly why: string
}

export function refusalOf(output: string, { server }: Manifest): Refusal {
  const lines = output.split('\n').map((line) => line.replace(/^\S+ \d+ \w+ \d+ [\d:.]+ [#*.-] /, '').trim())
  const find = (pattern: RegExp): string | undefined => lines.findLast((line) => pattern.test(line))
  const first = (pattern: RegExp): string | undefined => lines.find((line) => pattern.test(line))
  if (find(/Can't handle RDB format version|Can't handle foreign RDB/) !== undefined)
    return { ofBackup: false, newer: true, why: `written by redis ${server.version} (RDB ${server.rdbFormat})` }
  const module = find(/matching module|module data/i)
  if (module !== undefined) return { ofBackup: false, newer: false, why: `this redis-server has not all modules that it needs: ${module}` }
  if (find(/out of memory|cannot allocate/i) !== undefined)
    return { ofBackup: false, newer: false, why: 'this machine has too little memory for it: redis-server ran out of it' }
  // The first one: a redis that has failed looks at its file once more, and finds the middle of a stream.
  const told = first(/short read|corrupt|unexpected|unknown rdb|bad data|wrong signature|rdb crc|internal error|invalid|Fatal error loading|exceeds|failed/i)
  if (told !== undefined && find(/RDB|DB/) !== undefined) return { ofBackup: true, newer: false, why: told }
  const [fatal] = fatalWords(output)
  if (fatal !== undefined) return { ofBackup: false, newer: false, why: `${fatal.text === '' ? '' : `${fatal.text}: `}${fatal.why}` }
  const last = lines.findLast((line) => line !== '')
  return { ofBackup: false, newer: false, why: `redis-server ended before it had loaded it${last === undefined ? '' : `: ${last}`}` }
}
