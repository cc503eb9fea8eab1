/** Under which run id an agent stands for election among the Sentinels: theirs are 40 hex digits, so is this, and no two hosts share one. */
import { createHash } from 'node:crypto'

export function candidateId(group: string, host: string): string {
  return createHash('sha1').update(`holdfast\n${group}\n${host}`).digest('hex')
}
