/** `holdfast status`: every group and member on one page, as the agents see them; `--watch` draws it anew until Ctrl-C. */
import type { Command } from '@commander-js/extra-typings'
import Table from 'cli-table3'
import pc from 'picocolors'
import { passwordKinds } from '../model/password.ts'
import { backupLine } from './backup-status.ts'
import { openSession, statusOf, type GroupStatus, type MemberStatus } from './ask.ts'

export function register(program: Command): void {
  program
    .command('status')
    .description('show groups, roles, lag and who holds the address')
    .argument('[group]', 'only this group')
    .option('--json', 'machine-readable')
    .option('--watch', 'draw it anew every second until Ctrl-C')
    .action(async (group, options, command) => {
      const session = await openSession(command.optsWithGlobals() as unknown as { config: string })
      const speed = new SyncSpeed()
      const page = (groups: readonly GroupStatus[]) =>
        options.json === true ? `${JSON.stringify({ groups }, null, 2)}\n` : groups.map((g) => drawGroup(g, speed)).join('\n')
      if (options.watch !== true) {
        const groups = await statusOf(session, group)
        process.stdout.write(page(groups))
        if (groups.some((g) => g.health === 'down')) process.exitCode = 1
        return
      }
      await watch(async () => page(await statusOf(session, group)))
    })
}

async function watch(show: () => Promise<string>): Promise<void> {
  let stop: () => void = () => {}
  const stopped = new Promise<void>((resolve) => {
    stop = resolve
  })
  process.once('SIGINT', stop)
  process.once('SIGTERM', stop)
  let going = true
  void stopped.then(() => {
    going = false
  })
  while (going) {
    const page = await show()
    const clear = process.stdout.isTTY ? '\x1b[H\x1b[2J' : ''
    process.stdout.write(`${clear}${page}${process.stdout.isTTY ? pc.dim(`${new Date().toLocaleTimeString()} — Ctrl-C ends`) : ''}\n`)
    await Promise.race([stopped, new Promise((resolve) => setTimeout(resolve, 1000))])
  }
}

/** Remembers how much of a full sync was left, to say how fast it goes and when it ends. */
export class SyncSpeed {
  readonly #seen = new Map<string, { readonly leftBytes: number; readonly atMs: number }>()

  /** null until two looks at the same sync have been taken. */
  etaS(key: string, leftBytes: number, nowMs: number): number | null {
    const first = this.#seen.get(key)
    if (first === undefined || first.leftBytes < leftBytes) {
      this.#seen.set(key, { leftBytes, atMs: nowMs })
      return null
    }
    const bytesPerMs = (first.leftBytes - leftBytes) / Math.max(1, nowMs - first.atMs)
    return bytesPerMs <= 0 ? null : Math.ceil(leftBytes / bytesPerMs / 1000)
  }
}

const healthColor = { ok: pc.green, degraded: pc.yellow, down: pc.red } as const

export function drawGroup(group: GroupStatus, speed: SyncSpeed): string {
  const address = group.vip === null ? 'no address' : `${group.vip} ${addressText(group)}`
  const reads = group.reader === null ? '' : `  reads ${group.reader.vip} on ${group.reader.holder ?? pc.red('nobody, or several')}`
  const head = `${pc.bold(group.group)}  ${healthColor[group.health](group.health)}  epoch ${group.epoch}  ${address}${reads}${group.paused ? pc.yellow('  automatic failover is paused') : ''}`
  const table = new Table({ head: ['host', 'role', 'state', 'lag bytes', 'last ack', 'may take over'], style: { head: [], border: [] } })
  for (const member of group.members) table.push(memberRow(group, member, speed))
  const witness =
    group.witness === null
      ? ''
      : `witness ${group.witness.host}: ${group.witness.agent === 'up' ? 'up' : pc.red('agent down')}${group.witness.vote === null ? '' : `, last vote for ${group.witness.vote}`}\n`
  const unapplied = group.config.unapplied ? pc.yellow('the file here says something else than the agents run with: holdfast apply --dry-run\n') : ''
  const both = passwordKinds
    .filter((of) => group.bothPasswords[of].length > 0)
    .map((of) => `two passwords of ${of} are valid on ${group.bothPasswords[of].join(', ')}: holdfast password ${group.group} --of ${of} --finish\n`)
  const secrets = group.bothSecrets.length === 0 ? '' : `two secrets of the agents are valid on ${group.bothSecrets.join(', ')}: holdfast secret --finish\n`
  return `${head}\n${table.toString()}\n${witness}${sentinelLine(group)}${backupLine(group.backup, Date.now())}${group.health === 'ok' ? '' : `${group.because}\n`}${unapplied}${both.join('')}${secrets}`
}

function sentinelLine({ sentinels }: GroupStatus): string {
  if (sentinels === null) return ''
  return `Sentinels: ${sentinels.map((s) => `${s.host} ${s.ok ? pc.green('ok') : pc.red(s.why)}`).join(', ')}\n`
}

function addressText(group: GroupStatus): string {
  const { address } = group
  const on = `on ${group.vipHolder ?? pc.red('nobody, or several')}`
  if (address === null || address.word === 'with the primary' || address.word === 'unknown') return on
  return `${on} ${pc.red(`(${address.word}, for ${(address.forMs / 1000).toFixed(1)} s)`)}`
}

function memberRow(group: GroupStatus, member: MemberStatus, speed: SyncSpeed): string[] {
  const mayTakeOver = member.role === 'primary' ? '' : member.fit ? 'yes' : `no: ${member.why}`
  const progress = member.syncPercent === null ? '' : ` ${member.syncPercent} %${eta(group, member, speed)}`
  return [
    member.host,
    member.role === 'primary' ? pc.bold('primary') : member.role,
    `${member.state}${progress}`,
    member.lagBytes === null ? '' : String(member.lagBytes),
    member.ackAgeMs === null ? '' : `${member.ackAgeMs} ms`,
    mayTakeOver,
  ]
}

function eta(group: GroupStatus, member: MemberStatus, speed: SyncSpeed): string {
  if (member.syncLeftBytes === null || member.syncLeftBytes < 0) return ''
  const seconds = speed.etaS(`${group.group}/${member.host}`, member.syncLeftBytes, performance.now())
  const left = `, ${(member.syncLeftBytes / 1_048_576).toFixed(1)} MiB left`
  return seconds === null ? left : `${left}, about ${seconds} s`
}
