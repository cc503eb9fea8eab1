/**
 * A full look at the Sentinels of a group, on an operator's word: every Sentinel, every redis that one takes for a member of the group, and every
 * Sentinel of somebody else's that has to do with them. Read-only; each question has a deadline; judges nothing.
 */
import {
  isAt,
  type At,
  type Known,
  type RedisLook,
  type SentinelLayout,
  type SentinelLook,
  type SentinelPicture,
  type StrangerLook,
  type Watched,
} from '../model/sentinel-look.ts'
import { factsFromInfo, parseInfo } from '../redis/info.ts'
import { openEvents, openRedis, sentinelTarget, type RedisLink } from '../redis/link.ts'
import { helloFrom, knownFrom, sentinelClients, watchedFrom, type Hello } from '../redis/sentinel-lists.ts'
import { tiltFrom, troubleFrom } from '../redis/sentinel-replies.ts'

const askDeadlineMs = 1000
/** Each Sentinel publishes every two seconds. */
const helloWithinMs = 2600
const maxStrangers = 32

export interface LookOrder {
  readonly layout: SentinelLayout
  readonly self: string
  /** Of the group's redises. */
  readonly password: string | undefined
  /** The Sentinels' own. */
  readonly sentinelPassword: string | undefined
}

export async function lookAtSentinels(order: LookOrder): Promise<SentinelPicture> {
  const { layout, self } = order
  const [sentinels, own] = await Promise.all([
    Promise.all(layout.sentinels.map((at) => lookAtSentinel(order, at))),
    Promise.all(layout.members.map((at) => lookAtMember(order, at))),
  ])
  const unknown = distinct(sentinels.flatMap((s) => s.replicas).map((r) => r.address)).filter((at) => at.port > 0 && !layout.members.some((m) => isAt(m, at)))
  const [others, strangers] = await Promise.all([Promise.all(unknown.map(lookAtOther)), lookAtStrangers(order, sentinels, own)])
  return { asker: self, sentinels, redises: [...own.map(({ look }) => look), ...others], strangers }
}

async function lookAtSentinel({ layout, sentinelPassword }: LookOrder, at: At & { readonly host: string }): Promise<SentinelLook> {
  const { host, ip, port } = at
  const startedMs = performance.now()
  const nothing = { host, address: { ip, port }, answers: false, id: null, uptimeS: null, tilt: false, watches: [], replicas: [], others: [], ckquorum: null }
  const silent = (why: string): SentinelLook => ({
    ...nothing,
    trouble: troubleFrom(why, layout.group, port),
    tookMs: Math.round(performance.now() - startedMs),
  })
  const opened = await openRedis(sentinelTarget({ host: ip, port }, sentinelPassword), askDeadlineMs, () => {})
  if (!opened.ok) return silent(opened.why)
  try {
    const lists = ['REPLICAS', 'SENTINELS', 'CKQUORUM'].map((word) => ['SENTINEL', word, layout.group])
    const answers = await opened.value.callAll([['SENTINEL', 'MASTERS'], ['SENTINEL', 'MYID'], ['INFO'], ...lists], askDeadlineMs)
    if (!answers.ok) return silent(answers.why)
    const [masters, id, info, replicas, others, ckquorum] = answers.value
    if (masters?.ok !== true) return silent(masters?.why ?? 'no answer')
    const told = info?.ok === true ? String(info.value) : ''
    return {
      ...nothing,
      answers: true,
      trouble: null,
      id: id?.ok === true ? String(id.value) : null,
      uptimeS: Number(parseInfo(told).get('uptime_in_seconds') ?? Number.NaN) || 0,
      tilt: tiltFrom(told) === true,
      watches: watchedFrom(masters.value),
      replicas: replicas?.ok === true ? knownFrom(replicas.value) : [],
      others: others?.ok === true ? knownFrom(others.value) : [],
      ckquorum: ckquorum === undefined ? null : ckquorum.ok ? { ok: true, text: String(ckquorum.value) } : { ok: false, text: ckquorum.why },
      tookMs: Math.round(performance.now() - startedMs),
    }
  } finally {
    opened.value.close()
  }
}

interface Member {
  readonly look: RedisLook
  readonly clients: readonly { readonly ip: string; readonly id: string }[]
}

async function lookAtMember({ password }: LookOrder, at: At & { readonly host: string }): Promise<Member> {
  const address = { ip: at.ip, port: at.port }
  const opened = await openRedis({ host: at.ip, port: at.port, password }, askDeadlineMs, () => {})
  if (!opened.ok) return { look: { ...unseen(address), host: at.host, reach: reachOf(opened.why) }, clients: [] }
  try {
    const clients = await opened.value.call(['CLIENT', 'LIST'], askDeadlineMs)
    return { look: { ...(await askRedis(opened.value, address)), host: at.host }, clients: clients.ok ? sentinelClients(String(clients.value)) : [] }
  } finally {
    opened.value.close()
  }
}

/** Whatever is there: it is not sent a password, which it may have no right to know. */
async function lookAtOther(address: At): Promise<RedisLook> {
  const opened = await openRedis({ host: address.ip, port: address.port, password: undefined }, askDeadlineMs, () => {})
  if (!opened.ok) return { ...unseen(address), reach: reachOf(opened.why) }
  try {
    return await askRedis(opened.value, address)
  } finally {
    opened.value.close()
  }
}

async function askRedis(link: RedisLink, address: At): Promise<RedisLook> {
  const info = await link.call(['INFO'], askDeadlineMs)
  const facts = info.ok ? factsFromInfo(String(info.value)) : null
  if (facts === null) return { ...unseen(address), reach: info.ok ? 'locked' : reachOf(info.why) }
  const { role, upstream, replid } = facts
  return {
    ...{ host: null, address, reach: 'answers', role, replid },
    upstream: upstream === null ? null : { ip: upstream.host, port: upstream.port },
    followers: facts.followers.map(({ ip, port }) => ({ ip, port })),
  }
}

function unseen(address: At): RedisLook {
  return { host: null, address, reach: 'silent', role: null, upstream: null, replid: null, followers: [] }
}

function reachOf(why: string): RedisLook['reach'] {
  return /NOAUTH|WRONGPASS|NOPERM|DENIED/.test(why) ? 'locked' : 'silent'
}

/** Known by a list of one of ours, or connected to one of our redises: it says there by itself who it is and whom it watches. */
async function lookAtStrangers(
  { layout, password }: LookOrder,
  sentinels: readonly SentinelLook[],
  members: readonly Member[],
): Promise<readonly StrangerLook[]> {
  const isOurs = (at: At): boolean => layout.sentinels.some((s) => isAt(s, at))
  const listed = sentinels.flatMap((s) => s.others).filter((o) => o.address.port > 0 && !isOurs(o.address))
  const isKnown = ({ ip, id }: { readonly ip: string; readonly id: string }): boolean =>
    sentinels.some((s) => s.id?.startsWith(id) === true && (s.address.ip === ip || ip.startsWith('127.')))
  const connected = members.flatMap(({ look, clients }) => clients.filter((c) => !isKnown(c)).map((c) => ({ ...c, look })))
  const places = distinct(connected.map(({ look }) => look.address))
  const heard = (await Promise.all(places.map(async (at) => ({ at, hellos: await hearHellos(at, password) })))).flatMap(({ at, hellos }) =>
    hellos.filter((h) => !isOurs(h.address)).map((h) => ({ ...h, at })),
  )
  const ids = sentinels.flatMap((s) => s.id ?? [])
  // One of ours that comes from an address of its host that is not in the configuration is none.
  const nameless = connected.filter((c) => !heard.some((h) => h.id.startsWith(c.id)) && !ids.some((id) => id.startsWith(c.id)))
  const found: readonly Pick<Known, 'address' | 'id'>[] = [...heard, ...listed, ...nameless.map(({ ip, id }) => ({ address: { ip, port: 0 }, id }))]
  const each = found.filter((one, i) => found.findIndex((other) => isAt(other.address, one.address) && other.id === one.id) === i).slice(0, maxStrangers)
  return Promise.all(
    each.map(async ({ address, id }): Promise<StrangerLook> => {
      const says = heard.filter((h) => isAt(h.address, address) && h.id === id).map(({ group, primary }) => ({ group, address: primary }))
      const at = connected.filter((c) => id.startsWith(c.id) && (c.ip === address.ip || heard.some((h) => h.id === id))).flatMap(({ look }) => look.host ?? [])
      return { address, id, at: [...new Set(at)], says, ...(await askStranger(address)) }
    }),
  )
}

async function hearHellos(at: At, password: string | undefined): Promise<readonly Hello[]> {
  const heard: Hello[] = []
  const take = (_channel: string, text: string): void => {
    const hello = helloFrom(text)
    const isNew = hello !== null && !heard.some((h) => h.id === hello.id && h.group === hello.group && isAt(h.address, hello.address))
    if (hello !== null && isNew && heard.length < maxStrangers) heard.push(hello)
  }
  const opened = await openEvents({ host: at.ip, port: at.port, password }, askDeadlineMs, ['__sentinel__:hello'], take, () => {})
  if (!opened.ok) return []
  await new Promise((resolve) => setTimeout(resolve, helloWithinMs))
  opened.value.close()
  return heard
}

async function askStranger(address: At): Promise<{ readonly answers: boolean; readonly alive: boolean; readonly watches: readonly Watched[] }> {
  const none = { answers: false, alive: false, watches: [] }
  if (address.port === 0) return { ...none, alive: true }
  const opened = await openRedis({ host: address.ip, port: address.port, password: undefined }, askDeadlineMs, () => {})
  if (!opened.ok) return none
  try {
    const masters = await opened.value.call(['SENTINEL', 'MASTERS'], askDeadlineMs)
    return masters.ok ? { answers: true, alive: true, watches: watchedFrom(masters.value) } : { ...none, alive: true }
  } finally {
    opened.value.close()
  }
}

function distinct(all: readonly At[]): readonly At[] {
  return all.filter((at, i) => all.findIndex((other) => isAt(other, at)) === i)
}
