/**
 * Real keepalived on three hosts of a lab behind the words of a contract: rendered, started and reloaded by the code that agents
 * use, without agents. Its states come from its fifo, who has the address from the interfaces, and all of it goes with the lab.
 */
import { rm, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { ensureKeepalived, setVip } from '../../src/act/keepalived.ts'
import { plainStanding } from '../../src/render/keepalived.ts'
import { loadConfig } from '../../src/config/load.ts'
import { raiseLab, type Lab } from '../../src/lab/lab.ts'
import { ownedDir } from '../../src/lab/leftovers.ts'
import { namespaceProcesses } from '../../src/lab/processes.ts'
import { nodeConfigFile } from '../../src/lab/record.ts'
import { must, poll } from '../../src/lab/run.ts'
import type { Config } from '../../src/model/config.ts'
import type { Outcome } from '../../src/model/outcome.ts'
import { keepalivedFifo, vipAllowedFile } from '../../src/model/paths.ts'
import { readFifo, type FifoReader } from '../../src/observe/keepalived.ts'
import { hostLossMs, priorities, vrrpHosts, type VrrpHostName, type VrrpUnderTest } from './vrrp-under-test.ts'

const limitMs = 10_000
const group = 'contract'
const vip = '192.168.77.9'

const yaml = `hosts:
${vrrpHosts.map((host, i) => `  ${host}: { ip: 192.168.77.${i + 1}, interface: eth0 }`).join('\n')}
groups:
  ${group}:
    members:
${vrrpHosts.map((host) => `      - { host: ${host}, priority: ${priorities[host]} }`).join('\n')}
    vip: ${vip}/24
    failover: { host_loss_ms: ${hostLossMs} }
`

interface Keepalived {
  readonly host: VrrpHostName
  readonly netns: string
  readonly config: Config
  fifo: FifoReader | null
  state: ReturnType<VrrpUnderTest['state']>
}

export async function openVrrpReal(): Promise<VrrpUnderTest> {
  const { dir: base, owner } = await ownedDir('hf-contract-')
  const configFile = join(base, 'holdfast.yaml')
  await writeFile(configFile, yaml)
  const lab = await raiseLab({ name: `t-vrrp-${process.pid}`, configFile, startAgents: false, baseDir: base, entry: [], owner })
  const all = new Map<VrrpHostName, Keepalived>()
  for (const host of vrrpHosts) all.set(host, await keepalivedOf(lab, host))
  const of = (host: VrrpHostName): Keepalived => all.get(host) as Keepalived
  const end = async (k: Keepalived): Promise<void> => {
    const runs = async () => (await namespaceProcesses(k.netns)).length > 0
    if (await runs()) {
      // Stopped first, so that no part of it does anything about the end of another.
      await lab.freeze(k.host, 'keepalived')
      await lab.kill(k.host, 'keepalived')
      await wait('keepalived is gone', async () => !(await runs()))
    }
    k.fifo?.close()
    Object.assign(k, { fifo: null, state: null })
  }
  return {
    start: async (host) => {
      const k = of(host)
      sure(await ensureKeepalived(k.config, host, plainStanding, () => {}))
      k.fifo ??= readFifo(
        keepalivedFifo(k.config.paths),
        (word) => {
          if (word.state !== 'unknown') k.state = word.state
        },
        (why) => console.error(why),
      )
      await wait(`keepalived of ${host} speaks`, () => k.state !== null)
    },
    allow: (host, allowed) => Promise.resolve(sure(setVip(of(host).config.paths, group, allowed))),
    allowNobodyKnows: async (host, how) => {
      const file = vipAllowedFile(of(host).config.paths, group)
      if (how === 'missing') await unlink(file)
      else await writeFile(file, '')
    },
    yield: async (host, yields) =>
      sure(await ensureKeepalived(of(host).config, host, { ...plainStanding, yielding: new Set(yields ? [group] : []) }, () => {})),
    kill: (host) => end(of(host)),
    freeze: async (host) => void (await lab.freeze(host, 'keepalived')),
    thaw: async (host) => void (await lab.thaw(host, 'keepalived')),
    cut: async (host) => void (await lab.cut(host)),
    deafen: async (from, to) => void (await lab.isolate(from, to, { oneWay: true })),
    heal: async () => void (await lab.heal()),
    state: (host) => of(host).state,
    holders: async () => {
      const have = await Promise.all(vrrpHosts.map((host) => addresses(of(host))))
      return vrrpHosts.filter((_, i) => have[i]?.includes(vip))
    },
    nowMs: () => performance.now(),
    until: wait,
    pass: async (ms) => void (await delay(ms)),
    reset: async () => {
      await lab.heal()
      for (const k of all.values()) {
        await end(k)
        if ((await addresses(k)).includes(vip)) await must(['ip', '-n', k.netns, 'addr', 'del', `${vip}/24`, 'dev', 'eth0'], 'taking the address away')
      }
    },
    close: async () => {
      for (const k of all.values()) k.fifo?.close()
      await lab.down()
      await rm(base, { recursive: true, force: true })
    },
  }
}

/** In its own namespace by a wrapper: who starts it does not know that its host is none. */
async function keepalivedOf(lab: Lab, host: VrrpHostName): Promise<Keepalived> {
  const netns = lab.record.plan.nodes.find((node) => node.name === host)?.netns ?? ''
  const { config } = await loadConfig(nodeConfigFile(lab.record, host))
  const wrapper = join(lab.record.dir, `keepalived-${host}`)
  await writeFile(wrapper, `#!/bin/sh\nexec ip netns exec ${netns} ${config.paths.keepalived} "$@"\n`, { mode: 0o755 })
  const state = join(lab.record.dir, host, 'state')
  await must(['mkdir', '-p', state], 'making a folder')
  return { host, netns, config: { ...config, paths: { ...config.paths, keepalived: wrapper } }, fifo: null, state: null }
}

async function addresses(k: Keepalived): Promise<string> {
  return must(['ip', '-n', k.netns, '-4', '-o', 'addr', 'show', 'dev', 'eth0'], 'reading the addresses')
}

async function wait(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const found = await poll(async () => ((await isSo()) ? true : undefined), { withinMs: limitMs, everyMs: 2 })
  if (found === undefined) throw new Error(`keepalived: not within ${limitMs} ms: ${what}`)
}

function sure(outcome: Outcome): void {
  if (!outcome.done) throw new Error(outcome.why)
}
