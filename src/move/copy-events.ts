/**
 * Which keys a source says that it has written: so that they are copied again soon, and not first when a round comes to them. Nothing rests on it but the short proof
 * (migrate/copy-rounds.ts): what was lost on the way a round finds.
 */
import { touchedBy } from '../migrate/events.ts'
import type { RawTarget } from '../redis/raw.ts'
import { openTold, type Told } from '../redis/told.ts'

/** Names only; more than that are found sooner by a round. */
const mostNames = 1_000_000
const deadlineMs = 10_000
const againMs = 1000

type Names = Map<number, Set<string>>

export interface Events {
  /** Some of those that wait, of one database; null: none does. */
  readonly some: (most: number) => { readonly database: number; readonly keys: readonly Buffer[] } | null
  readonly waiting: () => number
  readonly heard: () => number
  /** From here on all is kept that `since` answers. */
  readonly mark: () => void
  /** All that were touched since the mark; null: something may have been missed. */
  readonly since: () => ReadonlyMap<number, ReadonlySet<string>> | null
  /** Differed, and was copied: to be looked at once more in the end. */
  readonly touch: (database: number, key: string) => void
  /** Returns when all that was told before the call has been heard. false: nobody is listening. */
  readonly heardAll: () => Promise<boolean>
  readonly close: () => void
}

export interface EventsOptions {
  readonly target: RawTarget
  readonly patterns: readonly string[]
  /** Why nothing is told for the time being; null: it is. */
  readonly said: (why: string | null) => void
}

export function listen({ target, patterns, said }: EventsOptions): Events {
  const [waiting, touched]: [Names, Names] = [new Map(), new Map()]
  let [told, count, isWhole, isClosed]: [Told | null, number, boolean, boolean] = [null, 0, false, false]
  const touch = (database: number, key: string): void => {
    if (!put(touched, database, key)) isWhole = false
  }
  const open = async (): Promise<void> => {
    while (!isClosed) {
      const opened = await openTold(
        target,
        {
          patterns,
          heard: (channel, message) => {
            const found = touchedBy(channel.toString('latin1'), message.toString('latin1'))
            if (found === null) return
            count += 1
            put(waiting, found.database, found.key)
            touch(found.database, found.key)
          },
          lost: (why) => {
            told = null
            isWhole = false
            if (isClosed) return
            said(why)
            retry(open)
          },
        },
        deadlineMs,
      )
      if (opened.ok) {
        told = opened.value
        said(null)
        if (isClosed) told.close()
        return
      }
      said(opened.why)
      // A user who may not listen will not be let in later either.
      if (/NOPERM|unknown command/i.test(opened.why)) return
      await new Promise((resolve) => setTimeout(resolve, againMs).unref())
    }
  }
  const retry = (again: () => Promise<void>): void => void setTimeout(() => again().catch(() => said('it cannot be listened to')), againMs).unref()
  if (patterns.length > 0) open().catch((error: Error) => said(error.message))
  return {
    touch,
    waiting: () => [...waiting.values()].reduce((sum, names) => sum + names.size, 0),
    heard: () => count,
    some: (most) => {
      for (const [database, names] of waiting) {
        const keys = [...take(names, most)]
        if (names.size === 0) waiting.delete(database)
        if (keys.length > 0) return { database, keys: keys.map((key) => Buffer.from(key, 'latin1')) }
      }
      return null
    },
    mark: () => {
      touched.clear()
      // What waits to be copied is not there yet.
      for (const [database, names] of waiting) touched.set(database, new Set(names))
      isWhole = told !== null
    },
    since: () => (isWhole ? touched : null),
    heardAll: async () => {
      if (told === null) return false
      try {
        await told.heardAll(deadlineMs)
        return true
      } catch {
        return false
      }
    },
    close: () => {
      isClosed = true
      told?.close()
    },
  }
}

function* take(names: Set<string>, most: number): Generator<string> {
  let left = most
  for (const name of names) {
    if (left <= 0) return
    left -= 1
    names.delete(name)
    yield name
  }
}

/** false: there are too many. */
function put(all: Names, database: number, key: string): boolean {
  const names = all.get(database) ?? new Set<string>()
  if (names.size >= mostNames && !names.has(key)) return false
  names.add(key)
  all.set(database, names)
  return true
}
