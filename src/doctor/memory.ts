/** Memory and connections of the redis on this host: what a fork costs, what all of them may use, how many clients fit. PURE. */
import type { DoctorFinding, GroupLook, MachineFacts, RedisLook } from '../model/doctor.ts'
import { found, sizeOf, unseen, type Check } from './say.ts'

/** Of all memory: the rest is for forks, buffers, the page cache and everything else on the host. */
const maxmemoryShare = 0.75
/** The event loop stands still while redis forks: clients feel it from here on. */
const forkFeltMs = 100
const clientsShare = 0.8
/** redis keeps so many files for itself, and lowers maxclients at its start where they do not fit. */
const ownFiles = 32
const usualMaxclients = 10_000

interface Redis {
  readonly look: GroupLook
  readonly redis: RedisLook
}

export function judgeMemory(machine: MachineFacts, groups: readonly GroupLook[]): readonly DoctorFinding[] {
  const running = groups.flatMap((look): Redis[] => (look.redis.ok ? [{ look, redis: look.redis.value }] : []))
  return [...maxmemory(machine, running), ...running.flatMap((one) => [copyOnWrite(machine, one), forkTime(one), openFiles(one), listenQueue(machine, one)])]
}

function maxmemory({ memory }: MachineFacts, running: readonly Redis[]): readonly DoctorFinding[] {
  const check: Check = { check: 'maxmemory', group: null, why: 'a redis without a limit grows until the kernel kills it, and a limit above the memory is none' }
  if (running.length === 0) return []
  if (!memory.ok) return [unseen(check, memory.why)]
  const unlimited = running.filter(({ redis }) => redis.maxmemoryBytes === 0)
  const sum = running.reduce((total, { redis }) => total + redis.maxmemoryBytes, 0)
  const total = memory.value.totalBytes
  const ofAll = `${sizeOf(sum)} for all redis here, of ${sizeOf(total)} of memory`
  const fix = `redis: { maxmemory: … } of the groups, ${sizeOf(total * maxmemoryShare)} in all at the most; holdfast apply, and CONFIG SET maxmemory for now`
  if (sum > total) return [found(check, 'red', `${ofAll}: more than there is`, fix)]
  if (unlimited.length > 0)
    return [found(check, 'yellow', `no limit for ${unlimited.map(({ look }) => look.group).join(', ')}; ${sizeOf(total)} of memory`, fix)]
  return [found(check, sum > total * maxmemoryShare ? 'yellow' : 'green', ofAll, fix)]
}

function copyOnWrite({ memory }: MachineFacts, { look, redis }: Redis): DoctorFinding {
  const check: Check = {
    check: 'memory for a fork',
    group: look.group,
    why: 'while a save, a rewrite or a full sync runs, each page that is written is copied: in the worst case all of the dataset, and the kernel kills whoever is largest',
  }
  if (!memory.ok) return unseen(check, memory.why)
  const { availableBytes } = memory.value
  const { usedBytes, copiedBytes } = redis
  const last = copiedBytes > 0 ? `the last fork copied ${sizeOf(copiedBytes)}` : 'no fork yet'
  const measured = `${sizeOf(availableBytes)} available, ${sizeOf(usedBytes)} used by redis, ${last}`
  const level = availableBytes < copiedBytes || availableBytes < usedBytes / 4 ? 'red' : availableBytes < usedBytes ? 'yellow' : 'green'
  return found(check, level, measured, 'more memory, a smaller maxmemory, or saves and backups at a replica on a host with room')
}

function forkTime({ look, redis }: Redis): DoctorFinding {
  const check: Check = {
    check: 'time of a fork',
    group: look.group,
    why: 'redis answers nobody while it forks; longer than `failover: unresponsive_ms` it is killed as hung',
  }
  if (redis.forkUs === 0) return found(check, 'green', 'it has not forked yet')
  const ms = Math.round(redis.forkUs / 1000)
  const level = ms * 2 > look.unresponsiveMs ? 'red' : ms > forkFeltMs ? 'yellow' : 'green'
  return found(
    check,
    level,
    `the last one took ${ms} ms; unresponsive_ms is ${look.unresponsiveMs}`,
    'a larger `failover: unresponsive_ms`, no huge pages, a smaller dataset per redis',
  )
}

function openFiles({ look, redis }: Redis): DoctorFinding {
  const check: Check = {
    check: 'open files',
    group: look.group,
    why: 'redis lowers maxclients to what its limit of open files allows, and refuses the client beyond that',
  }
  const { openFiles: limit } = redis.process
  const { maxclients, connectedClients } = redis
  const fix = 'LimitNOFILE=65536 in the unit that starts the agent (redis inherits it), or ulimit -n 65536; it counts at the next start of redis'
  const clients = `${connectedClients} of ${maxclients} clients connected`
  if (limit === null) return unseen(check, `${clients}; the limits of the process may not be read by this user`)
  const lowered = maxclients < usualMaxclients && maxclients + ownFiles >= limit
  const measured = `${clients}, ${limit} open files${lowered ? ': maxclients was lowered to fit' : ''}`
  return found(check, connectedClients > maxclients * clientsShare ? 'red' : lowered ? 'yellow' : 'green', measured, fix)
}

function listenQueue({ somaxconn }: MachineFacts, { look, redis }: Redis): DoctorFinding {
  const check: Check = {
    check: 'listen queue',
    group: look.group,
    why: 'after a failover all clients connect at once: who finds the queue full waits a second for its next attempt',
  }
  if (!somaxconn.ok) return unseen(check, somaxconn.why)
  const measured = `tcp-backlog ${redis.tcpBacklog}, net.core.somaxconn ${somaxconn.value}`
  const level = somaxconn.value < redis.tcpBacklog ? 'yellow' : 'green'
  return found(
    check,
    level,
    measured,
    'sysctl -w net.core.somaxconn=4096 && echo net.core.somaxconn=4096 > /etc/sysctl.d/90-redis-core.conf; it counts at the next start of redis',
  )
}
