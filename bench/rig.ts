/**
 * Where the bench runs: one lab per measurement, made and removed here, in a directory of its own. All systems get the same
 * hosts, addresses, client and loss checker; what differs is only what runs on the hosts. Everything raised here is taken
 * down by `close`, also after an error or Ctrl-C.
 */
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Lab } from '../src/lab/lab.ts'
import { raiseLab, takeDown } from '../src/lab/lab.ts'
import { poll } from '../src/lab/run.ts'

export const group = 'bench'
export const vip = '192.168.100.123'
export const vipWithPrefix = `${vip}/24`
export const hostIps = { 'redis-a': '192.168.100.201', 'redis-b': '192.168.100.202' } as const
export const witnessIp = '192.168.100.203'
export type DataHost = keyof typeof hostIps
export const dataHosts: readonly DataHost[] = ['redis-a', 'redis-b']

export interface Rig {
  readonly say: (line: string) => void
  readonly signal: AbortSignal
  readonly raise: (what: LabWish) => Promise<Lab>
  /** Takes the lab down; with `keep`, its logs stay, and the path is returned. */
  readonly drop: (lab: Lab, keep: boolean) => Promise<string | null>
  readonly close: () => Promise<void>
}

export interface LabWish {
  /** Short, for the lab's name. */
  readonly name: string
  readonly agents: boolean
  /** Lines below the group's key, indented by four. */
  readonly groupYaml?: readonly string[]
  /** A third host without data, as Sentinel wants it. */
  readonly third?: boolean
}

export async function openRig(entry: readonly string[], say: (line: string) => void, signal: AbortSignal): Promise<Rig> {
  const parent = process.env['HOLDFAST_LAB_DIR'] ?? tmpdir()
  await mkdir(parent, { recursive: true })
  const base = await mkdtemp(join(parent, 'holdfast-bench-'))
  const kept = `${base}-logs`
  const up = new Set<string>()
  let count = 0

  const drop = async (name: string, keep: boolean): Promise<string | null> => {
    const logs = await takeDown(name, { baseDir: base, keepLogs: keep })
    up.delete(name)
    if (logs === null) return null
    await mkdir(kept, { recursive: true })
    const path = join(kept, name)
    await rename(logs, path)
    return path
  }
  return {
    say,
    signal,
    raise: async (wish) => {
      signal.throwIfAborted()
      count += 1
      const name = `b-${process.pid}-${count}-${wish.name}`
      const configFile = join(base, `${name}.yaml`)
      await writeFile(configFile, configYaml(wish))
      up.add(name)
      return raiseLab({ name, configFile, startAgents: wish.agents, baseDir: base, entry, signal })
    },
    drop: (lab, keep) => drop(lab.record.name, keep),
    close: async () => {
      const failures: string[] = []
      for (const name of up) {
        // One lab that will not go must not keep the others.
        try {
          await drop(name, false)
        } catch (error) {
          failures.push(`${name}: ${(error as Error).message}`)
        }
      }
      if (failures.length > 0) throw new Error(`not everything could be taken down: ${failures.join('; ')} (files in ${base})`)
      await rm(base, { recursive: true, force: true })
    },
  }
}

function configYaml(wish: LabWish): string {
  const lines = [
    'hosts:',
    ...dataHosts.map((host) => `  ${host}: { ip: ${hostIps[host]}, interface: eth0 }`),
    ...(wish.third === true ? [`  redis-w: { ip: ${witnessIp}, interface: eth0 }`] : []),
    'groups:',
    `  ${group}:`,
    `    members: [${dataHosts.join(', ')}]`,
    `    vip: ${vipWithPrefix}`,
    ...(wish.groupYaml ?? []),
  ]
  return `${lines.join('\n')}\n`
}

/** Ready as an operator sees it. A lab that does not become so cannot be measured. */
export async function waitHealthy(rig: Rig, lab: Lab, withinMs = 60_000): Promise<void> {
  let seen = 'no answer'
  const ok = await poll(
    async () => {
      rig.signal.throwIfAborted()
      const result = await lab.cli(['status', '--json'], { deadlineMs: 10_000 })
      seen = (result.stdout.trim() || result.stderr.trim()).slice(0, 500)
      return healthOf(result.stdout) === 'ok' ? true : undefined
    },
    { withinMs, everyMs: 300 },
  )
  if (ok === undefined) throw new Error(`the group is not healthy after ${withinMs / 1000} s: ${seen}`)
}

export async function primaryOf(lab: Lab): Promise<string> {
  const result = await lab.cli(['status', '--json'], { deadlineMs: 10_000 })
  const parsed = JSON.parse(result.stdout) as { readonly groups?: readonly { readonly primary: string | null }[] }
  const primary = parsed.groups?.[0]?.primary
  if (primary === undefined || primary === null) throw new Error(`there is no primary: ${result.stdout.slice(0, 300)}`)
  return primary
}

function healthOf(json: string): string | null {
  try {
    return (JSON.parse(json) as { readonly groups?: readonly { readonly health: string }[] }).groups?.[0]?.health ?? null
  } catch {
    return null // half an answer of an agent that is starting
  }
}
