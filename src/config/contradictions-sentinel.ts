/**
 * What is wrong with the Sentinels of one group, and which keys mean nothing in its mode. The measure: the loss of any ONE host leaves Sentinels enough to choose,
 * and to tell the primary that it may serve on. Must not look at other groups; that is `contradictions.ts`.
 */
import type { GroupConfig, SentinelConfig } from '../model/config.ts'
import { unknownHost } from './checked.ts'
import type { Checked } from './checked.ts'
import { defaultQuorum, ranges } from './defaults.ts'
import type { Finding } from './problem.ts'

/** Below this, with a vip, a busy host is taken for a dead one. */
const nervousMs = 300

export function checkSentinel(checked: Checked, group: GroupConfig): readonly Finding[] {
  if (group.sentinel === undefined)
    return strayKeys(checked, group, ['sentinels', 'sentinel'], 'has a meaning only in `mode: sentinel`', 'without it, or `mode: sentinel`')
  const accepted = 'without it; a host without data that is to vote stands under `sentinels`'
  return [
    ...strayKeys(checked, group, ['witness', 'check_ips'], 'is for `mode: vip`: here the Sentinels vote', accepted),
    ...checkHosts(checked, group, group.sentinel),
    ...checkQuorum(checked, group, group.sentinel),
  ]
}

function strayKeys({ has }: Checked, group: GroupConfig, keys: readonly string[], message: string, accepted: string): readonly Finding[] {
  return keys
    .map((key) => ['groups', group.name, key])
    .filter(has)
    .map((path) => ({ path, message, accepted, atKey: true }))
}

function checkHosts(checked: Checked, group: GroupConfig, { hosts }: SentinelConfig): readonly Finding[] {
  const path = ['groups', group.name, 'sentinels']
  const { min, max } = ranges.sentinels
  const accepted = `${min} to ${max} hosts, with data or without; an odd number`
  const written = checked.has(path)
  // What cannot be read is a problem of its own, and no reason to count.
  if (written && checked.kindOf(path) !== 'list') return []
  if (!written && hosts.length < min && group.members.length < 2) return []
  const found: Finding[] = []
  let count = written ? 0 : hosts.length
  while (written && checked.has([...path, count])) count += 1
  if (count < min) {
    const from = written ? '' : ` (by default on the ${group.members.length} members, of an even number on all but the last)`
    const message = `${count} ${count === 1 ? 'Sentinel' : 'Sentinels'}${from}: the loss of one host leaves no majority`
    found.push({ path: written ? path : ['groups', group.name], message, accepted: `\`sentinels\`: ${accepted}`, atKey: true })
  }
  if (count > max) found.push({ path, message: `${count} Sentinels`, accepted, atKey: true })
  if (!written) return found
  hosts.forEach((host, index) => {
    const at = [...path, index]
    if (!checked.hostNames.includes(host)) found.push(unknownHost(checked, at, host))
    else if (hosts.indexOf(host) < index)
      found.push({ path: at, message: `host \`${host}\` has a Sentinel already: two on one host are lost together`, accepted: 'each host once' })
  })
  return found
}

/** With a quorum of all, one lost host ends all failovers; with one of 1, it is enough that a single Sentinel cannot be heard, and the primary must stop. */
function checkQuorum(checked: Checked, group: GroupConfig, { hosts, quorum }: SentinelConfig): readonly Finding[] {
  const path = ['groups', group.name, 'sentinel', 'quorum']
  const count = new Set(hosts).size
  if (!checked.has(path) || count < ranges.sentinels.min) return []
  const accepted = `2 to ${count - 1}; the majority is ${defaultQuorum(count)}`
  const refuse = (message: string): readonly Finding[] => [{ path, message, accepted }]
  if (quorum > count) return refuse(`${quorum} of ${count} Sentinels can never agree`)
  if (quorum === count) return refuse(`all ${count} Sentinels: the loss of one host would end automatic failover`)
  if (quorum < 2) return refuse('1 Sentinel alone could find the primary down, so the primary must stop as soon as it loses sight of any one of them')
  return []
}

export function warningsOfSentinel({ has }: Checked, group: GroupConfig): readonly Finding[] {
  const { sentinel } = group
  if (sentinel === undefined) return []
  const found: Finding[] = []
  const path = ['groups', group.name]
  const own = [...path, 'sentinel']
  const count = sentinel.hosts.length
  const majority = defaultQuorum(count)
  if (count >= ranges.sentinels.min && count % 2 === 0)
    found.push({
      path: [...path, 'sentinels'],
      message: `${count} Sentinels survive the loss of ${count - majority}, as ${count - 1} do, and need a vote more`,
      atKey: true,
    })
  if (sentinel.quorum < majority && sentinel.quorum > 1)
    found.push({
      path: [...own, 'quorum'],
      message: `${sentinel.quorum} of ${count} find the primary down and begin; ${majority} votes are needed all the same. And a primary that loses sight of ${sentinel.quorum} Sentinels stops, of ${majority} otherwise`,
    })
  if (group.vip !== undefined && sentinel.downAfterMs < nervousMs)
    found.push({ path: [...own, 'down_after_ms'], message: `below ${nervousMs} ms a busy host is taken for a dead one: every false alarm moves the vip` })
  if (group.passwordFile !== undefined && sentinel.passwordFile === undefined)
    found.push({
      path: has(own) ? own : path,
      message: 'no `sentinel: password_file`: whoever reaches the port of a Sentinel can fail the group over, or make it follow a redis of his own',
      atKey: true,
    })
  return [...found, ...unguarded(group)]
}

/** The guard is run by keepalived (render/guard.ts); without it nobody but the agent stops this primary. */
function unguarded(group: GroupConfig): readonly Finding[] {
  if (group.vip !== undefined || !group.failover.auto) return []
  const mend =
    group.durability === 'safe'
      ? '`durability: safe` stops it where no replica is cut off together with it'
      : 'give it a `vip`, or let redis itself refuse what no replica acknowledges (`durability: safe`)'
  const fault =
    'no `vip`, so no guard: a primary that is cut off while its agent is dead writes on beside the one that the Sentinels choose, until its agent is back'
  return [{ path: ['groups', group.name], message: `${fault}; ${mend}, and have the agents restarted at once (Restart=always)`, atKey: true }]
}
