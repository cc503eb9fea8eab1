/**
 * Text of a configuration → Config, or every problem at once. Reads no file, so tests and editors can use it. The stages: YAML,
 * shape (`schema.ts`), defaults (`complete.ts`), contradictions. Must not stop at the first stage that finds something.
 */
import { resolve } from 'node:path'
import type { Config } from '../model/config.ts'
import type { Checked } from './checked.ts'
import { complete } from './complete.ts'
import { findContradictions } from './contradictions.ts'
import { formatPath, formatProblem } from './problem.ts'
import type { ConfigProblem, Finding, KeyPath } from './problem.ts'
import { readShape } from './schema.ts'
import { readYaml } from './yaml.ts'
import type { YamlFile } from './yaml.ts'

export interface Parsed {
  /** Absent when there is any problem. */
  readonly config?: Config
  readonly warnings: readonly string[]
  /** In the order of the file. */
  readonly problems: readonly ConfigProblem[]
}

/** Also what could be understood despite problems, so that the files it names are checked in the same run. */
export interface TolerantParse extends Parsed {
  readonly partial?: Config
  readonly toProblem: (finding: Finding) => ConfigProblem
}

export function parseConfig(text: string, file: string): Parsed {
  const { config, warnings, problems } = parseTolerantly(text, file)
  return { ...(config === undefined ? {} : { config }), warnings, problems }
}

export function parseTolerantly(text: string, file: string): TolerantParse {
  const name = resolve(file)
  const yaml = readYaml(text)
  const toProblem = (finding: Finding): ConfigProblem => ({
    ...yaml.locate(finding.path, finding.atKey),
    path: formatPath(finding.path),
    message: finding.message,
    ...(finding.accepted === undefined ? {} : { accepted: finding.accepted }),
  })
  if (!yaml.usable) return { warnings: [], problems: sorted(yaml.problems), toProblem }
  const { draft, findings } = readShape(yaml.data)
  if (!isMap(yaml.data)) return { warnings: [], problems: sorted([...yaml.problems, ...findings.map(toProblem)]), toProblem }
  const completed = complete(draft, name)
  const found = findContradictions({ ...completed, ...writtenIn(yaml) })
  const problems = sorted([...yaml.problems, ...findings.map(toProblem), ...found.problems.map(toProblem)])
  const warnings = sorted(found.warnings.map(toProblem)).map((warning) => formatProblem(name, warning))
  const { config } = completed
  return { ...(problems.length === 0 ? { config } : {}), partial: config, warnings, problems, toProblem }
}

function writtenIn(yaml: YamlFile): Pick<Checked, 'has' | 'kindOf' | 'hostNames' | 'redisPath'> {
  const valueAt = (path: KeyPath): unknown =>
    path.reduce<unknown>((value, key) => (isBag(value) && Object.hasOwn(value, key) ? value[key] : undefined), yaml.data)
  const hosts = valueAt(['hosts'])
  return {
    has: (path) => valueAt(path) !== undefined,
    kindOf: (path) => (isMap(valueAt(path)) ? 'map' : Array.isArray(valueAt(path)) ? 'list' : 'other'),
    hostNames: isMap(hosts) ? Object.keys(hosts) : [],
    redisPath: (group, directive) => {
      const written = valueAt(['groups', group, 'redis'])
      const key = isMap(written) ? Object.keys(written).find((name) => name.toLowerCase() === directive) : undefined
      return ['groups', group, 'redis', key ?? directive]
    },
  }
}

function isBag(value: unknown): value is Record<string | number, unknown> {
  return typeof value === 'object' && value !== null
}

export function isMap(value: unknown): value is Record<string, unknown> {
  return isBag(value) && !Array.isArray(value)
}

function sorted(problems: readonly ConfigProblem[]): readonly ConfigProblem[] {
  return problems.toSorted((one, two) => one.line - two.line || one.column - two.column)
}
