/** Keeps the account of a group's address over the cycles of its loop: words, told incidents, repairs. Decides nothing and repairs nothing. */
import type { Event } from '../model/action.ts'
import type { AddressRepair, AddressReport } from '../model/address.ts'
import type { Policy } from '../model/policy.ts'
import type { State } from '../model/state.ts'
import type { View } from '../model/view.ts'
import { findAddress, followAddress, newAccount } from '../decide/address.ts'

const repairOf: Readonly<Partial<Record<Event['kind'], AddressRepair>>> = {
  'vip-removed': 'removed',
  'vip-returned': 'returned',
  'keepalived-restarted': 'keepalived restarted',
}

export interface AddressWatch {
  /** Once in each cycle. */
  readonly look: (state: State, view: View, policy: Policy) => void
  /** An event was recorded: some are repairs. */
  readonly recorded: (kind: Event['kind']) => void
  /** null: no address here to look at. */
  readonly report: (nowMs: number) => AddressReport | null
}

export function watchAddress(record: (event: Event) => void): AddressWatch {
  let account = newAccount
  let looks = false
  const repairs: Record<AddressRepair, number> = { removed: 0, returned: 0, 'keepalived restarted': 0 }
  return {
    look: (state, view, policy) => {
      const finding = findAddress(state, view, policy)
      looks = finding !== null
      if (finding === null) return
      const followed = followAddress(account, finding, view.nowMs, state.epoch)
      account = followed.account
      for (const event of followed.events) record(event)
    },
    recorded: (kind) => {
      const repair = repairOf[kind]
      if (repair !== undefined) repairs[repair] += 1
    },
    report: (nowMs) => {
      if (!looks) return null
      const { word, why, sinceMs, told, counts, wrongMs } = account
      const forMs = nowMs - sinceMs
      return { word, why, forMs, incidents: counts, wrongMs: wrongMs + (told ? forMs : 0), repairs: { ...repairs } }
    },
  }
}
