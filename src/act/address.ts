/** Takes an address off this host, wherever and with whatever prefix it was added. Once in an incident, never in a calm cycle. */
import { execFile } from 'node:child_process'
import { networkInterfaces } from 'node:os'
import { promisify } from 'node:util'
import { done, failed, type Outcome } from '../model/outcome.ts'

const ipDeadlineMs = 5000

export async function dropAddress(ip: string): Promise<Outcome> {
  for (const [label, list] of Object.entries(networkInterfaces())) {
    for (const { address, cidr } of list ?? []) {
      if (address !== ip || cidr === null) continue
      try {
        // An address with a label is listed under it (eth0:1).
        await promisify(execFile)('ip', ['addr', 'del', cidr, 'dev', label.split(':')[0] ?? label], { timeout: ipDeadlineMs })
      } catch (error) {
        const text = ((error as { stderr?: string }).stderr ?? (error as Error).message).trim()
        // keepalived, or whoever added it, was faster.
        if (!/Cannot assign requested address|not found/.test(text)) return failed(`${cidr} does not go from ${label}: ${text.slice(0, 300)}`)
      }
    }
  }
  return done
}
