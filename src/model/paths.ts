/**
 * Where a host keeps what it must remember (`state`) and what it can lose (`run`). PURE: names only, nothing is opened.
 * One place, so that agent, renderers, lab and documentation cannot disagree.
 */
import type { Config } from './config.ts'
import type { PasswordOf } from './password.ts'

type Paths = Config['paths']

export function agentLockFile(paths: Paths): string {
  return `${paths.state}/agent.lock`
}

/** The last configurations that this agent ran with and was given another for. */
export function configHistoryDir(paths: Paths): string {
  return `${paths.state}/config-history`
}

export function groupStateDir(paths: Pick<Paths, 'state'>, group: string): string {
  return `${paths.state}/${group}`
}

/** The durable decision state of one group on this host. */
export function stateFile(paths: Paths, group: string): string {
  return `${groupStateDir(paths, group)}/state.json`
}

/** What happened, for people: one JSON line per event. */
export function eventsFile(paths: Paths, group: string): string {
  return `${groupStateDir(paths, group)}/events.jsonl`
}

/** Every decision with the View that led to it, so that it replays exactly. */
export function journalFile(paths: Paths, group: string): string {
  return `${groupStateDir(paths, group)}/journal.jsonl`
}

/** redis' own `dir`: its RDB and AOF. Only for `process: direct`. */
export function redisDataDir(paths: Pick<Paths, 'state'>, group: string): string {
  return `${groupStateDir(paths, group)}/data`
}

/** In it, by the names that redis gives them and that every redis.conf of Holdfast leaves as they are. */
export const rdbName = 'dump.rdb'
export const aofDirName = 'appendonlydir'
export const oldAofName = 'appendonly.aof'

export function redisLogFile(paths: Paths, group: string): string {
  return `${groupStateDir(paths, group)}/redis.log`
}

/** The Sentinel's own: its configuration file is its memory, and it writes beside it. Only for Sentinels that Holdfast starts. */
export function sentinelDir(paths: Paths, group: string): string {
  return `${groupStateDir(paths, group)}/sentinel`
}

/** Holds passwords: mode 0600. */
export function sentinelConfFile(paths: Paths, group: string): string {
  return `${sentinelDir(paths, group)}/sentinel.conf`
}

export function sentinelLogFile(paths: Paths, group: string): string {
  return `${groupStateDir(paths, group)}/sentinel.log`
}

export function keepalivedLogFile(paths: Paths): string {
  return `${paths.state}/keepalived.log`
}

export function groupRunDir(paths: Paths, group: string): string {
  return `${paths.run}/${group}`
}

/** Holds the password: mode 0600. */
export function redisConfFile(paths: Paths, group: string): string {
  return `${groupRunDir(paths, group)}/redis.conf`
}

/**
 * keepalived's track file. "1": this host may hold the VIP. Anything else, or no file: it may not. It lies beside
 * keepalived.conf, not in a folder of the group: keepalived drops a track file whose FOLDER is missing and then grants the VIP.
 */
export function vipAllowedFile(paths: Paths, group: string): string {
  return `${paths.run}/${group}.vip-allowed`
}

/** The same for the group's reader address. */
export function readerAllowedFile(paths: Paths, group: string): string {
  return `${paths.run}/${group}.reader-allowed`
}

export function nftablesFile(paths: Paths, group: string): string {
  return `${groupRunDir(paths, group)}/nftables.conf`
}

export function keepalivedConfFile(paths: Paths): string {
  return `${paths.run}/keepalived.conf`
}

export function keepalivedFifo(paths: Paths): string {
  return `${paths.run}/keepalived.fifo`
}

export function keepalivedPidFile(paths: Paths): string {
  return `${paths.run}/keepalived.pid`
}

export function keepalivedVrrpPidFile(paths: Paths): string {
  return `${paths.run}/keepalived-vrrp.pid`
}

/** nft table of a group's stale-address rule (table names allow no dash or dot). */
export function nftTable(group: string): string {
  return `holdfast_${group.replace(/[^A-Za-z0-9_]/g, '_')}`
}

/** keepalived's instance name, as it stands in the config and in the notify fifo. */
export function vrrpInstance(group: string): string {
  return group
}

const readerSuffix = '.reader'

/** A name that no group can have: theirs have no dot. */
export function readerInstance(group: string): string {
  return `${group}${readerSuffix}`
}

export function groupOfInstance(instance: string): { readonly group: string; readonly reader: boolean } {
  const reader = instance.endsWith(readerSuffix)
  return { group: reader ? instance.slice(0, -readerSuffix.length) : instance, reader }
}

/** What was kept before data were given up (INV-6): copies, their manifests, journals of replays. */
export function keptDir(paths: Paths, group: string): string {
  return `${groupStateDir(paths, group)}/kept`
}

/** The last that was known of this member's dataset while its history was known. */
export function positionNoteFile(paths: Paths, group: string): string {
  return `${groupStateDir(paths, group)}/position.json`
}

/** Two passwords, while the one of a group, or of its Sentinels, is changed: mode 0600. */
export function passwordChangeFile(paths: Paths, group: string, of: PasswordOf): string {
  return `${groupStateDir(paths, group)}/${of === 'sentinels' ? 'sentinel-' : ''}password-change.json`
}

/** Two secrets, while that of the agents is changed: mode 0600. */
export function secretChangeFile(paths: Paths): string {
  return `${paths.state}/secret-change.json`
}

/** While it is there: the AOF that lies in the data folder is to be removed, for another member covers what it had. */
export function aofToDropFile(paths: Pick<Paths, 'state'>, group: string): string {
  return `${groupStateDir(paths, group)}/aof-to-drop`
}

/** The user's values of what the write fence has changed in redis, for as long as it is in force. */
export function writeFenceFile(paths: Paths, group: string): string {
  return `${groupStateDir(paths, group)}/write-fence.json`
}

/** The user's values of what `durability: safe` has changed in redis. */
export function safeLimitsFile(paths: Paths, group: string): string {
  return `${groupStateDir(paths, group)}/safe-limits.json`
}

/** The redis that is being moved here: where it is, its password, what was changed there. Mode 0600. */
export function sourceFile(paths: Pick<Paths, 'state'>, group: string): string {
  return `${groupStateDir(paths, group)}/source.json`
}

/** Whoever lays a file here lets a cut-over go ahead that was postponed until then. */
export function goAheadFile(paths: Pick<Paths, 'state'>, group: string): string {
  return `${groupStateDir(paths, group)}/cut-over`
}

/** What the guard of a leased primary looks at (render/guard.ts): /proc/uptime as the agent read it last. */
export function beatFile(paths: Paths): string {
  return `${paths.run}/agent.beat`
}

export function guardScriptFile(paths: Paths): string {
  return `${paths.run}/guard.sh`
}

export function guardPlanFile(paths: Paths): string {
  return `${paths.run}/guard.json`
}
