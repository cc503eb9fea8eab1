/**
 * The nftables text of a relay at the old address: connections to the port of the old redis are led to the relay, except those of the group's
 * members (they lead the way back), of its own replicas (one that cannot read what the group writes would be emptied, and sync for ever) and those
 * from this host. All of it holds only while the elements of its two sets live, and they die
 * by themselves: a relay that is killed leaves nothing behind but an empty table. PURE.
 */
import type { SourceAt } from '../model/move.ts'

export interface RedirectPlan {
  readonly group: string
  readonly source: SourceAt
  /** null: every address of this host. */
  readonly addresses: readonly string[] | null
  /** Whose connections stay where they were. */
  readonly stay: readonly string[]
  readonly relayPort: number
  /** Also what programs on this host send. */
  readonly local: boolean
}

/** Renewed each second: a machine that stands still for a moment does not lose it. */
export const elementMs = 4000

/** A group and a port each its own: two relays do not touch each other. */
export function relayTable({ group, source }: Pick<RedirectPlan, 'group' | 'source'>): string {
  return `holdfast_relay_${group.replace(/[^A-Za-z0-9_]/g, '_')}_${source.port}`
}

export function redirectRules(plan: RedirectPlan): string {
  const { source, addresses, stay, relayPort, local } = plan
  const table = relayTable(plan)
  const here = addresses === null ? 'fib daddr type local' : `ip daddr { ${addresses.join(', ')} }`
  const to = `ip saddr != { ${stay.join(', ')} } ${here} tcp dport @taken`
  const from = `${local ? '' : 'iifname != "lo" '}${to}`
  const syn = 'tcp flags & (fin | syn | rst | ack) == syn'
  const inside = `    chain inside {
        type nat hook output priority -110; policy accept;
        ${to} ${syn} redirect to :${relayPort}
    }
`
  return `${removalRules(plan)}table ip ${table} {
    set taken {
        type inet_service
        flags timeout
        elements = { ${source.port} timeout ${elementMs}ms }
    }
    set relay {
        type inet_service
        flags timeout
        elements = { ${relayPort} timeout ${elementMs}ms }
    }
    chain arriving {
        type nat hook prerouting priority -110; policy accept;
        ${from} ${syn} redirect to :${relayPort}
    }
${local ? inside : ''}    # A connection to the old redis that was there before would go on being answered with READONLY. Who asks for the relay's own port is refused.
    chain left {
        type filter hook input priority 0; policy accept;
        ct status dnat accept
        ${from} tcp flags & (fin | rst) == 0 reject with tcp reset
        tcp dport @relay tcp flags & (fin | syn | rst | ack) == syn reject with tcp reset
    }
}
`
}

/** In one transaction: in no moment is there none. The time of an element that is there is not renewed by adding it (before 6.12). */
export function renewalRules(plan: RedirectPlan): string {
  const table = relayTable(plan)
  return `${emptyingRules(plan)}add element ip ${table} taken { ${plan.source.port} timeout ${elementMs}ms }
add element ip ${table} relay { ${plan.relayPort} timeout ${elementMs}ms }
`
}

/** Nobody is led anywhere any more. Sooner done than the removal, with which the kernel takes its time. */
export function emptyingRules(plan: Pick<RedirectPlan, 'group' | 'source'>): string {
  const table = relayTable(plan)
  return `flush set ip ${table} taken\nflush set ip ${table} relay\n`
}

/** Also where it is not there: nft refuses to delete what is absent. */
export function removalRules(plan: Pick<RedirectPlan, 'group' | 'source'>): string {
  const table = relayTable(plan)
  return `table ip ${table} {}\ndelete table ip ${table}\n`
}
