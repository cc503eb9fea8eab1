/**
 * What is wrong with a configuration, as data: where, which key, what, and what would be accepted. Also the guess at what
 * was meant. Must not decide what is wrong; that is for `schema.ts` and `contradictions.ts`.
 */
import { OperatorError } from '../model/error.ts'
import type { ErrorCode } from '../model/error.ts'

export type KeyPath = readonly (string | number)[]

export interface ConfigProblem {
  readonly line: number
  readonly column: number
  /** `groups.sessions.members[1].priority` */
  readonly path: string
  readonly message: string
  readonly accepted?: string
}

/** A problem before its place in the file is looked up. */
export interface Finding {
  readonly path: KeyPath
  readonly message: string
  readonly accepted?: string | undefined
  /** Point at the key instead of its value. */
  readonly atKey?: boolean
}

/** All problems of a configuration in one error, and as data for `--json`. */
export class ConfigError extends OperatorError {
  readonly file: string
  readonly problems: readonly ConfigProblem[]
  constructor(file: string, problems: readonly ConfigProblem[], code: ErrorCode = 'HF102') {
    const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`
    super(
      code,
      [`${file}: ${count}`, ...problems.map((problem) => `  ${formatProblem(file, problem)}`)].join('\n'),
      'nothing was changed. Correct these places, then run `holdfast check`',
      2,
    )
    this.file = file
    this.problems = problems
  }
}

export function formatProblem(file: string, problem: ConfigProblem): string {
  const path = problem.path === '' ? '' : ` ${problem.path}:`
  const accepted = problem.accepted === undefined ? '' : ` (accepted: ${problem.accepted})`
  return `${file}:${problem.line}:${problem.column}:${path} ${problem.message}${accepted}`
}

export function formatPath(path: KeyPath): string {
  return path.map((part, index) => (typeof part === 'number' ? `[${part}]` : index === 0 ? part : `.${part}`)).join('')
}

/** The accepted word that the operator most likely meant, if one is close. */
export function nearest(word: string, accepted: readonly string[]): string | undefined {
  const plain = (text: string): string =>
    text
      .replace(/([a-z])([A-Z])/g, '$1_$2')
      .toLowerCase()
      .replaceAll('-', '_')
  const wanted = plain(word)
  let best: string | undefined
  // Never as far as the word is long: any short name is that close to any other.
  let bestDistance = Math.min(Math.max(2, Math.floor(wanted.length / 3)), wanted.length - 1) + 1
  for (const candidate of accepted) {
    const target = plain(candidate)
    const related = wanted.length >= 3 && (target.startsWith(wanted) || wanted.startsWith(target) || target.endsWith(`_${wanted}`))
    const distance = target === wanted ? 0 : Math.min(editDistance(wanted, target), related ? 2 : Number.POSITIVE_INFINITY)
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

/** Insertions, deletions, replacements and swaps of neighbours. Both words are short keys. */
function editDistance(from: string, to: string): number {
  if (Math.abs(from.length - to.length) > 8 || from.length > 64) return Number.POSITIVE_INFINITY
  let older: number[] = []
  let previous = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let i = 1; i <= from.length; i += 1) {
    const current = [i]
    for (let j = 1; j <= to.length; j += 1) {
      const cost = from[i - 1] === to[j - 1] ? 0 : 1
      let value = Math.min((previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1, (previous[j - 1] ?? 0) + cost)
      if (i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]) value = Math.min(value, (older[j - 2] ?? 0) + 1)
      current.push(value)
    }
    older = previous
    previous = current
  }
  return previous[to.length] ?? Number.POSITIVE_INFINITY
}
