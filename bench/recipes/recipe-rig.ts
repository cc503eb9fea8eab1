/**
 * A drill rig over hosts without agents, so that the recipes are measured by exactly the code that measures Holdfast: same
 * client, same marks, same loss checker. `status` is answered from redis, the interfaces and the sentinels themselves.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { join } from 'node:path'
import { mkdir, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { DrillLimits, DrillRig } from '../../src/lab/drill-rig.ts'
import { defaultLimits } from '../../src/lab/drill-rig.ts'
import type { Lab } from '../../src/lab/lab.ts'
import { nodeDir } from '../../src/lab/record.ts'
import { done, failed } from '../../src/model/outcome.ts'
import { startWriter } from '../../src/lab/writer.ts'
import { dataHosts, group, hostIps, vip, vipWithPrefix, witnessIp, type DataHost } from '../rig.ts'
import { keepalivedConf, keepalivedScripts, recipes } from './keepalived.ts'
import { holdsVip, lookAtRedis, startDaemon, startRedis, waitForRedis, writeRedisConf, type RedisView } from './plain.ts'
import { sentinelConf, sentinelPort } from './sentinel.ts'

export type RecipeName = keyof typeof recipes | 'sentinel'

/** `crash`: redis stays down until the round is over. `restart`: its supervisor starts it again after half a second. */
export type CrashKind = 'crash' | 'restart'

export const restartAfterMs = 500
/** A supervisor gives the hosts their time: sentinel alone needs ten seconds to turn an old primary into a replica. */
const limits: DrillLimits = { ...defaultLimits, healthyWithinMs: 90_000, redundantWithinMs: 120_000, recoverWithinMs: 90_000, verifyWithinMs: 120_000 }

/** Where a client on the lab's client host finds the relay. */
export const relayAddress = { host: '127.0.0.1', port: 6379 } as const

interface Seen {
  readonly primary: DataHost | null
  readonly because: string
}

export async function startRecipe(lab: Lab, name: RecipeName): Promise<void> {
  const [first] = dataHosts
  for (const host of dataHosts) {
    await writeRedisConf(lab, host, name === 'sentinel' && host !== first ? hostIps['redis-a'] : null)
    await startRedis(lab, host)
    await waitForRedis(lab, host)
  }
  if (name === 'sentinel') await startSentinels(lab)
  else for (const host of dataHosts) await startKeepalived(lab, host, name)
}

export function recipeRig(lab: Lab, name: RecipeName, crash: CrashKind): DrillRig {
  const address = name === 'sentinel' ? relayAddress : { host: vip, port: 6379 }
  return {
    place: `lab ${lab.record.name}`,
    limits,
    startWriter: () => startWriter({ kind: 'lab', lab }, address),
    cli: async (argv) => {
      const answer = argv[0] === 'history' ? { failovers: [] } : { groups: [await statusOf(lab, name)] }
      return { code: 0, stdout: JSON.stringify(answer), stderr: '' }
    },
    inject: async (fault, primary) => {
      if (fault === 'host-loss') await lab.cut(primary)
      else if (fault === 'crash') {
        await lab.kill(primary, 'redis', { group })
        if (crash === 'restart') {
          await delay(restartAfterMs)
          await startRedis(lab, primary)
        }
      } else return failed(`${fault} is not measured on a recipe`)
      return done
    },
    undo: async (fault, primary) => {
      if (fault === 'host-loss') await lab.heal(primary)
      else if (crash === 'crash') await bringBack(lab, name, primary)
      return done
    },
  }
}

/** As a careful operator does it with Sentinel: as a replica of the new primary. keepalived's scripts see to it themselves. */
async function bringBack(lab: Lab, name: RecipeName, host: string): Promise<void> {
  const other = dataHosts.find((candidate) => candidate !== host) ?? 'redis-a'
  const peer = await lookAtRedis(lab, other)
  await startRedis(lab, host, name === 'sentinel' && peer?.role === 'primary' ? ['--replicaof', `${hostIps[other]} 6379`] : [])
  await waitForRedis(lab, host)
}

async function startKeepalived(lab: Lab, host: DataHost, name: keyof typeof recipes): Promise<void> {
  const dir = join(nodeDir(lab.record, host), 'keepalived')
  const peer = dataHosts.find((other) => other !== host) ?? host
  const recipe = recipes[name]
  const about = { dir, peerIp: hostIps[peer], priority: host === 'redis-a' ? 100 : 90, interface: 'eth0', vip: vipWithPrefix }
  await mkdir(dir, { recursive: true })
  await writeFile(join(dir, 'keepalived.conf'), keepalivedConf(recipe, about))
  for (const [file, text] of Object.entries(keepalivedScripts(recipe, about))) await writeFile(join(dir, file), text, { mode: 0o755 })
  await startDaemon(lab, host, 'keepalived', [
    'keepalived',
    '-n',
    '-l',
    '-D',
    '-P',
    '-f',
    join(dir, 'keepalived.conf'),
    '-p',
    join(dir, 'pid'),
    '-r',
    join(dir, 'vrrp.pid'),
  ])
}

async function startSentinels(lab: Lab): Promise<void> {
  for (const host of [...dataHosts, 'redis-w']) {
    const dir = join(nodeDir(lab.record, host), 'sentinel')
    await mkdir(dir, { recursive: true })
    const file = join(dir, 'sentinel.conf')
    await writeFile(file, sentinelConf({ dir, primaryIp: hostIps['redis-a'] }))
    const started = await lab.exec(host, ['redis-server', file, '--sentinel'])
    if (started.code !== 0) throw new Error(`sentinel does not start on ${host}: ${started.stderr || started.stdout}`)
  }
  await startRelay(lab)
}

/** What a good Sentinel library does, on the client's host. */
export async function startRelay(lab: Lab): Promise<void> {
  const relay = fileURLToPath(new URL('../sentinel-relay.ts', import.meta.url))
  const sentinels = [...Object.values(hostIps), witnessIp].map((ip) => `${ip}:${sentinelPort}`)
  await startDaemon(lab, 'client', 'relay', [process.execPath, '--import', 'tsx', relay, '6379', ...sentinels])
}

async function statusOf(lab: Lab, name: RecipeName): Promise<object> {
  const views = await Promise.all(dataHosts.map((host) => lookAtRedis(lab, host)))
  const seen = name === 'sentinel' ? await throughSentinel(lab, views) : await throughVip(lab, views)
  const health = seen.primary === null ? 'down' : seen.because === '' ? 'ok' : 'degraded'
  return { group, primary: seen.primary, epoch: 0, health, because: seen.because, paused: false }
}

async function throughVip(lab: Lab, views: readonly (RedisView | null)[]): Promise<Seen> {
  const holders: DataHost[] = []
  for (const host of dataHosts) if (await holdsVip(lab, host, vip)) holders.push(host)
  const [holder] = holders
  if (holder === undefined || holders.length > 1) return { primary: null, because: `the address is on ${holders.join(', ') || 'no host'}` }
  return judge(holder, views)
}

async function throughSentinel(lab: Lab, views: readonly (RedisView | null)[]): Promise<Seen> {
  const named = new Set<string>()
  for (const host of [...dataHosts, 'redis-w']) {
    const asked = await lab.exec(host, ['redis-cli', '-p', String(sentinelPort), 'sentinel', 'master', group], { deadlineMs: 1500 })
    const lines = asked.stdout.split('\n').map((line) => line.trim())
    const value = (key: string): string => lines[lines.indexOf(key) + 1] ?? ''
    if (value('flags') !== 'master' || value('num-other-sentinels') !== '2' || value('num-slaves') !== '1') {
      return { primary: null, because: `the sentinel of ${host} is not ready: ${value('flags')}` }
    }
    named.add(value('ip'))
  }
  const primary = dataHosts.find((host) => named.has(hostIps[host]))
  if (primary === undefined || named.size > 1) return { primary: null, because: `the sentinels name ${[...named].join(' and ')}` }
  return judge(primary, views)
}

function judge(primary: DataHost, views: readonly (RedisView | null)[]): Seen {
  for (const host of dataHosts) {
    const view = views.find((candidate) => candidate?.host === host) ?? null
    if (view === null) return { primary, because: `no redis answers on ${host}` }
    const fit = host === primary ? view.role === 'primary' && view.onlineReplicas === 1 : view.role === 'replica' && view.linkUp
    if (!fit || view.loading) return { primary, because: `${host} is a ${view.role}, replication is not up` }
  }
  return { primary, because: '' }
}
