/**
 * What `holdfast adopt look` finds on one host of a pair that somebody else has set up: its two files, the scripts that they name, the redis that runs, and
 * what else may start or turn it. PURE words. `null` is not known, with its reason where there is one, and is never taken for good.
 */
import type { ConfNode } from './keepalived-conf.ts'

export const foundFormat = 1

/** One line of redis.conf, in words; what it includes stands in its place. */
export type RedisLine = readonly [directive: string, ...args: string[]]

export interface OwnAddress {
  readonly interface: string
  readonly ip: string
  readonly prefix: number
}

export interface RunningRedis {
  readonly at: string
  readonly port: number
  readonly product: string
  readonly version: string
  readonly runId: string
  readonly pid: number
  readonly configFile: string
  readonly role: 'primary' | 'replica'
  /** Of a replica. */
  readonly upstream: { readonly host: string; readonly port: number } | null
  readonly linkUp: boolean
  readonly syncing: boolean
  /** '': before 4.0 there is none. */
  readonly replid: string
  readonly offset: number
  readonly keys: number
  readonly isCluster: boolean
  readonly replicas: readonly { readonly ip: string; readonly port: number }[]
  /** Has it connections that only a Sentinel makes? null: it may not be asked. */
  readonly watchedBySentinels: boolean | null
  /** Commands that the agent calls and that do not answer to their own name. */
  readonly lacking: readonly string[]
  /** CONFIG GET *, without passwords; null: it may not be asked. */
  readonly settings: Readonly<Record<string, string>> | null
}

/** Who starts redis again when it has ended. */
export interface Supervisor {
  /** Of systemd. */
  readonly unit: string | null
  /** `Restart=` of that unit; null: not known. */
  readonly restart: string | null
  /** `RestartSec=`, as systemd tells it. */
  readonly restartAfter: string | null
  /** The name of the process that started it. */
  readonly parent: string | null
}

export interface ScriptFound {
  /** As keepalived.conf has it. */
  readonly command: string
  /** null: it could not be read, or the command is no file. */
  readonly text: string | null
  readonly why: string
}

export interface HostFound {
  readonly format: typeof foundFormat
  readonly host: string
  readonly addresses: readonly OwnAddress[]
  /** `file` is null where none was found: what redis says of itself then counts alone. */
  readonly redisConf: { readonly file: string | null; readonly lines: readonly RedisLine[]; readonly unread: readonly string[] }
  /** null: the pair has none. */
  readonly keepalivedConf: { readonly file: string; readonly nodes: readonly ConfNode[]; readonly unread: readonly string[] } | null
  readonly scripts: readonly ScriptFound[]
  readonly redis: RunningRedis
  readonly supervisor: Supervisor
  /** Lines of cron that name redis, keepalived or Sentinel. */
  readonly cron: readonly string[]
  /** By which redis lets its clients in, and by which it goes to its primary: for the password file, and in no output. null: none. */
  readonly passwords: { readonly own: string | null; readonly masterauth: string | null }
}

/** Is that what `look` has written? Only as far as the rest relies on. */
export function isHostFound(value: unknown): value is HostFound {
  const found = value as Partial<HostFound> | null
  return (
    typeof found === 'object' &&
    found !== null &&
    found.format === foundFormat &&
    typeof found.host === 'string' &&
    Array.isArray(found.addresses) &&
    Array.isArray(found.scripts) &&
    Array.isArray(found.cron) &&
    typeof found.passwords === 'object' &&
    Array.isArray(found.redisConf?.lines) &&
    (found.keepalivedConf === null || Array.isArray(found.keepalivedConf?.nodes)) &&
    (found.redis?.role === 'primary' || found.redis?.role === 'replica')
  )
}
