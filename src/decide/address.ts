/**
 * Who holds the group's address, in one word, from what this member sees: its own interface, what the others say of theirs, and who
 * answers for the address on the segment. `followAddress` keeps account of what was wrong and for how long. Pure; what is done about it
 * stands in vip.ts. Must not alarm during a failover or switchover: both move the address within the grace time.
 */
import type { Event } from '../model/action.ts'
import { wrongWords, type AddressWord, type WrongWord } from '../model/address.ts'
import { addressGraceMs, type Policy } from '../model/policy.ts'
import type { State } from '../model/state.ts'
import type { View } from '../model/view.ts'
import { heard, peerOf, situationOf } from './situation.ts'

/** A hook that goes to another host by ssh, and what the kernel and this agent remember of who has answered. */
const oldHostMs = 5000

export interface AddressFinding {
  readonly word: AddressWord
  readonly why: string
}

/** null: the group has no address, or this member never holds it and does not look. */
export function findAddress(state: State, view: View, policy: Policy): AddressFinding | null {
  if (!policy.hasVip || view.keepalived === null) return null
  const primary = servingMember(state, view, policy)
  if (primary === null) return { word: 'unknown', why: 'nobody is known to serve' }
  const others = view.peers.flatMap((p) => (heard(p)?.vipHere === true ? [p.host] : []))
  const holders = view.keepalived.vipHere ? [state.host, ...others] : others
  const stranger = hasJustMoved(state, view) ? null : strangerSeen(state, view, policy)
  if (holders.length > 1) return { word: 'two', why: `it is on ${[...holders].sort().join(' and ')}; ${primary} is the primary` }
  if (stranger !== null) {
    return { word: 'a stranger', why: `${stranger} answers for it, which is no member of this group: find that machine and take the address off there` }
  }
  if (holders[0] === primary) return { word: 'with the primary', why: `it is on ${primary}, the primary` }
  if (holders[0] !== undefined) return { word: 'not the primary', why: `it is on ${holders[0]}, and ${primary} is the primary` }
  const unheard = policy.members.filter((m) => m.host !== state.host && !m.neverPrimary && heard(peerOf(view, m.host)) === null)
  const doubt = unheard.length === 0 ? '' : ` (${unheard.map((m) => m.host).join(' and ')} not heard)`
  return { word: 'nobody', why: `it is on no member${doubt}, and ${primary} is the primary` }
}

function servingMember(state: State, view: View, policy: Policy): string | null {
  if (state.phase === 'primary' || state.phase === 'handing') return state.host
  const { claim, holder } = situationOf(state, view, policy)
  if (claim !== 'theirs' || holder !== 'serves' || state.holder === null) return null
  const { phase } = heard(peerOf(view, state.holder)) ?? {}
  // While another redis is being moved here the address is with that one: whoever took it off there would cut the clients off.
  return phase === 'promoting' || phase === 'receiving' ? null : state.holder
}

/** The old host answered until it was told, and is remembered for having answered a little longer. One that goes on answering is named then. */
function hasJustMoved({ move }: State, { nowWallMs }: View): boolean {
  return move?.stage === 'moved' && Math.abs(nowWallMs - move.stageWallMs) < oldHostMs
}

/** Only where every member's own place is known can another be called a stranger. */
function strangerSeen(state: State, view: View, policy: Policy): string | null {
  const { answerers, mac } = view.keepalived ?? { answerers: [], mac: null }
  if (answerers.length === 0) return null
  const macs = new Map<string, string | null | undefined>(view.peers.map((p) => [p.host, p.statement?.vipMac]))
  macs.set(state.host, mac)
  const candidates = policy.members.filter((m) => !m.neverPrimary)
  if (candidates.some((m) => macs.get(m.host) == null)) return null
  const known = new Set(macs.values())
  return answerers.find((a) => !known.has(a.mac) && a.hosts.length === 0)?.mac ?? null
}

/** What one life of an agent has seen of the address. */
export interface AddressAccount {
  readonly word: AddressWord
  readonly why: string
  readonly sinceMs: number
  /** The present word is a wrong one and has been told. */
  readonly told: boolean
  /** Told ones, by word. */
  readonly counts: Readonly<Record<WrongWord, number>>
  /** How long told ones have lasted, those that have ended. */
  readonly wrongMs: number
}

export const newAccount: AddressAccount = {
  word: 'unknown',
  why: 'this agent has just started',
  sinceMs: 0,
  told: false,
  counts: { nobody: 0, two: 0, 'not the primary': 0, 'a stranger': 0 },
  wrongMs: 0,
}

export function followAddress(
  before: AddressAccount,
  finding: AddressFinding,
  nowMs: number,
  epoch: State['epoch'],
): { readonly account: AddressAccount; readonly events: readonly Event[] } {
  const events: Event[] = []
  let account = before
  if (finding.word !== before.word) {
    if (before.told) {
      const lastedMs = Math.round(nowMs - before.sinceMs)
      const text = `the address was wrong for ${lastedMs} ms (${before.word}); now: ${finding.why}`
      events.push({ kind: 'vip-right', epoch, text, data: { was: before.word, now: finding.word, lastedMs } })
      account = { ...account, wrongMs: account.wrongMs + lastedMs }
    }
    account = { ...account, sinceMs: nowMs, told: false }
  }
  account = { ...account, word: finding.word, why: finding.why }
  const word = wrongWords.find((w) => w === finding.word)
  if (word !== undefined && !account.told && nowMs - account.sinceMs >= addressGraceMs) {
    account = { ...account, told: true, counts: { ...account.counts, [word]: account.counts[word] + 1 } }
    events.push({ kind: 'vip-wrong', epoch, text: `the address is wrong (${word}): ${finding.why}`, data: { word } })
  }
  return { account, events }
}
