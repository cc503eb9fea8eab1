/**
 * A lab: the hosts of a Holdfast configuration as network namespaces on this machine, with faults on demand. This file
 * raises, opens, lists and takes down labs, and binds the parts to one handle: faults.ts (wires), hosts.ts (processes).
 * `down` works from what is recorded and from what exists, so it also removes a lab that was raised by half.
 */
import { rename, rm, rmdir } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { Config } from '../model/config.ts'
import { OperatorError } from '../model/error.ts'
import { labProblems } from './capability.ts'
import { ownEntry } from './entry.ts'
import type { FaultTime } from './faults.ts'
import { cut, heal, isolate, lossy, partition } from './faults.ts'
import type { LabFiles } from './files.ts'
import { prepareFiles } from './files.ts'
import type { HostStatus, Signalled, SignalOptions, Target } from './hosts.ts'
import { cliOn, execInTerminal, execOn, hostStatuses, powerOff, powerOn, signalHost, startAgent } from './hosts.ts'
import { dropNamespace, namespaces, plugNode, raiseBridge, readFaults } from './net.ts'
import { bridgeNamespace, checkLabName, orphanNamespaces, planLab } from './plan.ts'
import type { ProcessId } from './processes.ts'
import type { LabRecord } from './record.ts'
import { claimLabDir, exists, labBaseDir, labNames, readRecord, writeRecord } from './record.ts'
import type { Faults } from './rules.ts'
import type { RunOptions, RunResult } from './run.ts'

export interface RaiseOptions {
  readonly name: string
  readonly configFile: string
  readonly startAgents: boolean
  readonly baseDir?: string
  /** The command that runs holdfast; by default, as this process was started. */
  readonly entry?: readonly string[]
  readonly clients?: number
  /** Whose end makes the lab a leftover (leftovers.ts). Absent: it stays until it is taken down. */
  readonly owner?: ProcessId
  readonly progress?: (line: string) => void
  /** Aborting it takes down what was raised so far. */
  readonly signal?: AbortSignal
}

export interface Lab {
  readonly record: LabRecord
  readonly kill: (host: string, what: Target, options?: SignalOptions) => Promise<Signalled>
  readonly freeze: (host: string, what: Target, options?: SignalOptions) => Promise<Signalled>
  readonly thaw: (host: string, what: Target, options?: SignalOptions) => Promise<Signalled>
  readonly start: (host: string, what: 'agent') => Promise<ProcessId>
  readonly power: (host: string, to: 'on' | 'off') => Promise<void>
  readonly cut: (host: string) => Promise<FaultTime>
  readonly isolate: (a: string, b: string, options?: { readonly oneWay?: boolean }) => Promise<FaultTime>
  readonly partition: (sides: readonly (readonly string[])[], options?: { readonly oneWay?: boolean; readonly instead?: boolean }) => Promise<FaultTime>
  readonly lossy: (host: string, percent: number) => Promise<FaultTime>
  readonly heal: (host?: string) => Promise<FaultTime>
  readonly exec: (host: string, argv: readonly string[], options?: RunOptions) => Promise<RunResult>
  readonly execInTerminal: (host: string, argv: readonly string[]) => Promise<number>
  readonly cli: (argv: readonly string[], options?: RunOptions) => Promise<RunResult>
  readonly faults: () => Promise<Faults>
  readonly status: () => Promise<readonly HostStatus[]>
  readonly down: (options?: DownOptions) => Promise<string | null>
}

export interface DownOptions {
  readonly keepLogs?: boolean
  readonly baseDir?: string
  /** For so long what runs there may end in its own order; 0: nobody will look at what it leaves. */
  readonly graceMs?: number
}

const maxClients = 8
const endGraceMs = 3000

export async function raiseLab(options: RaiseOptions): Promise<Lab> {
  const problems = labProblems()
  if (problems.length > 0) {
    throw new OperatorError('HF501', `this machine cannot run a lab: ${problems.join('; ')}`, 'Mend this, then try again.')
  }
  const baseDir = labBaseDir(options.baseDir)
  if ((await namespaces()).includes(bridgeNamespace(options.name))) {
    throw new OperatorError('HF502', `a lab ${options.name} exists already`, `Take it down with: holdfast lab down --name ${options.name}`)
  }
  const dir = await claimLabDir(options.name, baseDir)
  try {
    return openHandle(await raiseSteps(options, dir))
  } catch (error) {
    // What failed is what the operator wants to read; a failing clean-up is added to it, not put in its place.
    try {
      await takeDown(options.name, { baseDir })
    } catch (second) {
      options.progress?.(`cleaning up failed as well: ${(second as Error).message}`)
    }
    throw error
  }
}

export async function openLab(name: string, baseDir?: string): Promise<Lab> {
  const record = await readRecord(name, labBaseDir(baseDir))
  if (record?.ready === true) return openHandle(record)
  if (record === undefined) {
    throw new OperatorError('HF502', `there is no lab ${name}`, 'See holdfast lab list, or raise one with holdfast lab up.')
  }
  throw new OperatorError('HF502', `the lab ${name} was not raised to the end`, `Take it down with: holdfast lab down --name ${name}`)
}

export async function listLabs(baseDir?: string): Promise<{ name: string; record: LabRecord | null }[]> {
  const base = labBaseDir(baseDir)
  const labs = await Promise.all((await labNames(base)).map(async (name) => ({ name, record: (await readRecord(name, base)) ?? null })))
  return labs
}

/**
 * Also for labs that were raised by half, or whose directory is gone. Twice is as good as once.
 * Returns where the logs are, if they were kept.
 */
export async function takeDown(name: string, options: DownOptions = {}): Promise<string | null> {
  checkLabName(name)
  const baseDir = labBaseDir(options.baseDir)
  const record = await readRecord(name, baseDir)
  const existing = await namespaces()
  const planned = record ? [...record.plan.nodes.map((node) => node.netns), record.plan.bridgeNetns] : []
  const mine = record ? planned.filter((netns) => existing.includes(netns)) : orphanNamespaces(name, existing)
  // The bridge goes last: while it exists, a second `down` still finds the lab by name.
  const bridge = bridgeNamespace(name)
  const graceMs = options.graceMs ?? endGraceMs
  const results = await Promise.allSettled(mine.filter((netns) => netns !== bridge).map((netns) => dropNamespace(netns, graceMs)))
  const failure = results.find((result) => result.status === 'rejected')
  if (failure !== undefined) throw failure.reason
  await dropNamespace(bridge, graceMs)
  const dir = join(baseDir, name)
  if (record === undefined) return null
  if (options.keepLogs === true) return keepLogs(dir)
  await rm(dir, { recursive: true, force: true })
  // The last one takes the folder with it; one with other labs in it is not empty, and stays.
  if (options.baseDir === undefined) await rmdir(baseDir).catch(() => undefined)
  return null
}

/** Was anything there? For `lab down`, which says so. */
export async function labExists(name: string, baseDir?: string): Promise<boolean> {
  if (await exists(join(labBaseDir(baseDir), name))) return true
  return orphanNamespaces(name, await namespaces()).length > 0
}

async function raiseSteps(options: RaiseOptions, dir: string): Promise<LabRecord> {
  const tell = options.progress ?? (() => undefined)
  const proceed = (line: string): void => {
    if (options.signal?.aborted === true) {
      throw new OperatorError('HF503', 'interrupted: what was raised so far is taken down', 'Run lab up again.')
    }
    tell(line)
  }
  proceed(`reading ${options.configFile}`)
  const files = await prepareFiles(options.configFile, dir)
  for (const note of files.notes) tell(`note: ${note}`)
  const record = recordFrom(options, dir, files)
  await writeRecord(record)
  proceed('making the bridge')
  await raiseBridge(record.plan, options.owner)
  for (const node of record.plan.nodes) {
    proceed(`plugging in ${node.name} (${node.ip})`)
    await plugNode(record.plan, node)
    if (node.kind === 'host') await files.writeFor(node.name)
  }
  if (options.startAgents) {
    const hosts = record.plan.nodes.filter((node) => node.kind === 'host').map((node) => node.name)
    proceed(`starting the agents of ${hosts.join(', ')}`)
    const started = await Promise.allSettled(hosts.map((host) => startAgent(record, host)))
    const failure = started.find((result) => result.status === 'rejected')
    if (failure !== undefined) throw failure.reason
  }
  proceed('the lab is up')
  const ready: LabRecord = { ...record, ready: true }
  await writeRecord(ready)
  return ready
}

function recordFrom(options: RaiseOptions, dir: string, files: LabFiles): LabRecord {
  const { config } = files
  const clients = Math.min(Math.max(options.clients ?? 1, 1), maxClients)
  return {
    version: 1,
    name: options.name,
    dir,
    createdAtMs: Date.now(),
    configFile: resolve(options.configFile),
    entry: options.entry ?? ownEntry(),
    withAgents: options.startAgents,
    apiPort: config.api.port,
    redisPorts: Object.values(config.groups).flatMap((group) => group.members.map((member) => ({ host: member.host, group: group.name, port: member.port }))),
    sentinelPorts: Object.values(config.groups).flatMap(({ name, sentinel }) =>
      (sentinel?.hosts ?? []).map((host) => ({ host, group: name, port: sentinel?.port ?? 0 })),
    ),
    groups: labGroups(config),
    plan: planLab(options.name, config, clients),
    ready: false,
  }
}

function labGroups(config: Config): LabRecord['groups'] {
  return Object.values(config.groups).map((group) => ({
    name: group.name,
    vip: group.vip?.ip ?? null,
    port: group.port,
    passwordFile: group.passwordFile ?? null,
  }))
}

/** Kept logs must not block the lab's name: a name with a dot is not a lab's. */
async function keepLogs(dir: string): Promise<string> {
  const kept = `${dir}.logs-${new Date().toISOString().replace(/[:.]/g, '-')}`
  await rename(dir, kept)
  return kept
}

function openHandle(record: LabRecord): Lab {
  return {
    record,
    kill: (host, what, options) => signalHost(record, host, what, options),
    freeze: (host, what, options) => signalHost(record, host, what, { ...options, signal: 'SIGSTOP' }),
    thaw: (host, what, options) => signalHost(record, host, what, { ...options, signal: 'SIGCONT' }),
    start: (host) => startAgent(record, host),
    power: async (host, to) => {
      if (to === 'on') await powerOn(record, host)
      else await powerOff(record, host)
    },
    cut: (host) => cut(record, host),
    isolate: (a, b, options) => isolate(record, a, b, options),
    partition: (sides, options) => partition(record, sides, options),
    lossy: (host, percent) => lossy(record, host, percent),
    heal: (host) => heal(record, host),
    exec: (host, argv, options) => execOn(record, host, argv, options),
    execInTerminal: (host, argv) => execInTerminal(record, host, argv),
    cli: (argv, options) => cliOn(record, argv, options),
    faults: () => readFaults(record.plan),
    status: () => hostStatuses(record),
    down: (options) => takeDown(record.name, { baseDir: dirname(record.dir), ...options }),
  }
}
