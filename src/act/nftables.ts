/** The stale-address rule of each group, and its short gate for new connections during a switchover. */
import { mkdir, writeFile } from 'node:fs/promises'
import type { Config, GroupConfig } from '../model/config.ts'
import { done, failed, type Outcome } from '../model/outcome.ts'
import { groupRunDir, nftablesFile, nftTable } from '../model/paths.ts'
import { renderNftables } from '../render/nftables.ts'
import { runShort } from './shell.ts'

const nftDeadlineMs = 5000
/** Until when a gate of this process may be shut. An agent that has just started may have left one shut before. */
const gateUntilMs = new Map<string, number>()

export async function installRules(config: Config, group: GroupConfig, host: string): Promise<Outcome> {
  const file = nftablesFile(config.paths, group.name)
  try {
    await mkdir(groupRunDir(config.paths, group.name), { recursive: true, mode: 0o750 })
    const interfaceName = config.hosts[host]?.interface
    await writeFile(file, renderNftables(group, interfaceName), { mode: 0o640 })
    const whole = await nft(['-f', file])
    if (whole.done) return done
    // A kernel without nft_socket still gets the rules that matter most.
    await writeFile(file, renderNftables(group, interfaceName, { deadPort: false }), { mode: 0o640 })
    return await nft(['-f', file])
  } catch (error) {
    return failed(`nft: ${(error as Error).message}`)
  }
}

/** The kernel forgets the element by itself: a gate must not outlive an agent that dies while it is shut. */
export async function refuseConnections(group: GroupConfig, forMs: number): Promise<Outcome> {
  // Shut already for as long: `nft` takes 5 to 20 ms, and a way back waits for it.
  if ((gateUntilMs.get(group.name) ?? 0) >= performance.now() + forMs) return done
  gateUntilMs.set(group.name, performance.now() + forMs)
  return nft(['add', 'element', 'ip', nftTable(group.name), 'handover', `{ ${group.port} timeout ${Math.max(1, Math.round(forMs))}ms }`])
}

export async function acceptConnections(group: GroupConfig): Promise<Outcome> {
  // Nothing to open: `nft` takes 5 to 20 ms, and a promotion waits for it.
  if (performance.now() > (gateUntilMs.get(group.name) ?? Math.max(3000, group.failover.maxPauseMs + 1000))) return done
  gateUntilMs.set(group.name, 0)
  const outcome = await nft(['delete', 'element', 'ip', nftTable(group.name), 'handover', `{ ${group.port} }`])
  return !outcome.done && /No such file or directory/.test(outcome.why) ? done : outcome
}

async function nft(args: readonly string[]): Promise<Outcome> {
  const { code, said } = await runShort(['nft', ...args], nftDeadlineMs)
  return code === 0 ? done : failed(`nft ${args.join(' ')}: ${said}`)
}
