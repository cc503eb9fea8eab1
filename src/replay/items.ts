/** What is to be written into a primary, as items. */
import type { Word } from '../redis/raw.ts'
import type { ItemKey, Nature } from '../salvage/classify.ts'

export interface SourceItem {
  /** In the journal: the same at every reading. */
  readonly id: string
  readonly keys: readonly ItemKey[]
  readonly nature: Nature
  /** What would be done, in words. */
  readonly does: readonly string[]
  /** The commands, with the database of each; of a dataset they are fetched when they are needed. */
  readonly commands: () => Promise<readonly { readonly database: number; readonly words: readonly Word[] }[]>
}

export const bytesOf = (latin1: string): Buffer => Buffer.from(latin1, 'latin1')
