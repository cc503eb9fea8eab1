/** All that is said of a pair that was found: what is dangerous in it, the configuration that would look after it, and how it is taken over. PURE. */
import type { AdoptFinding } from './finding.ts'
import { redisFindings } from './findings-redis.ts'
import { vrrpFindings } from './findings-vrrp.ts'
import type { HostFound } from './found.ts'
import { pairOf, type Pair, type PairWish, type Refusal } from './pair.ts'
import { proposalOf, type ProposalWish } from './proposal.ts'
import { takeoverOf, type Takeover } from './steps.ts'

export interface Adoption {
  readonly pair: Pair
  /** What is to be mended first, then red, then the rest. */
  readonly findings: readonly AdoptFinding[]
  readonly stops: readonly AdoptFinding[]
  readonly yaml: string
  readonly takeover: Takeover
}

export function adoptionOf(found: readonly HostFound[], wish: PairWish & ProposalWish): { readonly ok: true; readonly adoption: Adoption } | Refusal {
  const judged = pairOf(found, wish)
  if (!judged.ok) return judged
  const { pair } = judged
  const weight = ({ stops, level }: AdoptFinding): number => (stops ? 0 : level === 'red' ? 1 : 2)
  const findings = [...redisFindings(pair), ...vrrpFindings(pair)].sort((one, two) => weight(one) - weight(two))
  return {
    ok: true,
    adoption: { pair, findings, stops: findings.filter(({ stops }) => stops), yaml: proposalOf(pair, wish), takeover: takeoverOf(pair, wish) },
  }
}
