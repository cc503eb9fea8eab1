/** Is a process alive? From /proc, because `kill -0` also says yes to a zombie that its parent has not reaped yet. Read-only. */
import { readdirSync, readFileSync } from 'node:fs'

export interface ProcessId {
  readonly pid: number
  /** Start time in clock ticks since boot: tells a recycled pid from the process that was meant. */
  readonly startTicks: string
}

/** null: no such process, or only its zombie. */
export function readProcess(pid: number): ProcessId | null {
  if (!Number.isInteger(pid) || pid <= 1) return null
  const fields = statOf(pid)
  const [state] = fields ?? []
  return fields === null || state === 'Z' || state === 'X' ? null : { pid, startTicks: fields[19] ?? '' }
}

/** From the state on. null: gone between the question and the answer. */
function statOf(pid: number): readonly string[] | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The command name may hold spaces and brackets; the fields start after its last bracket.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  } catch {
    return null
  }
}

/**
 * A process whose leader is dead may still have threads, and with them its open files: its sockets are closed, and its
 * clients told, only when the last thread is gone. An address that is withdrawn before that leaves them waiting.
 */
export function hasThreads(pid: number): boolean {
  try {
    return readdirSync(`/proc/${pid}/task`).length > 1
  } catch {
    return false // gone altogether
  }
}

/** What a living redis has forked; nothing where the kernel does not tell, or the pid is one of another namespace, and here another's. */
export function childrenOf(pid: number): readonly ProcessId[] {
  if (!isRedis(pid)) return []
  try {
    const pids = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number)
    return pids.filter(isRedis).flatMap((child) => readProcess(child) ?? [])
  } catch {
    return []
  }
}

/**
 * What a redis that is dead has left behind: of the session that it led, as every service does. A look at all processes: once, when it has died. One that
 * was begun by hand in a shell led none, and its children are not told from others.
 */
export function orphansOf(pid: number): readonly ProcessId[] {
  const found = readdirSync('/proc')
    .map(Number)
    .filter((other) => other > 1 && other !== pid && statOf(other)?.[3] === String(pid) && isRedis(other))
  return found.flatMap((orphan) => readProcess(orphan) ?? [])
}

/** A redis, or a child of it, which says what it does (`redis-rdb-bgsave`); not a program that a module has begun. */
export function isRedis(pid: number): boolean {
  return pid > 1 && /redis|valkey|keydb/.test(commandLine(pid))
}

export function isSameProcess(process: ProcessId): boolean {
  return readProcess(process.pid)?.startTicks === process.startTicks
}

/** The command line, words separated by spaces; '' when the process is gone. */
export function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ').trim()
  } catch {
    return ''
  }
}
