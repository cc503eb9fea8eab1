/**
 * What lies in the store of a group: from names, and papers as far as they could be read, to a list with states. PURE. What is broken, of
 * a newer format or of another group is shown as such, never counted, and never removed.
 */
import type { Base } from './chain.ts'
import { isBackupId, papers, type Condemned, type Hold, type Manifest, type Proof, type Tested } from './manifest.ts'
import { isCopy } from './over-copy.ts'
import { isOverdue, shrinkings, type Held } from './retention.ts'

/** A paper as far as it could be read. null: there is none. `byKey`: proven with the operator's key. */
export type Found<T> =
  | { readonly ok: true; readonly value: T; readonly byKey: boolean }
  | { readonly ok: false; readonly why: string; readonly newer: boolean }
  | null

/** A folder of the group in the store. */
export interface Folder {
  /** As it is called; an id where Holdfast made it. */
  readonly id: string
  /** By name within the folder. */
  readonly bytes: Readonly<Record<string, number>>
  readonly manifest: Found<Manifest>
  readonly tested: Found<Tested>
  readonly condemned: Found<Condemned>
  readonly held: Found<Hold>
}

export interface Backup {
  readonly manifest: Manifest
  /** Of these bytes; a result of others is none. */
  readonly tested: Tested | null
  readonly condemned: Condemned | null
  readonly held: Hold | null
  readonly state: Held['state']
  /** Why its dataset cannot be whole; null: nothing speaks against it. */
  readonly wrong: string | null
  /** A paper of it that has to be looked at; while there is one, it is not removed. null: none. */
  readonly unclear: string | null
  /** Nobody without the key can have changed its manifest. false: it is not encrypted, or with another key than was given, or none was. */
  readonly byKey: boolean
  /** All that lies in its folder. */
  readonly bytes: number
}

export interface Other {
  readonly id: string
  /** `leftover`: it has no manifest: an upload that ended early, or half of a removal. */
  readonly kind: 'broken' | 'newer' | 'foreign' | 'leftover'
  readonly why: string
  /** In the folder. */
  readonly names: readonly string[]
  readonly bytes: number
  /** Of a leftover: since when it is marked for removal. */
  readonly condemned: Condemned | null
}

export interface Catalog {
  readonly group: string
  /** Youngest first. */
  readonly backups: readonly Backup[]
  readonly others: readonly Other[]
}

const ours: readonly string[] = [...Object.values(papers), 'dataset']

export function catalogOf(group: string, folders: readonly Folder[]): Catalog {
  const seen = folders.map((folder) => look(group, folder))
  return {
    group,
    backups: seen
      .flatMap(({ backup }) => (backup === null ? [] : [backup]))
      .sort((a, b) => b.manifest.atWallMs - a.manifest.atWallMs || (a.manifest.id < b.manifest.id ? 1 : -1)),
    others: seen.flatMap(({ other }) => (other === null ? [] : [other])).sort((a, b) => (a.id < b.id ? 1 : -1)),
  }
}

type Look = { readonly backup: Backup; readonly other: null } | { readonly backup: null; readonly other: Other }

function look(group: string, folder: Folder): Look {
  const { id, manifest } = folder
  const names = Object.keys(folder.bytes)
  const bytes = Object.values(folder.bytes).reduce((sum, size) => sum + size, 0)
  const aside = (kind: Other['kind'], why: string): Look => ({
    backup: null,
    other: { id, kind, why, names, bytes, condemned: folder.condemned?.ok === true ? folder.condemned.value : null },
  })
  if (!isBackupId(id)) return aside('foreign', 'it is not of Holdfast')
  if (manifest === null) {
    const stranger = names.find((name) => !ours.includes(name))
    return stranger === undefined
      ? aside('leftover', 'it has no manifest: an upload or a removal that did not end')
      : aside('foreign', `${stranger} is not of Holdfast`)
  }
  if (!manifest.ok) return aside(manifest.newer ? 'newer' : 'broken', `its manifest: ${manifest.why}`)
  const said = manifest.value
  if (said.group !== group) return aside('foreign', `it is of the group ${said.group}`)
  if (said.id !== id) return aside('broken', `its manifest is that of ${said.id}`)
  return { backup: backupOf(folder, said, manifest.byKey, bytes), other: null }
}

function backupOf(folder: Folder, manifest: Manifest, byKey: boolean, bytes: number): Backup {
  const { id, stored, hmac } = manifest
  const trust = <T extends Proof & { readonly id: string }>(found: Found<T>): T | null =>
    found?.ok === true && found.value.id === id && (hmac === null) === (found.value.hmac === null) ? found.value : null
  const tested = trust(folder.tested)
  const ofThese = tested?.manifestSha256 === manifest.sha256 ? tested : null
  const held = trust(folder.held)
  const lies = folder.bytes.dataset
  const wrong =
    lies === undefined ? 'its dataset is not there' : lies === stored.bytes ? null : `its dataset has ${lies} bytes, and ${stored.bytes} were written`
  const unclear = [
    folder.tested === null || ofThese !== null
      ? null
      : `its test result does not count (${whyNot(folder.tested, tested === null, 'it is of other bytes')}): test it again`,
    folder.held === null || held !== null ? null : `its hold cannot be read (${whyNot(folder.held, true, '')}): hold or release it again`,
  ].filter((why) => why !== null)
  return {
    manifest,
    tested: ofThese,
    condemned: trust(folder.condemned),
    held,
    state: wrong !== null ? 'bad' : ofThese === null ? 'untested' : ofThese.ok ? 'good' : 'bad',
    wrong,
    unclear: unclear.length === 0 ? null : unclear.join('; '),
    byKey,
    bytes,
  }
}

function whyNot(found: Found<Proof>, untrusted: boolean, other: string): string {
  if (found?.ok === false) return found.why
  return untrusted ? 'it is of another backup, or was written without the key' : other
}

/** As somewhere to begin at in the stream. */
export function baseOf({ manifest: { id, atWallMs, position }, state }: Backup): Base {
  return { id, replid: position.replid, offset: position.offset, atWallMs, state }
}

/** As retention sees them. `holds`: those that the archived stream begins at; what an operator holds is told first. */
export function heldFor(backups: readonly Backup[], holds: ReadonlyMap<string, string> | null): readonly Held[] {
  return backups.map(heldOf).map((one) => ({ ...one, held: one.held ?? holds?.get(one.id) ?? null }))
}

/** Of itself. */
export function heldOf({ manifest, tested, held, state, unclear }: Backup): Held {
  return {
    id: manifest.id,
    atWallMs: manifest.atWallMs,
    state,
    judgedAtWallMs: tested?.atWallMs ?? manifest.atWallMs,
    keys: tested?.keys ?? null,
    held: held !== null ? `held by ${held.by}: ${held.reason}` : unclear,
    isCopy: isCopy(manifest),
  }
}

/** What `latest` means, in every command: the youngest that is no copy; one that a wrong clock has dated into the future only where there is no other. */
export function latest({ backups }: Catalog, states: readonly Held['state'][], nowWallMs: number): Backup | null {
  const wanted = backups.filter(({ state, manifest }) => states.includes(state) && !isCopy(manifest))
  return wanted.find(({ manifest }) => manifest.atWallMs <= nowWallMs + hourMs) ?? wanted[0] ?? null
}

export interface Expected {
  /** How far apart two backups lie at the most; infinite where nothing is scheduled. */
  readonly dueEveryMs: number
  /** A key is configured. */
  readonly encrypted: boolean
}

const hourMs = 3_600_000

/** An accident is told for so long, whatever was backed up since. */
const shrunkToldMs = 24 * hourMs

/** What an operator should know of it, the gravest first. */
export function alarmsOf({ backups, others }: Catalog, { dueEveryMs, encrypted }: Expected, nowWallMs: number): readonly string[] {
  const good = backups.filter(({ state }) => state === 'good')
  const future = good.filter(({ manifest }) => manifest.atWallMs > nowWallMs + hourMs)
  const past = good.slice(future.length).filter(({ manifest }) => !isCopy(manifest))
  const copies = good.filter(({ manifest }) => isCopy(manifest))
  const [last] = past
  const alarms: string[] = []
  if (backups.length === 0) alarms.push('there is no backup')
  else if (last === undefined && copies.length > 0)
    alarms.push(`there is no good backup but what restore --over has kept of a state that was to go: ${listed(copies.map(({ manifest }) => manifest.id))}`)
  else if (last === undefined) alarms.push('none of the backups has been restored in a test with success')
  else if (isOverdue(last.manifest.atWallMs, dueEveryMs, nowWallMs))
    alarms.push(`the last good backup is ${Math.floor((nowWallMs - last.manifest.atWallMs) / hourMs)} hours old`)
  if (future.length > 0) alarms.push(`from the future, for a clock was wrong: ${listed(future.map(({ manifest }) => manifest.id))}`)
  const bad = backups.filter(({ state }) => state === 'bad')
  if (bad.length > 0) alarms.push(`${bad.length} of ${backups.length} bad: ${listed(bad.map(({ manifest }) => manifest.id))}`)
  const waiting = backups.filter(({ state, manifest }) => state === 'untested' && nowWallMs - manifest.atWallMs > hourMs)
  if (waiting.length > 0) alarms.push(`${waiting.length} not tested an hour after they were taken: ${listed(waiting.map(({ manifest }) => manifest.id))}`)
  for (const { before, after } of shrinkings(past.map(heldOf)))
    if (nowWallMs - after.atWallMs < shrunkToldMs)
      alarms.push(`${after.id} has ${after.keys} keys, the one before it ${before.keys}: if that is an accident, hold ${before.id}`)
  for (const { manifest, unclear } of backups) if (unclear !== null) alarms.push(`${manifest.id}: ${unclear}`)
  const open = backups.filter(({ manifest }) => manifest.encryption === null)
  if (encrypted && open.length > 0)
    alarms.push(
      `a key is configured, and ${open.length} are not encrypted: whoever can write to the store could have made them (${listed(open.map(({ manifest }) => manifest.id))})`,
    )
  const closed = backups.filter(({ manifest, byKey }) => manifest.encryption !== null && !byKey)
  if (closed.length > 0)
    alarms.push(
      `${closed.length} of ${backups.length} are encrypted, and the key at hand, if any, is not theirs: without that key they are lost (${listed(closed.map(({ manifest }) => manifest.id))})`,
    )
  for (const { id, kind, why } of others) if (kind !== 'leftover') alarms.push(`${id} is not counted: ${why}`)
  return alarms
}

/** So many as fit into a line. */
export function listed(ids: readonly string[]): string {
  return ids.length <= 3 ? ids.join(', ') : `${ids.slice(0, 3).join(', ')} and ${ids.length - 3} more`
}
