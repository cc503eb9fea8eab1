/** What a restore over the running group would do, is doing and did, for people. Decides nothing. */
import pc from 'picocolors'
import type { Moment } from '../dump/moment.ts'
import { OperatorError } from '../model/error.ts'
import { shown } from '../redis/words.ts'
import type { Done, FunctionsStand, Step, Tally } from '../replay/over.ts'
import { keysWords, tookWords } from './backup-words.ts'
import { overLine } from './one-line.ts'
import { momentRows } from './restore-moment.ts'

export interface OverPlan {
  readonly id: string
  readonly host: string
  readonly keys: { readonly backup: number; readonly now: number }
  readonly before: Tally
  readonly functions: FunctionsStand
  /** Left out, because their time is over; null: redis did not say. */
  readonly expired: number | null
  readonly keepOthers: boolean
  readonly copy: { readonly kind: 'taken'; readonly by: string } | { readonly kind: 'empty' | 'unwanted' }
  readonly replicas: number
  readonly expectedMs: number
}

export interface OverResult {
  readonly done: Done
  /** That have all of it. */
  readonly replicas: number
  /** Until they had. */
  readonly tookMs: number
  readonly after: Tally
  /** Of what was there; null: none was kept. */
  readonly copy: string | null
}

type Row = readonly [name: string, text: string]

function drawRows(rows: readonly Row[]): string {
  return rows.map(([name, words]) => `  ${name.padEnd(9)} ${words}\n`).join('')
}

export function drawOverPlan({ id, host, keys, before, functions, expired, keepOthers, copy, replicas, expectedMs }: OverPlan, moment: Moment | null): string {
  const copies = {
    taken: copy.kind === 'taken' ? `a backup of what is there is taken first, by the agent of ${copy.by}, and held` : '',
    empty: 'none: nothing is there',
    unwanted: pc.yellow('none (--no-copy): what is overwritten and removed is gone'),
  }
  const written = `${before.differs} with other values, ${before.missing} that are missing; ${before.same} are equal, and left`
  return `${pc.bold(id)} over what ${host} has now:\n${drawRows([
    ...(moment === null ? [] : momentRows(moment)),
    ['keys', `${keys.backup} in ${moment === null ? 'the backup' : 'the moment'}, ${keys.now} there`],
    ['written', written],
    ['removed', keepOthers ? `nothing (--keep-others): ${before.alone} that only ${host} has stay` : `${before.alone} that only ${host} has`],
    ...(functions === 'differ' ? [['functions', 'written'] as const] : []),
    ...(functions === 'unknown' ? [['functions', pc.yellow(`left out: the redis of ${host} has none (7.0)`)] as const] : []),
    ...(expired === null || expired === 0 ? [] : [['left out', `${expired} whose time is over`] as const]),
    ['copy', copies[copy.kind]],
    ['replicas', replicas === 0 ? pc.yellow('none follows') : `${replicas}, written through as with any client: none is resynced, full resyncs: 0`],
    ['takes', `about ${tookWords(expectedMs)}${copy.kind === 'taken' ? ', and the copy before it' : ''}`],
    ['clients', 'stay connected. What they write meanwhile may be overwritten or stay: stop those that write'],
  ])}`
}

export function drawOverDone({ host }: OverPlan, { done, replicas, tookMs, after, copy }: OverResult): string {
  const left = after.differs + after.missing + after.alone
  return `${pc.bold(`${done.written} keys written, ${done.removed} removed`)}, ${done.same} left as they were, in ${tookWords(tookMs)}\n${drawRows([
    ['replicas', replicas === 0 ? pc.yellow(`none follows: only ${host} has it`) : `${replicas} of ${replicas} have all of it`],
    ...(done.functions === 'differ' ? [['functions', 'written'] as const] : []),
    ...(done.expired > 0 ? [['left out', `${done.expired} whose time was over`] as const] : []),
    [
      'now',
      left === 0
        ? `as in the backup: ${after.same} keys are equal`
        : `${after.same} keys are as in the backup; ${after.differs} are other, ${after.missing} are missing, ${after.alone} are only there: written since by clients, or kept`,
    ],
    ...done.examples.map(({ key, why }): Row => [pc.red('refused'), `db${key.database} ${shown([key.key])}: ${why}`]),
    ...(copy === null ? [] : [['copy', `${copy}, held: take it back with --over --backup ${copy}, let it go with holdfast backup release`] as const]),
  ])}`
}

/** What was said beforehand was not what had to be typed. */
export function otherWords(what: string, said: string, wanted: string): OperatorError {
  return new OperatorError(
    'HF837',
    `${what} --yes-i-mean says '${said}', and '${wanted}' was wanted: nothing was written`,
    `see it with --dry-run; then say --yes-i-mean '${wanted}'`,
  )
}

/** `isCalledOff`: Ctrl-C. The agent hears it too, and is the first to say that its backup ended. */
export function noCopy({ code, message, hint }: OperatorError, isCalledOff: boolean): OperatorError {
  return new OperatorError(
    code,
    `no copy of what is there could be kept, so nothing was written: ${message}`,
    isCalledOff ? 'run the same command again: it compares anew' : hint,
  )
}

export interface StepLine {
  readonly tell: (step: Step) => void
  /** null: it goes on. */
  readonly waits: (why: string | null) => void
  readonly end: () => void
}

const everyMs = 200
/** Where nobody watches. */
const lineEveryMs = 10_000

/** On stderr: one line that is written over, or a line every ten seconds. */
export function stepLine(): StepLine {
  const isTty = process.stderr.isTTY
  let [toldMs, beganMs, what, waiting]: [number, number, string, string | null] = [performance.now(), performance.now(), '', null]
  let last: Step | null = null
  const write = (): void => {
    const nowMs = performance.now()
    if (last === null || nowMs - toldMs < (isTty ? everyMs : lineEveryMs)) return
    toldMs = nowMs
    const words = `${stepWords(last, nowMs - beganMs)}${waiting === null ? '' : `; waiting: ${waiting}`}`
    process.stderr.write(isTty ? overLine(words, process.stderr.columns) : `${words}\n`)
  }
  return {
    tell: (step) => {
      if (step.what !== what) [what, beganMs] = [step.what, performance.now()]
      last = step
      write()
    },
    waits: (why) => {
      waiting = why
      write()
    },
    end: () => {
      if (isTty && last !== null) process.stderr.write('\r\x1b[K')
    },
  }
}

export function stepWords({ what, done, of }: Step, forMs: number): string {
  return `${what}: ${keysWords(done, of, forMs)}`
}
