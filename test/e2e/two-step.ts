/** What tests of a change in two steps (a password, the agents' secret) have in common, on three hosts with Sentinels. */
import { readFile, writeFile } from 'node:fs/promises'
import type { Rig } from './rig.ts'

const hosts = ['red-a', 'red-b', 'red-c']

/** Each host has a password file of its own, as in life. Before the agents are started. */
export async function ownPasswordFiles(rig: Rig): Promise<void> {
  for (const node of [...hosts, 'client']) {
    const file = rig.file(node, 'holdfast.yaml')
    await writeFile(file, (await readFile(file, 'utf8')).replace(/password_file: .*/, 'password_file: own.password'))
    await writeFile(rig.file(node, 'own.password'), 'first\n', { mode: 0o600 })
  }
  for (const host of hosts) await rig.startAgent(host)
}

/** The change is begun three times, and each time the agent of that host is killed at another moment of it. */
export async function killAgentDuring(rig: Rig, host: string, begin: () => Promise<unknown>): Promise<void> {
  for (const afterMs of [400, 1500, 3000]) {
    const given = begin()
    await new Promise((resolve) => setTimeout(resolve, afterMs))
    await rig.killAgent(host)
    await rig.startAgent(host)
    await given
    await rig.untilOk()
  }
}
