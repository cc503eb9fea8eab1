/**
 * What the source is set to and the target otherwise, in one table. PURE. Only what clients or data can feel: where a redis lies on its disk is its own
 * affair. Old names are told from new ones, so that a 3.2 is compared with a 7.0.
 */
import { green, trap, unseen, yellow, type Trap } from './check.ts'
import type { Instance } from './facts.ts'
import { whyNot } from './traps-data.ts'

/** `felt`: clients or data notice at once; the others are told of, and stop nobody. */
const compared: readonly { readonly names: readonly string[]; readonly felt: boolean; readonly why: string }[] = [
  { names: ['databases'], felt: false, why: 'see P2' },
  { names: ['maxmemory'], felt: false, why: 'see P3' },
  { names: ['maxmemory-policy'], felt: false, why: 'see P3' },
  { names: ['notify-keyspace-events'], felt: true, why: 'who listens for events hears nothing any more' },
  { names: ['proto-max-bulk-len'], felt: true, why: 'a value above it is refused' },
  { names: ['client-query-buffer-limit'], felt: true, why: 'a client that sends more is disconnected' },
  { names: ['maxclients'], felt: true, why: 'the connections above it are refused' },
  { names: ['timeout'], felt: true, why: 'silent connections are closed after so many seconds; 0: never' },
  { names: ['tcp-keepalive'], felt: false, why: 'connections through a firewall that forgets them' },
  { names: ['busy-reply-threshold', 'lua-time-limit'], felt: false, why: 'from then on a long script may be killed' },
  { names: ['appendonly'], felt: true, why: 'what a power cut takes' },
  { names: ['appendfsync'], felt: true, why: 'what a power cut takes' },
  { names: ['save'], felt: true, why: 'what a power cut takes' },
  { names: ['min-replicas-to-write', 'min-slaves-to-write'], felt: true, why: 'writes are refused below so many replicas' },
  { names: ['min-replicas-max-lag', 'min-slaves-max-lag'], felt: false, why: 'from when on a replica does not count' },
  { names: ['lazyfree-lazy-expire'], felt: false, why: 'large keys that expire hold everybody up' },
  { names: ['lazyfree-lazy-eviction'], felt: false, why: 'large keys that are dropped hold everybody up' },
  { names: ['lazyfree-lazy-user-del'], felt: false, why: 'DEL of large keys holds everybody up' },
  { names: ['activedefrag'], felt: false, why: 'memory that fragments' },
  { names: ['hz'], felt: false, why: 'how soon what has expired is removed' },
  { names: ['hash-max-listpack-entries', 'hash-max-ziplist-entries'], felt: false, why: 'memory of small hashes' },
  { names: ['hash-max-listpack-value', 'hash-max-ziplist-value'], felt: false, why: 'memory of small hashes' },
  { names: ['set-max-intset-entries'], felt: false, why: 'memory of small sets' },
  { names: ['zset-max-listpack-entries', 'zset-max-ziplist-entries'], felt: false, why: 'memory of small sorted sets' },
  { names: ['zset-max-listpack-value', 'zset-max-ziplist-value'], felt: false, why: 'memory of small sorted sets' },
  { names: ['list-max-listpack-size', 'list-max-ziplist-size'], felt: false, why: 'memory of lists' },
  { names: ['stream-node-max-entries'], felt: false, why: 'memory of streams' },
]

export interface Differs {
  readonly name: string
  readonly source: string
  readonly target: string
  readonly felt: boolean
  readonly why: string
}

/** null: one of them may not be asked. */
export function differing(from: Instance, to: Instance): readonly Differs[] | null {
  if (!from.settings.ok || !to.settings.ok) return null
  const [mine, theirs] = [from.settings.value, to.settings.value]
  return compared.flatMap(({ names, felt, why }): readonly Differs[] => {
    const [source, target] = [told(mine, names), told(theirs, names)]
    // What one of them does not have cannot be other there.
    if (source === null || target === null || sorted(source) === sorted(target)) return []
    return [{ name: names[0] ?? '', source, target, felt, why }]
  })
}

function told(settings: ReadonlyMap<string, string>, names: readonly string[]): string | null {
  for (const name of names) {
    const value = settings.get(name)
    if (value !== undefined) return value
  }
  return null
}

/** `notify-keyspace-events` is told in whatever order. */
function sorted(value: string): string {
  return /^[A-Za-z$]+$/.test(value) && !/^(yes|no|always|everysec)$/.test(value) ? [...value].sort().join('') : value
}

/** Of every member: each of them is to be the primary one day. `why`: it did not answer. */
export function settingsTrap(
  from: Instance,
  tables: readonly { readonly host: string; readonly table: readonly Differs[] | null; readonly why: string | null }[],
): Trap {
  const why = 'what was set by hand for years is in no file of the new machine'
  if (!from.settings.ok) return trap('P8', why, [unseen('the settings of the source', whyNot(from))])
  return trap(
    'P8',
    why,
    tables.map(({ host, table, why: silent }) => {
      if (table === null) return unseen(host, silent ?? 'its settings may not be asked')
      const felt = table.filter((one) => one.felt)
      if (felt.length === 0) return green(`${host}: ${table.length === 0 ? 'the same' : `${table.length} differ, none`} that clients or data feel`)
      const text = felt.map(({ name, source, target }) => `${name} ${quoted(source)} → ${quoted(target)}`).join(', ')
      const wanted = felt.map(({ name, source }) => `${name}: ${JSON.stringify(source)}`).join(', ')
      return yellow(`${host}: ${text}`, `redis: { ${wanted} } of the group, where it is to stay as it was`)
    }),
  )
}

function quoted(value: string): string {
  return value === '' ? '""' : value
}
