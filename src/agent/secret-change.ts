/**
 * The agents' shared secret on this host, while it is changed: both are let in (agent/secure.ts), and Sentinels may come to redis with what is derived from either.
 * The steps, and what is remembered between them, are two-step.ts.
 */
import type { Config } from '../model/config.ts'
import type { View } from '../model/view.ts'
import { hostsOf } from '../model/config.ts'
import { secretChangeFile } from '../model/paths.ts'
import { sentinelMemory } from '../act/sentinel-process.ts'
import { isSecret, readSecret } from '../config/files.ts'
import { sentinelUserPassword } from '../redis/sentinel-id.ts'
import { secretId } from './password-change.ts'
import { secretHint } from './secure.ts'
import { keepTwoStep, rememberedOr, type PasswordKeeper, type Passwords } from './two-step.ts'

export function secretsOf(config: Config): Promise<Passwords<string>> {
  return rememberedOr(secretChangeFile(config.paths), () => readSecret(config))
}

/** `viewOf`: what this agent sees of a group; null: nothing yet. */
export async function secretKeeper(config: Config, host: string, viewOf: (group: string) => View | null, changed: () => void): Promise<PasswordKeeper> {
  const inForce = await secretsOf(config)
  const isThere = (secret: string): boolean => [inForce.current, inForce.other].includes(secret)
  const isTaken = (): boolean => mine.every((name) => isIn(config, host, name, inForce.current, viewOf(name)))
  const mine = Object.values(config.groups)
    .filter((group) => hostsOf(group).includes(host))
    .map((group) => group.name)
  const nothing = (): Promise<null> => Promise.resolve(null)
  return keepTwoStep({
    file: config.api.secretFile,
    changeFile: secretChangeFile(config.paths),
    inFile: () => readSecret(config),
    id: secretId,
    refuses: (secret) => refusal(config, inForce, secret),
    // Nobody is told: the agent that starts anew lets both in, or one, and puts the rights of the Sentinels' user in order.
    guard: {
      ...{ probe: nothing, takeBoth: nothing, comeWith: nothing, takeOnly: nothing },
      isOpen: () => Promise.resolve(false),
      comes: nothing,
      takes: (secret) => Promise.resolve(isThere(secret) && isTaken()),
    },
    changed,
  })
}

function refusal(config: Config, { current, other }: Passwords<string>, secret: string): string | null {
  if (!isSecret(secret)) return 'not a secret: under 16 bytes, which can be guessed'
  const external = Object.values(config.groups).find((group) => group.sentinel?.process === 'external')
  if (external !== undefined)
    return `the Sentinels of ${external.name} are external, and come to redis with a password that is made of it: their files are yours to change`
  const isAlike = [current, other].some((known) => known !== undefined && known !== secret && secretHint(known) === secretHint(secret))
  return isAlike ? 'it cannot be told from the old one by its mark (one in 65,536 cannot): make another' : null
}

/** The redis here lets the Sentinels in with all that is valid, and no more; and the Sentinel here comes with this one. */
function isIn(config: Config, host: string, name: string, secret: string, view: View | null): boolean {
  const group = config.groups[name]
  if (group?.sentinel === undefined) return true
  const isMember = group.members.some((m) => m.host === host)
  if (isMember && (view?.redis.sentinelMay?.orders ?? 'unknown') === 'unknown') return false
  return !group.sentinel.hosts.includes(host) || sentinelMemory({ config, group })?.userPassword === sentinelUserPassword(secret, name)
}
