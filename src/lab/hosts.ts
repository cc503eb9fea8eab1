/**
 * What happens ON a lab's hosts: agents are started, processes are killed, frozen and thawed, the power goes off and on,
 * commands run. Processes are found by where they are (the host's namespace) and by what they do (the port they listen on,
 * the recorded agent), so a signal cannot reach anything outside the lab. Faults of the wires are in faults.ts.
 */
import { spawn } from 'node:child_process'
import { mkdir, open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { OperatorError } from '../model/error.ts'
import { cut, heal, nodeOf } from './faults.ts'
import { namespaces, plugNode, unplugNode } from './net.ts'
import type { LabNode } from './plan.ts'
import type { ListedProcess, ProcessId } from './processes.ts'
import { endNamespace, findProcess, isAlive, listeningProcesses, namespaceProcesses, portsOf, signalProcess } from './processes.ts'
import type { LabRecord } from './record.ts'
import { agentLogFile, nodeConfigFile, nodeDir, readAgentPid, writeAgentPid } from './record.ts'
import type { RunOptions, RunResult } from './run.ts'
import { poll, run } from './run.ts'

export type Target = 'redis' | 'sentinel' | 'keepalived' | 'agent' | 'all'

export interface SignalOptions {
  /** SIGKILL unless given. */
  readonly signal?: NodeJS.Signals
  /** Only the redis, or the Sentinel, of this group. */
  readonly group?: string
}

export interface Signalled {
  readonly pids: readonly number[]
  /** Wall clock, just before the first signal left. */
  readonly atMs: number
}

export interface HostStatus {
  readonly name: string
  readonly kind: LabNode['kind']
  readonly ip: string
  readonly netns: string
  readonly power: 'on' | 'off'
  readonly agent: 'up' | 'down' | 'none'
  readonly processes: readonly ListedProcess[]
}

const agentStartWithinMs = 15_000
const execWithinMs = 30_000
const startupTailBytes = 2000

export async function signalHost(record: LabRecord, host: string, what: Target, options: SignalOptions = {}): Promise<Signalled> {
  const found = await findTarget(record, host, what, options.group)
  if (found.length === 0) {
    throw new OperatorError(
      'HF503',
      `nothing to signal: no ${what === 'all' ? 'process' : what} runs on ${host}`,
      `See what runs with: holdfast lab status --name ${record.name}`,
    )
  }
  const atMs = performance.timeOrigin + performance.now()
  const pids = found.filter((id) => signalProcess(id, options.signal ?? 'SIGKILL')).map((id) => id.pid)
  return { pids, atMs }
}

/** Starts the host's agent and waits until its API listens. Nothing happens when it runs already. */
export async function startAgent(record: LabRecord, host: string): Promise<ProcessId> {
  const node = nodeOf(record, host)
  const known = await readAgentPid(record, host)
  if (known !== undefined && isAlive(known)) return known
  const dir = nodeDir(record, host)
  await mkdir(join(dir, 'state'), { recursive: true })
  await mkdir(join(dir, 'run'), { recursive: true })
  const id = await spawnAgent(record, node)
  await writeAgentPid(record, host, id)
  const up = await poll(
    () => {
      if (!isAlive(id)) return 'ended' as const
      return portsOf(id.pid).includes(record.apiPort) ? ('up' as const) : undefined
    },
    { withinMs: agentStartWithinMs },
  )
  if (up === 'up') return id
  const why = up === 'ended' ? 'ended at once' : `does not listen on port ${record.apiPort} after ${agentStartWithinMs} ms`
  const tail = (await readFile(agentLogFile(record, host), 'utf8')).slice(-startupTailBytes).trim()
  throw new OperatorError(
    'HF503',
    `the agent of ${host} ${why}${tail === '' ? '' : `:\n${tail}`}`,
    `Start it by hand to see more: holdfast lab up --no-agents, then holdfast lab exec ${host} -- holdfast agent …`,
  )
}

/** Off: the wire is cut FIRST, so that no FIN or RST of a dying process escapes, as with a real power cut. */
export async function powerOff(record: LabRecord, host: string): Promise<{ readonly atMs: number }> {
  const node = nodeOf(record, host)
  const { atMs } = await cut(record, host)
  const left = await endNamespace(node.netns, 0)
  if (left.length > 0) {
    throw new OperatorError('HF503', `${host}: pid ${left.map((found) => found.pid).join(', ')} cannot be killed`, 'Try again in a few seconds.')
  }
  await unplugNode(record.plan, node)
  // /run is memory on a real machine; what stands under /var stays.
  await rm(join(nodeDir(record, host), 'run'), { recursive: true, force: true })
  return { atMs }
}

export async function powerOn(record: LabRecord, host: string): Promise<void> {
  const node = nodeOf(record, host)
  if (!(await isOn(node))) await plugNode(record.plan, node)
  await heal(record, host)
  if (record.withAgents && node.kind === 'host') await startAgent(record, host)
}

export async function execOn(record: LabRecord, host: string, argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const node = await poweredNode(record, host)
  return run(['ip', 'netns', 'exec', node.netns, ...argv], { deadlineMs: execWithinMs, ...options })
}

/** For people: the terminal is handed over, and the command takes as long as it takes. */
export async function execInTerminal(record: LabRecord, host: string, argv: readonly string[]): Promise<number> {
  const node = await poweredNode(record, host)
  return new Promise((resolve, reject) => {
    const child = spawn('ip', ['netns', 'exec', node.netns, ...argv], { stdio: 'inherit' })
    child.on('error', reject)
    child.on('close', (code) => resolve(code ?? 1))
  })
}

/** The holdfast command as an operator on the client machine would run it. */
export async function cliOn(record: LabRecord, argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const config = ['--config', nodeConfigFile(record, 'client')]
  return execOn(record, 'client', [...record.entry, ...config, ...argv], { deadlineMs: 60_000, ...options })
}

export async function hostStatuses(record: LabRecord): Promise<HostStatus[]> {
  const existing = await namespaces()
  return Promise.all(
    record.plan.nodes.map(async (node): Promise<HostStatus> => {
      const on = existing.includes(node.netns)
      const agent = await readAgentPid(record, node.name)
      return {
        name: node.name,
        kind: node.kind,
        ip: node.ip,
        netns: node.netns,
        power: on ? 'on' : 'off',
        agent: agent === undefined ? 'none' : isAlive(agent) ? 'up' : 'down',
        processes: on ? await namespaceProcesses(node.netns) : [],
      }
    }),
  )
}

async function spawnAgent(record: LabRecord, node: LabNode): Promise<ProcessId> {
  const log = await open(agentLogFile(record, node.name), 'a')
  try {
    const args = [...record.entry, 'agent', '--host', node.name, '--config', nodeConfigFile(record, node.name)]
    // `ip netns exec` becomes the command, so this pid is the agent's own and stays so.
    const child = spawn('ip', ['netns', 'exec', node.netns, ...args], {
      stdio: ['ignore', log.fd, log.fd],
      detached: true,
      cwd: nodeDir(record, node.name),
    })
    const pid = await new Promise<number>((resolve, reject) => {
      child.once('error', reject)
      child.once('spawn', () => resolve(child.pid ?? 0))
    })
    child.unref()
    // An agent that is gone already is reported, with its log, by the caller: any start time will do.
    return { pid, startTicks: findProcess(pid)?.startTicks ?? 0 }
  } finally {
    await log.close()
  }
}

async function findTarget(record: LabRecord, host: string, what: Target, group: string | undefined): Promise<readonly ProcessId[]> {
  const node = await poweredNode(record, host)
  switch (what) {
    case 'all':
      return namespaceProcesses(node.netns)
    case 'keepalived':
      return (await namespaceProcesses(node.netns)).filter((found) => found.name.startsWith('keepalived'))
    case 'agent': {
      const agent = await readAgentPid(record, host)
      return agent !== undefined && isAlive(agent) ? [agent] : []
    }
    case 'redis':
    case 'sentinel': {
      const here = (what === 'redis' ? record.redisPorts : record.sentinelPorts).filter((server) => server.host === host)
      const wanted = here.filter((server) => group === undefined || server.group === group)
      const listeners = await listeningProcesses(node.netns)
      return wanted.flatMap((server) => listeners.get(server.port) ?? [])
    }
  }
}

async function poweredNode(record: LabRecord, name: string): Promise<LabNode> {
  const node = nodeOf(record, name)
  if (await isOn(node)) return node
  throw new OperatorError('HF503', `${name} is powered off`, `Switch it on with: holdfast lab power ${name} on --name ${record.name}`)
}

async function isOn(node: LabNode): Promise<boolean> {
  return (await namespaces()).includes(node.netns)
}
