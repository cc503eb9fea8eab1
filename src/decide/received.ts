/** What was received from the source of a move, wherever it is, and to whom it may be given up (INV-1, INV-6). PURE. */
import type { Move } from '../model/move.ts'
import type { Policy } from '../model/policy.ts'
import type { State } from '../model/state.ts'
import type { RedisFacts } from '../model/view.ts'
import type { Context } from './draft.ts'
import { memberOf, wasUp } from './fitness.ts'
import { goesOn, historyOf } from './moving.ts'
import { positionOf } from './position.ts'
import { heard, peerOf } from './situation.ts'

/**
 * Another process than the one that was followed, with a history that does not go on with what was received: it was started from an older
 * disk, or empty. Its clients are served by it, and the copies here have what it has lost. Who follows this member gives its data up
 * together with it, also where the redis of this host has lost its own.
 */
export function whyAnother(ctx: Context, move: Move, own: RedisFacts, seen: RedisFacts, attached: boolean): string | null {
  const { state, view, policy } = ctx
  if (!move.synced || seen.runId === move.runId || isBehindTheLink(ctx, own, seen, attached)) return null
  const copies = copiesOf(ctx, move, own)
  const nevertheless = `Follow it nevertheless (holdfast migrate start … --overwrite ${own.runId}; a copy is kept)`
  if (!copies.every(({ copy }) => goesOn(seen, copy)))
    return `was restarted with another history; what was received before is not given up to it. ${nevertheless}, or have the group serve what it has (holdfast failover ${state.group} --to ${hostOfMost(ctx, move, copies)} --force)`
  // One that reads its disk tells of no keys yet.
  const tells = (host: string) => {
    const word = heard(peerOf(view, host))
    return word?.answering === true && word.redis !== null && !word.redis.loading
  }
  const unheard = policy.members.map((m) => m.host).filter((host) => host !== state.host && !tells(host))
  if (attached || unheard.length === 0 || hasFollowed(move, own)) return null
  return `was restarted, and so was the redis of this host: ${unheard.join(', ')} may have received more than both, and does not tell. It is waited for. ${nevertheless}`
}

/** A source takes a new id for its first replica: looked at before it had this one, it tells of another history than the one that was fetched from it. */
function isBehindTheLink({ view }: Context, own: RedisFacts, seen: RedisFacts, attached: boolean): boolean {
  return attached && own.linkUp && !own.syncing && own.replid !== historyOf(seen) && view.redis.askedAgeMs < (view.source?.factsAgeMs ?? 0)
}

interface Copy {
  readonly host: string
  readonly copy: RedisFacts
}

/**
 * What was received, wherever it is: with the history that was followed, attached to this redis, or of the group's history as far as it is still true.
 * Not the half of a sync that did not end: nobody may ever be promoted with it, and whoever is told to is told in vain.
 */
export function copiesOf({ state, view, policy }: Context, move: Move, own: RedisFacts): readonly Copy[] {
  const theirs = view.peers.flatMap(({ host, statement }): readonly Copy[] => {
    const copy = statement?.redis ?? null
    if (copy === null || statement?.partial === true) return []
    const position = positionOf(copy, state.lineage)
    const received = copy.replid === move.replid || isBelow(state, policy, copy) || (position.kind === 'known' && position.divergedBytes === 0)
    return received ? [{ host, copy }] : []
  })
  return [...(state.partial ? [] : [{ host: state.host, copy: own }]), ...theirs].filter(({ copy }) => copy.keys > 0)
}

/** Whom an operator would have serve. */
export function hostOfMost({ state }: Context, move: Move, copies: readonly Copy[]): string {
  const received = copies.filter(({ copy }) => copy.replid === move.replid)
  const [most] = [...(received.length > 0 ? received : copies)].sort((a, b) => b.copy.offset - a.copy.offset)
  return most?.host ?? state.host
}

/** This process was linked to the source, and everybody else to this one: nobody has received more. */
function hasFollowed(move: Move, own: RedisFacts): boolean {
  return own.replid === move.replid && wasUp(own)
}

/**
 * Who would be pulled along, and has what is not here, or what this redis is about to give up itself: as soon as this one has a link, redis
 * begins anew with whatever comes, before the agent there has heard of it. It lets go first, and is judged then (following.ts).
 */
export function whoHolds({ state, view, policy }: Context, own: RedisFacts, seen: RedisFacts): readonly string[] {
  const position = positionOf(own, state.lineage)
  const stays = goesOn(seen, own) || (position.kind === 'known' && position.divergedBytes === 0)
  return view.peers.flatMap((peer) => {
    const copy = heard(peer)?.redis ?? null
    if (copy === null || copy.keys === 0 || !isBelow(state, policy, copy)) return []
    return stays && own.replid === copy.replid && own.offset >= copy.offset ? [] : [peer.host]
  })
}

function isBelow(state: State, policy: Policy, copy: RedisFacts): boolean {
  const self = memberOf(policy, state.host)
  return self !== undefined && copy.upstream?.host === self.ip && copy.upstream.port === self.port
}
