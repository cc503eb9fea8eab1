/** keepalived of all hosts as one state machine: VRRPv3 with nopreempt behind a track file that fails closed. */

export interface VrrpHost {
  readonly host: string
  readonly priority: number
  alive: boolean
  allowed: boolean
  yields: boolean
  /** Its whole host stands still: it says nothing, hears nothing, and keeps what it has. */
  frozen: boolean
  vrrp: 'MASTER' | 'BACKUP' | 'FAULT'
  /** A master is heard. */
  hearing: boolean
  /** While none is: when this host last heard an advert, or began to listen. */
  heardMs: number
  /** Held by VRRP. */
  vipSinceMs: number | null
  /** Since when somebody has it there who is not keepalived: added by hand, or left behind. */
  strayFromMs: number | null
}

export interface Vrrp {
  readonly hosts: ReadonlyMap<string, VrrpHost>
  /** Brings the states up to `nowMs`; returns the hosts whose state changed. To be called at every change, and at `nextMs`. */
  readonly step: (nowMs: number) => readonly string[]
  /** When the next state changes if nothing else does. */
  readonly nextMs: () => number
}

/** What a priority-0 advert needs to be sent and read: it asks the others to take over without waiting for three that fail to come. */
const handBackMs = 3

export function createVrrp(
  members: readonly { readonly host: string; readonly priority: number }[],
  hostLossMs: number,
  hears: (from: string, to: string) => boolean,
): Vrrp {
  const all: VrrpHost[] = members.map(({ host, priority }) => ({
    host,
    priority,
    alive: true,
    allowed: false,
    yields: false,
    frozen: false,
    vrrp: 'FAULT',
    hearing: false,
    heardMs: 0,
    vipSinceMs: null,
    strayFromMs: null,
  }))
  const hosts = new Map(all.map((h) => [h.host, h]))
  const priorityOf = (h: VrrpHost) => (h.yields ? 1 : h.priority)
  const downMs = (h: VrrpHost) => hostLossMs + ((256 - priorityOf(h)) * hostLossMs) / 3 / 256
  const heardBy = (from: VrrpHost, to: VrrpHost) => from !== to && from.vrrp === 'MASTER' && from.alive && !from.frozen && hears(from.host, to.host)
  const beats = (a: VrrpHost, b: VrrpHost) => priorityOf(a) > priorityOf(b) || (priorityOf(a) === priorityOf(b) && a.host > b.host)

  function giveUp(h: VrrpHost, nowMs: number): void {
    if (h.vrrp === 'MASTER') {
      for (const other of all) {
        if (other.frozen || !other.alive || !heardBy(h, other)) continue
        const last = other.hearing ? nowMs : other.heardMs
        // The skew that orders those who wait remains of the down interval.
        Object.assign(other, { hearing: false, heardMs: Math.min(last, nowMs - hostLossMs + handBackMs) })
      }
    }
    Object.assign(h, { vrrp: 'FAULT', hearing: false, heardMs: nowMs })
  }

  function step(nowMs: number): readonly string[] {
    const moved: string[] = []
    const before = all.map((h) => h.vrrp)
    for (const h of all) {
      if (h.frozen || !h.alive) continue
      if (!h.allowed) giveUp(h, nowMs)
      else if (h.vrrp === 'FAULT') Object.assign(h, { vrrp: 'BACKUP', hearing: false, heardMs: nowMs })
    }
    for (const m of all) if (m.vrrp === 'MASTER' && m.alive && !m.frozen && all.some((o) => heardBy(o, m) && beats(o, m))) m.vrrp = 'BACKUP'
    for (const h of all) {
      if (h.vrrp !== 'BACKUP' || h.frozen || !h.alive) continue
      const hearing = all.some((m) => heardBy(m, h))
      if (h.hearing && !hearing) h.heardMs = nowMs
      h.hearing = hearing
      if (!hearing && nowMs >= h.heardMs + downMs(h)) h.vrrp = 'MASTER'
    }
    for (const [i, h] of all.entries()) {
      if (h.alive) h.vipSinceMs = h.vrrp === 'MASTER' ? (h.vipSinceMs ?? nowMs) : null
      // What a dead keepalived held stays on the interface.
      else if (h.vipSinceMs !== null) Object.assign(h, { vipSinceMs: null, strayFromMs: nowMs })
      // What it had been given by hand before goes with what it gives up.
      if (before[i] === 'MASTER' && h.vrrp !== 'MASTER' && h.alive) h.strayFromMs = null
      if (before[i] !== h.vrrp) moved.push(h.host)
    }
    return moved
  }

  function nextMs(): number {
    let nextMs = Number.POSITIVE_INFINITY
    for (const h of all) if (h.vrrp === 'BACKUP' && !h.hearing && !h.frozen && h.alive) nextMs = Math.min(nextMs, h.heardMs + downMs(h))
    return nextMs
  }
  return { hosts, step, nextMs }
}
