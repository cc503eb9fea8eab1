/**
 * Finds and signals the processes of a namespace, or of a folder. A process is named by its pid AND its start time, so that a pid that the
 * kernel has given to somebody else is never signalled. Zombies count as dead: nothing guarantees that they are reaped soon.
 * Never finds a process by its name alone.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { poll, run } from './run.ts'

export interface ProcessId {
  readonly pid: number
  /** Field 22 of /proc/PID/stat. */
  readonly startTicks: number
}

export interface ListedProcess extends ProcessId {
  readonly name: string
}

export function findProcess(pid: number): ListedProcess | undefined {
  const stat = readStat(pid)
  return stat === undefined || stat.state === 'Z' || stat.state === 'X' ? undefined : stat
}

export function isAlive(id: ProcessId): boolean {
  return findProcess(id.pid)?.startTicks === id.startTicks
}

/** True when the signal went out; false when the process was already gone. */
export function signalProcess(id: ProcessId, signal: NodeJS.Signals): boolean {
  if (!isAlive(id)) return false
  try {
    return process.kill(id.pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw error
  }
}

export async function namespaceProcesses(netns: string): Promise<ListedProcess[]> {
  const result = await run(['ip', 'netns', 'pids', netns])
  // A namespace that is gone has no processes.
  if (result.code !== 0) return []
  return result.stdout
    .split('\n')
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid)
    .map(findProcess)
    .filter((found) => found !== undefined)
}

/** Which processes of the namespace listen on TCP, by port. */
export async function listeningProcesses(netns: string): Promise<Map<number, ProcessId[]>> {
  const listeners = new Map<number, ProcessId[]>()
  for (const found of await namespaceProcesses(netns)) for (const port of portsOf(found.pid)) listeners.set(port, [...(listeners.get(port) ?? []), found])
  return listeners
}

/** Read from /proc, where `ss -p` would go through the files of every process of this machine. Empty: it has ended. */
export function portsOf(pid: number): readonly number[] {
  try {
    const tables = ['tcp', 'tcp6'].map((table) => readFileSync(`/proc/${pid}/net/${table}`, 'utf8'))
    const listening = new Map(tables.flatMap((table) => table.split('\n').slice(1)).flatMap(listenerIn))
    return listening.size === 0 ? [] : [...new Set(readdirSync(`/proc/${pid}/fd`).flatMap((fd) => listening.get(socketOf(pid, fd)) ?? []))]
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return []
    throw error
  }
}

/** Of a line of /proc/PID/net/tcp: its socket as a link of /proc/PID/fd names it, and its port. */
function listenerIn(line: string): readonly (readonly [socket: string, port: number])[] {
  const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/)
  return state === '0A' ? [[`socket:[${inode}]`, Number.parseInt(local.slice(local.lastIndexOf(':') + 1), 16)]] : []
}

function socketOf(pid: number, fd: string): string {
  try {
    return readlinkSync(`/proc/${pid}/fd/${fd}`)
  } catch {
    return '' // closed in the meantime
  }
}

/** Ends everything in the namespace. */
export function endNamespace(netns: string, graceMs: number): Promise<ListedProcess[]> {
  return endProcesses(() => namespaceProcesses(netns), graceMs)
}

/** Those of this user (for root: of all) that work in this folder or below it. */
export function processesIn(dir: string): (ListedProcess & { readonly cwd: string })[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid)
    .flatMap((pid) => {
      const cwd = folderOf(pid)
      if (cwd === null || (cwd !== dir && !cwd.startsWith(`${dir}/`))) return []
      const found = findProcess(pid)
      return found === undefined ? [] : [{ ...found, cwd }]
    })
}

function folderOf(pid: number): string | null {
  try {
    return readlinkSync(`/proc/${pid}/cwd`)
  } catch {
    return null // it has ended, or is somebody else's
  }
}

/**
 * With `graceMs` 0 at once by SIGKILL, otherwise SIGTERM first. Asks again until there are none left, because a process may start
 * another while it is being ended; and one that is dying has left its folder before it has left its port. Returns what would not die.
 */
export async function endProcesses(list: () => Promise<ListedProcess[]> | ListedProcess[], graceMs: number): Promise<ListedProcess[]> {
  const seen = new Map<string, ListedProcess>()
  const left = async (): Promise<ListedProcess[]> => {
    for (const found of await list()) seen.set(`${found.pid} ${found.startTicks}`, found)
    return [...seen.values()].filter(isAlive)
  }
  const emptied = async (): Promise<true | undefined> => ((await left()).length === 0 ? true : undefined)
  if (graceMs > 0) {
    for (const found of await left()) {
      signalProcess(found, 'SIGTERM')
      // A frozen process would not see the SIGTERM.
      signalProcess(found, 'SIGCONT')
    }
    if ((await poll(emptied, { withinMs: graceMs })) !== undefined) return []
  }
  const killed = await poll(
    async () => {
      for (const found of await left()) signalProcess(found, 'SIGKILL')
      return emptied()
    },
    { withinMs: 5000 },
  )
  return killed === undefined ? left() : []
}

function readStat(pid: number): (ListedProcess & { readonly state: string }) | undefined {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ESRCH') return undefined
    throw error
  }
  // The name stands in brackets and may itself contain blanks and brackets.
  const nameEnd = text.lastIndexOf(')')
  const fields = text.slice(nameEnd + 2).split(' ')
  const name = text.slice(text.indexOf('(') + 1, nameEnd)
  return { pid, name, state: fields[0] ?? '', startTicks: Number(fields[19]) }
}
