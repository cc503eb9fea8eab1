/**
 * What the story needs of the ground that it is played on: something that can be broken and healed, a client, and words for it. Two there are: a lab
 * (`lab-ground.ts`), and loopback addresses where a lab cannot be (`loopback-ground.ts`). Whatever it starts, `clear` ends, however far it came.
 */
import { OperatorError } from '../../src/model/error.ts'
import type { RunResult } from '../../src/lab/run.ts'
import type { WriterHandle } from '../../src/lab/writer.ts'

/** In both. */
export const group = 'sessions'

/** HOST stands for the host that it happens to. */
export interface Words {
  /** What was raised. */
  readonly opening: string
  /** Whom the clients reach, and how. */
  readonly address: string
  readonly lost: string
  readonly stillLost: string
  readonly comesBack: string
  readonly nothingLeft: string
}

export interface Ground {
  readonly words: Words
  /** Until the agents run. */
  readonly raise: () => Promise<void>
  /** Once the group is whole: until clients can connect. */
  readonly open: () => Promise<void>
  readonly cli: (argv: readonly string[], deadlineMs: number) => Promise<RunResult>
  /** A client that writes through the address. */
  readonly startWriter: () => Promise<WriterHandle>
  readonly killRedis: (host: string) => Promise<unknown>
  readonly loseHost: (host: string) => Promise<unknown>
  readonly bringBack: (host: string) => Promise<unknown>
  /** Removes all of it. Returns what is left, which should be nothing. */
  readonly clear: () => Promise<string | null>
}

export function fail(why: string): never {
  throw new OperatorError('HF505', why, 'Run script/demo again; if it happens again, raise the same with holdfast lab up and look at its logs.')
}
