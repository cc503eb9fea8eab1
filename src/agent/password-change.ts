/**
 * A password of a group, that of redis or that of its Sentinels, on this host: with which the agent comes, and what redis or the Sentinel here is told while it is
 * changed. The steps, and what is remembered between them, are two-step.ts.
 */
import { createHash } from 'node:crypto'
import type { Config, GroupConfig } from '../model/config.ts'
import { localIp } from '../model/local-address.ts'
import { guardedHosts, passwordFileOf, passwordKinds, type PasswordOf } from '../model/password.ts'
import { passwordChangeFile } from '../model/paths.ts'
import { sentinelMemory } from '../act/sentinel-process.ts'
import { isPassword, readPassword, readSentinelPassword } from '../config/files.ts'
import { openRedis, type RedisTarget } from '../redis/link.ts'
import { passwordOrders, type Orders } from './password-orders.ts'
import { keepTwoStep, rememberedOr, type Guard, type PasswordKeeper, type Passwords } from './two-step.ts'

const deadlineMs = 1000

/** Of CLIENT LIST. Its two connections: one asks and tells, the other would listen and does not. */
const refusedSentinel = /^id=(\d+) addr=(\S+):\d+ .*? name= .* sub=0 .* cmd=(?:ping|publish|subscribe|info) /gm

export async function passwordsOf(paths: Config['paths'], group: GroupConfig, of: PasswordOf): Promise<Passwords> {
  const inFile = (): Promise<string | undefined> => readFromFile(group, of)
  return passwordFileOf(group, of) === undefined ? { current: undefined } : rememberedOr(passwordChangeFile(paths, group.name, of), inFile)
}

function readFromFile(group: GroupConfig, of: PasswordOf): Promise<string | undefined> {
  return of === 'redis' ? readPassword(group) : readSentinelPassword(group)
}

type At = Omit<RedisTarget, 'password'>

export type PasswordKeepers = (group: string, of: PasswordOf) => PasswordKeeper | null

/** Of each group of this host. */
export async function passwordKeepers(config: Config, host: string, names: readonly string[], secret: string, changed: () => void): Promise<PasswordKeepers> {
  const keepers = new Map<string, PasswordKeeper>()
  for (const group of names.flatMap((name) => config.groups[name] ?? [])) {
    for (const of of passwordKinds) {
      if (of === 'sentinels' && group.sentinel === undefined) continue
      const at = guardedAt(config, group, host, of)
      const others = guardedHosts(group, of).flatMap((h) => (h === host ? [] : (config.hosts[h]?.ip ?? [])))
      const password = (): string | null => sentinelMemory({ config, group })?.password ?? null
      const sentinel = of === 'sentinels' && at !== null ? { sentinel: { others, password } } : {}
      keepers.set(`${of} ${group.name}`, await passwordKeeper({ paths: config.paths, group, of, at, ...sentinel, secret, changed }))
    }
  }
  return (group, of) => keepers.get(`${of} ${group}`) ?? null
}

/** null: nobody here asks for it. */
function guardedAt(config: Config, group: GroupConfig, host: string, of: PasswordOf): At | null {
  if (!guardedHosts(group, of).includes(host)) return null
  const port = of === 'redis' ? group.members.find((m) => m.host === host)?.port : group.sentinel?.port
  if (port === undefined) return null
  const at = { host: localIp(config, host), port }
  return of === 'redis' ? at : { ...at, user: 'default' }
}

export interface KeeperOptions {
  readonly paths: Config['paths']
  readonly group: GroupConfig
  readonly of: PasswordOf
  /** Who asks for it here; null: nobody. */
  readonly at: At | null
  /** Of a Sentinel: where the others are, and with which password it comes to them. */
  readonly sentinel?: { readonly others: readonly string[]; readonly password: () => string | null }
  readonly secret: string
  /** Start anew. */
  readonly changed: () => void
}

export function passwordKeeper({ paths, group, of, at, sentinel, secret, changed }: KeeperOptions): Promise<PasswordKeeper> {
  return keepTwoStep({
    file: passwordFileOf(group, of),
    changeFile: passwordChangeFile(paths, group.name, of),
    inFile: () => readFromFile(group, of),
    id: (password) => passwordId(secret, group.name, password),
    refuses: (password) => notOurs(group, of) ?? (isPassword(password, of) ? null : passwordOrders[of].noPassword),
    guard: guardAt(at, of, sentinel),
    changed,
  })
}

function guardAt(at: At | null, of: PasswordOf, sentinel: KeeperOptions['sentinel']): Guard {
  const { name, probe, takeBoth, comeWith, takeOnly } = passwordOrders[of]
  const order = (known: readonly string[], commands: Orders): Promise<string | null> => tell(name, at, known, commands)
  return {
    probe: (known) => order(known, probe),
    takeBoth: async (one, two) => {
      const why = await order([one, two], takeBoth(one, two))
      return why ?? (sentinel !== undefined && at !== null ? haveConnectAnew({ ...at, password: two }, sentinel.others) : null)
    },
    comeWith: (password, known) => order(known, comeWith(password)),
    takeOnly: async (password, old) => {
      const why = await order([password], takeOnly(password))
      if (why !== null) return why
      return old !== null && (await takes(at, old)) === true ? `${name} takes the old password all the same` : null
    },
    takes: (password) => takes(at, password),
    isOpen: () => (sentinel === undefined || at === null ? Promise.resolve(false) : isOpen(at)),
    comes: (password) => (sentinel === undefined ? masterauthIs(at, password) : Promise.resolve(sentinel.password() === password)),
  }
}

/** null: it is Holdfast's to change. */
export function notOurs(group: GroupConfig, of: PasswordOf): string | null {
  if (of === 'redis') return group.process === 'external' ? 'its redis is external: the passwords in its redis.conf are yours to change' : null
  return group.sentinel?.process === 'external' ? 'its Sentinels are external: the passwords in their files are yours to change' : null
}

/** By which one is compared with another, and cannot be told. */
export function passwordId(secret: string, group: string, password: string): string {
  return createHash('sha256').update(`holdfast password 1\0${secret}\0${group}\0${password}`).digest('hex').slice(0, 16)
}

/** The same of the agents' secret. */
export function secretId(secret: string): string {
  return createHash('sha256').update(`holdfast secret 1\0${secret}`).digest('hex').slice(0, 16)
}

async function takes(at: At | null, password: string): Promise<boolean | null> {
  if (at === null) return null
  const opened = await openRedis({ ...at, password }, deadlineMs, () => {})
  if (opened.ok) opened.value.close()
  return opened.ok ? true : /WRONGPASS|invalid.*password/i.test(opened.why) ? false : null
}

/** null: there is no redis here, or no answer. */
async function masterauthIs(at: At | null, password: string): Promise<boolean | null> {
  if (at === null) return null
  const opened = await openRedis({ ...at, password }, deadlineMs, () => {})
  if (!opened.ok) return null
  const answer = await opened.value.call(['CONFIG', 'GET', 'masterauth'], deadlineMs)
  opened.value.close()
  return answer.ok && Array.isArray(answer.value) ? answer.value[1] === password : null
}

async function isOpen(at: At): Promise<boolean> {
  const opened = await openRedis({ ...at, password: undefined }, deadlineMs, () => {})
  if (!opened.ok) return false
  const answer = await opened.value.call(['PING'], deadlineMs)
  opened.value.close()
  return answer.ok
}

/** null: done. By a connection of its own, with the first password that is taken. */
async function tell(name: string, at: At | null, passwords: readonly string[], commands: Orders): Promise<string | null> {
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
        if (!answer.ok) return `${name}: ${command.slice(0, 3).join(' ')}: ${answer.why}`
      }
      return null
    } finally {
      opened.value.close()
    }
  }
  return `${name} cannot be told: ${why}`
}

/**
 * A Sentinel signs in when it connects, and one that was refused then asks on that connection for ever. Those that were let in have names.
 */
async function haveConnectAnew(target: RedisTarget, hosts: readonly string[]): Promise<string | null> {
  const opened = await openRedis(target, deadlineMs, () => {})
  if (!opened.ok) return opened.why
  try {
    const clients = await opened.value.call(['CLIENT', 'LIST'], deadlineMs)
    if (!clients.ok) return clients.why
    for (const [, id, ip] of String(clients.value).matchAll(refusedSentinel))
      if (id !== undefined && hosts.includes(ip ?? '')) await opened.value.call(['CLIENT', 'KILL', 'ID', id], deadlineMs)
    return null
  } finally {
    opened.value.close()
  }
}
