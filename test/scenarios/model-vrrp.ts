/** keepalived of all hosts as one state machine: VRRPv3 with nopreempt behind a track file that fails closed. */

export interface VrrpHost {
  readonly host: string
  readonly priority: number
  alive: boolean
  allowed: boolean
  yields: boolean
  vrrp: 'MASTER' | 'BACKUP' | 'FAULT'
  /** When this host last heard an advert, or began to listen. */
  heardMs: number
  vipSinceMs: number | null
}

export interface Vrrp {
  readonly hosts: ReadonlyMap<string, VrrpHost>
  /** Brings the states up to `nowMs`; returns the hosts whose state changed. */
  readonly step: (nowMs: number) => readonly string[]
}

/** A priority-0 advert asks the others to take over at once. */
const handBackMs = 3

export function createVrrp(
  members: readonly { readonly host: string; readonly priority: number }[],
  hostLossMs: number,
  hears: (from: string, to: string) => boolean,
): Vrrp {
  const hosts = new Map<string, VrrpHost>()
  for (const { host, priority } of members) {
    hosts.set(host, { host, priority, alive: true, allowed: false, yields: false, vrrp: 'FAULT', heardMs: 0, vipSinceMs: null })
  }
  const priorityOf = (h: VrrpHost) => (h.yields ? 1 : h.priority)
  const downMs = (h: VrrpHost) => hostLossMs + ((256 - priorityOf(h)) * hostLossMs) / 3 / 256

  function step(nowMs: number): readonly string[] {
    const before = new Map([...hosts].map(([name, h]) => [name, h.vrrp]))
    for (const h of hosts.values()) {
      if (!h.alive || !h.allowed) {
        if (h.vrrp === 'MASTER' && h.alive) {
          for (const other of hosts.values())
            if (other !== h && hears(h.host, other.host))
              other.heardMs = Math.min(other.heardMs, nowMs - downMs(other) + handBackMs + (256 - other.priority) / 100)
        }
        h.vrrp = 'FAULT'
        h.heardMs = nowMs
      } else if (h.vrrp === 'FAULT') {
        h.vrrp = 'BACKUP'
        h.heardMs = nowMs
      }
    }
    const masters = () => [...hosts.values()].filter((h) => h.vrrp === 'MASTER')
    for (const m of masters()) {
      const rival = masters().find(
        (o) => o !== m && hears(o.host, m.host) && (priorityOf(o) > priorityOf(m) || (priorityOf(o) === priorityOf(m) && o.host > m.host)),
      )
      if (rival !== undefined) m.vrrp = 'BACKUP'
    }
    for (const h of hosts.values()) {
      if (h.vrrp !== 'BACKUP') continue
      if (masters().some((m) => hears(m.host, h.host))) h.heardMs = nowMs
      else if (nowMs - h.heardMs >= downMs(h)) h.vrrp = 'MASTER'
    }
    for (const h of hosts.values()) h.vipSinceMs = h.vrrp === 'MASTER' ? (h.vipSinceMs ?? nowMs) : null
    return [...hosts.values()].filter((h) => before.get(h.host) !== h.vrrp).map((h) => h.host)
  }
  return { hosts, step }
}
