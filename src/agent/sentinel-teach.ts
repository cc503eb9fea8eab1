/**
 * Whom the Sentinel of this host watches: who serves; nobody while another redis has the clients (a move); and no redis that was moved here and follows no
 * more. Told by its own commands, each only where it is not so. When it is asked and told anything at all is sentinel.ts'.
 */
import type { Config, GroupConfig } from '../model/config.ts'
import type { Event } from '../model/action.ts'
import type { Observed } from '../model/outcome.ts'
import { sentinelUser, type Watched } from '../model/sentinel.ts'
import { openRedis, type RedisTarget } from '../redis/link.ts'
import { isForgotten, replicasFrom } from '../redis/sentinel-replies.ts'
import { monitoredOf, settingsOf, settingWords } from '../render/sentinel-conf.ts'
import { monotonicMs } from './clock.ts'

const askDeadlineMs = 1000
/** A Sentinel that cannot be hastened asks whom it watches for its replicas every ten seconds. */
const unlistedForMs = 12_000

export interface TeacherOptions {
  readonly config: Config
  readonly group: GroupConfig
  readonly host: string
  readonly target: RedisTarget
  readonly userPassword: string
  /** false: somebody else's. It is left as it is. */
  readonly isOurs: boolean
  readonly watched: () => Watched
  readonly note: (kind: Event['kind'], text: string) => void
  readonly complain: (why: string, kind: 'alarm' | 'waiting') => void
  /** SENTINEL `before`, each, and SENTINEL SET, in one go. */
  readonly change: (what: string, before: readonly (readonly string[])[], set: readonly string[]) => Promise<void>
}

export interface Teacher {
  /** It watches nobody: it is to watch who serves. */
  readonly teach: () => Promise<void>
  /** It is to watch nobody. */
  readonly unteach: () => Promise<void>
  /** It takes a redis for a replica that was moved here, and follows no more. */
  readonly listsFormer: () => Promise<boolean>
  readonly teachAnew: () => Promise<void>
}

export function teachSentinel({ config, group, host, target, userPassword, isOurs, watched, note, complain, change }: TeacherOptions): Teacher {
  let unlisted = { words: '', sinceMs: 0 }

  async function ask(...words: readonly string[]): Promise<Observed<unknown>> {
    const opened = await openRedis(target, askDeadlineMs, () => {})
    if (!opened.ok) return opened
    try {
      return await opened.value.call(['SENTINEL', ...words], askDeadlineMs)
    } finally {
      opened.value.close()
    }
  }

  async function teach(): Promise<void> {
    const serves = watched()
    if (serves === 'nobody') return
    // Told of a replica it would find it down for not being a primary, and fail over.
    if (serves === null) return complain(`the Sentinel of ${host} does not watch ${group.name}: it is told when it is known who serves`, 'waiting')
    if (!isOurs) return complain(`the Sentinel of ${host} does not watch ${group.name}; it is external, and left as it is`, 'alarm')
    // What was heard may be from before the last change, and one that is told once more lets go of its connections: asked anew.
    const named = await ask('GET-MASTER-ADDR-BY-NAME', group.name)
    if (!named.ok || named.value !== null) return
    // Asking took a moment: who serves may be somebody else by now, and then it is told the next time.
    if (watchedInWords(watched()) !== watchedInWords(serves)) return
    await change(`did not know ${group.name}: it watches it, with ${serves.host} as the primary`, [monitorWords(serves.host)], ownWords())
  }

  function monitorWords(holder: string): readonly string[] {
    const { ip, port } = monitoredOf(config, group, holder)
    return ['MONITOR', group.name, ip, String(port), String(settingsOf(group).quorum)]
  }

  function ownWords(): readonly string[] {
    return [...settingWords(settingsOf(group)).flat(), 'auth-user', sentinelUser, 'auth-pass', userPassword]
  }

  /** What it knew of the group goes with it, also how it voted: whoever serves next has an epoch above all of that. */
  async function unteach(): Promise<void> {
    if (!isOurs) return
    const told = await ask('REMOVE', group.name)
    // It was done already, or it has ended, which is told by itself: what was heard is of before.
    if (!told.ok && (isForgotten(told.why) || told.why.includes('ECONNREFUSED'))) return
    if (told.ok) note('started', `the Sentinel of ${host} watches nobody while the clients of ${group.name} are elsewhere`)
    else complain(`the Sentinel of ${host} cannot be had to look away: ${told.why}`, 'alarm')
  }

  /** Sentinels never forget one by themselves, and would have it follow the group again as soon as it follows nobody. Until it is gone for good. */
  async function listsFormer(): Promise<boolean> {
    const now = watched()
    const words = watchedInWords(now)
    if (!isOurs || now === null || now === 'nobody' || now.former === undefined) return false
    const { host: ip, port } = now.former
    if (unlisted.words === words && monotonicMs() - unlisted.sinceMs > unlistedForMs) return false
    const listed = await ask('REPLICAS', group.name)
    if (!listed.ok) return false
    const isListed = replicasFrom(listed.value).some((replica) => replica.ip === ip && replica.port === port)
    if (isListed) unlisted = { words: '', sinceMs: 0 }
    else if (unlisted.words !== words) unlisted = { words, sinceMs: monotonicMs() }
    return isListed
  }

  /** As after a cut-over. Its epochs it keeps. */
  async function teachAnew(): Promise<void> {
    const now = watched()
    if (now === null || now === 'nobody' || now.former === undefined) return
    const { host: ip, port } = now.former
    const what = `took ${ip}:${port}, which was moved to ${group.name}, for a replica still, and has forgotten it`
    await change(what, [['REMOVE', group.name], monitorWords(now.host)], ownWords())
  }

  return { teach, unteach, listsFormer, teachAnew }
}

export function watchedInWords(watched: Watched): string {
  if (watched === null || watched === 'nobody') return String(watched)
  const { host, former } = watched
  return former === undefined ? host : `${host}, without ${former.host}:${former.port}`
}
