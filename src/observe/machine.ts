/**
 * What a machine is set to, for `holdfast doctor`: files of /proc and /sys, and the word of whoever keeps the clock. Needs no privileges; what it may
 * not read is said. Reads; judges nothing and changes nothing.
 */
import { execFile } from 'node:child_process'
import { readFile, stat, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import type { DiskLook, MachineFacts, ProcessLook } from '../model/doctor.ts'
import type { Observed } from '../model/outcome.ts'

const programDeadlineMs = 2000

/** `root`: for tests, a folder that stands for the machine. */
export async function observeMachine(root = ''): Promise<MachineFacts> {
  const [overcommit, hugePages, swap, memory, somaxconn, clock] = await Promise.all([
    number(`${root}/proc/sys/vm/overcommit_memory`),
    observeHugePages(root),
    observeSwap(root),
    observeMemory(root),
    number(`${root}/proc/sys/net/core/somaxconn`),
    observeClock(root),
  ])
  return { overcommit, hugePages, swap, memory, somaxconn, clock }
}

export async function observeProcess(pid: number, root = ''): Promise<ProcessLook> {
  const [limits, status] = await Promise.all([text(`${root}/proc/${pid}/limits`), text(`${root}/proc/${pid}/status`)])
  const files = limits.ok ? /^Max open files\s+(\d+|unlimited)/m.exec(limits.value)?.[1] : undefined
  const swapped = status.ok ? /^VmSwap:\s+(\d+) kB/m.exec(status.value)?.[1] : undefined
  const huge = status.ok ? /^THP_enabled:\s+([01])/m.exec(status.value)?.[1] : undefined
  return {
    openFiles: files === undefined ? null : files === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(files),
    swappedBytes: swapped === undefined ? null : Number(swapped) * 1024,
    hugePages: huge === undefined ? null : huge === '1',
  }
}

/** Of the nearest folder above that is there: a data directory is made at the first start. */
export async function observeDisk(path: string): Promise<Observed<Omit<DiskLook, 'speed'>>> {
  try {
    const [{ dev }, { bsize, blocks, bavail, files, ffree }] = await Promise.all([stat(path), statfs(path)])
    return { ok: true, value: { path, device: dev, totalBytes: blocks * bsize, freeBytes: bavail * bsize, freeFiles: files === 0 ? null : ffree } }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' && dirname(path) !== path) return observeDisk(dirname(path))
    return { ok: false, why: wordsOf(error) }
  }
}

/** Not of a folder above: a disk that is not mounted would look like the one below it. */
export async function observeDevice(path: string): Promise<Observed<{ readonly path: string; readonly device: number }>> {
  try {
    return { ok: true, value: { path, device: (await stat(path)).dev } }
  } catch (error) {
    return { ok: false, why: wordsOf(error) }
  }
}

/** What a program answers to `--version`, on whichever of the two outputs; null: it is not there. */
export async function versionOf(program: string): Promise<string | null> {
  const said = await output(program, ['--version'])
  return said.ok ? said.value : null
}

async function observeHugePages(root: string): Promise<MachineFacts['hugePages']> {
  const file = `${root}/sys/kernel/mm/transparent_hugepage/enabled`
  const seen = await text(file)
  if (!seen.ok) return seen
  const word = (['always', 'madvise', 'never'] as const).find((w) => seen.value.includes(`[${w}]`))
  return word === undefined ? { ok: false, why: `${file} holds neither word` } : { ok: true, value: word }
}

async function observeSwap(root: string): Promise<MachineFacts['swap']> {
  const [info, swappiness] = await Promise.all([text(`${root}/proc/meminfo`), number(`${root}/proc/sys/vm/swappiness`)])
  if (!info.ok) return info
  if (!swappiness.ok) return swappiness
  const total = kibIn(info.value, 'SwapTotal')
  const free = kibIn(info.value, 'SwapFree')
  if (total === null || free === null) return { ok: false, why: '/proc/meminfo names no swap' }
  return { ok: true, value: { totalBytes: total, usedBytes: total - free, swappiness: swappiness.value } }
}

async function observeMemory(root: string): Promise<MachineFacts['memory']> {
  const info = await text(`${root}/proc/meminfo`)
  if (!info.ok) return info
  const total = kibIn(info.value, 'MemTotal')
  const available = kibIn(info.value, 'MemAvailable')
  if (total === null || available === null) return { ok: false, why: '/proc/meminfo does not tell' }
  const limit = await containerLimit(root)
  if (limit === null || limit.limitBytes >= total) return { ok: true, value: { totalBytes: total, availableBytes: available } }
  return { ok: true, value: { totalBytes: limit.limitBytes, availableBytes: Math.max(0, Math.min(available, limit.limitBytes - limit.usedBytes)) } }
}

/** Of the container that the doctor runs in: its own cgroup appears there as the root. */
async function containerLimit(root: string): Promise<{ readonly limitBytes: number; readonly usedBytes: number } | null> {
  for (const [limitFile, usedFile] of [
    ['memory.max', 'memory.current'],
    ['memory/memory.limit_in_bytes', 'memory/memory.usage_in_bytes'],
  ]) {
    const [limit, used] = await Promise.all([number(`${root}/sys/fs/cgroup/${limitFile}`), number(`${root}/sys/fs/cgroup/${usedFile}`)])
    if (limit.ok && used.ok) return { limitBytes: limit.value, usedBytes: used.value }
  }
  return null
}

async function observeClock(root: string): Promise<MachineFacts['clock']> {
  // Made by systemd-timesyncd once it has been right, and gone at the next boot.
  if ((await text(`${root}/run/systemd/timesync/synchronized`)).ok) return { ok: true, value: { synchronized: true, by: 'systemd-timesyncd' } }
  const chrony = await output('chronyc', ['-n', 'tracking'])
  const leap = chrony.ok ? /^Leap status\s*:\s*(.+)$/m.exec(chrony.value)?.[1] : undefined
  if (leap !== undefined) return { ok: true, value: { synchronized: !/not synchronised/i.test(leap), by: 'chrony' } }
  const systemd = await output('timedatectl', ['show', '--property=NTPSynchronized', '--value'])
  const word = systemd.ok ? systemd.value.trim() : ''
  if (word === 'yes' || word === 'no') return { ok: true, value: { synchronized: word === 'yes', by: 'timedatectl' } }
  return { ok: false, why: 'neither chrony nor systemd answers here' }
}

async function output(program: string, args: readonly string[]): Promise<Observed<string>> {
  try {
    const { stdout, stderr } = await promisify(execFile)(program, args, { timeout: programDeadlineMs })
    return { ok: true, value: `${stdout}${stderr}` }
  } catch (error) {
    return { ok: false, why: wordsOf(error) }
  }
}

async function text(file: string): Promise<Observed<string>> {
  try {
    return { ok: true, value: await readFile(file, 'utf8') }
  } catch (error) {
    return { ok: false, why: wordsOf(error) }
  }
}

async function number(file: string): Promise<Observed<number>> {
  const seen = await text(file)
  if (!seen.ok) return seen
  const value = Number(seen.value.trim() === '' ? Number.NaN : seen.value)
  return Number.isFinite(value) ? { ok: true, value } : { ok: false, why: `${file} holds no number` }
}

function kibIn(info: string, name: string): number | null {
  const found = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(info)?.[1]
  return found === undefined ? null : Number(found) * 1024
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
