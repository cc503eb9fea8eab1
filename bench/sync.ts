/**
 * The first full sync of a move, by `holdfast migrate start`, beside a bare REPLICAOF of the same data from the same source to the same host. A lab a round, because what was
 * received once is continued; both in it, in turns. Until the redis that is filled has all.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Lab } from '../src/lab/lab.ts'
import { dataHosts, group, type Rig } from './rig.ts'
import type { SyncResult } from './table.ts'

const rounds = 3
const keys = 360_000
const batches = 12
const sourcePort = 6379
const barePort = 7000
const sourceHost = 'client'
/** Whom a new group would found. */
const filled = 'redis-a'

/** A KB each, of which about half can be packed. */
const filler = `
math.randomseed(tonumber(ARGV[1])) local pool = {}
for i = 1, 200 do local t = {} for j = 1, 64 do t[j] = struct.pack('d', math.random()) end pool[i] = table.concat(t)..string.rep('field:value,', 42) end
for i = 1, tonumber(ARGV[2]) do redis.call('SET', 'key:'..ARGV[1]..':'..i, pool[math.random(200)]..i) end`

export async function measureSync(rig: Rig, only: number | null): Promise<SyncResult> {
  const result = { bareS: [] as number[], movedS: [] as number[], commandS: [] as number[], datasetMb: 0 }
  for (let round = 0; round < (only ?? rounds); round += 1) {
    const dir = mkdtempSync(join(tmpdir(), 'holdfast-bench-sync-'))
    const lab = await rig.raise({ name: 'sync', agents: true, groupYaml: ['    migration: { awaits: true }'] })
    try {
      result.datasetMb = await fill(lab, dir)
      const turns = [async () => result.bareS.push(await bare(lab, dir)), async () => move(lab, result)]
      for (const turn of round % 2 === 0 ? turns : turns.toReversed()) {
        rig.signal.throwIfAborted()
        await turn()
      }
      rig.say(
        `  round ${round + 1}: ${result.datasetMb.toFixed(0)} MB; bare ${result.bareS.at(-1)?.toFixed(2)} s, move ${result.movedS.at(-1)?.toFixed(2)} s (the command with its plan ${result.commandS.at(-1)?.toFixed(2)} s)`,
      )
    } finally {
      await lab.exec(sourceHost, ['redis-cli', '-p', String(sourcePort), 'SHUTDOWN', 'NOSAVE'])
      await rig.drop(lab, false)
      rmSync(dir, { recursive: true, force: true })
    }
  }
  return result
}

async function shell(lab: Lab, host: string, line: string): Promise<string> {
  const { code, stdout, stderr } = await lab.exec(host, ['sh', '-c', line], { deadlineMs: 120_000 })
  if (code !== 0) throw new Error(`${host}: ${line}: ${stdout}${stderr}`)
  return stdout.trim()
}

function sourceIp(lab: Lab): string {
  return lab.record.plan.nodes.find(({ name }) => name === sourceHost)?.ip ?? ''
}

/** In MB that it says it uses. */
async function fill(lab: Lab, dir: string): Promise<number> {
  const lines = ['--save', '""', '--protected-mode', 'no', '--repl-diskless-sync-delay', '0', '--lua-time-limit', '600000', '--daemonize', 'yes', '--dir', dir]
  await shell(lab, sourceHost, `redis-server --port ${sourcePort} ${lines.join(' ')} && until redis-cli -p ${sourcePort} PING > /dev/null; do sleep 0.05; done`)
  for (let batch = 0; batch < batches; batch += 1)
    await lab.exec(sourceHost, ['redis-cli', '-p', String(sourcePort), 'EVAL', filler, '0', String(batch), String(keys / batches)], { deadlineMs: 60_000 })
  const info = await shell(lab, sourceHost, `redis-cli -p ${sourcePort} INFO`)
  if (!info.includes(`keys=${keys}`)) throw new Error(`the source was not filled: ${info.slice(-200)}`)
  return Number(/used_memory:(\d+)/.exec(info)?.[1]) / 1e6
}

/**
 * When it had all, by its own log: to ask again and again would take from both what they are measured by. Its times have no zone, and are of this machine's.
 */
async function arrivedMs(lab: Lab, host: string, port: number): Promise<number> {
  await shell(lab, host, `until redis-cli -p ${port} INFO replication | grep -q master_link_status:up; do sleep 0.5; done`)
  const log = await shell(lab, host, `cat "$(redis-cli -p ${port} CONFIG GET logfile | tail -n 1)"`)
  const found = [...log.matchAll(/^\d+:S (\d+ \w+ \d+ [\d:.]+) \S .*Finished with success/gm)].at(-1)?.[1]
  if (found === undefined) throw new Error(`${host}: its log tells of no sync`)
  return new Date(found).getTime()
}

async function bare(lab: Lab, dir: string): Promise<number> {
  // As Holdfast's own: nothing is saved meanwhile by either.
  const own = `--save "" --daemonize yes --dir ${dir} --dbfilename bare.rdb --logfile ${dir}/bare.log`
  await shell(lab, filled, `redis-server --port ${barePort} ${own} && until redis-cli -p ${barePort} PING > /dev/null; do sleep 0.05; done`)
  const fromMs = Number(await shell(lab, filled, `date +%s%3N; redis-cli -p ${barePort} REPLICAOF ${sourceIp(lab)} ${sourcePort} > /dev/null`))
  const toMs = await arrivedMs(lab, filled, barePort)
  await shell(lab, filled, `redis-cli -p ${barePort} SHUTDOWN NOSAVE || true`)
  return (toMs - fromMs) / 1000
}

async function move(lab: Lab, result: { readonly movedS: number[]; readonly commandS: number[] }): Promise<void> {
  const accept = ['P6', 'P7', 'P8', 'P9', 'P16'].flatMap((id) => ['--accept', id])
  const fromMs = Date.now()
  const started = await lab.cli(['migrate', 'start', `redis://${sourceIp(lab)}:${sourcePort}`, group, '--seconds', '0.3', '--no-wait', ...accept])
  if (started.code !== 0) throw new Error(`${started.stdout}${started.stderr}`)
  const shown = JSON.parse((await lab.cli(['migrate', 'status', group, '--json'])).stdout) as {
    readonly holder: string
    readonly move: { readonly startedWallMs: number }
  }
  if (shown.holder !== filled) throw new Error(`${shown.holder} is filled, and ${filled} was for comparison`)
  const endMs = await arrivedMs(lab, filled, 6379)
  result.movedS.push((endMs - shown.move.startedWallMs) / 1000)
  result.commandS.push((endMs - fromMs) / 1000)
  // Who goes on being filled would slow the other turn down.
  for (const host of dataHosts) {
    await lab.kill(host, 'agent')
    await shell(lab, host, 'redis-cli REPLICAOF 127.0.0.1 1')
  }
}
