/**
 * What somebody else starts (`process: external`): a redis or a Sentinel with files of its own, kept running by a supervisor that knows nothing
 * of replication. Ends with its host.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { expect } from 'vitest'
import type { Rig } from './rig.ts'
import { poll } from './rig.ts'

interface Supervised {
  /** Lines of its configuration, after the ones that every one has. */
  readonly conf: readonly string[]
  /** Shell, in the folder of its files: before each start, further arguments, and how long it waits after each end, in seconds. */
  readonly before?: string
  readonly args?: string
  readonly pauseS: string
}

export async function superviseRedis(rig: Rig, host: string, { conf, before = ':', args = '', pauseS }: Supervised): Promise<void> {
  const dir = rig.file(host, 'own-redis')
  await mkdir(dir, { recursive: true })
  const lines = ['port 6379', 'protected-mode no', `dir ${dir}`, 'save ""', 'repl-diskless-sync no', `logfile ${dir}/redis.log`, ...conf]
  await writeFile(`${dir}/redis.conf`, `${lines.join('\n')}\n`)
  await keepUp(rig, host, dir, `${before}; redis-server ${dir}/redis.conf ${args}; sleep ${pauseS}`)
  expect(await poll(async () => ((await rig.redis(host, 'PING')) === 'PONG' ? true : undefined), { withinMs: 5000 }), `redis of ${host} runs`).toBe(true)
}

export async function superviseSentinel(rig: Rig, host: string, { conf, pauseS }: Pick<Supervised, 'conf' | 'pauseS'>): Promise<void> {
  const dir = rig.file(host, 'own-sentinel')
  await mkdir(dir, { recursive: true })
  const lines = ['port 26379', 'protected-mode no', `dir ${dir}`, `logfile ${dir}/sentinel.log`, ...conf]
  await writeFile(`${dir}/sentinel.conf`, `${lines.join('\n')}\n`)
  await keepUp(rig, host, dir, `redis-server ${dir}/sentinel.conf --sentinel; sleep ${pauseS}`)
  expect(await poll(async () => ((await rig.sentinel(host, 'PING')) === 'PONG' ? true : undefined), { withinMs: 5000 }), `the Sentinel of ${host} runs`).toBe(
    true,
  )
}

async function keepUp(rig: Rig, host: string, dir: string, turn: string): Promise<void> {
  await rig.lab.exec(host, ['sh', '-c', `cd ${dir} && (while :; do ${turn}; done) >/dev/null 2>&1 &`])
}
