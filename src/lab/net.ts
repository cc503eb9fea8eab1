/**
 * Namespaces, the bridge and the faults between them: the lab's wires. Everything is made INSIDE namespaces of the lab
 * (the bridge too), so that the machine's own interfaces and firewall are never touched, and deleting the namespaces
 * removes every trace. It starts no processes and knows nothing of Redis.
 */
import { OperatorError } from '../model/error.ts'
import { endNamespace, type ProcessId } from './processes.ts'
import type { LabNode, LabPlan } from './plan.ts'
import { onLinkRoutes } from './plan.ts'
import type { Faults } from './rules.ts'
import { baseRules, faultTable, parseFaults } from './rules.ts'
import { must, run } from './run.ts'

const bridge = 'br0'
const bridgeMac = '02:48:46:ff:00:01'

export async function namespaces(): Promise<string[]> {
  const text = await must(['ip', 'netns', 'list'], 'listing the namespaces')
  return text
    .split('\n')
    .map((line) => line.split(' ')[0] ?? '')
    .filter((name) => name !== '')
}

const ownerWord = 'holdfast-owner'

/** `owner`: the process with whose end the lab has lost its purpose; written on the namespace before there is anything in it. */
export async function raiseBridge(plan: LabPlan, owner?: ProcessId): Promise<void> {
  const netns = plan.bridgeNetns
  await addNamespace(netns)
  if (owner !== undefined) await batch(netns, [`link set lo alias "${ownerWord} ${owner.pid} ${owner.startTicks}"`], `marking ${netns}`)
  // Forwarding what was bridged through the namespace's IP rules would only cost time; absent without br_netfilter.
  const knob = '/proc/sys/net/bridge/bridge-nf-call-iptables'
  await must(['ip', 'netns', 'exec', netns, 'sh', '-c', `if [ -w ${knob} ]; then echo 0 > ${knob}; fi`], 'preparing the bridge')
  // Snooping off: a querier-less bridge may stop passing on multicast, VRRP's among it.
  await batch(
    netns,
    [
      `link add ${bridge} address ${bridgeMac} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
      `link set ${bridge} up`,
      ...plan.routerIps.map((ip) => `addr add ${ip}/${routerPrefix(plan, ip)} dev ${bridge}`),
      // Answers from a check_ip outside the subnet must find their way back.
      ...(plan.routerIps.length === 0 ? [] : plan.nodes.map((node) => `route replace ${node.ip}/32 dev ${bridge}`)),
    ],
    'making the bridge',
  )
  await applyRules(plan, baseRules(plan.nodes.map((node) => node.port)))
}

/** null: a lab that outlives whoever raised it, or no lab of ours. */
export async function namespaceOwner(netns: string): Promise<ProcessId | null> {
  const shown = await run(['ip', '-n', netns, 'link', 'show', 'lo'])
  const found = new RegExp(`alias ${ownerWord} (\\d+) (\\d+)`).exec(shown.stdout)
  return found === null ? null : { pid: Number(found[1]), startTicks: Number(found[2]) }
}

/** Makes the node's namespace and plugs it into the bridge: a machine that has booted and runs nothing yet. */
export async function plugNode(plan: LabPlan, node: LabNode): Promise<void> {
  await addNamespace(node.netns)
  await batch(
    plan.bridgeNetns,
    [`link add ${node.port} type veth peer name ${node.interface} address ${node.mac} netns ${node.netns}`, `link set ${node.port} master ${bridge} up`],
    `plugging in ${node.name}`,
  )
  await batch(
    node.netns,
    [
      'link set lo up',
      `addr add ${node.ip}/${node.prefix} brd + dev ${node.interface}`,
      `link set ${node.interface} up`,
      ...onLinkRoutes(node, plan).map((ip) => `route replace ${ip}/32 dev ${node.interface}`),
      ...(plan.gateway === null ? [] : [`route replace default via ${plan.gateway} dev ${node.interface} onlink`]),
    ],
    `giving ${node.name} its address`,
  )
}

/** What a power cut leaves: nothing, not even sockets that would still send a FIN. The caller has cut the wire before. */
export async function unplugNode(plan: LabPlan, node: LabNode): Promise<void> {
  // The wire goes first: sockets without an owner keep a deleted namespace, and its interface, alive for a while.
  const unplugged = await run(['ip', '-n', plan.bridgeNetns, 'link', 'del', node.port])
  if (unplugged.code !== 0 && !/Cannot find device/.test(unplugged.stderr)) {
    throw new OperatorError('HF503', `unplugging ${node.name}: ${unplugged.stderr.trim()}`, 'Take the lab down and up again.')
  }
  await deleteNamespace(node.netns)
}

/** Ends what runs in the namespace, then deletes it. Nothing happens when there is none. */
export async function dropNamespace(netns: string, graceMs: number): Promise<void> {
  if (!(await namespaces()).includes(netns)) return
  const left = await endNamespace(netns, graceMs)
  if (left.length > 0) {
    const names = left.map((found) => `${found.name} (pid ${found.pid})`).join(', ')
    throw new OperatorError('HF503', `${netns}: these do not end: ${names}`, 'Run the command again in a few seconds.')
  }
  await deleteNamespace(netns)
}

export async function applyRules(plan: LabPlan, text: string): Promise<void> {
  await must(['ip', 'netns', 'exec', plan.bridgeNetns, 'nft', '-f', '-'], 'changing the faults', { input: text })
}

export async function readFaults(plan: LabPlan): Promise<Faults> {
  const argv = ['ip', 'netns', 'exec', plan.bridgeNetns, 'nft', '-j', 'list', 'table', ...faultTable.split(' ')]
  return parseFaults(await must(argv, 'reading the faults'))
}

async function addNamespace(netns: string): Promise<void> {
  await must(['ip', 'netns', 'add', netns], `making the namespace ${netns}`)
}

async function deleteNamespace(netns: string): Promise<void> {
  const result = await run(['ip', 'netns', 'del', netns])
  if (result.code === 0 || !(await namespaces()).includes(netns)) return
  throw new OperatorError('HF503', `deleting ${netns}: ${result.stderr.trim()}`, 'Run the command again.')
}

async function batch(netns: string, lines: readonly string[], what: string): Promise<void> {
  await must(['ip', '-n', netns, '-batch', '-'], what, { input: `${lines.join('\n')}\n` })
}

function routerPrefix(plan: LabPlan, ip: string): number {
  return ip === plan.gateway ? (plan.nodes[0]?.prefix ?? 32) : 32
}
