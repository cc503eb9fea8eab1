/** One setting of a redis that was found, by its modern name: as it runs, or where that may not be asked, as its file has it. PURE. */
import { modernName } from '../render/redis-directives.ts'
import type { HostFound } from './found.ts'

export function settingOf({ redis, redisConf }: HostFound, name: string): string | null {
  const running = Object.entries(redis.settings ?? {}).find(([key]) => modernName(key) === name)?.[1]
  return running ?? fileSettingOf({ redisConf }, name)
}

/** As its file has it: what the next start goes by. The last line rules. */
export function fileSettingOf({ redisConf }: Pick<HostFound, 'redisConf'>, name: string): string | null {
  const line = redisConf.lines.findLast(([directive]) => modernName(directive) === name)
  return line === undefined ? null : line.slice(1).join(' ')
}

export function isYes(value: string | null, otherwise: boolean): boolean {
  return value === null ? otherwise : value.toLowerCase() === 'yes'
}

/** Which data are there after a crash of redis. */
export function comesBackWith(found: HostFound): 'nothing' | 'its last snapshot' | 'its append-only file' {
  if (isYes(settingOf(found, 'appendonly'), false)) return 'its append-only file'
  if (found.redis.settings !== null) return (settingOf(found, 'save') ?? '') === '' ? 'nothing' : 'its last snapshot'
  const saves = found.redisConf.lines.filter(([directive]) => directive === 'save')
  // `save ""` forgets the lines before it; without any line redis has its own defaults.
  return saves.length > 0 && saves.at(-1)?.slice(1).join('') === '' ? 'nothing' : 'its last snapshot'
}

/** As a set, in one order: what is renamed to what ('' for a command that is taken away). */
export function renamesOf({ redisConf }: HostFound): readonly (readonly [command: string, to: string])[] {
  return redisConf.lines
    .filter(([directive, command]) => directive === 'rename-command' && command !== undefined)
    .map(([, command = '', to = '']) => [command.toLowerCase(), to] as const)
    .sort(([one], [two]) => (one < two ? -1 : 1))
}

/** `requirepass`, ACL or not: may this redis be asked without a word? */
export function asksPassword({ passwords }: HostFound): boolean {
  return passwords.own !== null
}

/** Major and minor of what it calls itself. */
export function versionOf({ redis }: HostFound): readonly [major: number, minor: number] {
  const [major = 0, minor = 0] = redis.version.split('.').map(Number)
  return [major, minor]
}
