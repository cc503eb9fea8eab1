/** What a keepalived.conf comes to: its VRRP instances with their addresses, checks and scripts. PURE. Defaults are keepalived's own. Judges nothing. */
import type { ConfNode } from './keepalived-conf.ts'

export interface VrrpAddress {
  readonly ip: string
  readonly prefix: number
  /** null: on the interface of the instance. */
  readonly device: string | null
}

export interface CheckScript {
  readonly name: string
  readonly command: string
  readonly intervalS: number
  readonly timeoutS: number | null
  readonly fall: number
  readonly rise: number
  /** 0: a failed check is FAULT. Else the priority changes by so much. */
  readonly weight: number
}

export const notifyKinds = ['notify_master', 'notify_backup', 'notify_fault', 'notify_stop', 'notify'] as const
export type NotifyKind = (typeof notifyKinds)[number]

export interface VrrpInstance {
  readonly name: string
  readonly state: 'MASTER' | 'BACKUP' | null
  readonly interface: string | null
  readonly vrid: number | null
  readonly priority: number
  readonly advertS: number
  readonly authPass: string | null
  readonly nopreempt: boolean
  readonly unicastSource: string | null
  readonly unicastPeers: readonly string[]
  readonly addresses: readonly VrrpAddress[]
  readonly checks: readonly CheckScript[]
  /** Also those of the sync group that it is in. */
  readonly notifies: readonly { readonly kind: NotifyKind; readonly command: string }[]
}

export interface VrrpSetup {
  readonly instances: readonly VrrpInstance[]
  /** What else this keepalived does: its end ends that too. */
  readonly virtualServers: number
  /** Lines that hold only for a host of some name (`@name …`), which nobody can tell from here. */
  readonly conditional: number
}

export function vrrpSetupOf(nodes: readonly ConfNode[]): VrrpSetup {
  const plain = nodes.filter(({ words }) => !isConditional(words))
  const scripts = plain.filter(({ words }) => words[0] === 'vrrp_script').map(scriptOf)
  const groups = plain.filter(({ words }) => words[0] === 'vrrp_sync_group')
  return {
    instances: plain.filter(({ words }) => words[0] === 'vrrp_instance').map((node) => instanceOf(node, scripts, groups)),
    virtualServers: plain.filter(({ words }) => words[0] === 'virtual_server' || words[0] === 'virtual_server_group').length,
    conditional: conditionalIn(nodes),
  }
}

function isConditional(words: readonly string[]): boolean {
  return words[0]?.startsWith('@') === true
}

function conditionalIn(nodes: readonly ConfNode[]): number {
  return nodes.reduce((sum, { words, children }) => sum + (isConditional(words) ? 1 : 0) + conditionalIn(children), 0)
}

function scriptOf({ words, children }: ConfNode): CheckScript {
  const timeout = firstOf(children, 'timeout')
  return {
    name: words[1] ?? '',
    command: wordsOf(children, 'script').join(' '),
    intervalS: numberOf(children, 'interval', 1),
    timeoutS: timeout === null ? null : Number(timeout),
    fall: numberOf(children, 'fall', 1),
    rise: numberOf(children, 'rise', 1),
    weight: numberOf(children, 'weight', 0),
  }
}

function instanceOf({ words, children }: ConfNode, scripts: readonly CheckScript[], groups: readonly ConfNode[]): VrrpInstance {
  const name = words[1] ?? ''
  const state = firstOf(children, 'state')?.toUpperCase()
  const mine = groups.filter(({ children: of }) => blockOf(of, 'group').some((node) => node.words.includes(name)))
  const vrid = firstOf(children, 'virtual_router_id')
  return {
    name,
    state: state === 'MASTER' || state === 'BACKUP' ? state : null,
    interface: firstOf(children, 'interface'),
    vrid: vrid === null ? null : Number(vrid),
    priority: numberOf(children, 'priority', 100),
    advertS: numberOf(children, 'advert_int', 1),
    authPass: firstOf(blockOf(children, 'authentication'), 'auth_pass'),
    nopreempt: children.some(({ words: of }) => of[0] === 'nopreempt'),
    unicastSource: firstOf(children, 'unicast_src_ip') ?? firstOf(children, 'mcast_src_ip'),
    unicastPeers: blockOf(children, 'unicast_peer').flatMap((node) => (node.words[0] === undefined ? [] : [node.words[0]])),
    addresses: [...blockOf(children, 'virtual_ipaddress'), ...blockOf(children, 'virtual_ipaddress_excluded')].flatMap(addressOf),
    checks: blockOf(children, 'track_script').flatMap((node) => checksOf(node.words, scripts)),
    notifies: [children, ...mine.map((group) => group.children)].flatMap(notifiesIn),
  }
}

/** `chk_redis`, `chk_redis weight -20`; several on one line where the whole block is one. */
function checksOf(words: readonly string[], scripts: readonly CheckScript[]): readonly CheckScript[] {
  return words.flatMap((word, i) => {
    const script = scripts.find(({ name }) => name === word)
    if (script === undefined) return []
    return [words[i + 1] === 'weight' ? { ...script, weight: Number(words[i + 2] ?? 0) || 0 } : script]
  })
}

function notifiesIn(nodes: readonly ConfNode[]): VrrpInstance['notifies'] {
  return nodes.flatMap(({ words }) => {
    const kind = notifyKinds.find((one) => one === words[0])
    return kind === undefined || words.length < 2 ? [] : [{ kind, command: words.slice(1).join(' ') }]
  })
}

/** Without a prefix it is one address alone, as keepalived reads it. IPv6 is no address of a group. */
function addressOf({ words }: ConfNode): readonly VrrpAddress[] {
  const found = /^(\d{1,3}(?:\.\d{1,3}){3})(?:\/(\d{1,2}))?$/.exec(words[0] ?? '')
  if (found === null) return []
  const device = words.indexOf('dev')
  return [{ ip: found[1] ?? '', prefix: found[2] === undefined ? 32 : Number(found[2]), device: device < 0 ? null : (words[device + 1] ?? null) }]
}

/** Of several the last one rules. */
function wordsOf(nodes: readonly ConfNode[], name: string): readonly string[] {
  return nodes.findLast(({ words }) => words[0] === name)?.words.slice(1) ?? []
}

function firstOf(nodes: readonly ConfNode[], name: string): string | null {
  return wordsOf(nodes, name)[0] ?? null
}

function numberOf(nodes: readonly ConfNode[], name: string, otherwise: number): number {
  const value = Number(firstOf(nodes, name) ?? Number.NaN)
  return Number.isFinite(value) ? value : otherwise
}

function blockOf(nodes: readonly ConfNode[], name: string): readonly ConfNode[] {
  return nodes
    .filter(({ words }) => words[0] === name)
    .flatMap(({ words, children }) => (words.length > 1 ? [{ line: 0, words: words.slice(1), children: [] }, ...children] : children))
}
