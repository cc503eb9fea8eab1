/**
 * What is asked of, and told to, the Sentinels of a group, and what its redis lets them do. One idempotent executor each; the local Sentinel
 * as a process is act/sentinel-process.ts. Decides nothing.
 */
import { done, failed, type Outcome } from '../model/outcome.ts'
import { sentinelUser } from '../model/sentinel.ts'
import { candidateId } from '../redis/sentinel-id.ts'
import type { SentinelLink, SentinelLinks } from '../redis/sentinel-link.ts'
import { othersFrom, voteFrom, voteQuestion, type Address } from '../redis/sentinel-replies.ts'
import { sentinelUserRules } from '../render/sentinel-user.ts'
import { command, type Linked, type RedisHands } from './redis.ts'

/** A Sentinel writes its vote to disk before it answers. */
const votesDeadlineMs = 60
const tellDeadlineMs = 100

/** The open connections to the group's Sentinels, and where their answers are kept (observe/sentinels.ts). */
export interface SentinelHands extends Linked {
  readonly sentinels: SentinelLinks | null
}

/** Done when they were asked, whoever they voted for: the votes are counted from the next View. */
export async function askVotes(hands: Pick<SentinelHands, 'sentinels'>, epoch: number, to: string): Promise<Outcome> {
  const links = hands.sentinels
  if (links === null) return failed('this group has no Sentinels')
  if (!Number.isSafeInteger(epoch) || epoch <= 0) return failed(`${epoch} is no epoch to ask for votes in`)
  const runId = candidateId(links.group, to)
  const asked = links.all().flatMap((sentinel) => {
    const { names, answers, isOpen } = sentinel
    return isOpen && names !== null ? [{ answers, answer: askVote(sentinel, names, epoch, runId) }] : []
  })
  if (asked.length === 0) return failed(`no Sentinel can be asked for its vote: no connection to any of ${links.hosts.join(', ')}`)
  // One that was silent before (its host died with the primary) would cost every election the whole wait; should it answer, that counts.
  const quick = asked.filter(({ answers }) => answers)
  await within(Promise.all((quick.length > 0 ? quick : asked).map(({ answer }) => answer)), votesDeadlineMs)
  return done
}

/** What it voted before must not be lost, and nobody may come between the two questions: they go in one write. */
async function askVote(sentinel: SentinelLink, names: Address, epoch: number, runId: string): Promise<void> {
  const replies = await sentinel.ask([voteQuestion(names, 0, runId), voteQuestion(names, epoch, runId)])
  if (replies.ok) sentinel.heardVotes(replies.value.flatMap((reply) => (reply.ok ? (voteFrom(reply.value) ?? []) : [])))
}

/** Done when one at least was told: whoever was not shows so in the next View. */
export async function tellSentinels(hands: Pick<SentinelHands, 'sentinels'>, sentinels: readonly string[], holder: string, epoch: number): Promise<Outcome> {
  const links = hands.sentinels
  if (links === null) return failed('this group has no Sentinels')
  const at = links.member(holder)
  if (at === null) return failed(`${holder} is no member of ${links.group}`)
  const whys: string[] = []
  const tellings = sentinels.map(async (host) => {
    const told = await tell(links, host, at, epoch)
    if (!told.done) whys.push(`${host}: ${told.why}`)
  })
  await within(Promise.all(tellings), tellDeadlineMs)
  return sentinels.length > 0 && whys.length === sentinels.length ? failed(`no Sentinel was told: ${whys.join('; ')}`) : done
}

async function tell(links: SentinelLinks, host: string, at: Address, epoch: number): Promise<Outcome> {
  const sentinel = links.all().find((one) => one.host === host)
  if (sentinel?.isOpen !== true) return failed('no connection')
  const speaker = await speakerTo(links, sentinel)
  if (speaker === null) return failed('it knows no other Sentinel, and believes nobody else')
  const hello = [speaker.ip, speaker.port, speaker.id, epoch, links.group, at.ip, at.port, epoch].join(',')
  const replies = await sentinel.ask([['PUBLISH', '__sentinel__:hello', hello]])
  const reply = replies.ok ? replies.value[0] : replies
  if (reply?.ok !== true) return failed(reply?.why ?? 'no answer')
  // What it makes of that comes with its next answer, and wakes the loop: a new primary has more to do than to wait for it.
  void sentinel.poll()
  return done
}

/** A Sentinel takes news only from another one, and would enter a stranger into its list of voters. */
async function speakerTo(links: SentinelLinks, sentinel: SentinelLink): Promise<(Address & { readonly id: string }) | null> {
  for (const { host, address, id } of links.all()) {
    if (host !== sentinel.host && id !== null && id !== sentinel.id) return { ...address, id }
  }
  const replies = await sentinel.ask([['SENTINEL', 'SENTINELS', links.group]])
  const known = replies.ok ? replies.value[0] : undefined
  return known?.ok === true ? (othersFrom(known.value)[0] ?? null) : null
}

async function within(work: Promise<unknown>, deadlineMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  await Promise.race([work, new Promise((resolve) => (timer = setTimeout(resolve, deadlineMs)))])
  clearTimeout(timer)
}

/** The whole user each time: it may be missing (an external redis, somebody's ACL DELUSER), or have another password. Who is logged in as it stays so. */
export async function allowOrders(hands: Pick<RedisHands, 'link' | 'sentinelKeys' | 'settingsChanged'>, allowed: boolean): Promise<Outcome> {
  if (hands.sentinelKeys === undefined) return failed('no Sentinels are configured, so none may give orders')
  const set = await command(hands, 'ACL', 'SETUSER', sentinelUser, ...sentinelUserRules(hands.sentinelKeys, allowed))
  hands.settingsChanged()
  return set
}

export async function setPriority(hands: Pick<RedisHands, 'link' | 'settingsChanged'>, value: number): Promise<Outcome> {
  const set = await command(hands, 'CONFIG', 'SET', 'replica-priority', String(value))
  hands.settingsChanged()
  return set
}
