/**
 * redis.conf of a redis that a backup was restored into. PURE. It is no member of its group: of what the group's user configured it has what
 * is about data and memory, and nothing that speaks of hosts, files, networks or replication. Must not name a file outside of its folder,
 * beside the modules without which the data cannot be read.
 */
import type { GroupConfig } from '../model/config.ts'
import { confLine, userDirectives, type Directive } from './redis-conf.ts'
import { modernName, type ServerVersion } from './redis-directives.ts'

export interface RestoredConfInput {
  readonly group: GroupConfig
  readonly userConf: string | undefined
  readonly password: string | undefined
  readonly bind: string
  readonly port: number
  /** Of its folder. */
  readonly dir: string
  readonly serverVersion: ServerVersion
  /** What was restored, in words: one line. */
  readonly title: string
  /** Of the backup: fewer than it has, and redis would refuse it. */
  readonly databases: number
}

/** How keys and values are held, counted and evicted. */
const aboutData =
  /^(maxmemory(-.+)?|databases|(hash|list|set|zset|stream|hll|intset|array)-.+|lfu-.+|lazyfree-.+|active-?(rehashing|defrag.*|expire.*)|notify-keyspace-events|proto-max-bulk-len|rdbcompression|save|loadmodule)$/

export function renderRestoredConf({ group, userConf, password, bind, port, dir, serverVersion, title, databases }: RestoredConfInput): string {
  const own: (Directive | false)[] = [
    ['daemonize', 'no'],
    ['bind', bind],
    ['port', String(port)],
    ['protected-mode', 'yes'],
    ['dir', dir],
    ['dbfilename', 'dump.rdb'],
    ['logfile', `${dir}/redis.log`],
    ['rdbchecksum', 'yes'],
    // An AOF that is asked for and not there means an empty start, whatever lies in dump.rdb.
    ['appendonly', 'no'],
    password !== undefined && ['requirepass', password],
    password !== undefined && ['masterauth', password],
  ]
  const kept = userDirectives(group, userConf).filter(([name]) => aboutData.test(modernName(name)))
  const enough = Math.max(databases, ...kept.filter(([name]) => name === 'databases').map(([, count]) => Number(count)))
  const lines = (list: readonly (Directive | false)[]): string[] => list.filter((one) => one !== false).map((one) => confLine(serverVersion, one))
  return [
    `# ${title}`,
    '# Written by holdfast restore. No agent looks after this redis: it is no member of its group. Change it as you like.',
    ...lines(own),
    '',
    '# Of the group, what is about data and memory',
    ...lines([...kept.filter(([name]) => name !== 'databases'), ['databases', String(enough)]]),
    '',
  ].join('\n')
}
