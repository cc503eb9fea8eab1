/**
 * `holdfast doctor`: is this host fit to run the redis that the configuration gives it? Looks at the machine, asks the redis here and its agent, and changes
 * nothing. Runs as any user; what that user may not see is said. Exit code 1: something is red.
 */
import type { Command } from '@commander-js/extra-typings'
import { InvalidArgumentError } from '@commander-js/extra-typings'
import { hostname, networkInterfaces } from 'node:os'
import pc from 'picocolors'
import { readPassword } from '../config/files.ts'
import { loadConfig } from '../config/load.ts'
import { judgeHost } from '../doctor/judge.ts'
import type { Config, GroupConfig, MemberConfig } from '../model/config.ts'
import type { DiskLook, DiskSpeed, DoctorFinding, GroupLook, HostLook, InstalledPrograms, Level, RedisLook } from '../model/doctor.ts'
import { OperatorError } from '../model/error.ts'
import { isLoopback } from '../model/local-address.ts'
import type { Observed } from '../model/outcome.ts'
import { redisDataDir } from '../model/paths.ts'
import { observeDevice, observeDisk, observeMachine, versionOf } from '../observe/machine.ts'
import { lookAtRedis } from '../observe/redis-look.ts'
import { vrrpGroups } from '../render/keepalived.ts'
import { measureDisk } from '../trial/disk-speed.ts'
import { askAll, groupOf, openSession, type AgentGroup } from './ask.ts'

interface Options {
  readonly probeDisk: boolean
  readonly overMs: number
}

export function register(program: Command): void {
  program
    .command('doctor')
    .description('is this host fit for its redis: kernel, memory, disks, limits, replication, versions')
    .argument('[group]', 'only this group')
    .option('--host <name>', "this host's name in the configuration (default: the one with an address of this machine)")
    .option('--probe-disk', 'measure the disks too: writes up to 64 MiB for a second at the most, beside the data')
    .option('--seconds <n>', 'over how long the rate of writes is measured', seconds, 1)
    .option('--json', 'machine-readable')
    .action(async (group, options, command) => {
      const { config: file } = command.optsWithGlobals() as unknown as { config: string }
      const { config } = await loadConfig(file)
      const host = thisHost(config, options.host)
      const only = group === undefined ? Object.values(config.groups) : [groupOf({ config }, group)]
      const look = await lookAtHost(config, host, only, { probeDisk: options.probeDisk === true, overMs: options.seconds * 1000 })
      const findings = judgeHost(look)
      process.stdout.write(options.json === true ? `${JSON.stringify({ host, worst: worstOf(findings), findings }, null, 2)}\n` : draw(host, look, findings))
      if (worstOf(findings) === 'red') process.exitCode = 1
    })
}

function seconds(text: string): number {
  const value = Number(text)
  if (!Number.isFinite(value) || value <= 0 || value > 60) throw new InvalidArgumentError('a number of seconds up to 60')
  return value
}

/** It looks at the machine on which it runs. On a trial on one machine that is all hosts: then the name decides, as for `holdfast agent`. */
function thisHost({ file, hosts }: Config, named: string | undefined): string {
  const here = new Set(Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address)))
  const mine = Object.values(hosts).filter(({ ip }) => here.has(ip) && !isLoopback(ip))
  const name = named ?? (mine.length === 1 ? mine[0]?.name : undefined) ?? hostname()
  const host = hosts[name]
  if (host === undefined) {
    const why = named === undefined ? `this machine has the address of none of the hosts in ${file}` : `no host ${name} in ${file}`
    throw new OperatorError('HF104', why, `holdfast doctor --host NAME, with one of ${Object.keys(hosts).join(', ')}`, 2)
  }
  if (!here.has(host.ip) && !isLoopback(host.ip))
    throw new OperatorError(
      'HF104',
      `${host.ip}, the ip of ${name}, is not an address of this machine`,
      `run it on ${name}: it looks at the machine on which it runs`,
      2,
    )
  return name
}

async function lookAtHost(config: Config, host: string, groups: readonly GroupConfig[], options: Options): Promise<HostLook> {
  const here = groups.flatMap((group) => group.members.filter((m) => m.host === host).map((member) => ({ group, member })))
  const [machine, programs, agent] = await Promise.all([observeMachine(), lookAtPrograms(config, host), askAgent(config, host)])
  const looks = await Promise.all(here.map(({ group, member }) => lookAtGroup(config, group, member, agent, options)))
  return { host, machine, programs, groups: options.probeDisk ? await withSpeeds(looks) : looks }
}

/** One after the other, and each disk once: groups share them, and each would measure the others. */
async function withSpeeds(looks: readonly GroupLook[]): Promise<readonly GroupLook[]> {
  const speeds = new Map<number, Observed<DiskSpeed>>()
  const measured: GroupLook[] = []
  for (const look of looks) {
    if (!look.disk.ok) measured.push(look)
    else {
      const { device, path } = look.disk.value
      const speed = speeds.get(device) ?? (await measureDisk(path))
      speeds.set(device, speed)
      measured.push({ ...look, disk: { ok: true, value: { ...look.disk.value, speed } } })
    }
  }
  return measured
}

async function lookAtPrograms(config: Config, host: string): Promise<InstalledPrograms> {
  const { redisServer, keepalived } = config.paths
  const redis = { path: redisServer, said: await versionOf(redisServer) }
  return vrrpGroups(config, host).length === 0
    ? { redisServer: redis }
    : { redisServer: redis, keepalived: { path: keepalived, said: await versionOf(keepalived) } }
}

async function lookAtGroup(config: Config, group: GroupConfig, member: MemberConfig, agent: readonly AgentGroup[], options: Options): Promise<GroupLook> {
  const redis = await askRedis(config, group, member, options.overMs)
  const dir = group.process === 'direct' ? redisDataDir(config.paths, group.name) : redis.ok ? redis.value.dir : ''
  const store = group.backup?.store
  return {
    group: group.name,
    port: member.port,
    isExternal: group.process === 'external',
    usesSentinels: group.mode === 'sentinel',
    unresponsiveMs: group.failover.unresponsiveMs,
    ...(group.persistence === undefined ? {} : { persistence: group.persistence }),
    redis,
    disk: await lookAtDisk(dir),
    agent: knownTo(agent.find((a) => a.group === group.name)),
    ...(store?.kind === 'directory' ? { backupDisk: await observeDevice(store.path) } : {}),
  }
}

async function lookAtDisk(dir: string): Promise<Observed<DiskLook>> {
  if (!dir.startsWith('/')) return { ok: false, why: 'where its files are is known to its redis, which was not asked' }
  const seen = await observeDisk(dir)
  return seen.ok ? { ok: true, value: { ...seen.value, speed: null } } : seen
}

async function askRedis(config: Config, group: GroupConfig, member: MemberConfig, overMs: number): Promise<Observed<RedisLook>> {
  try {
    return await lookAtRedis({ host: config.hosts[member.host]?.ip ?? '', port: member.port, password: await readPassword(group) }, overMs)
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error
    return { ok: false, why: error.message }
  }
}

/** Its agent has watched for longer than this command does. Without the secret it is not asked, and that is said where it matters. */
async function askAgent(config: Config, host: string): Promise<readonly AgentGroup[]> {
  try {
    const [answer] = await askAll(await openSession({ config: config.file }), [host])
    return answer?.groups ?? []
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error
    return []
  }
}

function knownTo(agent: AgentGroup | undefined): GroupLook['agent'] {
  const view = agent?.view
  if (view == null) return null
  const syncs = [agent?.statement, ...view.peers.map((p) => p.statement)].map((s) => s?.syncTookMs ?? 0)
  const longest = Math.max(...syncs)
  return { highestBytesPerS: view.redis.backlog?.bytesPerS ?? 0, syncMs: longest > 0 ? longest : null }
}

function worstOf(findings: readonly DoctorFinding[]): Level {
  return (['red', 'yellow', 'unseen'] as const).find((level) => findings.some((f) => f.level === level)) ?? 'green'
}

const marks: Readonly<Record<Level, string>> = { red: pc.red('red   '), yellow: pc.yellow('yellow'), unseen: pc.dim('unseen'), green: pc.green('green ') }

function draw(host: string, look: HostLook, findings: readonly DoctorFinding[]): string {
  const lines = findings.flatMap((f) => {
    const head = `${marks[f.level]}  ${f.group === null ? '' : `${f.group}: `}${pc.bold(f.check)}: ${f.measured}`
    return f.level === 'green' ? [head] : [head, `        ${pc.dim(f.why)}`, ...(f.fix === null ? [] : [`        → ${f.fix}`])]
  })
  const count = (level: Level): number => findings.filter((f) => f.level === level).length
  const groups = look.groups.length === 0 ? 'no redis of any group asked for' : `redis of ${look.groups.map((g) => g.group).join(', ')}`
  return `${[`${pc.bold(host)}: ${groups}`, ...lines, `${count('red')} red, ${count('yellow')} yellow, ${count('unseen')} not seen, ${count('green')} green`].join('\n')}\n`
}
