/** What else may start or turn a redis on this host: its supervisor and cron; and its addresses. Reads only; what is not there is no error. */
import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'
import { promisify } from 'node:util'
import type { HostFound, OwnAddress, Supervisor } from '../adopt/found.ts'

const systemctlDeadlineMs = 3000
const cronPlaces = ['/etc/cron.d', '/var/spool/cron/crontabs', '/var/spool/cron']
const maxCronLines = 20

export function ownAddresses(): readonly OwnAddress[] {
  return Object.entries(networkInterfaces()).flatMap(([label, list]) =>
    (list ?? []).flatMap(({ family, address, cidr }) =>
      // An address with a label is listed under it (eth0:1).
      family === 'IPv4' ? [{ interface: label.split(':')[0] ?? label, ip: address, prefix: Number(cidr?.split('/')[1] ?? 32) }] : [],
    ),
  )
}

/** Nothing where that process is not on this machine, or is no redis: its number is of another one. */
export async function supervisorOf(pid: number): Promise<Supervisor> {
  const none: Supervisor = { unit: null, restart: null, restartAfter: null, parent: null }
  const name = await read(`/proc/${pid}/comm`)
  if (!/redis|valkey|keydb/.test(name)) return none
  const unit = /\/([^/\n]+\.service)/.exec(await read(`/proc/${pid}/cgroup`))?.[1] ?? null
  const parentPid = /^PPid:\s+(\d+)/m.exec(await read(`/proc/${pid}/status`))?.[1] ?? ''
  const parent = (await read(`/proc/${parentPid}/comm`)).trim() || null
  const shown = unit === null ? '' : await systemctl(unit)
  return { unit, restart: /^Restart=(\S+)/m.exec(shown)?.[1] ?? null, restartAfter: /^RestartUSec=(\S+)/m.exec(shown)?.[1] ?? null, parent }
}

async function systemctl(unit: string): Promise<string> {
  try {
    return (await promisify(execFile)('systemctl', ['show', unit, '-p', 'Restart', '-p', 'RestartUSec'], { timeout: systemctlDeadlineMs })).stdout
  } catch {
    return ''
  }
}

export async function cronLines(): Promise<HostFound['cron']> {
  const files = ['/etc/crontab']
  for (const dir of cronPlaces) files.push(...(await readdir(dir).catch(() => [])).map((name) => `${dir}/${name}`))
  const found: string[] = []
  for (const file of files) {
    const lines = (await read(file)).split('\n').filter((line) => !/^\s*#/.test(line) && /redis|keepalived|sentinel/i.test(line))
    // What stands behind a password option is no matter of a report.
    found.push(...lines.map((line) => `${file}: ${line.trim().replace(/(\s-a\s+|--pass[\s=]+)\S+/g, '$1…')}`))
  }
  return found.slice(0, maxCronLines)
}

function read(file: string): Promise<string> {
  return readFile(file, 'utf8').catch(() => '')
}
