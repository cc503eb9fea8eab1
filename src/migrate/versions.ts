/**
 * What each version of redis and Valkey writes and knows, as far as a migration must know it before it begins. PURE. A version that is not in these
 * tables is unknown, and never taken for one that is.
 */

export type Product = 'redis' | 'valkey'

export interface ServerVersion {
  readonly product: Product
  /** As the server tells it. Valkey also calls itself redis 7.2.4, for old clients. */
  readonly text: string
  readonly major: number
  readonly minor: number
  readonly patch: number
}

/** null: it tells none that could be read. */
export function versionFrom(fields: ReadonlyMap<string, string>): ServerVersion | null {
  const valkey = fields.get('valkey_version')
  const text = valkey ?? fields.get('redis_version')
  const found = /^(\d+)\.(\d+)\.(\d+)/.exec(text ?? '')
  if (text === undefined || found === null) return null
  return { product: valkey === undefined ? 'redis' : 'valkey', text, major: Number(found[1]), minor: Number(found[2]), patch: Number(found[3]) }
}

export function nameOf({ product, text }: ServerVersion): string {
  return `${product} ${text}`
}

/** As old a redis as Valkey's own number stands for: it began as 7.2. */
export function isAtLeast(version: ServerVersion, major: number, minor: number): boolean {
  const [has, hasMinor] = version.product === 'valkey' && version.major < 8 ? [7, 2] : [version.major, version.minor]
  return has > major || (has === major && hasMinor >= minor)
}

/**
 * The format of the RDB that it writes; it reads all up to its own. Sources: RDB_VERSION in rdb.h of redis 3.0 to 8.0 and of Valkey 7.2 to 9.0.
 * null: not in the table.
 */
const redisFormats: readonly (readonly [major: number, minor: number, format: number])[] = [
  [2, 6, 6],
  [2, 8, 6],
  [3, 0, 6],
  [3, 2, 7],
  [4, 0, 8],
  [5, 0, 9],
  [6, 0, 9],
  [6, 2, 9],
  [7, 0, 10],
  [7, 2, 11],
  [7, 4, 12],
  [8, 0, 12],
]
const valkeyFormats: readonly (readonly [major: number, minor: number, format: number])[] = [
  [7, 2, 11],
  [8, 0, 11],
  [8, 1, 11],
  [9, 0, 80],
]

export function rdbFormatOf({ product, major, minor }: ServerVersion): number | null {
  const formats = product === 'valkey' ? valkeyFormats : redisFormats
  return formats.find(([m, n]) => m === major && n === minor)?.[2] ?? null
}

/** Redis' own and Valkey's went apart after 11: what lies between belongs to redis alone. Valkey calls these foreign and refuses them (rdb.h). */
const foreignToValkey = { from: 12, to: 79 } as const

/** What an RDB of this format is to a server that reads up to its own. */
export function readsFormat(reader: ServerVersion, own: number, format: number): boolean {
  if (reader.product === 'valkey' && format >= foreignToValkey.from && format <= foreignToValkey.to) return false
  // What Valkey numbers from 80 on no redis reads.
  if (reader.product === 'redis' && format > foreignToValkey.to) return false
  return format <= own
}

export interface Capabilities {
  /** `CLIENT PAUSE ms WRITE`: writes wait and everything else is answered (6.2). */
  readonly pausesWrites: boolean
  /** `FAILOVER TO … FORCE`: the primary demotes itself before the other begins (6.2). */
  readonly failover: boolean
  /** A replica that is promoted keeps the history that it had, so others go on without a full sync (4.0). */
  readonly psync2: boolean
  /** Times to live travel as points in time: a clock that differs shortens none (7.0). */
  readonly absoluteTtl: boolean
  /** Loaded scripts are handed to replicas, with the RDB (4.0 to 6.2). */
  readonly replicatesScripts: boolean
  readonly acl: boolean
  readonly functions: boolean
}

export function capabilitiesOf(version: ServerVersion): Capabilities {
  const from = (major: number, minor: number): boolean => isAtLeast(version, major, minor)
  return {
    pausesWrites: from(6, 2),
    failover: from(6, 2),
    psync2: from(4, 0),
    absoluteTtl: from(7, 0),
    replicatesScripts: from(4, 0) && !from(7, 0),
    acl: from(6, 0),
    functions: from(7, 0),
  }
}
