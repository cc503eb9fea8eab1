/**
 * The file in which `restore --keys` keeps what it overwrites: whether it can be made and has room, looked at before anything is written, and
 * what an operator is told when it stopped all the same. Must not write it (../replay/undo.ts).
 */
import { lstat, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { OperatorError } from '../model/error.ts'
import { fileWords, NotKept } from '../replay/undo.ts'
import { sizeWords } from './backup-words.ts'

/** As the operator asked for it. */
export interface Asked {
  readonly group: string
  readonly pattern: string
  /** null: a new file beside. */
  readonly keepIn: string | null
}

export function undoCommand({ group, pattern }: Asked, path: string): string {
  return `holdfast restore ${group} --keys '${pattern}' --undo ${path}`
}

/** Before anybody waits for a comparison. What is there may be all that is left of what an earlier return has overwritten. */
export async function refuseThere(asked: Asked): Promise<void> {
  const { keepIn } = asked
  const isThere = keepIn !== null && (await lstat(keepIn).catch(() => null)) !== null
  if (!isThere) return
  throw new OperatorError(
    'HF819',
    `${keepIn} is there already: nothing was written`,
    `name another with --keep-in, or look at it: ${undoCommand(asked, keepIn)} --dry-run`,
    2,
  )
}

/** null: as far as can be seen, there is room. */
export async function whyNoRoom(path: string, bytes: number): Promise<string | null> {
  const folder = dirname(path)
  try {
    const { bavail, bsize } = await statfs(folder)
    const has = bavail * bsize
    return has < bytes ? `what is there takes up to ${sizeWords(bytes)} in a file, and ${sizeWords(has)} are free in ${folder}` : null
  } catch (error) {
    return `${folder}: ${fileWords(error as NodeJS.ErrnoException)}`
  }
}

export const elsewhere = 'name a file on another disk with --keep-in'

export function noRoom(why: string): OperatorError {
  return new OperatorError('HF822', why, `${elsewhere}: nothing was written`)
}

/** With `--keep-in` the same words would name a file that is there by then. */
export function againWords({ keepIn }: Asked, isMade: boolean): string {
  return `run the same command again${keepIn !== null && isMade ? ' with another --keep-in' : ''}: it compares anew, and does what is left`
}

interface Stop {
  readonly path: string
  /** Of `path`. */
  readonly isMade: boolean
  /** At the least. */
  readonly written: number
  readonly of: number
}

export function stopped(asked: Asked, { path, isMade, written, of }: Stop, error: Error): OperatorError {
  const isNotKept = error instanceof NotKept
  const far = isMade ? `${isNotKept ? '' : 'at least '}${written} of ${of} keys were changed, and stay so: ` : ''
  const back = isMade ? `to take that back: ${undoCommand(asked, path)}` : 'nothing was written'
  const on = isNotKept ? `to go on, ${elsewhere}: it compares anew, and does what is left` : againWords(asked, isMade)
  return new OperatorError('HF819', `it stopped: ${far}${error.message}`, `${back}; ${on}`)
}
