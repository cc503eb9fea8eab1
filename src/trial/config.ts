/**
 * A configuration against the redis-server of this machine: every redis.conf that it renders to is tried, each distinct one once. What redis
 * refuses is told at the key where it was written. Changes nothing and needs no password: it is never that of the group.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { readUserRedisConf } from '../config/files.ts'
import { nearest, type Finding, type KeyPath } from '../config/problem.ts'
import type { Config, GroupConfig } from '../model/config.ts'
import { OperatorError } from '../model/error.ts'
import { passwordHash } from '../redis/sentinel-id.ts'
import { renderRedisConf } from '../render/redis-conf.ts'
import { managedReason, modernName, readConf, readVersion, splitWords, type ServerVersion } from '../render/redis-directives.ts'
import { triedLines, tryRedisConf, type Refusal, type TrialResult } from './redis-conf.ts'

export interface ConfigTrial {
  readonly problems: readonly Finding[]
  /** What could not be tried, and why. */
  readonly untried: readonly Finding[]
}

const versionDeadlineMs = 5000
/** Of the redis that is tried, which nobody else reaches. */
const password = 'trial'

/** `host`: only what runs on it. The configuration may have problems of other kinds: what can be tried is. */
export async function tryConfig(config: Config, host?: string): Promise<ConfigTrial> {
  const groups = Object.values(config.groups).flatMap((group) => {
    const members = group.members.filter((m) => config.hosts[m.host] !== undefined && (host === undefined || m.host === host))
    return group.process !== 'external' && members.length > 0 ? [{ group: readable(group), members }] : []
  })
  if (groups.length === 0) return { problems: [], untried: [] }
  const { redisServer } = config.paths
  const version = await versionOf(redisServer)
  if (typeof version === 'string') return { problems: [], untried: [untriedAt(version)] }
  const results = new Map<string, TrialResult>()
  const problems: Finding[] = []
  const untried: Finding[] = []
  for (const { group, members } of groups) {
    const userConf = await userConfOf(group)
    if (userConf === null) continue
    for (const member of members) {
      const lines = triedLines(textOf(config, group, member, version.parsed, userConf))
      const key = lines.join('\n')
      const result = results.get(key) ?? (await tried(redisServer, lines, group.passwordFile === undefined ? undefined : password))
      results.set(key, result)
      problems.push(...result.refusals.map((refusal) => findingOf(group, userConf, refusal, result.known, version.told)))
      if (result.untried !== null) untried.push(untriedAt(`${redisServer} with that of ${group.name}: ${result.untried}`))
    }
  }
  return { problems: distinct(problems), untried: distinct(untried) }
}

/** A disk that is full here is no mistake of the configuration. */
async function tried(...what: Parameters<typeof tryRedisConf>): Promise<TrialResult> {
  try {
    return await tryRedisConf(...what)
  } catch (error) {
    return { refusals: [], known: [], untried: (error as Error).message }
  }
}

function textOf(
  config: Config,
  group: GroupConfig,
  member: GroupConfig['members'][number],
  serverVersion: ServerVersion,
  userConf: string | undefined,
): string {
  const secret = group.passwordFile === undefined ? undefined : password
  const sentinelKeys = group.sentinel === undefined ? undefined : [passwordHash(password)]
  return renderRedisConf({ config, group, member, password: secret, serverVersion, userConf, sentinelKeys }).text
}

/** Without what the configuration's own check refuses, which cannot be rendered. */
function readable(group: GroupConfig): GroupConfig {
  return { ...group, redis: group.redis.filter(([directive, value]) => splitWords(value).ok && managedReason(directive) === undefined) }
}

/** null: it cannot be read, and that is said elsewhere. */
async function userConfOf(group: GroupConfig): Promise<string | undefined | null> {
  try {
    return await readUserRedisConf(group)
  } catch (error) {
    if (error instanceof OperatorError) return null
    throw error
  }
}

async function versionOf(redisServer: string): Promise<{ readonly parsed: ServerVersion; readonly told: string } | string> {
  try {
    const { stdout } = await promisify(execFile)(redisServer, ['--version'], { timeout: versionDeadlineMs, maxBuffer: 65_536 })
    const parsed = readVersion(stdout)
    return parsed === null ? `${redisServer} --version tells no version` : { parsed, told: /\bv=(\S+)/.exec(stdout)?.[1] ?? '' }
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
      ? `${redisServer} is not on this machine`
      : `${redisServer} --version: ${(error as Error).message}`
  }
}

function untriedAt(why: string): Finding {
  return { path: ['paths', 'redis_server'], message: `redis.conf was not tried: ${why}` }
}

function findingOf(group: GroupConfig, userConf: string | undefined, refusal: Refusal, known: readonly string[], version: string): Finding {
  const [name = '', ...rest] = refusal.text.split(' ')
  const { path, where } = placeOf(group, userConf, name, rest.join(' ').replace(/ …$/, ''))
  const isUnknown = known.length > 0 && !known.includes(name.toLowerCase())
  const guess = isUnknown ? nearest(name, known) : undefined
  const hint = guess === undefined ? '' : `; did you mean \`${guess}\`?`
  const directive = refusal.text === '' ? '' : ` with \`${refusal.text}\``
  return { path, message: `${where}redis ${version} does not start${directive}: ${refusal.why}${hint}`, atKey: isUnknown }
}

/** Of several lines of one directive, the one with these words. */
function placeOf(group: GroupConfig, userConf: string | undefined, name: string, words: string): { readonly path: KeyPath; readonly where: string } {
  const modern = modernName(name)
  const begins = (value: string): boolean => (splitWords(value).ok ? wordsOf(value).startsWith(words) : false)
  const own = group.redis.filter(([directive]) => modernName(directive) === modern)
  const lines = readConf(userConf ?? '').lines.filter((line) => modernName(line.directive) === modern)
  const exact = own.find(([, value]) => begins(value))
  const line = lines.find((each) => each.args.join(' ').startsWith(words)) ?? lines[0]
  const entry = exact ?? (line === undefined ? own[0] : undefined)
  if (entry !== undefined) return { path: ['groups', group.name, 'redis', entry[0]], where: '' }
  if (line !== undefined) return { path: ['groups', group.name, 'redis_conf'], where: `${group.redisConf ?? ''}, line ${line.line}: ` }
  return { path: ['groups', group.name], where: '' }
}

function wordsOf(value: string): string {
  const split = splitWords(value)
  return split.ok ? split.words.join(' ') : value
}

function distinct(findings: readonly Finding[]): readonly Finding[] {
  const seen = new Map(findings.map((finding) => [JSON.stringify([finding.path, finding.message]), finding]))
  return [...seen.values()]
}
