/**
 * Which backups are copies of a state that was to go: `restore --over` keeps one before its first write. PURE: known by the reason in the manifest.
 * It is for going back by its id, and for nothing else: were it `latest`, one command would put the damage back; were it the last good one, the backup
 * that the data came from could go. Where the stream is replayed to a moment it is a base as every other.
 */
import type { Manifest } from './manifest.ts'

const [before, after] = ['before the restore of ', ' over the group']

/** `from`: what goes over the group. */
export function copyReason(from: string): string {
  return `${before}${from}${after}`
}

export function isCopy({ reason }: Pick<Manifest, 'reason'>): boolean {
  return reason.startsWith(before) && reason.endsWith(after)
}
