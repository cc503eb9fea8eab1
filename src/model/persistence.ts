/** What a redis writes to its disk, in one shape for what is configured and what a running redis says. PURE words. */

export type AofSync = 'always' | 'everysec' | 'no'

export interface SavePoint {
  readonly seconds: number
  readonly changes: number
}

export interface Persistence {
  /** Empty: no RDB is saved by itself. */
  readonly save: readonly SavePoint[]
  readonly aof: AofSync | 'off'
}

/** Of a group: what a member has while it is primary, and what while it is a replica. */
export interface PersistenceByRole extends RewriteLimits {
  readonly primary: Persistence
  readonly replica: Persistence
}

/** When an AOF is rewritten by itself: grown by so much since the last time, and not while it is smaller. */
export interface RewriteLimits {
  readonly rewritePercentage: number
  readonly rewriteMinBytes: number
}

/** What a redis says that it has. */
export type RunningPersistence = Persistence & RewriteLimits

export function savesAsText(save: readonly SavePoint[]): string {
  return save.map(({ seconds, changes }) => `${seconds} ${changes}`).join(' ')
}

export function persistenceInWords({ save, aof }: Persistence): string {
  const parts = [...(aof === 'off' ? [] : [`an AOF (${aof})`]), ...(save.length === 0 ? [] : [`saves (${savesAsText(save)})`])]
  return parts.length === 0 ? 'nothing on its disk' : parts.join(' and ')
}

export function isSamePersistence(one: Persistence, other: Persistence): boolean {
  return one.aof === other.aof && savesAsText(one.save) === savesAsText(other.save)
}

export function writesAnything({ save, aof }: Persistence): boolean {
  return aof !== 'off' || save.length > 0
}

/** What `persistence` says, and so no other key may. */
export const persistenceDirectives = ['save', 'appendonly', 'appendfsync', 'auto-aof-rewrite-percentage', 'auto-aof-rewrite-min-size'] as const

/** `3600 1 300 100`, as redis writes it; what is no pair is not read. */
export function savePointsIn(text: string): readonly SavePoint[] {
  const words = text.split(/\s+/).filter((word) => word !== '')
  const points: SavePoint[] = []
  for (let i = 0; i + 1 < words.length; i += 2) {
    const [seconds, changes] = [Number(words[i]), Number(words[i + 1])]
    if (seconds > 0 && changes > 0) points.push({ seconds, changes })
  }
  return points
}

export function aofSyncIn(appendonly: string, appendfsync: string): Persistence['aof'] {
  if (appendonly.toLowerCase() !== 'yes') return 'off'
  const sync = appendfsync.toLowerCase()
  return sync === 'always' || sync === 'no' ? sync : 'everysec'
}
