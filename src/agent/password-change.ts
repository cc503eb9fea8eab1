/**
 * The password of a group while it is changed, on this host: remembered DURABLY BEFORE redis hears of it, so that a redis that is started
 * meanwhile takes both. After each step the agent starts anew in place with what is remembered. In which order hosts go is cli/password.ts.
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { Config, GroupConfig } from '../model/config.ts'
import { OperatorError } from '../model/error.ts'
import type { PasswordAnswer, PasswordChange, PasswordRequest, PasswordWord } from '../model/password.ts'
import { localIp } from '../model/local-address.ts'
import { passwordChangeFile } from '../model/paths.ts'
import { removeDurably, writeDurably } from '../act/durable.ts'
import { replaceFile } from './own-config.ts'
import { isPassword, readPassword } from '../config/files.ts'
import { openRedis, type RedisTarget } from '../redis/link.ts'

const deadlineMs = 1000
/** The answer must reach whoever asked before the port is closed. */
const answerFirstMs = 100

export interface Passwords {
  /** With which the agent and the replication come. */
  readonly current: string | undefined
  /** Valid beside it, while it is changed. */
  readonly other?: string | undefined
}

/** What is remembered goes before the file: it may have been half-way between the two. */
export async function passwordsOf(paths: Config['paths'], group: GroupConfig): Promise<Passwords> {
  const change = await readChange(paths, group.name)
  if (change === null || group.passwordFile === undefined) return { current: await readPassword(group) }
  return change.stage === 'using' ? { current: change.new, other: change.old } : { current: change.old, other: change.new }
}

async function readChange(paths: Config['paths'], group: string): Promise<PasswordChange | null> {
  const file = passwordChangeFile(paths, group)
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  const change = JSON.parse(text) as Partial<PasswordChange>
  const isSound = (change.stage === 'offered' || change.stage === 'using') && typeof change.old === 'string' && typeof change.new === 'string'
  if (!isSound) throw new OperatorError('HF206', `${file} is damaged`, 'put the password that redis takes into the password file, and move this file away')
  return change as PasswordChange
}

export interface PasswordKeeper {
  /** Two are valid, as this agent was started. */
  readonly isChanging: boolean
  readonly word: () => Promise<PasswordWord | null>
  readonly step: (request: PasswordRequest) => Promise<PasswordAnswer>
}

type At = Pick<RedisTarget, 'host' | 'port'>

/** Of each group of this host. */
export async function passwordKeepers(
  config: Config,
  host: string,
  names: readonly string[],
  secret: string,
  changed: () => void,
): Promise<ReadonlyMap<string, PasswordKeeper>> {
  const keepers = new Map<string, PasswordKeeper>()
  for (const name of names) {
    const group = config.groups[name]
    if (group === undefined) continue
    const member = group.members.find((m) => m.host === host)
    const at = member === undefined ? null : { host: localIp(config, host), port: member.port }
    keepers.set(name, await passwordKeeper(config.paths, group, at, secret, changed))
  }
  return keepers
}

/** `at`: the redis here; null: there is none. `changed`: start anew. */
export async function passwordKeeper(paths: Config['paths'], group: GroupConfig, at: At | null, secret: string, changed: () => void): Promise<PasswordKeeper> {
  const isChanging = (await readChange(paths, group.name)) !== null
  const file = group.passwordFile
  const id = (password: string): string => passwordId(secret, group.name, password)
  let isTaking = false

  async function word(): Promise<PasswordWord | null> {
    const { current, other } = await passwordsOf(paths, group)
    if (current === undefined) return null
    const change = await readChange(paths, group.name)
    return {
      stage: change?.stage ?? 'none',
      current: id(current),
      other: other === undefined ? null : id(other),
      takesCurrent: await takes(at, current),
      takesOther: other === undefined ? null : await takes(at, other),
    }
  }

  async function step({ step: what, password }: PasswordRequest): Promise<PasswordAnswer> {
    if (file === undefined) return { ok: false, why: 'the group has no password_file' }
    if (group.process === 'external') return { ok: false, why: 'its redis is external: the passwords in its redis.conf are yours to change' }
    if (!isPassword(password)) return { ok: false, why: 'not a password: empty, or with a line break or control character' }
    if (isTaking) return { ok: false, why: 'another step is under way' }
    isTaking = true
    try {
      const why = await { offer, use, finish }[what](password)
      // Also where it was refused half-way: what is remembered counts.
      setTimeout(changed, answerFirstMs)
      return { ok: why === null, why: why ?? '' }
    } catch (error) {
      isTaking = false
      return { ok: false, why: (error as Error).message }
    }
  }

  async function remember(change: PasswordChange): Promise<void> {
    await writeDurably(passwordChangeFile(paths, group.name), JSON.stringify(change), 0o600)
  }

  async function offer(password: string): Promise<string | null> {
    const change = await readChange(paths, group.name)
    const { current } = await passwordsOf(paths, group)
    if (current === password && change === null) return null
    if (change !== null && password !== change.new && password !== change.old)
      return 'a change to another password is under way: finish it first, or give the file of the old password to go back'
    // Back to the old one, in the same steps.
    // Before anything is remembered: a redis that does not know ACLs would not start from a file with both.
    const unable = await tell(at, [current ?? '', change?.new ?? current ?? ''], [['ACL', 'WHOAMI']])
    if (unable !== null) return unable
    const isBack = change !== null && password === change.old
    const next: PasswordChange = change === null ? { stage: 'offered', old: current ?? '', new: password } : isBack ? swapped(change) : change
    await remember(next)
    return tell(at, [next.old, next.new], [['ACL', 'SETUSER', 'default', `>${next.old}`, `>${next.new}`]])
  }

  async function use(password: string): Promise<string | null> {
    const change = await readChange(paths, group.name)
    if (change === null) return (await readPassword(group)) === password ? null : 'it was not offered here'
    if (change.new !== password) return 'another password was offered here'
    await remember({ ...change, stage: 'using' })
    if (file !== undefined) await replaceFile(file, `${password}\n`)
    return tell(at, [change.new, change.old], [['CONFIG', 'SET', 'masterauth', password]])
  }

  async function finish(password: string): Promise<string | null> {
    const change = await readChange(paths, group.name)
    if (change !== null && (change.stage !== 'using' || change.new !== password)) return 'it is not in use here yet'
    if (change === null && (await readPassword(group)) !== password) return 'it was not offered here'
    // A redis that was started with both has this `requirepass` already, and CONFIG SET of what is set does nothing: the user is told too.
    const only = [
      ['CONFIG', 'SET', 'requirepass', password],
      ['ACL', 'SETUSER', 'default', 'resetpass', `>${password}`],
    ]
    // Redis first: should this end in the middle, the next try does it again.
    const why = await tell(at, [password], only)
    if (why !== null) return why
    if (change !== null && (await takes(at, change.old)) === true) return 'its redis takes the old password all the same'
    await removeDurably(passwordChangeFile(paths, group.name))
    return null
  }

  return { isChanging, word, step }
}

/** What was in use stays so: the old one of now is the one that agents and replication came with. */
function swapped(change: PasswordChange): PasswordChange {
  return change.stage === 'using' ? { stage: 'offered', old: change.new, new: change.old } : { stage: 'using', old: change.new, new: change.old }
}

export function passwordId(secret: string, group: string, password: string): string {
  return createHash('sha256').update(`holdfast password 1\0${secret}\0${group}\0${password}`).digest('hex').slice(0, 16)
}

async function takes(at: At | null, password: string): Promise<boolean | null> {
  if (at === null) return null
  const opened = await openRedis({ ...at, password }, deadlineMs, () => {})
  if (opened.ok) opened.value.close()
  return opened.ok ? true : /WRONGPASS|invalid.*password/i.test(opened.why) ? false : null
}

/** null: done. By a connection of its own, with the first password that is taken. */
async function tell(at: At | null, passwords: readonly string[], commands: readonly (readonly string[])[]): Promise<string | null> {
  if (at === null) return null
  let why = ''
  for (const one of passwords) {
    const opened = await openRedis({ ...at, password: one }, deadlineMs, () => {})
    if (!opened.ok) {
      why = opened.why
      continue
    }
    try {
      for (const command of commands) {
        const answer = await opened.value.call(command, deadlineMs)
        if (!answer.ok) return `redis: ${command.slice(0, 3).join(' ')}: ${answer.why}`
      }
      return null
    } finally {
      opened.value.close()
    }
  }
  return `its redis cannot be told: ${why}`
}
