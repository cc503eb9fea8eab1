/**
 * One look at one group by something that is not the agent: is this host's redis a primary that others may replace, or have? Then it
 * refuses writes by the fence that the agent knows (it adopts it, and lifts it when it may), its clients are ended and its address is
 * withdrawn. While anybody who could vouch for it is reached, nothing is touched (INV-7). Fences only; never promotes, never lifts.
 */
import { connect } from 'node:net'
import { readFileSync } from 'node:fs'
import type { GuardedGroup, GuardPlan } from '../model/guard.ts'
import { stateFile } from '../model/paths.ts'
import type { RedisFacts } from '../model/view.ts'
import { setVip } from '../act/keepalived.ts'
import { sendClientsAway } from '../act/ending.ts'
import { fenceFromOutside } from '../act/write-fence.ts'
import { readAhead } from '../observe/ahead.ts'
import { askChecks } from '../observe/checks.ts'
import { factsFromInfo } from '../redis/info.ts'
import { openRedis, type RedisLink, type RedisTarget } from '../redis/link.ts'

/** A lost packet must not end a service: asked three times in a quarter of a second. */
const attempts = 3
const answerDeadlineMs = 80
const redisDeadlineMs = 500

export type Finding = 'not ours' | 'reached' | 'fenced' | 'failed'

/** `isStale`: asked again before anything is done, because an agent that comes back meanwhile does it itself, and better. */
export async function guardGroup(plan: GuardPlan, group: GuardedGroup, isStale: () => boolean): Promise<Finding> {
  if (!mayServe(plan, group)) return 'not ours'
  const password = passwordIn(group.passwordFile)
  const link = await redisLink('127.0.0.1', group.port, password)
  if (link === null) return withdrawIfReplaced(plan, group, isStale)
  try {
    const own = await factsOf(link)
    if (own === null) return await withdrawIfReplaced(plan, group, isStale)
    if (own.role !== 'primary') return 'not ours'
    if ((await reachesEnough(group)) && !(await isReplaced(group, own, password)) && !(await namesAnother(group))) return 'reached'
    return isStale() ? await fence(plan, group, link, own) : 'reached'
  } finally {
    link.close()
  }
}

/** Its redis is dead or hangs, and nobody here does anything about it: the address must not stay where the Sentinels have left. */
async function withdrawIfReplaced(plan: GuardPlan, group: GuardedGroup, isStale: () => boolean): Promise<Finding> {
  if (!(await namesAnother(group)) || !isStale()) return 'not ours'
  return setVip(plan.paths, group.name, false).done ? 'fenced' : 'failed'
}

/** More of the far Sentinels name another than name this host: an election has taken place. */
async function namesAnother({ name, sentinels }: GuardedGroup): Promise<boolean> {
  if (sentinels === null) return false
  const password = passwordIn(sentinels.passwordFile)
  const named = await Promise.all(sentinels.ips.map((ip) => namedBy({ host: ip, port: sentinels.port, password }, name)))
  const known = named.filter((ip) => ip !== null)
  return known.filter((ip) => ip !== sentinels.self).length * 2 > known.length
}

async function namedBy(target: RedisTarget, group: string): Promise<string | null> {
  const opened = await openRedis(target, answerDeadlineMs, () => {})
  if (!opened.ok) return null
  const answer = await opened.value.call(['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', group], answerDeadlineMs)
  opened.value.close()
  return answer.ok && Array.isArray(answer.value) ? String(answer.value[0]) : null
}

function passwordIn(file: string | null): string | undefined {
  return file === null ? undefined : readFileSync(file, 'utf8').replace(/\r?\n$/, '')
}

/** What the agent remembered last. Of what cannot be read nothing is known, and that fences rather than not. */
function mayServe(plan: GuardPlan, group: GuardedGroup): boolean {
  try {
    const { phase, paused } = JSON.parse(readAhead(stateFile(plan.paths, group.name))) as { phase: string; paused: { on: boolean } }
    return !paused.on && ['primary', 'promoting', 'handing'].includes(phase)
  } catch {
    return true
  }
}

async function fence(plan: GuardPlan, group: GuardedGroup, link: RedisLink, { runId, pid }: RedisFacts): Promise<Finding> {
  const hands = { link: () => link, config: plan, group, pid: () => pid, note: () => {} }
  // THE FENCE FIRST, and the address last: what ends connections needs it.
  const fenced = await fenceFromOutside(hands, runId)
  if (!fenced.done) return 'failed'
  await sendClientsAway(hands)
  const withdrawn = setVip(plan.paths, group.name, false)
  return withdrawn.done ? 'fenced' : 'failed'
}

/** Counts hosts, not agents: a kernel that refuses has an agent that votes for nobody. */
export async function reachesEnough(group: GuardedGroup): Promise<boolean> {
  const reached = new Set<string>()
  for (let i = 0; i < attempts; i += 1) {
    const unreached = group.voters.filter((v) => !reached.has(v.ip))
    const [answers, checks] = await Promise.all([
      enough(unreached, group.needed - reached.size, (ip) => reached.add(ip)),
      group.checkIps.length > 0 ? askChecks(group.checkIps) : false,
    ])
    if (answers || checks) return true
  }
  return false
}

/** Ends as soon as so many have answered. */
function enough(voters: GuardedGroup['voters'], needed: number, answered: (ip: string) => void): Promise<boolean> {
  return new Promise((resolve) => {
    const sockets = voters.flatMap(({ ip, ports }) => ports.map((port) => ({ ip, socket: connect({ host: ip, port }) })))
    const seen = new Set<string>()
    const finish = () => {
      clearTimeout(timer)
      for (const { socket } of sockets) socket.destroy()
      resolve(seen.size >= needed)
    }
    const timer = setTimeout(finish, answerDeadlineMs)
    for (const { ip, socket } of sockets) {
      const here = () => {
        seen.add(ip)
        answered(ip)
        if (seen.size >= needed) finish()
      }
      socket.once('connect', here)
      socket.once('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'ECONNREFUSED') here()
      })
    }
  })
}

/** After a heal: another member is a primary whose history began as a piece of this one's. */
async function isReplaced(group: GuardedGroup, own: RedisFacts, password: string | undefined): Promise<boolean> {
  const others = await Promise.all(
    group.members.map(async ({ ip, port }) => {
      const link = await redisLink(ip, port, password)
      const facts = link === null ? null : await factsOf(link)
      link?.close()
      return facts
    }),
  )
  return others.some((facts) => facts?.role === 'primary' && facts.replid2 !== '' && facts.replid2 === own.replid)
}

async function redisLink(host: string, port: number, password: string | undefined): Promise<RedisLink | null> {
  const opened = await openRedis({ host, port, password }, redisDeadlineMs, () => {})
  return opened.ok ? opened.value : null
}

async function factsOf(link: RedisLink): Promise<RedisFacts | null> {
  const answer = await link.call(['INFO'], redisDeadlineMs)
  return answer.ok && typeof answer.value === 'string' ? factsFromInfo(answer.value) : null
}
