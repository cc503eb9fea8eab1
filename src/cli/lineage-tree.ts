/**
 * The lineages of all members put together: one tree of epochs, a fork where members or kept data disagree, and where each
 * member's dataset stands on it. PURE: it judges nobody; who is right is the operator's to say.
 */
import type { KeptEntry } from '../model/kept.ts'
import type { LineageEntry } from '../model/state.ts'
import type { RedisFacts } from '../model/view.ts'
import { describePosition, isPlaced, positionOf, type Position } from '../decide/position.ts'
import type { AgentAnswer } from './ask.ts'

export interface EpochNode extends LineageEntry {
  readonly id: string
  readonly parent: string | null
  /** Who has this entry in its own lineage. Not all: a fork. */
  readonly believedBy: readonly string[]
  readonly head: boolean
}

export interface MemberOnTree {
  readonly host: string
  readonly agent: 'up' | 'silent'
  readonly why: string
  readonly phase: string | null
  /** Node that its dataset belongs to; null: of no known history, or not known. */
  readonly node: string | null
  readonly offset: number | null
  readonly divergedBytes: number
  readonly keys: number | null
  readonly position: string
}

export interface LineageTree {
  readonly group: string
  readonly epoch: number
  readonly nodes: readonly EpochNode[]
  readonly members: readonly MemberOnTree[]
  readonly kept: readonly (KeptEntry & { readonly node: string | null })[]
  /** In words: every place where histories part. */
  readonly forks: readonly string[]
}

export function treeOf(group: string, answers: readonly AgentAnswer[], kept: readonly KeptEntry[]): LineageTree {
  const told = answers.map((answer) => ({ answer, own: answer.groups.find((g) => g.group === group) ?? null }))
  const epoch = Math.max(0, ...told.map((t) => t.own?.state?.epoch ?? 0))
  const nodes = nodesOf(
    told.flatMap((t) => (t.own?.state == null ? [] : [{ host: t.answer.host, lineage: t.own.state.lineage }])),
    epoch,
  )
  const nodeOf = (lineage: readonly LineageEntry[], replid: string): string | null => {
    const entry = replid === '' ? undefined : lineage.findLast((e) => e.replid === replid)
    return entry === undefined ? (nodes.findLast((n) => replid !== '' && n.replid === replid)?.id ?? null) : idOf(entry)
  }
  const nodeAt = (position: Position, lineage: readonly LineageEntry[], redis: RedisFacts): string | null => {
    if (!isPlaced(position)) return null
    const entry = lineage.find((e) => e.epoch === position.epoch)
    // What was read from an AOF has an id of its own.
    return position.kind === 'noted' ? (entry === undefined ? null : idOf(entry)) : (nodeOf(lineage, redis.replid) ?? nodeOf(lineage, redis.replid2))
  }
  const members = told.map(({ answer, own }): MemberOnTree => {
    const redis = own?.statement?.redis ?? null
    const lineage = own?.state?.lineage ?? []
    const position = redis === null ? null : positionOf(redis, lineage)
    return {
      host: answer.host,
      agent: answer.ok ? 'up' : 'silent',
      why: answer.ok ? (redis === null ? 'its redis has not answered' : '') : answer.why,
      phase: own?.state?.phase ?? null,
      node: redis === null || position === null ? null : nodeAt(position, lineage, redis),
      offset: position?.kind === 'noted' ? position.offset : (redis?.offset ?? null),
      divergedBytes: position !== null && isPlaced(position) ? position.divergedBytes : 0,
      keys: redis?.keys ?? null,
      position: position === null ? 'not known' : describePosition(position),
    }
  })
  const hanging = kept.map((k) => ({
    ...k,
    node: nodes.findLast((n) => k.replid !== '' && n.replid === k.replid)?.id ?? nodes.find((n) => n.epoch === k.epoch)?.id ?? null,
  }))
  return { group, epoch, nodes, members, kept: hanging, forks: forksOf(nodes, members, hanging, told.filter((t) => t.own?.state != null).length) }
}

function idOf(entry: LineageEntry): string {
  return `${entry.epoch}@${entry.holder}/${entry.replid.slice(0, 8)}`
}

function nodesOf(told: readonly { readonly host: string; readonly lineage: readonly LineageEntry[] }[], epoch: number): readonly EpochNode[] {
  const nodes = new Map<string, EpochNode>()
  for (const { host, lineage } of told) {
    lineage.forEach((entry, index) => {
      const id = idOf(entry)
      const known = nodes.get(id)
      const { continues } = entry
      const before = continues === undefined ? lineage[index - 1] : lineage.findLast((e) => e.epoch <= continues.epoch)
      nodes.set(id, {
        ...entry,
        id,
        parent: known?.parent ?? (before === undefined ? null : idOf(before)),
        believedBy: [...(known?.believedBy ?? []), host],
        head: entry.epoch === epoch,
      })
    })
  }
  return [...nodes.values()].sort((a, b) => a.epoch - b.epoch || (a.id < b.id ? -1 : 1))
}

function forksOf(nodes: readonly EpochNode[], members: readonly MemberOnTree[], kept: LineageTree['kept'], heard: number): readonly string[] {
  const forks: string[] = []
  for (const node of nodes) {
    const rivals = nodes.filter((n) => n.epoch === node.epoch)
    if (rivals.length > 1 && rivals[0] === node)
      forks.push(`epoch ${node.epoch} is claimed twice: ${rivals.map((r) => `${r.holder} (say ${r.believedBy.join(', ')})`).join(' and ')}`)
    else if (
      rivals.length === 1 &&
      node.believedBy.length < heard &&
      nodes.some((n) => n.epoch > node.epoch && n.believedBy.every((h) => !node.believedBy.includes(h)))
    )
      forks.push(`epoch ${node.epoch} of ${node.holder} is known to ${node.believedBy.join(', ')} only`)
  }
  for (const m of members) {
    if (m.divergedBytes > 0) forks.push(`${m.host} holds ${m.divergedBytes} bytes that the accepted history does not have (${m.position})`)
    else if (m.agent === 'up' && m.node === null && (m.keys ?? 0) > 0)
      forks.push(`${m.host} holds ${m.keys ?? 0} keys of a history that the group does not know`)
  }
  for (const k of kept)
    forks.push(`${k.host} keeps ${k.id} (${k.kind}, ${k.bytes} bytes)${k.fromOffset === null ? '' : ` of epoch ${k.epoch} from offset ${k.fromOffset}`}`)
  return forks
}
