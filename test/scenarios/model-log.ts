/**
 * The writes of a dataset, newest first, as a list that shares its tail: a replica that takes its primary's writes over takes a
 * reference, and what two datasets have in common is found by walking back to where they part. Nothing is ever changed in place.
 */
export interface Written {
  readonly key: string
  /** Replication offset after it. */
  readonly at: number
  readonly before: Log
  /** How many there are up to here. */
  readonly count: number
}

/** null: no writes. */
export type Log = Written | null

export function append(log: Log, key: string, at: number): Written {
  return { key, at, before: log, count: countOf(log) + 1 }
}

export function countOf(log: Log): number {
  return log === null ? 0 : log.count
}

/** Oldest first. */
export function keysOf(log: Log): readonly string[] {
  const keys: string[] = []
  for (let at = log; at !== null; at = at.before) keys.push(at.key)
  return keys.reverse()
}

/** Of the writes that end at or after `offset`, oldest first. */
export function keysFrom(log: Log, offset: number): readonly string[] {
  const keys: string[] = []
  for (let write = log; write !== null && write.at >= offset; write = write.before) keys.push(write.key)
  return keys.reverse()
}

/** The log as it was when it had `count` writes. */
export function cutTo(log: Log, count: number): Log {
  let at = log
  while (at !== null && at.count > count) at = at.before
  return at
}

/** What `log` has and `other` has not, newest first. */
export function onlyIn(log: Log, other: Log): readonly Written[] {
  const only: Written[] = []
  let [mine, theirs] = [log, other]
  while (mine !== theirs && mine !== null) {
    if (countOf(theirs) > mine.count) theirs = cutTo(theirs, mine.count)
    else {
      if (countOf(theirs) === mine.count) theirs = theirs === null ? null : theirs.before
      only.push(mine)
      mine = mine.before
    }
  }
  return only
}

export function has(log: Log, write: Written): boolean {
  return cutTo(log, write.count) === write
}
