/** What an executor gets of the connections to a group's Sentinels. They are opened, kept and read by observe/. */
import type { Observed } from '../model/outcome.ts'
import type { Address, VoteReply } from './sentinel-replies.ts'

export interface SentinelLinks {
  readonly group: string
  readonly hosts: readonly string[]
  /** Each of the configuration, whatever is known of it. */
  readonly all: () => readonly SentinelLink[]
  /** Where the redis of a member is; null: no member of that name. */
  readonly member: (host: string) => Address | null
}

export interface SentinelLink {
  readonly host: string
  readonly address: Address
  /** Its run id; null: it never told. */
  readonly id: string | null
  readonly isOpen: boolean
  /** It answered the last question in time: an answer is worth waiting for. */
  readonly answers: boolean
  /** The primary's address by which it has to be asked: it knows no other. */
  readonly names: Address | null
  /** In one write to the socket. Waits for as long as the connection lasts. */
  readonly ask: (commands: readonly (readonly string[])[]) => Promise<Observed<readonly Observed<unknown>[]>>
  /** What it told of its votes, in the order in which it did. */
  readonly heardVotes: (replies: readonly VoteReply[]) => void
  /** Asks for its facts at once. Resolves with the answer, or when the connection ends. */
  readonly poll: () => Promise<void>
}
