/**
 * The lab that a soak stands on, and what happens to it: raised, broken, mended, asked, taken down. State directories are small file
 * systems of their own, so that a disk can be full. Must not judge: that is round.ts.
 */
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { GroupStatus } from '../../src/cli/ask.ts'
import type { Lab } from '../../src/lab/lab.ts'
import { raiseLab, takeDown } from '../../src/lab/lab.ts'
import type { RunResult } from '../../src/lab/run.ts'
import { must, poll, run } from '../../src/lab/run.ts'
import { OperatorError } from '../../src/model/error.ts'
import { hostLines, vip } from '../e2e/ground.ts'
import type { Shape } from './schedule.ts'

export const group = 'soak'
export const witnessHost = 'red-w'
/** Where the client runs that asks the Sentinels (sentinel-client.ts), on this port. */
export const sentinelClient = 'client3'
export const sentinelClientPort = 6400
const diskSize = '256m'

export interface Ground {
  readonly lab: Lab
  readonly shape: Shape
  readonly members: readonly string[]
  readonly hosts: readonly string[]
  /** Empty without `--sentinel`. */
  readonly sentinelHosts: readonly string[]
  readonly ipOf: (host: string) => string
  readonly file: (host: string, ...parts: string[]) => string
  readonly status: () => Promise<GroupStatus | null>
  readonly redis: (host: string, ...args: readonly string[]) => Promise<string>
  /** redis-cli at the Sentinel of a host, from there. */
  readonly sentinel: (host: string, ...args: readonly string[]) => Promise<string>
  readonly atAddress: (...args: readonly string[]) => Promise<string>
  /** Starts what a machine starts by itself: the agent, and with `external` the redis under its supervisor. */
  readonly boot: (host: string) => Promise<void>
  readonly close: (keep: boolean) => Promise<string | null>
}

export interface GroundWish {
  readonly name: string
  readonly shape: Shape
  readonly entry: readonly string[]
  readonly signal: AbortSignal
}

export async function layGround(wish: GroundWish): Promise<Ground> {
  const base = await mkdtemp(join(tmpdir(), 'holdfast-soak-'))
  const configFile = join(base, 'holdfast.yaml')
  await writeFile(configFile, configOf(wish))
  const members = Array.from({ length: wish.shape.members }, (_, i) => `red-${String.fromCharCode(97 + i)}`)
  const hosts = wish.shape.witness ? [...members, witnessHost] : members
  const file = (host: string, ...parts: string[]): string => join(base, wish.name, host, ...parts)
  const close = async (keep: boolean): Promise<string | null> => closeGround(wish.name, base, hosts, keep)
  try {
    const lab = await raiseLab({
      name: wish.name,
      configFile,
      startAgents: false,
      baseDir: base,
      entry: wish.entry,
      clients: wish.shape.sentinel ? 3 : 2,
      signal: wish.signal,
    })
    for (const host of hosts) {
      await mkdir(file(host, 'state'), { recursive: true })
      await must(['mount', '-t', 'tmpfs', '-o', `size=${diskSize}`, 'holdfast-soak', file(host, 'state')], `a disk for ${host}`)
    }
    const ask = async (from: string, ip: string, args: readonly string[], port = 6379): Promise<string> =>
      (await lab.exec(from, ['redis-cli', '-h', ip, '-p', String(port), ...args], { deadlineMs: 4000 })).stdout.trim()
    const ground: Ground = {
      lab,
      shape: wish.shape,
      members,
      hosts,
      sentinelHosts: lab.record.sentinelPorts.map(({ host }) => host),
      ipOf: (host) => lab.record.plan.nodes.find((node) => node.name === host)?.ip ?? '',
      file,
      status: async () => parseStatus(await lab.cli(['status', group, '--json'], { deadlineMs: 15_000 })),
      redis: (host, ...args) => ask(host, '127.0.0.1', args),
      sentinel: (host, ...args) => ask(host, '127.0.0.1', args, 26379),
      atAddress: (...args) => ask('client', vip, args),
      boot: async (host) => {
        if (wish.shape.external && members.includes(host)) await supervise(lab, host, file(host, 'own-redis'))
        await lab.start(host, 'agent')
      },
      close,
    }
    await Promise.all(hosts.map((host) => ground.boot(host)))
    if (wish.shape.sentinel) await startSentinelClient(ground)
    return ground
  } catch (error) {
    await close(false)
    throw error
  }
}

function configOf({ shape }: GroundWish): string {
  const members = Array.from({ length: shape.members }, (_, i) => `red-${String.fromCharCode(97 + i)}`)
  return [
    hostLines(shape.members),
    ...(shape.witness ? [`  ${witnessHost}: { ip: 192.168.77.8 }`] : []),
    'groups:',
    `  ${group}:`,
    `    members: [${members.join(', ')}]`,
    `    vip: ${vip}/24`,
    ...(shape.sentinel ? ['    mode: sentinel', `    sentinels: [${[...members, ...(shape.witness ? [witnessHost] : [])].join(', ')}]`] : []),
    ...(shape.witness && !shape.sentinel ? [`    witness: ${witnessHost}`] : []),
    ...(shape.external ? ['    process: external'] : []),
    '',
  ].join('\n')
}

async function startSentinelClient({ lab, sentinelHosts, ipOf, file }: Ground): Promise<void> {
  const program = fileURLToPath(new URL('./sentinel-client.ts', import.meta.url))
  const addresses = sentinelHosts.map((host) => `${ipOf(host)}:26379`).join(' ')
  const command = `setsid ${process.execPath} --import tsx ${program} ${sentinelClientPort} ${group} ${addresses}`
  // From here, because that is where tsx is found.
  await lab.exec(sentinelClient, ['sh', '-c', `${command} >${file('client', 'sentinel-client.log')} 2>&1 </dev/null &`])
  const answers = async (): Promise<true | undefined> =>
    (await lab.exec(sentinelClient, ['redis-cli', '-p', String(sentinelClientPort), 'PING'], { deadlineMs: 2000 })).stdout.includes('PONG') ? true : undefined
  if ((await poll(answers, { withinMs: 30_000, everyMs: 200 })) === undefined)
    throw new OperatorError('HF503', 'the client that asks the Sentinels finds no primary', `see ${file('client', 'sentinel-client.log')}`)
}

function parseStatus(shown: RunResult): GroupStatus | null {
  try {
    return (JSON.parse(shown.stdout) as { groups: GroupStatus[] }).groups[0] ?? null
  } catch {
    return null // no agent answered: that is what null says
  }
}

/** A supervisor that knows no mercy: redis is started again at once, after at most half a second, always empty. */
async function supervise(lab: Lab, host: string, dir: string): Promise<void> {
  const running = (await lab.exec(host, ['sh', '-c', `[ -e ${dir}/supervised ] && kill -0 "$(cat ${dir}/supervised)"`])).code === 0
  if (running) return
  await mkdir(dir, { recursive: true })
  const loop = `echo $$ > ${dir}/supervised; while :; do
    rm -f ${dir}/*.rdb
    redis-server --port 6379 --protected-mode no --dir ${dir} --save '' --repl-diskless-sync no --logfile ${dir}/redis.log
    sleep 0.$(shuf -i 0-5 -n 1)
  done`
  await lab.exec(host, ['sh', '-c', `setsid sh -c '${loop.replaceAll("'", `'\\''`)}' >/dev/null 2>&1 </dev/null &`])
  const up = await poll(async () => ((await lab.exec(host, ['redis-cli', 'PING'])).stdout.includes('PONG') ? true : undefined), { withinMs: 8000 })
  if (up === undefined) throw new OperatorError('HF503', `the redis of ${host} does not start`, `see ${dir}/redis.log`)
}

async function closeGround(name: string, base: string, hosts: readonly string[], keep: boolean): Promise<string | null> {
  // The disks go away with what is on them: first out of the way of what still runs, then copied, then unmounted.
  const state = (host: string): string => join(base, name, host, 'state')
  const mounts = (await readFile('/proc/mounts', 'utf8')).split('\n').map((line) => line.split(' ')[1])
  const mounted = hosts.filter((host) => mounts.includes(state(host)))
  if (keep) for (const host of mounted) await run(['cp', '-a', state(host), `${state(host)}.kept`], { deadlineMs: 60_000 })
  for (const host of mounted) await must(['umount', '--lazy', state(host)], `the disk of ${host}`)
  const logs = await takeDown(name, { baseDir: base, keepLogs: keep })
  if (logs === null) {
    await rm(base, { recursive: true, force: true })
    return null
  }
  const place = `${base}-failed`
  await rename(logs, place)
  await rm(base, { recursive: true, force: true })
  return place
}
