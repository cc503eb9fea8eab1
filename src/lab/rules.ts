/**
 * PURE. The nftables text of a lab's faults. The table lives in the BRIDGE's namespace: a cut host keeps its interface up and
 * its own nftables untouched, and simply hears nothing any more, as with a broken switch. The rules keep no state, so flows
 * that were open are cut too. The kernel's sets are the only record of faults: two commands at once cannot overwrite
 * each other. Applied by net.ts.
 */

export const faultTable = 'bridge holdfast_lab'

export interface Faults {
  /** Ports with all traffic dropped, both ways. */
  readonly cut: readonly string[]
  /** [from, to]: what `from` sends does not reach `to`. */
  readonly pairs: readonly (readonly [from: string, to: string])[]
  readonly lossyPercent: Readonly<Record<string, number>>
}

/** The empty table, made once when the lab is raised. */
export function baseRules(ports: readonly string[]): string {
  const chains = ports.map((port) => `  chain ${lossChain(port)} {\n  }\n`).join('')
  const jumps = ports
    .flatMap((port) => [`iifname "${port}" jump ${lossChain(port)}`, `oifname "${port}" jump ${lossChain(port)}`])
    .map((line) => `    ${line}\n`)
    .join('')
  // `prerouting` comes before the bridge learns addresses, so a cut host cannot steal a MAC it no longer should have.
  // `output` is for the bridge's own addresses (check_ips), which are not forwarded.
  return `table ${faultTable} {
  set cut {
    typeof iifname
  }
  set pairs {
    typeof iifname . oifname
  }
${chains}  chain arriving {
    type filter hook prerouting priority -300; policy accept;
    iifname @cut drop
  }
  chain leaving {
    type filter hook output priority 0; policy accept;
    oifname @cut drop
  }
  chain crossing {
    type filter hook forward priority 0; policy accept;
    oifname @cut drop
    iifname . oifname @pairs drop
${jumps}  }
}
`
}

export function cutRules(port: string): string {
  return `add element ${faultTable} cut { "${port}" }\n`
}

export function isolateRules(from: string, to: string, oneWay: boolean): string {
  const there = `add element ${faultTable} pairs { "${from}" . "${to}" }\n`
  return oneWay ? there : `${there}add element ${faultTable} pairs { "${to}" . "${from}" }\n`
}

export function lossyRules(port: string, percent: number): string {
  const chain = `${faultTable} ${lossChain(port)}`
  // nft takes no `< 100` here: every number below 100 would match.
  return `flush chain ${chain}\nadd rule ${chain} numgen random mod 100 <= ${percent - 1} drop\n`
}

export function healAllRules(ports: readonly string[]): string {
  const chains = ports.map((port) => `flush chain ${faultTable} ${lossChain(port)}\n`)
  return `flush set ${faultTable} cut\nflush set ${faultTable} pairs\n${chains.join('')}`
}

export function healRules(port: string, others: readonly string[]): string {
  const pairs = others.flatMap((other) => [`"${port}" . "${other}"`, `"${other}" . "${port}"`])
  return [removal('cut', `"${port}"`), ...pairs.map((pair) => removal('pairs', pair)), `flush chain ${faultTable} ${lossChain(port)}\n`].join('')
}

/** nft refuses to delete what is absent; adding it first, in the same transaction, makes healing idempotent. */
function removal(set: string, element: string): string {
  return `add element ${faultTable} ${set} { ${element} }\ndelete element ${faultTable} ${set} { ${element} }\n`
}

function lossChain(port: string): string {
  return `loss_${port}`
}

/** Reads `nft -j list table …` back. Unknown parts are skipped: only what this file wrote is looked for. */
export function parseFaults(json: string): Faults {
  const parsed = JSON.parse(json) as { nftables?: readonly Record<string, NftItem>[] }
  const cut: string[] = []
  const pairs: [string, string][] = []
  const lossyPercent: Record<string, number> = {}
  for (const item of parsed.nftables ?? []) {
    for (const element of item['set']?.elem ?? []) {
      if (item['set']?.name === 'cut' && typeof element === 'string') cut.push(element)
      if (item['set']?.name === 'pairs' && typeof element !== 'string') pairs.push([...element.concat] as [string, string])
    }
    const chain = item['rule']?.chain ?? ''
    const right = item['rule']?.expr?.[0]?.match?.right
    if (chain.startsWith('loss_') && typeof right === 'number') lossyPercent[chain.slice('loss_'.length)] = right + 1
  }
  return { cut, pairs, lossyPercent }
}

interface NftItem {
  readonly name?: string
  readonly chain?: string
  readonly elem?: readonly (string | { readonly concat: readonly [string, string] })[]
  readonly expr?: readonly { readonly match?: { readonly right?: unknown } }[]
}
