/**
 * What the members of a group say, as whoever reads from one of them needs it: the words by which a source is chosen, and since when no replica has
 * been fit. Decides nothing: that is backup/source.ts.
 */
import { chooseSource, type Words } from '../backup/source.ts'
import { heard } from '../decide/situation.ts'
import { monotonicMs } from './clock.ts'
import type { GroupSnapshot } from './group.ts'

export interface Heard {
  readonly words: Words
  readonly members: GroupSnapshot['policy']['members']
  /** For how long no replica has been fit, each time that it was asked. */
  readonly noReplicaForMs: number
}

/** null: this agent knows nothing of the group yet. */
export function sourceWatch(snapshot: () => GroupSnapshot | null): () => Heard | null {
  let noReplicaSinceMs: number | null = null
  return () => {
    const seen = snapshot()
    if (seen === null || seen.statement === null) return null
    const words = wordsOf(seen)
    const { members } = seen.policy
    const now = chooseSource(members, words, Number.POSITIVE_INFINITY)
    if (now.host === null || now.role === 'replica') noReplicaSinceMs = null
    else noReplicaSinceMs ??= monotonicMs()
    return { words, members, noReplicaForMs: noReplicaSinceMs === null ? 0 : monotonicMs() - noReplicaSinceMs }
  }
}

export function wordsOf({ statement, view }: GroupSnapshot): Words {
  const own = statement === null ? [] : [statement]
  return new Map([...own, ...(view?.peers ?? []).flatMap((peer) => heard(peer) ?? [])].map((word) => [word.host, word]))
}
