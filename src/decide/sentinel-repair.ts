/**
 * In which order the lists of Sentinels are repaired, and when not. PURE. One Sentinel at a time: while one has forgotten what it knew, the
 * others must be able to elect without it, and nobody may be electing.
 */
import {
  isAt,
  placeOf,
  type SentinelFinding,
  type SentinelLayout,
  type SentinelLook,
  type SentinelPicture,
  type SentinelRepair,
} from '../model/sentinel-look.ts'
import { findingsOf, hostAt, missingOthers, primaryNamed, watchOf } from './sentinel-hygiene.ts'

/** What brings wrong entries is ended before they are removed: they would be there again two seconds later. */
const order: readonly SentinelRepair['kind'][] = ['forget', 'remove', 'set', 'renew-id', 'introduce', 'reset']

export function repairsOf(findings: readonly SentinelFinding[]): readonly SentinelRepair[] {
  const all = findings.flatMap((f) => f.repair ?? [])
  return all.filter((r, i) => all.findIndex((other) => isSameRepair(r, other)) === i).sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind))
}

export function isCalledFor(layout: SentinelLayout, picture: SentinelPicture, repair: SentinelRepair): boolean {
  return repairsOf(findingsOf(layout, picture)).some((r) => isSameRepair(r, repair))
}

function isSameRepair(a: SentinelRepair, b: SentinelRepair): boolean {
  return repairWords(a) === repairWords(b)
}

export function repairWords(repair: SentinelRepair): string {
  switch (repair.kind) {
    case 'forget':
      return `have the Sentinel at ${placeOf(repair.at)} forget ${repair.group}`
    case 'remove':
      return `have the Sentinel of ${repair.host} forget ${repair.group}`
    case 'set':
      return `set the Sentinel of ${repair.host} as configured`
    case 'renew-id':
      return `give the Sentinel of ${repair.host} an id of its own`
    case 'introduce':
      return `tell the Sentinel of ${repair.host} of the others`
    case 'reset':
      return `reset the Sentinel of ${repair.host}`
  }
}

/** Why this must not be done now; null: it may. `trouble`: what the agent that is to do it knows against it. */
export function mayRepair(layout: SentinelLayout, picture: SentinelPicture, repair: SentinelRepair, trouble: string | null): string | null {
  if (trouble !== null) return trouble
  const watching = picture.sentinels.flatMap((look) => {
    const watch = watchOf(layout, look)
    return watch === null ? [] : [{ host: look.host, watch }]
  })
  const failing = watching.find(({ watch }) => watch.flags.includes('failover_in_progress'))
  if (failing !== undefined) return `the Sentinel of ${failing.host} leads a failover`
  const down = watching.find(({ watch }) => hostAt(layout, watch.address) !== null && (watch.flags.includes('s_down') || watch.flags.includes('o_down')))
  if (down !== undefined) return `the Sentinel of ${down.host} finds the primary down`
  if (primaryNamed(layout, picture) === null) return 'no Sentinel names a member as the primary'
  return repair.kind === 'reset' || repair.kind === 'renew-id' ? othersSuffice(layout, picture, repair.host) : null
}

function othersSuffice(layout: SentinelLayout, picture: SentinelPicture, without: string): string | null {
  const primary = primaryNamed(layout, picture)
  const needed = Math.max(layout.majority, layout.settings.quorum)
  const well = picture.sentinels.filter((look) => {
    const watch = watchOf(layout, look)
    return look.host !== without && look.answers && !look.tilt && watch !== null && primary !== null && isAt(watch.address, primary)
  })
  if (well.length < needed) {
    const names = well.map((s) => s.host).join(' and ')
    return `without that of ${without} only ${well.length} Sentinels could elect (${names || 'none'}), ${needed} are needed`
  }
  // One that was reset a moment ago knows too few to be elected by, however well it answers.
  const lonely = well.find((look) => oursKnownBy(layout, look) + 1 < layout.majority)
  return lonely === undefined ? null : `the Sentinel of ${lonely.host} knows too few of the others yet`
}

function oursKnownBy(layout: SentinelLayout, look: SentinelLook): number {
  return layout.sentinels.filter((s) => s.host !== look.host && look.others.some((known) => isAt(known.address, s))).length
}

/** What a Sentinel does not know again yet; null: it is whole. Members that do not follow the primary at this moment cannot be found by it. */
export function notYet(layout: SentinelLayout, picture: SentinelPicture, host: string): string | null {
  const look = picture.sentinels.find((s) => s.host === host)
  if (look?.answers !== true) return `it does not answer: ${look?.trouble ?? 'not asked'}`
  const watch = watchOf(layout, look)
  if (watch === null) return `it does not watch ${layout.group}`
  const primary = primaryNamed(layout, picture)
  if (primary === null || !isAt(watch.address, primary)) return `it names ${placeOf(watch.address)}`
  const unwell = watch.flags.find((f) => ['disconnected', 's_down', 'o_down', 'failover_in_progress'].includes(f))
  if (unwell !== undefined) return `its view of the primary is: ${unwell}`
  const missing = missingOthers(layout, picture, look)
  if (missing.length > 0) return `it does not know the Sentinel of ${missing.join(' and ')}`
  const followers = picture.redises.find((r) => isAt(r.address, primary))?.followers ?? []
  const unseen = layout.members.filter((m) => followers.some((f) => isAt(f, m)) && !look.replicas.some((r) => isAt(r.address, m)))
  return unseen.length === 0 ? null : `it does not know the replica ${unseen.map((m) => m.host).join(' and ')}`
}
