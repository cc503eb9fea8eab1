/** The votes of one Sentinel as they were told here: the newest, with its word about the primary, and the one before it that was for somebody else. No IO. */
import type { VoteReply } from '../redis/sentinel-replies.ts'

/** `down`: when this vote was told first, which to a candidate is when it was given. */
export interface HeardVote extends VoteReply {
  readonly seenMs: number
  readonly before: (Omit<VoteReply, 'down'> & { readonly seenMs: number }) | null
}

/**
 * A Sentinel that was restarted or reset has forgotten for whom it voted, not in which epoch: what was heard before stands.
 * An older vote is an answer that was overtaken.
 */
export function hearVote(known: HeardVote | null, reply: VoteReply, nowMs: number): HeardVote {
  if (known === null) return { ...reply, seenMs: nowMs, before: null }
  if (reply.epoch < known.epoch) return known
  if (reply.epoch === known.epoch) return reply.leader === null || reply.leader === known.leader ? known : { ...known, leader: reply.leader }
  const before = known.leader === reply.leader ? known.before : { epoch: known.epoch, leader: known.leader, seenMs: known.seenMs }
  return { ...reply, seenMs: nowMs, before }
}
