/** The story's ground without any privilege: three hosts that are loopback addresses, Sentinels, and HAProxy in front of them. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { layTrial, openTrial, trialHosts, trialIp } from '../../src/lab/loopback.ts'
import { startWriter } from '../../src/lab/writer.ts'
import type { Ground } from './ground.ts'

export async function loopbackGround(entry: readonly string[], signal: AbortSignal, say: (line: string) => void): Promise<Ground> {
  const dir = await mkdtemp(join(tmpdir(), 'holdfast-demo-'))
  const plan = await layTrial(dir).catch(async (error: unknown) => {
    await rm(dir, { recursive: true, force: true })
    throw error
  })
  const trial = openTrial(plan, { entry })
  const { write, read } = trial.ports
  return {
    words: {
      opening: `Three hosts that are loopback addresses of this machine (${trialHosts.map(({ ip }) => ip).join(', ')}): on each an agent, a real redis and a real Sentinel`,
      address: `HOST is primary; HAProxy asks the agents who is: writes at ${trialIp}:${write}, reads at ${trialIp}:${read}`,
      lost: "the primary's host, HOST, is lost: its agent, redis and Sentinel are killed at once (as a machine goes whose kernel still answers: a real host that falls silent is found by the Sentinels, after a second)",
      stillLost: 'HOST is still gone; two hosts and two of the three Sentinels go on',
      comesBack: 'HOST is back: its agent is started, and starts the rest',
      nothingLeft: 'no process and no file',
    },
    raise: async () => {
      await Promise.all(
        trialHosts.map(async ({ name, ip }) => {
          await trial.startAgent(name)
          say(`the agent of ${name} runs at ${ip}`)
        }),
      )
      signal.throwIfAborted()
    },
    open: () => trial.startBalancer(),
    cli: (argv, deadlineMs) => trial.cli(argv, { deadlineMs }),
    startWriter: () => startWriter({ kind: 'local', entry }, { host: trialIp, port: write, passwordFile: trial.passwordFile }),
    killRedis: (host) => trial.kill(host, 'redis'),
    loseHost: (host) => trial.kill(host, 'all'),
    bringBack: (host) => trial.startAgent(host),
    clear: async () => {
      const left = await trial.end()
      await rm(dir, { recursive: true, force: true })
      return left.length === 0 ? null : left.join(', ')
    },
  }
}
