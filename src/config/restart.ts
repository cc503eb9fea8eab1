/**
 * What a redis that somebody else starts (`process: external`) will be when its supervisor restarts it, read from its redis.conf. PURE.
 * Holdfast cannot fence what it does not start; the file can: with `replicaof 127.0.0.1 1` redis is born as a replica of nobody.
 */
import type { GroupConfig } from '../model/config.ts'
import { writesAnything } from '../model/persistence.ts'
import { modernName, readConf } from '../render/redis-directives.ts'

export const bornFencedLine = 'replicaof 127.0.0.1 1'

/** The last line rules, as in redis itself. An `include` may say anything: then it is not known. */
export function isBornFenced(conf: string): boolean | 'unknown' {
  const { lines } = readConf(conf)
  const last = lines.findLast(({ directive }) => modernName(directive) === 'replicaof' || directive === 'include')
  if (last?.directive === 'include') return 'unknown'
  return last !== undefined && last.args.join(' ') === '127.0.0.1 1'
}

/** Which data a redis of this file has after a crash. */
export function comesBackWith(conf: string): 'nothing' | 'its last snapshot' | 'its append-only file' {
  const { lines } = readConf(conf)
  if (lines.findLast(({ directive }) => directive === 'appendonly')?.args[0]?.toLowerCase() === 'yes') return 'its append-only file'
  const saves = lines.filter(({ directive }) => directive === 'save')
  // `save ""` forgets the lines before it; without any line redis has its own defaults.
  return saves.length > 0 && saves.at(-1)?.args.join('') === '' ? 'nothing' : 'its last snapshot'
}

/** For `check`: where this group is exposed when redis is restarted, and what closes it. `conf`: its redis.conf, where it is named. */
export function restartExposures(group: GroupConfig, conf: string | undefined): readonly string[] {
  const name = `groups.${group.name}`
  if (group.process === 'direct') {
    const own = [conf ?? '', ...group.redis.map(([directive, value]) => `${directive} ${value === '' ? '""' : value}`)].join('\n')
    const { persistence } = group
    const isNothing = persistence === undefined ? comesBackWith(own) === 'nothing' : ![persistence.primary, persistence.replica].some(writesAnything)
    if (!isNothing) return []
    return [
      `${name}: no persistence: a member that restarts comes back empty, harms nobody and is filled again; but after a power cut of all its hosts nothing is left. \`persistence: aof-everysec\`, or \`replicas-aof\`, closes that`,
    ]
  }
  if (conf === undefined)
    return [
      `${name}: process: external: what its supervisor restarts at once answers clients before the address is gone, with whatever its disk has; what they write there is kept as a copy and leaves the group. \`${bornFencedLine}\` in its redis.conf closes that (Holdfast promotes it when it is to serve), a supervisor that waits (RestartSec=5) makes it unlikely. Name that file with \`redis_conf\`, and \`check\` reads it`,
    ]
  const found: string[] = []
  const fenced = isBornFenced(conf)
  if (fenced !== true)
    found.push(
      `${name}: process: external: ${group.redisConf ?? 'its redis.conf'} ${fenced === 'unknown' ? 'includes another file after its last' : 'has no'} \`${bornFencedLine}\`: restarted at once, redis answers clients with ${comesBackWith(conf)} before the address is gone; what they write there is kept as a copy and leaves the group. That line closes it (Holdfast promotes it when it is to serve); a supervisor that waits (RestartSec=5) makes it unlikely`,
    )
  const diskless = readConf(conf).lines.findLast(({ directive }) => directive === 'repl-diskless-sync')?.args[0]
  if (diskless?.toLowerCase() !== 'no')
    found.push(
      `${name}: process: external: ${group.redisConf ?? 'its redis.conf'} does not say \`repl-diskless-sync no\`: with redis 7 and later a replica looks ready up to a second before it receives anything after a full sync`,
    )
  return found
}
