/**
 * The cases in which nothing breaks: what an idle agent costs, whether a busy machine makes it fail over for nothing, and
 * whether the address is as fast as redis itself.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import type { Lab } from '../src/lab/lab.ts'
import { readAgentPid } from '../src/lab/record.ts'
import { startWriter } from '../src/lab/writer.ts'
import { percentile } from './figures.ts'
import { cpuPercent, sampleProcess } from './proc.ts'
import { lookAtRedis, startRedis, waitForRedis, writeRedisConf } from './recipes/plain.ts'
import { poll } from '../src/lab/run.ts'
import type { LabWish, Rig } from './rig.ts'
import { dataHosts, group, hostIps, primaryOf, vip, waitHealthy, type DataHost } from './rig.ts'
import type { AlarmResult, IdleMode, IdleResult, ThroughputResult } from './table.ts'

const idleS = 60
/** A fresh agent compiles what it runs, at some 2 % of a core for ten seconds: that is starting, not being idle. */
const settleS = 30
const busyProcesses = 4
const benchRounds = 5
const requests = 100_000
const plainPort = 6400

/** With a lab of its own; `keep` tells whether what was found deserves that the logs stay. */
async function withLab<T>(
  rig: Rig,
  wish: Omit<LabWish, 'agents'>,
  work: (lab: Lab) => Promise<{ readonly found: T; readonly keep: boolean }>,
): Promise<{ readonly found: T; readonly logs: string | null }> {
  const lab = await rig.raise({ ...wish, agents: true })
  let keep = true
  let found: T
  try {
    await waitHealthy(rig, lab)
    const outcome = await work(lab)
    found = outcome.found
    keep = outcome.keep
  } catch (error) {
    const path = await rig.drop(lab, !rig.signal.aborted)
    throw new Error(`${(error as Error).message}${path === null ? '' : ` (logs: ${path})`}`, { cause: error })
  }
  return { found, logs: await rig.drop(lab, keep) }
}

/** In Sentinel mode also the agent of a host that has a Sentinel and no data. */
export async function measureIdle(rig: Rig, mode: IdleMode, keepLogs: boolean): Promise<IdleResult> {
  const hosts = mode === 'vip' ? dataHosts : [...dataHosts, 'redis-w']
  const wish = mode === 'vip' ? {} : { third: true, groupYaml: ['    mode: sentinel', `    sentinels: [${hosts.join(', ')}]`] }
  const { found } = await withLab(rig, { name: `idle-${mode}`, ...wish }, async (lab) => {
    const primary = await primaryOf(lab)
    const pids = await Promise.all(hosts.map(async (host) => ({ host, pid: (await readAgentPid(lab.record, host))?.pid ?? 0 })))
    await delay(settleS * 1000, undefined, { signal: rig.signal })
    const before = pids.map(({ pid }) => sampleProcess(pid))
    await delay(idleS * 1000, undefined, { signal: rig.signal })
    const agents = pids.map(({ host, pid }, index) => {
      const [first, last] = [before[index], sampleProcess(pid)]
      const role = host === 'redis-w' ? 'Sentinel only' : host === primary ? 'primary' : 'replica'
      return { host, role, cpuPercent: first === undefined ? Number.NaN : cpuPercent(first, last), rssMb: last.rssMb }
    })
    return { found: { mode, seconds: idleS, agents }, keep: keepLogs }
  })
  return found
}

export async function measureAlarms(rig: Rig, minutes: number, keepLogs: boolean): Promise<{ readonly alarms: AlarmResult; readonly logs: string | null }> {
  const { found, logs } = await withLab(rig, { name: 'alarms' }, async (lab) => {
    const epochBefore = await lastEpoch(lab)
    const writer = await startWriter({ kind: 'lab', lab }, { host: vip, port: 6379 })
    const busy: ChildProcess[] = []
    try {
      if (!(await writer.steady({ acks: 300, withinMs: 20_000 }))) throw new Error('no steady writes through the address')
      await writer.mark('busy')
      for (let count = 0; count < busyProcesses; count += 1) busy.push(burn(minutes))
      const endMs = performance.now() + minutes * 60_000
      for (let told = 0; performance.now() < endMs; told += 1) {
        await delay(Math.min(5000, endMs - performance.now()), undefined, { signal: rig.signal })
        const { acked, errors } = await writer.stats()
        if (told % 12 === 11) rig.say(`  ${acked} writes acknowledged, ${errors} errors so far`)
      }
      endAll(busy)
      const report = await writer.stop()
      const verified = await writer.verify()
      const mark = report.marks[0]
      const failovers = (await failoverEpochs(lab)).filter((epoch) => epoch > epochBefore).length
      const alarms: AlarmResult = { minutes, busyProcesses, failovers, longestOutageMs: mark?.longestOutage.lengthMs ?? Number.NaN, lost: verified.lost }
      if (!verified.complete) throw new Error(`not every write could be read back: ${verified.why ?? ''}`)
      return { found: alarms, keep: keepLogs || failovers > 0 || alarms.longestOutageMs > 1000 || alarms.lost > 0 }
    } finally {
      endAll(busy)
      await writer.close()
    }
  })
  return { alarms: found, logs }
}

/** The kernel ends it when its CPU time is used up, even if this process dies first. */
function burn(minutes: number): ChildProcess {
  return spawn('sh', ['-c', `ulimit -t ${Math.ceil(minutes * 60) + 30}; while :; do :; done`], { stdio: 'ignore' })
}

function endAll(processes: readonly ChildProcess[]): void {
  for (const child of processes) child.kill('SIGKILL')
}

async function lastEpoch(lab: Lab): Promise<number> {
  return Math.max(0, ...(await failoverEpochs(lab)))
}

async function failoverEpochs(lab: Lab): Promise<readonly number[]> {
  const asked = await lab.cli(['history', group, '--json', '--limit', '1000'])
  const parsed = JSON.parse(asked.stdout) as { readonly failovers?: readonly { readonly epoch: number }[] }
  return (parsed.failovers ?? []).map((failover) => failover.epoch)
}

/**
 * The plain redis is a second pair on the same two hosts, replicating like the first, reached at the host's own address. Turns
 * alternate, so that what else the machine does falls on both.
 */
export async function measureThroughput(rig: Rig, keepLogs: boolean): Promise<ThroughputResult> {
  const { found } = await withLab(rig, { name: 'speed' }, async (lab) => {
    const name = await primaryOf(lab)
    const primary = dataHosts.find((host) => host === name)
    if (primary === undefined) throw new Error(`${name} is no host of the bench`)
    await startPlainPair(lab, primary)
    const plainPerS: number[] = []
    const vipPerS: number[] = []
    for (let round = 0; round < benchRounds; round += 1) {
      rig.signal.throwIfAborted()
      plainPerS.push(await setPerS(lab, hostIps[primary], plainPort))
      vipPerS.push(await setPerS(lab, vip, 6379))
    }
    const ratio = percentile(vipPerS, 50) / percentile(plainPerS, 50)
    return { found: { plainPerS, vipPerS, ratio }, keep: keepLogs }
  })
  return found
}

async function startPlainPair(lab: Lab, primary: DataHost): Promise<void> {
  for (const host of dataHosts) {
    await writeRedisConf(lab, host, host === primary ? null : hostIps[primary], plainPort)
    await startRedis(lab, host, [], plainPort)
    await waitForRedis(lab, host, plainPort)
  }
  const inSync = await poll(
    async () => {
      const view = await lookAtRedis(lab, primary, plainPort)
      return view?.onlineReplicas === 1 ? true : undefined
    },
    { withinMs: 30_000, everyMs: 100 },
  )
  if (inSync === undefined) throw new Error('the plain pair does not replicate')
}

async function setPerS(lab: Lab, host: string, port: number): Promise<number> {
  const argv = ['redis-benchmark', '-h', host, '-p', String(port), '-t', 'set', '-P', '1', '-c', '50', '-n', String(requests), '--csv']
  const result = await lab.exec('client', argv, { deadlineMs: 120_000 })
  const perS = Number(/^"SET","([\d.]+)"/m.exec(result.stdout)?.[1] ?? Number.NaN)
  if (!(perS > 0)) throw new Error(`redis-benchmark says nothing useful: ${(result.stderr || result.stdout).slice(0, 300)}`)
  return perS
}
