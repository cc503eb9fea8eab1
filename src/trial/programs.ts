/** The programs that a host needs by its configuration, and which of them this machine lacks. Starts none but to hear whether it is there. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Config } from '../model/config.ts'
import { vrrpGroups } from '../render/keepalived.ts'

export interface MissingProgram {
  readonly program: string
  /** The Debian package that has it. */
  readonly packageName: string
  /** The key under `paths` that names it; null: none does. */
  readonly key: 'redis_server' | 'redis_sentinel' | 'keepalived' | null
}

export async function missingPrograms(config: Config, host: string): Promise<readonly MissingProgram[]> {
  const { redisServer, redisSentinel, keepalived } = config.paths
  const groups = Object.values(config.groups)
  const direct = groups.some((group) => group.process === 'direct' && group.members.some((m) => m.host === host))
  const sentinel = groups.some((group) => group.sentinel?.process === 'direct' && group.sentinel.hosts.includes(host))
  const wanted: (MissingProgram & { readonly argument?: string })[] = []
  if (direct) wanted.push({ program: redisServer, packageName: 'redis-server', key: 'redis_server' })
  if (vrrpGroups(config, host).length > 0) {
    wanted.push({ program: keepalived, packageName: 'keepalived', key: 'keepalived' })
    wanted.push({ program: 'nft', packageName: 'nftables', key: null }, { program: 'ip', packageName: 'iproute2', key: null, argument: '-V' })
  }
  // redis-server can be a Sentinel too.
  if (sentinel && !(await isInstalled(redisServer))) wanted.push({ program: redisSentinel, packageName: 'redis-sentinel', key: 'redis_sentinel' })
  const missing: MissingProgram[] = []
  for (const { argument, ...program } of wanted) if (!(await isInstalled(program.program, argument))) missing.push(program)
  return missing
}

export async function isInstalled(program: string, argument = '--version'): Promise<boolean> {
  try {
    await promisify(execFile)(program, [argument], { timeout: 5000 })
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return code !== 'ENOENT' && code !== 'EACCES'
  }
}
