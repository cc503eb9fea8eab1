/**
 * This host leaves a group: what it had of it can neither be written to, nor fetched from, nor elected, nor hold the address. Its data stay.
 * Only a host that does not serve leaves; who serves hands over first. After this nobody here looks after the group any more.
 */
import type { Config } from '../model/config.ts'
import { sentinelUser } from '../model/sentinel.ts'
import { setVip } from '../act/keepalived.ts'
import { openRedis, sentinelTarget, type RedisTarget } from '../redis/link.ts'
import { localIp } from '../model/local-address.ts'
import { isServingPhase } from '../decide/situation.ts'
import type { GroupLoop } from './group.ts'
import { passwordsOf } from './password-change.ts'
import type { GroupSentinels } from './sentinel.ts'

const deadlineMs = 2000

export interface Leaving {
  readonly config: Config
  readonly host: string
  /** Of the group. */
  readonly name: string
  readonly loop: GroupLoop | undefined
  readonly sentinels: Pick<GroupSentinels, 'close'> | undefined
}

/** null: it has left. Else why not: the agent is to be started anew then, and goes on as it was. */
export async function leaveGroup({ config, host, name, loop, sentinels }: Leaving): Promise<string | null> {
  const group = config.groups[name]
  if (group === undefined || loop === undefined) return 'this agent is only just starting'
  const { phase } = loop.snapshot().state
  if (isServingPhase(phase) || phase === 'promoting') return `it is the primary of ${group.name}: holdfast switchover ${group.name} first`
  sentinels?.close()
  await loop.stop()
  const member = group.members.find((m) => m.host === host)
  if (member !== undefined) {
    const denied = group.vip === undefined ? null : setVip(config.paths, group.name, false)
    if (denied?.done === false) return denied.why
    const { current } = await passwordsOf(config.paths, group, 'redis')
    // The valve first: no order of a Sentinel undoes what follows.
    const fence: readonly (readonly string[])[] = [
      ...(group.sentinel === undefined
        ? []
        : [
            ['ACL', 'SETUSER', sentinelUser, 'off', '-@all'],
            ['CONFIG', 'SET', 'replica-priority', '0'],
          ]),
      ['REPLICAOF', '127.0.0.1', '1'],
    ]
    const why = await tell({ host: localIp(config, host), port: member.port, password: current }, fence)
    if (why !== null) return why
  }
  const { sentinel } = group
  if (sentinel === undefined || sentinel.process !== 'direct' || !sentinel.hosts.includes(host)) return null
  const { current: password } = await passwordsOf(config.paths, group, 'sentinels')
  const target = sentinelTarget({ host: localIp(config, host), port: sentinel.port }, password)
  // Its answer is that the connection ends.
  await tell(target, [['SHUTDOWN']])
  const left = await openRedis(target, deadlineMs, () => {})
  if (left.ok) left.value.close()
  return left.ok ? `its Sentinel on port ${sentinel.port} does not end` : null
}

/** null: done, or nobody runs there. */
async function tell(target: RedisTarget, commands: readonly (readonly string[])[]): Promise<string | null> {
  const opened = await openRedis(target, deadlineMs, () => {})
  if (!opened.ok) return opened.why.includes('ECONNREFUSED') ? null : opened.why
  try {
    for (const words of commands) {
      const answer = await opened.value.call(words, deadlineMs)
      if (!answer.ok) return `${words[0] ?? ''}: ${answer.why}`
    }
    return null
  } finally {
    opened.value.close()
  }
}
