/**
 * What /proc says of a process: CPU time and memory. Parsing is PURE; the reading is one file each. Clock ticks are a
 * hundredth of a second on every Linux that Node runs on (USER_HZ is part of the kernel's contract).
 */
import { readFileSync } from 'node:fs'

const ticksPerS = 100

export interface ProcessSample {
  readonly atMs: number
  readonly cpuS: number
  readonly rssMb: number
}

export function sampleProcess(pid: number): ProcessSample {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return { atMs: performance.now(), cpuS: cpuSecondsOf(stat), rssMb: rssMbOf(status) }
}

/** User and system time. The name stands in brackets and may itself contain blanks and brackets. */
export function cpuSecondsOf(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / ticksPerS
}

export function rssMbOf(status: string): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? Number.NaN) / 1024
}

/** The most that it ever had. 0 where it is gone already: the status of a zombie has none. */
export function peakRssMbOf(status: string): number {
  const peak = Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0)
  return peak / 1024
}

export function cpuPercent(before: ProcessSample, after: ProcessSample): number {
  return ((after.cpuS - before.cpuS) / ((after.atMs - before.atMs) / 1000)) * 100
}
