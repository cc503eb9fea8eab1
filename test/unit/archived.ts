/** What an archiver tells that is attached and has put all. */
import type { Archived } from '../../src/backup/job.ts'

export function wellArchived(replid: string, more: Partial<Archived> = {}): Archived {
  return {
    isAttached: true,
    came: 1000,
    stored: 1000,
    storedWallMs: Date.now(),
    run: { from: 500, fromWallMs: 0, legs: [{ replid, from: 500, to: null }] },
    trouble: null,
    ...more,
  }
}
