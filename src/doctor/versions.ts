/** Which versions of redis and keepalived this is tried with (docs/servers.md), and what runs here. PURE. */
import type { DoctorFinding, GroupLook, InstalledPrograms, Level } from '../model/doctor.ts'
import { found, unseen, type Check } from './say.ts'

const redisCheck: Check = {
  check: 'redis version',
  group: null,
  why: 'what a version does at the edges, such as a sync that breaks off, was tried with those of docs/servers.md only',
}
const keepalivedCheck: Check = {
  check: 'keepalived version',
  group: null,
  why: 'the fence is its track file: how a version treats that was tried with 2.2 only',
}

export function judgeVersions(programs: InstalledPrograms, groups: readonly GroupLook[]): readonly DoctorFinding[] {
  const sentinels = groups.some((g) => g.usesSentinels)
  const { redisServer, keepalived } = programs
  const installed = /v=([\d.]+)/.exec(redisServer.said ?? '')?.[1] ?? null
  const isValkey = redisServer.said?.startsWith('Valkey') === true
  return [
    ...(groups.every((g) => g.isExternal) ? [] : [ofInstalled(redisServer.path, installed, isValkey, sentinels)]),
    ...groups.flatMap((g) => ofRunning(g, installed, isValkey)),
    ...(keepalived === undefined ? [] : [ofKeepalived(keepalived)]),
  ]
}

function ofInstalled(path: string, version: string | null, isValkey: boolean, sentinels: boolean): DoctorFinding {
  if (version === null)
    return found(redisCheck, 'red', `${path} is not there, or tells no version`, 'apt install redis-server, or name its place in `paths: redis_server`')
  const { level, text } = judgeRedis(version, isValkey, sentinels)
  return found(
    redisCheck,
    level,
    `${path} is ${isValkey ? 'valkey' : 'redis'} ${version}${text}`,
    'a version of docs/servers.md, one host after the other, replicas first',
  )
}

export function judgeRedis(version: string, isValkey: boolean, sentinels: boolean): { readonly level: Level; readonly text: string } {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const since = (m: number, n: number): boolean => major > m || (major === m && minor >= n)
  if (!since(4, 0)) return { level: 'red', text: ': it has no replication ids, and a group needs them to compare data (HF402)' }
  if (sentinels && !since(6, 2)) return { level: 'red', text: ': it cannot limit what a Sentinel may do, and mode: sentinel needs that (HF402)' }
  if (!since(6, 0)) return { level: 'yellow', text: ': not tried' }
  if (!since(6, 2)) return { level: 'yellow', text: ': it cannot pause writes alone, so switchover is refused' }
  if (since(9, 0) || (isValkey && !since(8, 0))) return { level: 'yellow', text: ': not tried' }
  return { level: 'green', text: '' }
}

/** The file was replaced under a redis that runs: its next start is an upgrade that nobody watches. */
function ofRunning({ group, redis, isExternal }: GroupLook, installed: string | null, isValkey: boolean): readonly DoctorFinding[] {
  // What a Valkey says of itself in INFO as redis_version is the version of redis that it is compatible with.
  if (!redis.ok || isExternal || installed === null || isValkey || redis.value.version === installed) return []
  const measured = `redis ${redis.value.version} runs, ${installed} is installed`
  return [
    found(
      {
        check: 'redis version',
        group,
        why: 'the next start of this redis is an upgrade, at a moment that nobody chose, and an older one cannot read what it saves then',
      },
      'yellow',
      measured,
      'docs/servers.md, upgrading a group: restart the replicas one by one, switch over, then the last one',
    ),
  ]
}

function ofKeepalived({ path, said }: NonNullable<InstalledPrograms['keepalived']>): DoctorFinding {
  if (said === null) return found(keepalivedCheck, 'red', `${path} is not there`, 'apt install keepalived, or name its place in `paths: keepalived`')
  const version = /v(\d+)\.(\d+)\.(\d+)/.exec(said)
  if (version === null) return unseen(keepalivedCheck, `${path} tells no version`)
  const level = Number(version[1]) === 2 && Number(version[2]) >= 2 ? 'green' : 'yellow'
  return found(keepalivedCheck, level, `${path} is ${version[0].slice(1)}`, 'keepalived 2.2.7 or later, as in Debian 12')
}
