/**
 * The agent's public surface: all that api/ and cli/ may know of a running agent, and the door that it asks for.
 * The agent does not know what stands at the door (HTTP, TLS): that is api/'s, and is handed in.
 */
import type { Duplex } from 'node:stream'
import type { RequestResult } from '../model/state.ts'
import type { Request as OperatorRequest } from '../model/view.ts'
import type { BackupCare } from './backups.ts'
import type { OwnConfig } from './own-config.ts'
import type { PasswordKeepers } from './password-change.ts'
import type { PasswordKeeper } from './two-step.ts'
import type { GroupSnapshot } from './group.ts'
import type { KeptStore } from './kept-store.ts'
import type { MoveSource } from './move-source.ts'
import type { RedisLink } from '../redis/link.ts'
import type { LoggedEvent } from './log-files.ts'
import type { SentinelCare } from './sentinel-care.ts'

export interface AgentSurface {
  readonly host: string
  readonly version: string
  readonly groups: () => readonly string[]
  readonly config: OwnConfig
  /** null: no such group, or it has no Sentinels. */
  readonly passwords: PasswordKeepers
  /** What all agents have in common. */
  readonly secret: PasswordKeeper
  readonly snapshot: (group: string) => GroupSnapshot | null
  /** Why its redis here does not start, or would not; null: nothing is known against it. */
  readonly cannotStart: (group: string) => string | null
  readonly request: (group: string, request: OperatorRequest, deadlineMs: number) => Promise<RequestResult>
  readonly events: (group: string, limit: number) => Promise<readonly LoggedEvent[]>
  /** What this host keeps of the group; null: it has no such group. */
  readonly kept: (group: string) => KeptStore | null
  /** What may be asked of its Sentinels through this agent; null: no such group here, or it has none. */
  readonly sentinels: (group: string) => SentinelCare | null
  /** null: no such group here, it has no backups, or this host has no data of it. */
  readonly backups: (group: string) => BackupCare | null
  /** The redis that is being moved to it; null: no such group here. */
  readonly source: (group: string) => MoveSource | null
  /** The connection to the redis of this host; null: there is none. */
  readonly redis: (group: string) => RedisLink | null
  /** A drill on a real group: stops or kills the local redis as a fault would. */
  readonly fault: (group: string, kind: 'crash' | 'hang') => Promise<RequestResult>
}

export interface Door {
  /** Where it listens. */
  readonly ip: string
  readonly port: number
  /** All that are valid, the one with which this agent comes first. */
  readonly secrets: readonly [string, ...string[]]
  readonly surface: AgentSurface
  /** false: no such peer. */
  readonly peer: (host: string, stream: Duplex) => boolean
  readonly complain: (text: string) => void
}

export type OpenDoor = (door: Door) => Promise<{ readonly close: () => Promise<void> }>
