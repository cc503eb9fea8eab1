/**
 * What is remembered about a lab between two commands: lab.json in the lab's directory. It is written BEFORE the first
 * namespace is made, so that an interrupted `lab up` can be found and taken down. What the kernel knows better (which
 * namespaces exist, which faults are on) is not repeated here.
 */
import { access, mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { OperatorError } from '../model/error.ts'
import type { LabPlan } from './plan.ts'
import { checkLabName } from './plan.ts'
import type { ProcessId } from './processes.ts'

export interface LabRecord {
  readonly version: 1
  readonly name: string
  readonly dir: string
  readonly createdAtMs: number
  /** The configuration that the lab was raised from. */
  readonly configFile: string
  /** The command that runs holdfast: a program and its first arguments. */
  readonly entry: readonly string[]
  readonly withAgents: boolean
  readonly apiPort: number
  readonly redisPorts: readonly ServerPort[]
  readonly sentinelPorts: readonly ServerPort[]
  readonly groups: readonly LabGroup[]
  readonly plan: LabPlan
  readonly ready: boolean
}

export interface ServerPort {
  readonly host: string
  readonly group: string
  readonly port: number
}

export interface LabGroup {
  readonly name: string
  /** Where a client connects: the VIP, or null when the group has none. */
  readonly vip: string | null
  readonly port: number
  readonly passwordFile: string | null
}

export function labBaseDir(given?: string): string {
  return resolve(given ?? process.env['HOLDFAST_LAB_DIR'] ?? '/var/lib/holdfast-labs')
}

export function nodeDir(record: LabRecord, node: string): string {
  return join(record.dir, node)
}

export function nodeConfigFile(record: LabRecord, node: string): string {
  return join(record.dir, node, 'holdfast.yaml')
}

export function agentLogFile(record: LabRecord, host: string): string {
  return join(record.dir, host, 'agent.log')
}

export async function claimLabDir(name: string, baseDir: string): Promise<string> {
  checkLabName(name)
  await mkdir(baseDir, { recursive: true })
  const dir = join(baseDir, name)
  try {
    // Not recursive: whoever makes the directory owns the name, and two `lab up` at once cannot both win.
    await mkdir(dir, { mode: 0o755 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    throw new OperatorError('HF502', `the lab ${name} exists already (${dir})`, `Take it down with: holdfast lab down --name ${name}`)
  }
  return dir
}

export async function writeRecord(record: LabRecord): Promise<void> {
  const file = join(record.dir, 'lab.json')
  await writeFile(`${file}.new`, `${JSON.stringify(record, null, 2)}\n`)
  await rename(`${file}.new`, file)
}

/** `undefined`: there is no such directory. A directory without a readable lab.json is a lab that died at birth: null. */
export async function readRecord(name: string, baseDir: string): Promise<LabRecord | null | undefined> {
  checkLabName(name)
  const dir = join(baseDir, name)
  if (!(await exists(dir))) return undefined
  let record: LabRecord
  try {
    record = JSON.parse(await readFile(join(dir, 'lab.json'), 'utf8')) as LabRecord
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' || error instanceof SyntaxError) return null
    throw error
  }
  // A directory that was moved or copied must not lead to somebody else's files.
  return record.version === 1 && record.name === name && record.dir === dir ? record : null
}

export async function labNames(baseDir: string): Promise<string[]> {
  if (!(await exists(baseDir))) return []
  const entries = await readdir(baseDir, { withFileTypes: true })
  return entries
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .filter(isLabName)
    .sort()
}

export async function writeAgentPid(record: LabRecord, host: string, id: ProcessId): Promise<void> {
  await writeFile(agentPidFile(record, host), JSON.stringify({ pid: id.pid, startTicks: id.startTicks }))
}

export async function readAgentPid(record: LabRecord, host: string): Promise<ProcessId | undefined> {
  try {
    const id = JSON.parse(await readFile(agentPidFile(record, host), 'utf8')) as Partial<ProcessId>
    if (typeof id.pid !== 'number' || typeof id.startTicks !== 'number') return undefined
    return { pid: id.pid, startTicks: id.startTicks }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' || error instanceof SyntaxError) return undefined
    throw error
  }
}

export async function exists(path: string): Promise<boolean> {
  try {
    await access(path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}

function agentPidFile(record: LabRecord, host: string): string {
  return join(record.dir, host, 'agent.pid.json')
}

function isLabName(name: string): boolean {
  try {
    checkLabName(name)
    return true
  } catch (error) {
    if (error instanceof OperatorError) return false
    throw error
  }
}
