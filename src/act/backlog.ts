/** The replication backlog: opens it where redis has none, makes it larger. A redis that refuses is not asked again. */
import { localIp } from '../model/local-address.ts'
import { done, failed, type Outcome } from '../model/outcome.ts'
import { parseInfo } from '../redis/info.ts'
import { knock } from '../redis/psync.ts'
import { command, setting, type RedisHands } from './redis.ts'

const deadlineMs = 500

const refused = new WeakSet<RedisHands>()

export async function growBacklog(hands: RedisHands, bytes: number): Promise<Outcome> {
  const outcome = await command(hands, 'CONFIG', 'SET', 'repl-backlog-size', String(bytes))
  if (outcome.done) {
    hands.note(`the replication backlog was enlarged to ${bytes} bytes, for a minute of the highest write rate seen`)
    return done
  }
  refused.add(hands)
  hands.note(`the replication backlog could not be enlarged (${outcome.why}); it is left as it is`)
  return done
}

/**
 * A primary opens its backlog when a replica attaches, and at no other word. So one attaches and leaves at once. Diskless with a delay
 * for that moment: else redis would begin to save its whole dataset for it.
 */
export async function openBacklog(hands: RedisHands): Promise<Outcome> {
  if (await isOpen(hands)) return done
  const before = new Map<string, string>()
  for (const name of ['repl-diskless-sync', 'repl-diskless-sync-delay']) before.set(name, await setting(hands, name, deadlineMs))
  const set = async (diskless: string, delayS: string): Promise<boolean> =>
    (await command(hands, 'CONFIG', 'SET', 'repl-diskless-sync-delay', delayS)).done &&
    (await command(hands, 'CONFIG', 'SET', 'repl-diskless-sync', diskless)).done
  let why = 'it does not know diskless replication'
  if (![...before.values()].includes('') && (await set('yes', '5'))) {
    const knocked = await knock({ host: localIp(hands.config, hands.member.host), port: hands.member.port, password: hands.password }, deadlineMs, () =>
      isOpen(hands),
    )
    why = knocked.ok ? '' : knocked.why
  }
  // An agent that dies in between leaves `yes` behind: with `process: direct` it is never the value that is wanted.
  await set(hands.group.process === 'direct' ? 'no' : (before.get('repl-diskless-sync') ?? 'no'), before.get('repl-diskless-sync-delay') ?? '0')
  if (why === '') return done
  refused.add(hands)
  return failed(`the replication backlog could not be opened: ${why}`)
}

async function isOpen(hands: RedisHands): Promise<boolean> {
  const info = await hands.link()?.call(['INFO', 'replication'], deadlineMs)
  return info?.ok === true && parseInfo(String(info.value)).get('repl_backlog_active') === '1'
}

export function mayGrowBacklog(hands: RedisHands): boolean {
  return !refused.has(hands)
}
