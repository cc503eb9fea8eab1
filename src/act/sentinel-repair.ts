/**
 * One repair of what a Sentinel knows, by the commands that Sentinel has for it. Each executor is idempotent, and done when the order was
 * taken: what became of it is seen by the next look. Decides nothing; a fresh id is act/sentinel-process.ts'.
 */
import { done, failed, type Outcome } from '../model/outcome.ts'
import type { At, SentinelLayout, SentinelLook } from '../model/sentinel-look.ts'
import { openRedis, type RedisLink, type RedisTarget } from '../redis/link.ts'
import { settingWords } from '../render/sentinel-conf.ts'

const deadlineMs = 1000

export type Order = (link: RedisLink) => Promise<Outcome>

export async function orderSentinel(target: RedisTarget, order: Order): Promise<Outcome> {
  const opened = await openRedis(target, deadlineMs, () => {})
  if (!opened.ok) return failed(opened.why)
  try {
    return await order(opened.value)
  } finally {
    opened.value.close()
  }
}

async function tell(link: RedisLink, words: readonly string[]): Promise<Outcome> {
  const answer = await link.call(words, deadlineMs)
  return answer.ok ? done : failed(answer.why)
}

/** It is of no group then. One that has forgotten it already is content. */
export function forget(group: string): Order {
  return async (link) => {
    const told = await tell(link, ['SENTINEL', 'REMOVE', group])
    return !told.done && /no such (master|primary)/i.test(told.why) ? done : told
  }
}

export function setAsConfigured({ group, settings }: SentinelLayout): Order {
  const words = [['quorum', String(settings.quorum)], ...settingWords(settings)].flat()
  return (link) => tell(link, ['SENTINEL', 'SET', group, ...words])
}

/** Who the others are, as they would say within two seconds; nothing of it is news of the primary. */
export interface Introduction {
  readonly primary: At
  readonly configEpoch: number
  readonly others: readonly Pick<SentinelLook, 'address' | 'id'>[]
}

export function introduce(group: string, who: Introduction): Order {
  return (link) => tellAll(link, hellos(group, who))
}

/** It keeps its id, its epochs and the primary. IN ONE WRITE with the others: one that knows none of them for a moment counts its own vote as many. */
export function reset(group: string, who: Introduction): Order {
  return (link) => tellAll(link, [['SENTINEL', 'RESET', group], ...hellos(group, who)])
}

function hellos(group: string, { primary, configEpoch, others }: Introduction): readonly (readonly string[])[] {
  return others.flatMap(({ address, id }) => {
    if (id === null) return []
    const hello = [address.ip, address.port, id, configEpoch, group, primary.ip, primary.port, configEpoch].join(',')
    return [['PUBLISH', '__sentinel__:hello', hello]]
  })
}

async function tellAll(link: RedisLink, commands: readonly (readonly string[])[]): Promise<Outcome> {
  if (commands.length === 0) return done
  const answers = await link.callAll(commands, deadlineMs)
  if (!answers.ok) return failed(answers.why)
  const refused = answers.value.find((a) => !a.ok)
  return refused === undefined || refused.ok ? done : failed(refused.why)
}
