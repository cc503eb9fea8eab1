/** What replication is set to, against what is written here and how large the dataset is. PURE. */
import { backlogForMs } from '../model/policy.ts'
import type { DoctorFinding, GroupLook, RedisLook } from '../model/doctor.ts'
import { found, mib, secondsOf, sizeOf, type Check } from './say.ts'

/** A backlog that holds less is passed by the pause of a restart. */
const backlogLeastS = 10
/** Where no full sync was measured: saving, sending and loading, one after the other, at 100 MiB/s or more each. */
const assumedSyncBytesPerS = 33 * mib

export function judgeReplication(look: GroupLook): readonly DoctorFinding[] {
  if (!look.redis.ok) return []
  const redis = look.redis.value
  const rate = Math.max(redis.bytesPerS, look.agent?.highestBytesPerS ?? 0)
  const rateText =
    look.agent === null
      ? `${sizeOf(redis.bytesPerS)}/s written, over ${secondsOf(redis.overS)} (the agent, which knows the highest rate, was not reached)`
      : `${sizeOf(redis.bytesPerS)}/s written now, ${sizeOf(rate)}/s at the most`
  const findings = [backlog(look, redis, rate, rateText), buffer(look, redis, rate, rateText), timeout(look, redis)]
  if (look.agent !== null) return findings
  // What is enough at this moment need not be at the hour that its agent has seen.
  return [noAgent(look), ...findings.map((one): DoctorFinding => (one.level === 'green' ? { ...one, level: 'unseen', fix: null } : one))]
}

function noAgent({ group }: GroupLook): DoctorFinding {
  return {
    check: 'agent',
    group,
    level: 'yellow',
    measured: 'the agent of this host does not answer',
    why: 'without it nobody looks after this redis, and the highest rate and the length of the last full sync are not known here',
    fix: 'holdfast status; start it, or run this as a user who may read the secret',
  }
}

/** The line of the configuration, and the command that does it until the next start. */
function setting(look: GroupLook, directive: string, value: string): string {
  const now = `redis-cli -p ${look.port} CONFIG SET ${directive} ${/\s/.test(value) ? `'${value}'` : value}`
  return look.isExternal
    ? `${directive} ${value} in its redis.conf; for now: ${now}`
    : `redis: { ${directive}: "${value}" } of the group, holdfast apply; for now: ${now}`
}

export function syncSeconds(look: GroupLook, redis: RedisLook): { readonly s: number; readonly how: string } {
  if (look.agent?.syncMs != null) return { s: look.agent.syncMs / 1000, how: 'as the last one did' }
  return { s: redis.usedBytes / assumedSyncBytesPerS, how: `guessed from ${sizeOf(redis.usedBytes)}; none was measured` }
}

function backlog(look: GroupLook, redis: RedisLook, rate: number, rateText: string): DoctorFinding {
  const check: Check = {
    check: 'backlog',
    group: look.group,
    why: 'a replica that was away for longer than the backlog holds must fetch everything anew, and so must a former primary',
  }
  const holdsS = rate > 0 ? redis.backlogBytes / rate : Number.POSITIVE_INFINITY
  const holds = holdsS > 3600 ? 'more than an hour' : secondsOf(holdsS)
  const level = holdsS < backlogLeastS ? 'red' : holdsS < backlogForMs / 1000 ? 'yellow' : 'green'
  const wantedMib = Math.ceil(((rate * backlogForMs) / 1000 / mib) * 1.25)
  return found(check, level, `${sizeOf(redis.backlogBytes)} hold ${holds}; ${rateText}`, setting(look, 'repl-backlog-size', `${wantedMib}mb`))
}

/** While a replica fetches everything, what is written waits for it here. From redis 7 on the backlog is that same buffer, and counts as its limit where it is larger. */
function buffer(look: GroupLook, redis: RedisLook, rate: number, rateText: string): DoctorFinding {
  const check: Check = {
    check: 'replica buffer',
    group: look.group,
    why: 'what is written during a full sync waits in the buffer of that replica: over its limit the replica is thrown out and begins anew, for ever',
  }
  const limits = redis.replicaBuffer
  if (limits === null) return { ...check, level: 'unseen', measured: 'not seen: redis does not tell client-output-buffer-limit', fix: null }
  const shared = Number(redis.version.split('.')[0]) >= 7 ? redis.backlogBytes : 0
  const hard = limits.hardBytes === 0 ? Number.POSITIVE_INFINITY : Math.max(limits.hardBytes, shared)
  const soft = limits.softBytes === 0 ? Number.POSITIVE_INFINITY : Math.max(limits.softBytes, shared)
  const sync = syncSeconds(look, redis)
  const need = rate * sync.s
  // Beyond the soft limit for so many seconds.
  const softNeed = rate * Math.max(0, sync.s - limits.softS)
  const measured = `limits ${limitText(limits.hardBytes)} and ${limitText(limits.softBytes)} for ${limits.softS} s; a full sync takes ${secondsOf(sync.s)} (${sync.how}), in which ${sizeOf(need)} are written; ${rateText}`
  const level = need > hard || softNeed > soft ? 'red' : need * 2 > hard ? 'yellow' : 'green'
  const wanted = Math.ceil(need * 2)
  return found(check, level, measured, setting(look, 'client-output-buffer-limit', `replica ${wanted} ${wanted} 60`))
}

function limitText(bytes: number): string {
  return bytes === 0 ? 'none' : sizeOf(bytes)
}

function timeout(look: GroupLook, redis: RedisLook): DoctorFinding {
  const check: Check = {
    check: 'repl-timeout',
    group: look.group,
    why: 'a link that is silent for so long is ended: during a full sync a disk that flushes or a redis that loads may be, and the sync begins anew',
  }
  const sync = syncSeconds(look, redis)
  const measured = `repl-timeout ${redis.replTimeoutS} s, a ping every ${redis.replPingS} s; a full sync takes ${secondsOf(sync.s)} (${sync.how})`
  const level = redis.replTimeoutS <= redis.replPingS ? 'red' : redis.replTimeoutS < sync.s ? 'yellow' : 'green'
  return found(check, level, measured, setting(look, 'repl-timeout', String(Math.max(60, redis.replPingS * 6, Math.ceil(sync.s * 1.5)))))
}
