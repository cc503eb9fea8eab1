/**
 * `holdfast check`: everything that is wrong with the configuration and the files it names, or what would run where.
 * Must not touch anything that runs: it is safe on a host that serves.
 */
import type { Command } from '@commander-js/extra-typings'
import Table from 'cli-table3'
import { networkInterfaces } from 'node:os'
import { defaultConfigFile } from '../config/defaults.ts'
import { readUserRedisConf, type FileFindings } from '../config/files.ts'
import type { Finding } from '../config/problem.ts'
import { restartExposures } from '../config/restart.ts'
import { ConfigError, loadConfig } from '../config/load.ts'
import type { Loaded } from '../config/load.ts'
import type { Config, GroupConfig, MemberConfig } from '../model/config.ts'
import { isLoopback } from '../model/local-address.ts'
import { redisDataDir } from '../model/paths.ts'
import { downIntervalMs, vrrpAddresses } from '../render/keepalived.ts'
import { leftOut } from '../render/redis-conf.ts'
import { tryConfig } from '../trial/config.ts'
import { missingPrograms } from '../trial/programs.ts'

export interface CheckRow {
  readonly group: string
  readonly host: string
  readonly redis: string
  readonly role: string
  readonly vip: string
  readonly sentinel: string
  readonly data: string
}

export function register(program: Command): void {
  program
    .command('check')
    .description('check the configuration and the files it names, and show what would run where')
    .option('--json', 'print JSON')
    .action(async (options, command) => {
      const file = configFileOf(command)
      try {
        const loaded = await loadConfig(file, { files: true, backupsOf: () => true, machine: askMachine })
        const warnings = [...loaded.warnings, ...(await redisConfWarnings(loaded.config))]
        process.stdout.write(
          options.json ? json({ ok: true, file: loaded.config.file, problems: [], warnings, members: rows(loaded.config) }) : report({ ...loaded, warnings }),
        )
      } catch (error) {
        if (!(error instanceof ConfigError) || !options.json) throw error
        process.stdout.write(json({ ok: false, file: error.file, code: error.code, problems: error.problems, warnings: [] }))
        process.exitCode = error.exitCode
      }
    })
}

/** The root's --config, wherever on the line it stood. */
export function configFileOf(command: { optsWithGlobals: () => unknown }): string {
  const options = command.optsWithGlobals()
  const config = typeof options === 'object' && options !== null && 'config' in options ? options.config : undefined
  return typeof config === 'string' ? config : defaultConfigFile
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}

/** What this machine says to it: all of it where it is one of the hosts, else only its redis-server, if it has one. */
async function askMachine(config: Config): Promise<FileFindings> {
  const { problems, untried } = await tryConfig(config)
  const here = new Set(Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address)))
  const warnings: Finding[] = [...untried]
  for (const { name, ip } of Object.values(config.hosts)) {
    if (!here.has(ip) && !isLoopback(ip)) continue
    for (const { program, packageName, key } of await missingPrograms(config, name))
      warnings.push({ path: key === null ? ['hosts', name] : ['paths', key], message: `${program} is not on this machine, which is ${name} (${packageName})` })
  }
  return { problems, warnings }
}

async function redisConfWarnings(config: Config): Promise<readonly string[]> {
  const found: string[] = []
  for (const group of Object.values(config.groups)) {
    const conf = await readUserRedisConf(group)
    found.push(...restartExposures(group, conf))
    const notes = group.process === 'external' ? [] : leftOut(group, conf ?? '')
    if (notes.length > 0)
      found.push(`${group.redisConf}: ${notes.length} of its lines are left out; \`holdfast render redis --group ${group.name}\` says which and why`)
  }
  return found
}

export function rows(config: Config): readonly CheckRow[] {
  return Object.values(config.groups).flatMap((group) => [
    ...group.members.map((member): CheckRow => {
      return {
        group: group.name,
        host: member.host,
        redis: `${config.hosts[member.host]?.ip ?? '?'}:${member.port}${group.process === 'external' ? ' (external)' : ''}`,
        role: [
          member.neverPrimary ? 'never primary' : `priority ${member.priority}`,
          ...(member.replicateFrom === undefined ? [] : [`from ${member.replicateFrom}`]),
        ].join(', '),
        vip: vipsOf(config, group, member),
        sentinel: sentinelOf(config, group, member.host),
        data: group.process === 'external' ? '-' : redisDataDir(config.paths, group.name),
      }
    }),
    ...(group.sentinel?.hosts ?? [])
      .filter((host) => group.members.every((member) => member.host !== host))
      .map((host): CheckRow => ({ group: group.name, host, redis: '-', role: 'no data', vip: '-', sentinel: sentinelOf(config, group, host), data: '-' })),
  ])
}

function vipsOf(config: Config, group: GroupConfig, member: MemberConfig): string {
  const after = Math.round(downIntervalMs(group.failover.hostLossMs, member.priority))
  const texts = vrrpAddresses(config, member.host)
    .filter((address) => address.group === group)
    .map(
      ({ vip, vrid, reads }) =>
        `${reads ? 'reads: ' : ''}${vip.ip}/${vip.prefix} ${config.hosts[member.host]?.interface ?? '?'}, vrid ${vrid}, after ${after} ms`,
    )
  return texts.length === 0 ? '-' : texts.join('\n')
}

function sentinelOf(config: Config, { sentinel }: GroupConfig, host: string): string {
  if (sentinel === undefined || !sentinel.hosts.includes(host)) return '-'
  const { port, quorum, hosts, downAfterMs, process } = sentinel
  return `${config.hosts[host]?.ip ?? '?'}:${port}${process === 'external' ? ' (external)' : ''}, quorum ${quorum} of ${hosts.length}, after ${downAfterMs} ms`
}

export function report({ config, warnings }: Loaded): string {
  const all = rows(config)
  const columns = (['group', 'host', 'redis', 'role', 'vip', 'sentinel', 'data'] as const).filter(
    (column) => column !== 'sentinel' || all.some((row) => row.sentinel !== '-'),
  )
  const table = new Table({ head: [...columns], style: { head: [], border: [] } })
  for (const row of all) table.push(columns.map((column) => row[column]))
  const warned = warnings.map((warning) => `warning: ${warning}\n`).join('')
  return `${config.file}: no problems\n${warned}${table.toString()}\n`
}
