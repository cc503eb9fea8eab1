/**
 * Durable state: one JSON file per group, with a record that goes ahead of it (act/ahead.ts), so that a crash leaves
 * the old one or the new one. A file that cannot be trusted is an operator error, never silently a fresh start: a member
 * that forgot its epoch could be promoted over newer data.
 */
import { mkdir, statfs } from 'node:fs/promises'
import { openDurable } from '../act/ahead.ts'
import { aheadFile, readAhead } from '../observe/ahead.ts'
import { OperatorError } from '../model/error.ts'
import { failed, done, type Outcome } from '../model/outcome.ts'
import { isMove } from '../model/move.ts'
import { freshState, isLineage, phases, type State, type Vote } from '../model/state.ts'
import { groupStateDir, stateFile } from '../model/paths.ts'
import type { Config } from '../model/config.ts'

export function loadState(paths: Config['paths'], group: string, host: string): State {
  const file = stateFile(paths, group)
  let text: string
  try {
    text = readAhead(file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return freshState(group, host)
    throw new OperatorError(
      'HF205',
      `cannot read ${file}, or what lies ahead of it in ${aheadFile(file)}: ${(error as Error).message}`,
      'check the rights and the disk',
    )
  }
  const state = parseState(text, file)
  if (state.group !== group || state.host !== host) {
    throw new OperatorError(
      'HF206',
      `${file} belongs to group ${state.group} on ${state.host}, not to ${group} on ${host}`,
      'was a state directory copied from another host? Move the file away: this member then joins anew and asks the others',
    )
  }
  return state
}

export function parseState(text: string, file: string): State {
  const hint = 'move the file away: this member then joins anew and asks the others'
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new OperatorError('HF206', `${file} is damaged (not JSON)`, hint)
  }
  const state = value as Partial<State>
  if (typeof value !== 'object' || value === null || typeof state.format !== 'number')
    throw new OperatorError('HF206', `${file} is damaged (no format number)`, hint)
  if (state.format !== 1)
    throw new OperatorError(
      'HF206',
      `${file} has format ${state.format}; this version reads format 1`,
      'a newer Holdfast wrote it: run that version again, or move the file away',
    )
  const sound =
    typeof state.group === 'string' &&
    typeof state.host === 'string' &&
    phases.some((p) => p === state.phase) &&
    Number.isInteger(state.epoch) &&
    isLineage(state.lineage) &&
    Array.isArray(state.results) &&
    isRecord(state.paused) &&
    Number.isFinite(state.paused?.atWallMs) &&
    (state.holder === null || typeof state.holder === 'string') &&
    isVoteOrNone(state.vote) &&
    (state.move === undefined || isMove(state.move)) &&
    (state.votesHeard === undefined ||
      (Array.isArray(state.votesHeard) && state.votesHeard.every((v) => isRecord(v) && typeof v.from === 'string' && isVoteOrNone(v))))
  if (!sound) throw new OperatorError('HF206', `${file} is damaged (fields are missing, or hold what cannot be)`, hint)
  const { paused, holder } = state
  // Of an agent of an earlier version: as far as it knew, its primary had heard of the last resume.
  const known = paused?.on === false && paused.atWallMs > 0 && holder != null ? { pauseKnown: { host: holder, atWallMs: paused.atWallMs } } : {}
  const { save: _, ...kept } = state as Partial<State> & { readonly save?: string }
  return { ...freshState(state.group as string, state.host as string), ...known, ...kept } as State
}

function isVoteOrNone(vote: unknown): boolean {
  return vote == null || (isRecord(vote) && Number.isInteger((vote as Partial<Vote>).epoch) && typeof (vote as Partial<Vote>).to === 'string')
}

function isRecord(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export interface Store {
  /** Done: it is on disk, and a crash at once after it finds it. One at a time. */
  readonly save: (state: State) => Promise<Outcome>
  readonly close: () => Promise<void>
}

export function openStore(paths: Config['paths'], group: string): Store {
  const file = stateFile(paths, group)
  const durable = openDurable(file)
  return {
    save: async (state) => {
      try {
        await durable.write(state)
        return done
      } catch (error) {
        return failed(`cannot write ${file}: ${(error as Error).message}`)
      }
    },
    close: durable.close,
  }
}

/** Below this a state file, which is written beside the old one, may not fit any more. */
const minRoomBytes = 1_048_576

const roomEveryMs = 5000
/** A disk that was full: whoever has made room is not to wait. */
const roomAgainMs = 500

export interface RoomWatch {
  /** false: the next decision could not be remembered. Known in calm times, because a failover is a bad moment to find out. */
  readonly enough: () => boolean
  /** Never waited for: a slow disk must not hold up a cycle. */
  readonly look: (nowMs: number) => void
}

export function watchRoom(paths: Config['paths'], complain: (why: string) => void): RoomWatch {
  let known = { enough: true, askedMs: Number.NEGATIVE_INFINITY }
  return {
    enough: () => known.enough,
    look: (nowMs) => {
      if (nowMs - known.askedMs < (known.enough ? roomEveryMs : roomAgainMs)) return
      known = { ...known, askedMs: nowMs }
      void hasRoom(paths).then((enough) => {
        if (!enough) complain(`less than 1 MB is free under ${paths.state}: this member could not remember a promotion (HF205)`)
        known = { ...known, enough }
      })
    },
  }
}

async function hasRoom(paths: Config['paths']): Promise<boolean> {
  try {
    const { bfree, bsize } = await statfs(paths.state)
    return bfree * bsize >= minRoomBytes
  } catch {
    return false
  }
}

export async function prepareStateDir(paths: Config['paths'], groups: readonly string[]): Promise<void> {
  try {
    await mkdir(paths.state, { recursive: true, mode: 0o750 })
    await mkdir(paths.run, { recursive: true, mode: 0o750 })
    for (const group of groups) await mkdir(groupStateDir(paths, group), { recursive: true, mode: 0o750 })
  } catch (error) {
    throw new OperatorError(
      'HF205',
      `cannot create ${paths.state}: ${(error as Error).message}`,
      'run as root, or point paths.state at a directory that may be written',
    )
  }
}
