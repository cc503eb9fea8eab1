/** What a copy would do, is doing and did, for people and for scripts. Decides nothing. */
import pc from 'picocolors'
import type { CopyPlan } from '../migrate/copy-plan.ts'
import type { Source, Target } from '../migrate/facts.ts'
import { nameOf } from '../migrate/versions.ts'
import { mib } from '../dump/needs.ts'
import type { RoundFound } from '../migrate/copy-rounds.ts'
import type { CopyStep } from '../move/copy.ts'
import type { CopyFigures, Uncopied } from '../move/copy-words.ts'
import type { Finished } from '../move/copy-finish.ts'
import type { Report } from '../move/report-seal.ts'
import { shown } from '../redis/words.ts'
import { overLine } from './one-line.ts'
import { keysWords, tookWords } from './backup-words.ts'

export interface CopyReport extends Report {
  readonly what: 'holdfast migrate copy'
  /** Its version, and the host on which it ran. */
  readonly holdfast: string
  readonly ranOn: string
  /** By the clock of that host. */
  readonly beganAt: string
  readonly endedAt: string
  /** Without the password of an address. */
  readonly from: string
  readonly group: string
  readonly source: string
  readonly target: string
  readonly way: CopyPlan['way']
  readonly wayWhy: string
  /** What the source tells of its writes, and how much was heard. */
  readonly events: { readonly tells: string; readonly heard: number; readonly silent: string | null }
  /** Of the source, in the last round. */
  readonly keys: number
  readonly rounds: readonly RoundFound[]
  readonly figures: CopyFigures
  readonly uncopied: readonly Uncopied[]
  readonly p99Ms: { readonly idle: number; readonly worst: number } | null
  readonly tookMs: number
  /** null: it goes on, and nothing is proven. */
  readonly finished: Finished | null
  /** How it is gone on with; null: it is done. */
  readonly again: string | null
}

export function drawCopyPlan({ redis: from }: Source, { group }: Target, plan: CopyPlan, events: string): string {
  const traps = plan.traps.filter(({ level }) => level !== 'green')
  return [
    `${pc.bold(`${from.at} (${nameOf(from.version)}, ${from.keys} keys)`)} into the group ${pc.bold(group)}, while it is in use`,
    `  values    ${plan.way === 'dump' ? 'DUMP and RESTORE' : 'by their elements'}: ${plan.wayWhy}`,
    `  writes    ${events}`,
    'What a copy does not promise, to be accepted before it begins:',
    ...plan.limits.map(
      ({ id, name, words, accepted }) =>
        `  ${accepted ? pc.green('accepted') : pc.yellow('to accept')}${accepted ? ' ' : ''} ${id}  ${name.padEnd(12)} ${words}`,
    ),
    ...traps.map(
      ({ id, name, level, measured, fix, accepted }) =>
        `  ${accepted ? pc.green('accepted') : level === 'red' ? pc.red('red') : pc.yellow(level)} ${id}  ${name}  ${measured}${fix === null ? '' : ` → ${fix}`}`,
    ),
    ...(plan.needless.length === 0 ? [] : [pc.yellow(`  --accept of what is not there: ${plan.needless.join(', ')}`)]),
    '',
  ].join('\n')
}

const phases: Readonly<Record<CopyStep['phase'], string>> = {
  copying: 'copying',
  comparing: 'comparing and repairing',
  following: 'following what is written',
  proving: 'proving, writers held',
}

const everyMs = 200
const lineEveryMs = 10_000
const jsonEveryMs = 1000

export interface CopyLine {
  readonly tell: (step: CopyStep) => void
  readonly waits: (why: string | null) => void
  readonly end: () => void
}

/** On a terminal one line, elsewhere a line now and then; `json`: an object a second, on standard output. */
export function copyLine(json: boolean, heard: () => number): CopyLine {
  const isTty = process.stderr.isTTY && !json
  let [toldMs, beganMs, key, waiting]: [number, number, string, string | null] = [performance.now(), performance.now(), '', null]
  let last: CopyStep | null = null
  const write = (): void => {
    const nowMs = performance.now()
    if (last === null || nowMs - toldMs < (json ? jsonEveryMs : isTty ? everyMs : lineEveryMs)) return
    toldMs = nowMs
    if (json)
      process.stdout.write(`${JSON.stringify({ ...last, perS: Math.round((last.done * 1000) / Math.max(1, nowMs - beganMs)), heard: heard(), waiting })}\n`)
    else {
      const words = `${lineWords(last, nowMs - beganMs, heard())}${waiting === null ? '' : `; waiting: ${waiting}`}`
      process.stderr.write(isTty ? overLine(words, process.stderr.columns) : `${words}\n`)
    }
  }
  return {
    tell: (step) => {
      const its = `${step.phase} ${step.round}`
      if (its !== key) [key, beganMs] = [its, performance.now()]
      last = step
      write()
    },
    waits: (why) => {
      waiting = why
      write()
    },
    end: () => {
      if (isTty && last !== null) process.stderr.write('\r\x1b[K')
      last = null
    },
  }
}

export function lineWords(step: CopyStep, forMs: number, heard: number): string {
  const { phase, round, done, of } = step
  if (phase === 'following') return `${phases[phase]}: ${heard} writes told so far`
  return `${phases[phase]}${phase === 'comparing' ? `, round ${round}` : ''}: ${keysWords(done, of, forMs)}`
}

const shownMost = 10

export function drawCopyReport({ source, target, keys, rounds, figures, uncopied, p99Ms, tookMs, finished, again, events }: CopyReport): string {
  const { copied, bytes, repaired, removed, told, lost } = figures
  const rows = [
    `${source}  →  ${target}`,
    `${keys} keys; ${copied} written (${mib(bytes)}) in ${tookWords(tookMs)}, ${told} of them because the source told of a write; ${removed} removed`,
    `${rounds.length} rounds; ${repaired} keys differed on the way, and were copied again${lost === 0 ? '' : `; an end was lost ${lost} times`}; ${events.heard} writes heard (${events.tells})${events.silent === null ? '' : `; not any more: ${events.silent}`}`,
    ...(p99Ms === null ? [] : [`p99 of the source ${p99Ms.idle.toFixed(2)} ms before, ${p99Ms.worst.toFixed(2)} ms at the worst`]),
    ...(uncopied.length === 0 ? [] : [pc.yellow(`${uncopied.length} keys are not copied:`)]),
    ...uncopied.slice(0, shownMost).map(({ database, key, why }) => `  ${shown([key])} in database ${database}: ${why}`),
  ]
  if (finished === null) return `${[...rows, pc.yellow(`nothing is proven: it is written to. To end it: ${again}`)].join('\n')}\n`
  const how = {
    pause: 'waiting (CLIENT PAUSE WRITE)',
    'min-replicas': 'refused (min-replicas-to-write 99)',
    stopped: 'stopped by you',
  }[finished.held]
  return `${[
    ...rows,
    `${finished.keys} keys compared while writers were ${how}, in ${finished.heldMs} ms: ${pc.green('no difference')}; ${finished.repaired} were copied then`,
    ...finished.unproven.map((what) => `  not proven: ${what}`),
    nextWords(finished),
  ].join('\n')}\n`
}

function nextWords({ held, keptMs, undo }: Finished): string {
  if (held === 'pause')
    return pc.bold(
      `writes to the source wait for ${(keptMs ?? 0) / 1000} s more: point the clients at the group NOW. What is written to the source after that is in the source alone (${undo} ends it sooner)`,
    )
  if (held === 'min-replicas') return pc.bold(`the source refuses writes until it is told ${undo}: point the clients at the group`)
  return pc.bold('point the clients at the group, and let no writer write to the source again')
}
