/** What a redis needs that is to hold a backup. From its manifest alone. */
import type { Manifest } from '../backup/manifest.ts'

/** What an empty redis takes, and what its memory may be more than that of its source. */
const baseBytes = 64 * 1024 * 1024
const moreThanSource = 1.15
/** Of its RDB, where the source did not say: small values take several times as much in memory, large ones that redis has packed as well. */
const perRdbByte = 4

export function memoryNeeded({ seen, rdb }: Manifest): number {
  const used = Math.max(seen.before?.usedBytes ?? 0, seen.after?.usedBytes ?? 0)
  return baseBytes + (used > 0 ? used * moreThanSource : rdb.bytes * perRdbByte)
}

/** A redis refuses an RDB with a database that it does not have. */
export function databasesNeeded({ seen }: Manifest): number {
  const highest = [seen.before, seen.after].flatMap((side) => side?.databases.map(({ database }) => database + 1) ?? [])
  return Math.max(seen.before === null && seen.after === null ? 4096 : 16, ...highest)
}

/** Rounded up: of what is wanted, never too little. */
export function mib(bytes: number): string {
  return `${Math.ceil(bytes / 1024 / 1024)} MiB`
}
