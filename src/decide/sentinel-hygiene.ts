/**
 * What is wrong with what the Sentinels of a group know: each list compared with the configuration, and with what answers where. PURE.
 * Whether and in which order it is repaired is sentinel-repair.ts'. A finding names the repair that would end it, or what an operator has to do.
 */
import {
  isAt,
  placeOf,
  type At,
  type FindingName,
  type Known,
  type RedisLook,
  type SentinelFinding,
  type SentinelLayout,
  type SentinelLook,
  type SentinelPicture,
  type SentinelRepair,
  type StrangerLook,
  type Watched,
} from '../model/sentinel-look.ts'
import type { SentinelSettings } from '../model/sentinel.ts'

export function findingsOf(layout: SentinelLayout, picture: SentinelPicture): readonly SentinelFinding[] {
  return [
    ...picture.strangers.flatMap((s) => strangerFindings(layout, s)),
    ...duplicateIds(layout, picture),
    ...picture.sentinels.flatMap((s) => [...ownFindings(layout, picture, s), ...replicaFindings(layout, picture, s), ...sentinelFindings(layout, picture, s)]),
  ]
}

export function watchOf(layout: SentinelLayout, look: SentinelLook): Watched | null {
  return look.watches.find((w) => w.name === layout.group) ?? null
}

/** The member that most Sentinels name; of as many, the one named since the later epoch. */
export function primaryNamed(layout: SentinelLayout, picture: SentinelPicture): (At & { readonly host: string }) | null {
  const named = picture.sentinels.flatMap((s) => watchOf(layout, s) ?? [])
  const ranked = layout.members.map((member) => {
    const by = named.filter((w) => isAt(w.address, member))
    return { member, count: by.length, epoch: Math.max(0, ...by.map((w) => w.configEpoch)) }
  })
  const [best] = ranked.filter((r) => r.count > 0).sort((a, b) => b.count - a.count || b.epoch - a.epoch)
  return best?.member ?? null
}

export function hostAt(layout: SentinelLayout, at: At): string | null {
  return layout.members.find((m) => isAt(m, at))?.host ?? null
}

export const settingNames: readonly (readonly [key: keyof SentinelSettings, name: string])[] = [
  ['quorum', 'quorum'],
  ['downAfterMs', 'down-after-milliseconds'],
  ['failoverTimeoutMs', 'failover-timeout'],
  ['parallelSyncs', 'parallel-syncs'],
]

function finding(name: FindingName, host: string | null, words: string, repair: SentinelRepair | null, remedy: string): SentinelFinding {
  return { name, host, words, repair, remedy }
}

function ownFindings(layout: SentinelLayout, picture: SentinelPicture, look: SentinelLook): readonly SentinelFinding[] {
  const { host } = look
  const who = `the Sentinel of ${host}`
  const { group, isOurs } = layout
  if (!look.answers)
    return [
      finding(
        'unreachable',
        host,
        `${who} gives no answer: ${look.trouble ?? ''}`,
        null,
        isOurs ? `is the agent of ${host} running? It starts its Sentinel` : 'start it',
      ),
    ]
  const watch = watchOf(layout, look)
  if (watch === null) {
    if (picture.moving?.watched === false) return []
    const remedy = isOurs ? `the agent of ${host} teaches it within seconds, if it runs` : `there: SENTINEL MONITOR ${group} IP PORT ${layout.settings.quorum}`
    return [finding('not-watching', host, `${who} does not watch ${group}`, null, remedy)]
  }
  const found: SentinelFinding[] = []
  const primary = primaryNamed(layout, picture)
  const named = hostAt(layout, watch.address)
  if (named === null) {
    const remedy = 'the agent of the primary claims a later epoch and tells it so within a second, if it runs; what brought it is found here too'
    found.push(finding('names-stranger', host, `${who} names ${placeOf(watch.address)}, which no member has`, null, remedy))
  } else if (primary !== null && named !== primary.host) {
    const remedy = `the agent of the primary tells it, if its epoch is older; see: holdfast explain ${group}`
    found.push(finding('names-other', host, `${who} names ${named} since epoch ${watch.configEpoch}, most name ${primary.host}`, null, remedy))
  }
  const differs = settingNames.filter(([key]) => watch.settings[key] !== layout.settings[key])
  if (differs.length > 0) {
    const words = differs.map(([key, name]) => `${name} is ${watch.settings[key]}, configured is ${layout.settings[key]}`).join('; ')
    found.push(finding('settings-differ', host, `${who}: ${words}`, { kind: 'set', host }, 'it is set as configured'))
  }
  for (const other of look.watches) {
    const member = hostAt(layout, other.address)
    if (other.name === group || member === null) continue
    const words = `${who} watches the redis of ${member} under the name ${other.name} too: two groups for one redis, and either may fail it over`
    found.push(finding('other-group', host, words, { kind: 'remove', host, group: other.name }, `it forgets ${other.name}`))
  }
  return found
}

function replicaFindings(layout: SentinelLayout, picture: SentinelPicture, { host, replicas }: SentinelLook): readonly SentinelFinding[] {
  const reset = { kind: 'reset' as const, host }
  return replicas.flatMap(({ address }) => {
    if (hostAt(layout, address) !== null || (picture.moving !== undefined && isAt(picture.moving.source, address))) return []
    const place = placeOf(address)
    const there = picture.redises.find((r) => isAt(r.address, address))
    if (there === undefined || there.reach === 'silent') {
      const words = `the Sentinel of ${host} lists ${place} as a replica: no member has this address, and nothing answers there`
      return [finding('stale-replica', host, words, reset, 'it forgets its lists and learns them anew')]
    }
    const words = `the Sentinel of ${host} lists ${place} as a replica: no member has this address, ${belongs(layout, there)}, and a Sentinel may promote it or turn it`
    return isAttached(layout, picture, there)
      ? [finding('foreign-replica', host, words, null, `make it a member, or have it let go: on its host, REPLICAOF NO ONE; then repair again`)]
      : [finding('foreign-replica', host, words, reset, 'it forgets its lists and learns them anew, without this one')]
  })
}

function belongs(layout: SentinelLayout, there: RedisLook): string {
  if (there.reach === 'locked') return 'what answers there has a password of its own'
  if (there.role === 'primary') return 'what answers there is a primary of its own'
  const upstream = there.upstream === null ? null : (hostAt(layout, there.upstream) ?? placeOf(there.upstream))
  return upstream === null ? 'what answers there is a replica of nobody' : `what answers there replicates from ${upstream}`
}

/** A Sentinel that has forgotten it would find it again in the INFO of whoever it follows. */
function isAttached(layout: SentinelLayout, picture: SentinelPicture, there: RedisLook): boolean {
  const follows = there.upstream !== null && hostAt(layout, there.upstream) !== null
  return follows || picture.redises.some((r) => r.host !== null && r.followers.some((f) => isAt(f, there.address)))
}

function sentinelFindings(layout: SentinelLayout, picture: SentinelPicture, look: SentinelLook): readonly SentinelFinding[] {
  const listed = look.others.flatMap((known) => listedFinding(layout, picture, look, known) ?? [])
  if (!look.answers || watchOf(layout, look) === null) return listed
  const missing = missingOthers(layout, picture, look)
  if (missing.length === 0) return listed
  const words = `the Sentinel of ${look.host} does not know ${missing.length === 1 ? 'that' : 'those'} of ${missing.join(' and ')}`
  return [...listed, finding('unknown-sentinel', look.host, words, { kind: 'introduce', host: look.host }, 'it is told of them at once, as they would tell it')]
}

/** Of ours that answer and have an id of their own. A Sentinel never hears one that has its own id. */
export function missingOthers(layout: SentinelLayout, picture: SentinelPicture, look: SentinelLook): readonly string[] {
  const alike = (id: string): number => picture.sentinels.filter((s) => s.id === id).length
  return picture.sentinels.flatMap((other) => {
    if (other.host === look.host || !other.answers || other.id === null || watchOf(layout, other) === null || alike(other.id) > 1) return []
    return look.others.some((known) => known.id === other.id && isAt(known.address, other.address)) ? [] : [other.host]
  })
}

function listedFinding(layout: SentinelLayout, picture: SentinelPicture, look: SentinelLook, known: Known): SentinelFinding | null {
  const { host } = look
  const reset: SentinelRepair = { kind: 'reset', host }
  const anew = 'it forgets its lists and learns them anew'
  const short = known.id.slice(0, 8)
  const there = picture.sentinels.find((s) => isAt(s.address, known.address))
  if (there !== undefined) {
    const again = look.others.some((o) => o !== known && o.id !== known.id && isAt(o.address, known.address))
    if (!(there.answers ? there.id !== known.id : again)) return null
    return finding('two-entries', host, `the Sentinel of ${host} knows that of ${there.host} under the id ${short}…, which it has no more`, reset, anew)
  }
  // An address under which another one has announced itself since is struck out.
  const onHost = known.address.port === 0 ? layout.sentinels.find((s) => s.ip === known.address.ip) : undefined
  if (onHost !== undefined)
    return finding('two-entries', host, `the Sentinel of ${host} knows that of ${onHost.host} twice, once under the old id ${short}…`, reset, anew)
  const stranger = picture.strangers.find((s) => isAt(s.address, known.address) && s.id === known.id)
  const place = placeOf(known.address)
  if (stranger?.alive !== true) {
    const words = `the Sentinel of ${host} counts one at ${place} (${short}…) as a voter: none of ours has this address, and nothing answers there`
    return finding('stale-sentinel', host, words, reset, anew)
  }
  const words = `the Sentinel of ${host} counts one at ${place} (${short}…) as a voter: it is none of ours, and answers`
  const comesAgain = claimsOf(stranger).length > 0 && (stranger.at.length > 0 || claimsOf(stranger).some((c) => hostAt(layout, c.address) !== null))
  if (!comesAgain) return finding('foreign-sentinel', host, words, reset, `${anew}, without this one`)
  return finding('foreign-sentinel', host, words, null, 'forgotten, it would be heard again within two seconds: first it has to let go of our redis')
}

interface Claim {
  readonly group: string
  readonly address: At
}

function claimsOf({ says, watches }: StrangerLook): readonly Claim[] {
  const all: readonly Claim[] = [...says, ...watches.map(({ name, address }) => ({ group: name, address }))]
  return all.filter((c, i) => all.findIndex((o) => o.group === c.group && isAt(o.address, c.address)) === i)
}

function strangerFindings(layout: SentinelLayout, stranger: StrangerLook): readonly SentinelFinding[] {
  const { address, id, at, says, answers } = stranger
  const who = `a Sentinel at ${placeOf(address)} (${id.slice(0, 8)}…), none of ours,`
  const place = placeOf(address)
  const found = claimsOf(stranger).flatMap((claim) => {
    const member = hostAt(layout, claim.address)
    const name: FindingName = claim.group === layout.group ? 'merged-groups' : 'foreign-watcher'
    if (member !== null) {
      const words = `${who} watches the redis of ${member} as the primary of ${claim.group}: it may fail it over, and promote what we do not know`
      const repair: SentinelRepair | null = answers ? { kind: 'forget', at: address, group: claim.group } : null
      const order = `SENTINEL REMOVE ${claim.group}`
      const remedy = answers
        ? `it is told to forget ${claim.group} (${order} at ${place}). If it is to be one of ours, put its host under sentinels instead`
        : `it takes no orders from here: at ${place}, ${order}`
      return [finding(name, null, words, repair, remedy)]
    }
    if (!says.some((s) => s.group === claim.group && isAt(s.address, claim.address))) return []
    const words = `${who} takes the redis of ${at.join(' and ')} for a replica of its own ${claim.group} at ${placeOf(claim.address)}, and may order it to follow that`
    return [finding(name, null, words, null, `at ${place}, SENTINEL RESET ${claim.group}: it has this address from before it was ours`)]
  })
  if (found.length > 0 || at.length === 0) return found
  return [
    finding('foreign-watcher', null, `${who} is connected to the redis of ${at.join(' and ')}`, null, `find it at ${place}, and have it forget this address`),
  ]
}

function duplicateIds(layout: SentinelLayout, { sentinels, strangers }: SentinelPicture): readonly SentinelFinding[] {
  const { isOurs } = layout
  const ours = sentinels.flatMap((look, i) => {
    const first = sentinels.slice(0, i).find((s) => s.id !== null && s.id === look.id)
    if (first === undefined) return []
    const words = `the Sentinels of ${first.host} and ${look.host} have one id (${look.id?.slice(0, 8)}…): they never hear each other, and the others take them for one`
    return [renewal(look.host, words, isOurs)]
  })
  const cloned = sentinels.flatMap((look) => {
    const clone = strangers.find((s) => s.alive && s.id === look.id)
    if (clone === undefined || ours.some((f) => f.host === look.host)) return []
    const words = `a Sentinel at ${placeOf(clone.address)} has the id of that of ${look.host} (${clone.id.slice(0, 8)}…): the others take them for one that moves`
    return [renewal(look.host, words, isOurs)]
  })
  return [...ours, ...cloned]
}

function renewal(host: string, words: string, isOurs: boolean): SentinelFinding {
  const remedy = isOurs
    ? `that of ${host} is stopped, given an id of its own, and started again`
    : `stop that of ${host}, take the line "sentinel myid" out of its file, start it`
  return finding('duplicate-id', host, words, isOurs ? { kind: 'renew-id', host } : null, remedy)
}
