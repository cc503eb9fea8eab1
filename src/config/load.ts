/**
 * The way in: a configuration file → a Config that can be relied on, or one error with every problem. Also the look-up of
 * groups and hosts by a name that an operator typed. Must not change anything on the machine.
 */
import { open } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Config, GroupConfig, HostConfig } from '../model/config.ts'
import { OperatorError } from '../model/error.ts'
import { checkBackupFiles } from './backup-files.ts'
import { maxFileBytes } from './defaults.ts'
import { checkFiles, failureOf, type FileFindings } from './files.ts'
import { parseTolerantly } from './parse.ts'
import { ConfigError, formatProblem, nearest } from './problem.ts'

export { parseConfig } from './parse.ts'
export { ConfigError } from './problem.ts'

export interface Loaded {
  readonly config: Config
  readonly warnings: readonly string[]
  /** As it stands in the file. */
  readonly text: string
}

export interface LoadOptions {
  /** Also read the files that the configuration names, and report them with everything else. */
  readonly files?: boolean
  /** Also those that the backups of these groups need. Not for an agent that starts: a missing key stops backups, and nothing else. */
  readonly backupsOf?: (group: GroupConfig) => boolean
  /** Also asks the machine (trial/), of as much as could be understood. */
  readonly machine?: (config: Config) => Promise<FileFindings>
}

export async function loadConfig(file: string, options: LoadOptions = {}): Promise<Loaded> {
  const name = resolve(file)
  return check(await readText(name), name, options)
}

/** A text as if it stood in that file, with the files that it names. */
export function checkConfigText(text: string, file: string, options: Pick<LoadOptions, 'machine' | 'backupsOf'> = {}): Promise<Loaded> {
  return check(text, resolve(file), { ...options, files: true })
}

async function check(text: string, name: string, options: LoadOptions): Promise<Loaded> {
  const parsed = parseTolerantly(text, name)
  const none: FileFindings = { problems: [], warnings: [] }
  const { partial } = parsed
  const files = options.files === true && partial !== undefined ? await checkFiles(partial) : none
  const backed = partial === undefined ? [] : Object.values(partial.groups).filter((group) => options.backupsOf?.(group) === true)
  const backups = await Promise.all(backed.map(checkBackupFiles))
  const named = { problems: [files, ...backups].flatMap((one) => one.problems), warnings: [files, ...backups].flatMap((one) => one.warnings) }
  const machine = options.machine !== undefined && partial !== undefined ? await options.machine(partial) : none
  const found = [...named.problems, ...machine.problems].map(parsed.toProblem)
  const problems = [...parsed.problems, ...found].toSorted((one, two) => one.line - two.line || one.column - two.column)
  if (problems.length > 0) throw new ConfigError(name, problems, parsed.problems.length > 0 ? 'HF102' : named.problems.length > 0 ? 'HF103' : 'HF403')
  if (parsed.config === undefined) throw new ConfigError(name, [{ line: 1, column: 1, path: '', message: 'the file holds no configuration' }])
  const warnings = [...named.warnings, ...machine.warnings].map((finding) => formatProblem(name, parsed.toProblem(finding)))
  return { config: parsed.config, warnings: [...parsed.warnings, ...warnings], text }
}

async function readText(file: string): Promise<string> {
  const unreadable = (why: string): OperatorError =>
    new OperatorError('HF101', `the configuration ${file} ${why}`, 'name the file with --config FILE, and run as a user who may read it', 2)
  let text: string
  try {
    const handle = await open(file, 'r')
    try {
      const stat = await handle.stat()
      if (stat.isDirectory()) throw unreadable('is a directory')
      if (stat.size > maxFileBytes) throw unreadable(`is larger than ${maxFileBytes} bytes`)
      text = await handle.readFile('utf8')
    } finally {
      await handle.close()
    }
  } catch (error) {
    throw error instanceof OperatorError ? error : unreadable(failureOf(error))
  }
  return text
}

/** Own properties only: a group called `constructor` that nobody configured must not be found. */
export function findGroup(config: Config, name: string): GroupConfig {
  const group = Object.hasOwn(config.groups, name) ? config.groups[name] : undefined
  if (group === undefined) throw unknownName('group', name, Object.keys(config.groups), config.file)
  return group
}

export function findHost(config: Config, name: string): HostConfig {
  const host = Object.hasOwn(config.hosts, name) ? config.hosts[name] : undefined
  if (host === undefined) throw unknownName('host', name, Object.keys(config.hosts), config.file)
  return host
}

function unknownName(kind: 'group' | 'host', name: string, accepted: readonly string[], file: string): OperatorError {
  const guess = nearest(name, accepted)
  const hint = `${guess === undefined ? '' : `did you mean \`${guess}\`? `}the ${kind}s are: ${accepted.join(', ')}`
  return new OperatorError('HF104', `there is no ${kind} \`${name}\` in ${file}`, hint, 2)
}
