/**
 * `holdfast apply`, where hosts come and go: who must be there before it begins, and what the Sentinels have to forget in the end. What a host
 * does that leaves is agent/leave.ts.
 */
import { callAgent } from '../api/client.ts'
import type { Change } from '../config/change.ts'
import { findingsOf } from '../decide/sentinel-hygiene.ts'
import { repairsOf } from '../decide/sentinel-repair.ts'
import type { Config } from '../model/config.ts'
import { OperatorError } from '../model/error.ts'
import type { RunningConfig } from '../model/own-config.ts'
import { askAll, statusOf, type Session } from './ask.ts'
import { repairSentinels } from './sentinel-repair.ts'
import { lookAt as lookAtSentinels } from './sentinel.ts'

export interface Agent {
  readonly host: string
  /** null: it did not answer. */
  readonly running: RunningConfig | null
  readonly why: string
}

export interface Plan {
  readonly session: Session
  readonly text: string
  readonly hash: string
  readonly changes: readonly Change[]
  readonly agents: readonly Agent[]
  /** What the agents run with, where they can be asked by it: addresses that are not in the file here any more. */
  readonly before: Config | null
  /** Hosts that are lost for good, by the operator's word. */
  readonly without: readonly string[]
  /** Groups whose primary is a host that is to leave: it hands over first. */
  readonly handsOver: Readonly<Record<string, string>>
  /** Hosts whose agents answer and have yet to take it up. */
  readonly left: readonly string[]
}

/** redis' own repl-timeout, and some more. */
const unlistedWithinMs = 75_000

/** Who comes must be there, and who goes must be able to say goodbye, or be lost for good. */
export async function refuseHosts({ changes, agents, without, before, session }: Plan): Promise<void> {
  for (const { host } of changes) {
    if (host === undefined) continue
    const { name, move } = host
    const isSilent = agents.find((a) => a.host === name)?.running == null
    if (move !== 'removed' && isSilent)
      throw new OperatorError(
        'HF801',
        `no agent answers on ${name}, which is to take part`,
        `bring the secret and this file there, and start it: holdfast agent --host ${name}`,
      )
    if (move === 'removed' && isSilent && !without.includes(name))
      throw new OperatorError(
        'HF801',
        `no agent answers on ${name}, so it cannot be told that it is to leave`,
        `start it; or, if the host is lost for good, --without ${name}: should it ever come back, its agent must not be started with what it had`,
      )
    if (move === 'moved' && before !== null && (await answersAt(before, session.secret, name)))
      throw new OperatorError(
        'HF801',
        `at its old address ${before.hosts[name]?.ip ?? ''} the agent of ${name} still answers`,
        'stop agent, redis and Sentinel there first',
      )
  }
}

async function answersAt(config: Config, secret: string, host: string): Promise<boolean> {
  try {
    await callAgent(config, secret, host, { method: 'GET', path: '/config' })
    return true
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error
    return error.code === 'HF303'
  }
}

/** Sentinels wait in their majority for whoever they have ever known: they are made to forget, one at a time, who is not configured. */
export async function forget(plan: Plan, yes: boolean, json: boolean, say: (text: string) => void): Promise<void> {
  const { session, changes, left } = plan
  for (const group of Object.values(session.config.groups)) {
    const hasMoved = changes.some((c) => c.group === group.name && c.host !== undefined && c.host.move !== 'added')
    if (group.sentinel === undefined || (left.length > 0 && !hasMoved)) continue
    const look = () => lookAtSentinels(session, group.name)
    await untilUnlisted(plan, group.name, say)
    const { layout, merged } = await look()
    if (repairsOf(findingsOf(layout, merged)).length === 0) continue
    await repairSentinels({ session, group: group.name, dryRun: false, yes, json, look })
    // What is left and cannot be repaired (a connection of a host that has vanished, which redis has yet to notice) is said, and no failure of this.
    process.exitCode = 0
    const after = await look()
    if (repairsOf(findingsOf(after.layout, after.merged)).length > 0)
      throw new OperatorError(
        'HF803',
        `the Sentinels of ${group.name} know others than are configured`,
        `see: holdfast sentinel check ${group.name}; run this again`,
      )
  }
}

/** A Sentinel takes its replicas from the primary, and redis goes on listing one whose host has vanished until its own timeout. */
async function untilUnlisted({ session, before, changes }: Plan, group: string, say: (text: string) => void): Promise<void> {
  const gone = changes.flatMap((c) => (c.group === group && c.host !== undefined && c.host.move !== 'added' ? [before?.hosts[c.host.name]?.ip] : []))
  const deadlineMs = performance.now() + unlistedWithinMs
  for (let told = false; performance.now() < deadlineMs; told = true) {
    const [status] = await statusOf(session, group)
    const [answer] = await askAll(session, status?.primary == null ? [] : [status.primary])
    const followers = answer?.groups.find((g) => g.group === group)?.statement?.redis?.followers ?? []
    if (!followers.some((f) => gone.includes(f.ip))) return
    if (!told) say(`waiting until the redis of ${status?.primary ?? ''} has noticed that ${gone.join(', ')} is gone (its repl-timeout)`)
    await new Promise((resolve) => setTimeout(resolve, 1000))
  }
}
