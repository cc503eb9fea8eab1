/** The disk of a group against what its persistence asks of it, and what redis says of its own files. PURE. */
import type { DiskLook, DiskSpeed, DoctorFinding, GroupLook, RedisLook } from '../model/doctor.ts'
import { isSamePersistence, persistenceInWords, writesAnything } from '../model/persistence.ts'
import { found, mib, sizeOf, unseen, type Check } from './say.ts'

/** Below it no redis, agent or log can be expected to work. */
const leastFreeBytes = 64 * mib
/** `always`: each write waits for one. */
const alwaysMs = { yellow: 2, red: 10 }
/** `everysec`: redis waits for the last one when a second has become two. */
const everysecMs = { yellow: 200, red: 1000 }

export function judgeDisk(look: GroupLook): readonly DoctorFinding[] {
  const redis = look.redis.ok ? look.redis.value : null
  const own = redis === null ? [] : [checksum(look, redis), ...failures(look, redis), persistence(look, redis)]
  const space: Check = {
    check: 'disk space',
    group: look.group,
    why: 'a save, a rewrite and a full sync write the dataset beside the old one; a primary that cannot save refuses writes, and a full disk keeps a member from being promoted',
  }
  if (!look.disk.ok) return [unseen(space, look.disk.why), ...own, ...backups(look, null)]
  const disk = look.disk.value
  return [spaceOf(space, disk, redis), speedOf(look, disk, redis), ...own, ...backups(look, disk)]
}

function spaceOf(check: Check, disk: DiskLook, redis: RedisLook | null): DoctorFinding {
  const need = Math.max(leastFreeBytes, redis?.usedBytes ?? 0)
  const files = disk.freeFiles === 0 ? ', and no file can be made (inodes)' : ''
  const measured = `${sizeOf(disk.freeBytes)} of ${sizeOf(disk.totalBytes)} free at ${disk.path}${files}; one more copy of the dataset needs up to ${sizeOf(redis?.usedBytes ?? 0)}`
  const level = disk.freeBytes < need || files !== '' ? 'red' : disk.freeBytes < need * 2 ? 'yellow' : 'green'
  return found(check, level, measured, `make room at ${disk.path} (holdfast salvage list: what is kept there), or a larger disk`)
}

function speedOf(look: GroupLook, disk: DiskLook, redis: RedisLook | null): DoctorFinding {
  const check: Check = {
    check: 'disk speed',
    group: look.group,
    why: 'redis waits for a disk that does not keep up: with `appendfsync always` each write, else all of them once it is two seconds behind',
  }
  if (disk.speed === null) return unseen(check, `holdfast doctor --probe-disk writes up to 64 MiB there, for a second at the most`)
  if (!disk.speed.ok) return unseen(check, disk.speed.why)
  const speed = disk.speed.value
  const rate = redis === null ? 0 : Math.max(redis.bytesPerS, look.agent?.highestBytesPerS ?? 0)
  const { median, worst } = speed.fsyncMs
  const measured = `${sizeOf(speed.bytesPerS)}/s to disk, fsync ${round(median)} ms, worst ${round(worst)} ms; ${sizeOf(rate)}/s written by clients; AOF ${redis?.persistence.aof ?? 'not known'}`
  return found(check, speedLevel(speed, redis, rate), measured, 'a faster disk for `paths: state`, or `appendfsync everysec` instead of `always`')
}

function speedLevel(speed: DiskSpeed, redis: RedisLook | null, rate: number): DoctorFinding['level'] {
  const { median, worst } = speed.fsyncMs
  const fsync = redis?.persistence.aof ?? 'off'
  if (fsync === 'off') return 'green'
  if (rate > speed.bytesPerS / 2) return 'red'
  if (fsync === 'always' && median > alwaysMs.red) return 'red'
  if (fsync === 'everysec' && worst > everysecMs.red) return 'red'
  if (rate > speed.bytesPerS / 5) return 'yellow'
  if (fsync === 'always' && median > alwaysMs.yellow) return 'yellow'
  return fsync === 'everysec' && worst > everysecMs.yellow ? 'yellow' : 'green'
}

function round(ms: number): string {
  return ms >= 10 ? String(Math.round(ms)) : String(Number(ms.toFixed(2)))
}

function checksum({ group }: GroupLook, { rdbChecksum }: RedisLook): DoctorFinding {
  const check: Check = { check: 'rdbchecksum', group, why: 'without it a flipped bit in an RDB is loaded in silence, and backups of this redis are refused' }
  return found(
    check,
    rdbChecksum ? 'green' : 'red',
    `rdbchecksum ${rdbChecksum ? 'yes' : 'no'}`,
    'take `rdbchecksum no` out of `redis` or its redis.conf; it counts at the next start of redis',
  )
}

function failures({ group, port }: GroupLook, { failed }: RedisLook): readonly DoctorFinding[] {
  const check: Check = {
    check: 'last save',
    group,
    why: 'what is on disk is older than it should be, and a primary refuses writes until the next attempt succeeds',
  }
  if (failed.length === 0) return [found(check, 'green', 'nothing failed the last time')]
  return [
    found(
      check,
      'red',
      `failed the last time: ${failed.join(', ')}`,
      `its redis.log says why; when that is mended: redis-cli -p ${port} BGSAVE (BGREWRITEAOF for an AOF)`,
    ),
  ]
}

function persistence({ group, isExternal, port, persistence: byRole }: GroupLook, redis: RedisLook): DoctorFinding {
  const check: Check = {
    check: 'persistence',
    group,
    why: 'after a power cut of all hosts at once there is only what the disks have; `holdfast explain` says what that would be',
  }
  const has = redis.persistence
  const measured = `as ${redis.role} it has ${persistenceInWords(has)}`
  if (byRole !== undefined && !isSamePersistence(has, byRole[redis.role])) {
    const fix = isExternal ? `redis-cli -p ${port} CONFIG SET, and the same in its redis.conf` : `holdfast explain ${group} says what that waits for`
    return found(check, 'yellow', `${measured}, and is to have ${persistenceInWords(byRole[redis.role])}`, fix)
  }
  const isElsewhere = byRole !== undefined && [byRole.primary, byRole.replica].some(writesAnything)
  const fix = isExternal
    ? `redis-cli -p ${port} CONFIG SET appendonly yes, and when that is written the same in its redis.conf`
    : 'persistence: aof-everysec of the group, or replicas-aof; holdfast apply'
  return found(check, writesAnything(has) || isElsewhere ? 'green' : 'yellow', measured, fix)
}

function backups({ group, backupDisk }: GroupLook, disk: DiskLook | null): readonly DoctorFinding[] {
  if (backupDisk === undefined) return []
  const check: Check = { check: 'backup disk', group, why: 'a disk that dies takes the data and their backups with it' }
  if (!backupDisk.ok) return [unseen(check, backupDisk.why)]
  if (disk === null) return [unseen(check, 'where the data are is not known')]
  const same = backupDisk.value.device === disk.device
  const measured = `${backupDisk.value.path} is ${same ? 'on the same file system as' : 'not on the file system of'} ${disk.path}`
  return [found(check, same ? 'yellow' : 'green', measured, 'mount another disk or another machine there, or use `backup: s3` or `sftp`')]
}
