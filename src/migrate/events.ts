/** What a redis tells of its own writes (`notify-keyspace-events`), as far as a copy can go by it. PURE. */

/** `unknown`: whoever may not ask for the setting may be told nevertheless (clouds refuse CONFIG, and set it elsewhere). */
export type Tells = 'all' | 'some' | 'nothing' | 'unknown'

/** Generic, strings, lists, sets, hashes, sorted sets, what expires, what is evicted, streams. `A` is all of them. */
const classes = 'g$lshzxet'

export function tellsBy(setting: string | null): Tells {
  if (setting === null) return 'unknown'
  if (!/[KE]/.test(setting)) return 'nothing'
  if (setting.includes('A')) return 'all'
  const has = [...classes].filter((one) => setting.includes(one)).length
  return has === classes.length ? 'all' : has === 0 ? 'nothing' : 'some'
}

const keyspace = '__keyspace@*__:*'
const keyevent = '__keyevent@*__:*'

/** Of the two ways in which a write is told one is enough; where nothing is known, both are listened to. */
export function patternsFor(setting: string | null): readonly string[] {
  if (setting === null) return [keyspace, keyevent]
  return setting.includes('K') ? [keyspace] : setting.includes('E') ? [keyevent] : []
}

export interface Touched {
  readonly database: number
  /** Bytes as latin1. */
  readonly key: string
}

/** Which key a message is about. `channel`, `message`: bytes as latin1. null: it is about none. */
export function touchedBy(channel: string, message: string): Touched | null {
  const found = /^__key(space|event)@(\d+)__:/.exec(channel)
  if (found === null) return null
  return { database: Number(found[2]), key: found[1] === 'space' ? channel.slice(found[0].length) : message }
}

/** For people. `why`: the setting may not be asked for. */
export function tellsWords(tells: Tells, why: string): string {
  return {
    all: 'the source tells of each (notify-keyspace-events): it is copied again at once',
    some: 'the source tells of some of its writes only (notify-keyspace-events is not KA)',
    nothing: 'the source tells of none of its writes (notify-keyspace-events is off; CONFIG SET notify-keyspace-events KA would have it tell)',
    unknown: `whether the source tells of its writes may not be asked (${why}); it is listened for`,
  }[tells]
}
