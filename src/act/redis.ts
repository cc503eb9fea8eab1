/**
 * Everything that changes a redis that runs: roles, pauses, fences. One idempotent executor each; starting is start.ts, its end ending.ts.
 * Decides nothing, and never waits long: what is not finished says so and is asked for again by the next cycle.
 */
import type { Config, GroupConfig, MemberConfig } from '../model/config.ts'
import { done, failed, type Observed, type Outcome } from '../model/outcome.ts'
import type { RedisLink } from '../redis/link.ts'

const commandDeadlineMs = 1000

export interface RedisHands {
  readonly config: Config
  readonly group: GroupConfig
  readonly member: MemberConfig
  readonly password: string | undefined
  /** Valid beside it, while it is changed. */
  readonly otherPassword?: string | undefined
  readonly userConf: string | undefined
  /** Of the user as whom Sentinels come to this redis; undefined: the group has none. */
  readonly sentinelKeys?: readonly string[] | undefined
  readonly link: () => RedisLink | null
  readonly started: (pid: number) => void
  /** What redis does not tell in INFO was changed, and is to be read again. */
  readonly settingsChanged: () => void
  /** The process that the agent started has ended. `failures`: so often in a row at once; `words`: why, as it says. */
  readonly exited: (text: string, failures: number, words: string) => void
  /** The files of redis, or what it was started with, are not what they were. */
  readonly diskChanged: () => void
  /** Durable when it returns: the AOF is about to lose its end, and its position must say so. */
  readonly aofIsCut: () => Promise<void>
  readonly note: (text: string, kind?: 'started' | 'kept' | 'alarm') => void
}

/** All that a plain command needs. */
export type Linked = Pick<RedisHands, 'link'>

export async function command(hands: Linked, ...args: string[]): Promise<Outcome> {
  const link = hands.link()
  if (link === null) return failed('no connection to redis')
  const answer = await link.call(args, commandDeadlineMs)
  return answer.ok ? done : failed(`${args[0] ?? ''}: ${answer.why}`)
}

/** One CONFIG value; '' where redis does not tell it. */
export async function setting(hands: Linked, name: string, deadlineMs: number): Promise<string> {
  const answer = await hands.link()?.call(['CONFIG', 'GET', name], deadlineMs)
  return answer?.ok === true && Array.isArray(answer.value) ? String(answer.value[1] ?? '') : ''
}

export async function replicaOf(hands: Linked, host: string, port: string): Promise<Outcome> {
  const outcome = await command(hands, 'REPLICAOF', host, port)
  // Before redis 5.0 the command has its old name.
  return outcome.done || !/unknown command/i.test(outcome.why) ? outcome : command(hands, 'SLAVEOF', host, port)
}

export async function promote(hands: RedisHands): Promise<Outcome> {
  // Without replicas for an hour redis would drop its backlog and take a new id: every replica would then full-sync.
  const backlogStays = ['CONFIG', 'SET', 'repl-backlog-ttl', '0']
  // In one write, for clients wait: each of its own takes a quarter of a millisecond.
  const answers = await hands.link()?.callAll([backlogStays, ['REPLICAOF', 'NO', 'ONE']], commandDeadlineMs)
  return answers?.ok === true && answers.value[1]?.ok === true ? done : replicaOf(hands, 'NO', 'ONE')
}

export async function follow(hands: RedisHands, host: string, port: number): Promise<Outcome> {
  if (hands.password !== undefined) {
    const auth = await command(hands, 'CONFIG', 'SET', 'masterauth', hands.password)
    if (!auth.done) return auth
    // Of a redis that was followed during a move. Before 6.0 there are no users.
    await command(hands, 'CONFIG', 'SET', 'masteruser', '')
  }
  return replicaOf(hands, host, String(port))
}

export function softFence(hands: Linked): Promise<Outcome> {
  return replicaOf(hands, '127.0.0.1', '1')
}

export function pauseWrites(hands: RedisHands, forMs: number): Promise<Outcome> {
  return command(hands, 'CLIENT', 'PAUSE', String(forMs), 'WRITE')
}

export async function resumeWrites(hands: RedisHands): Promise<Outcome> {
  const outcome = await command(hands, 'CLIENT', 'UNPAUSE')
  // A redis before 6.2 knows neither the pause for writes nor its end.
  return outcome.done || !/unknown (sub)?command|Unknown subcommand|syntax error/i.test(outcome.why) ? outcome : done
}

/** Every client but whoever asks; how many there were. */
export async function killClients(hands: Linked): Promise<Observed<number>> {
  const link = hands.link()
  if (link === null) return { ok: false, why: 'no connection to redis' }
  const kills = ['normal', 'pubsub'].map((type) => ['CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes'])
  const answers = await link.callAll(kills, commandDeadlineMs)
  if (!answers.ok) return { ok: false, why: `CLIENT KILL: ${answers.why}` }
  const refused = answers.value.find(({ ok }) => !ok)
  if (refused?.ok === false) return { ok: false, why: `CLIENT KILL: ${refused.why}` }
  return { ok: true, value: answers.value.reduce((sum, answer) => sum + (answer.ok ? Number(answer.value) : 0), 0) }
}
