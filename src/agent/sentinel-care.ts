/**
 * What an operator may ask of the Sentinels of a group through this agent: a full look, and one repair at a time. The repair is the operator's;
 * whether it may be made now is asked of the core at the moment at which it is made, of a look of this agent's own. No rule lives here.
 */
import { readPassword } from '../config/files.ts'
import type { Config, GroupConfig } from '../model/config.ts'
import type { Event } from '../model/action.ts'
import { isReceiving, isUnderWay, type Move } from '../model/move.ts'
import { failed, type Outcome } from '../model/outcome.ts'
import { layoutOf, type RepairAnswer, type SentinelLayout, type SentinelPicture, type SentinelRepair } from '../model/sentinel-look.ts'
import { forget, introduce, orderSentinel, reset, setAsConfigured, type Introduction, type Order } from '../act/sentinel-repair.ts'
import { watchOf } from '../decide/sentinel-hygiene.ts'
import { isCalledFor, mayRepair, notYet, repairWords } from '../decide/sentinel-repair.ts'
import { sentinelTarget } from '../redis/link.ts'
import { lookAtSentinels } from '../observe/sentinel-look.ts'
import type { GroupSnapshot } from './group.ts'
import type { GroupSentinels } from './sentinel.ts'

/** Others say hello within two seconds; INFO is asked for every ten by a Sentinel that cannot be hastened. */
const settledWithinMs = 20_000
const lookAgainMs = 500

export interface SentinelCare {
  readonly look: () => Promise<SentinelPicture>
  /** Repaired when the Sentinel is whole again. */
  readonly repair: (repair: SentinelRepair) => Promise<RepairAnswer>
}

export interface CareOptions {
  readonly config: Config
  readonly group: GroupConfig
  readonly host: string
  readonly sentinels: Pick<GroupSentinels, 'password' | 'renewId'>
  readonly snapshot: () => GroupSnapshot | null
  readonly note: (kind: Event['kind'], text: string) => void
}

/** null: the group has no Sentinels. */
export function careForSentinels(options: CareOptions): SentinelCare | null {
  const layout = layoutOf(options.config, options.group)
  return layout === null ? null : careWith(options, layout)
}

function careWith({ group, host, sentinels, snapshot, note }: CareOptions, layout: SentinelLayout): SentinelCare {
  let repairing = false

  async function look(): Promise<SentinelPicture> {
    // On a host that only runs a Sentinel the file with the password of redis may be missing.
    const password = await readPassword(group).catch(() => undefined)
    const picture = await lookAtSentinels({ layout, self: host, password, sentinelPassword: sentinels.password })
    return { ...picture, ...movingOf(snapshot()?.state.move ?? null) }
  }

  async function repairOne(repair: SentinelRepair): Promise<Omit<RepairAnswer, 'tookMs'>> {
    const picture = await look()
    if (!isCalledFor(layout, picture, repair)) return { result: 'not-needed', why: 'nothing calls for it any more' }
    const against = mayRepair(layout, picture, repair, troubleOf(snapshot()))
    if (against !== null) return { result: 'refused', why: against }
    note('repaired', `an operator repairs what the Sentinels know: ${repairWords(repair)}`)
    const outcome = await carryOut(repair, picture)
    if (!outcome.done) return { result: 'failed', why: outcome.why }
    const left = 'host' in repair ? await untilWhole(repair, picture) : null
    return left === null ? { result: 'repaired', why: '' } : { result: 'failed', why: left }
  }

  async function carryOut(repair: SentinelRepair, picture: SentinelPicture): Promise<Outcome> {
    if (repair.kind === 'forget') return orderSentinel({ host: repair.at.ip, port: repair.at.port, password: undefined }, forget(repair.group))
    if (repair.kind === 'renew-id')
      return repair.host === host ? sentinels.renewId() : failed(`only the agent of ${repair.host} can stop and start its Sentinel`)
    const at = layout.sentinels.find((s) => s.host === repair.host)
    if (at === undefined) return failed(`no Sentinel on ${repair.host}`)
    return orderSentinel(sentinelTarget({ host: at.ip, port: at.port }, sentinels.password), orderOf(repair, picture))
  }

  function orderOf(repair: Exclude<SentinelRepair, { readonly kind: 'forget' | 'renew-id' }>, picture: SentinelPicture): Order {
    switch (repair.kind) {
      case 'remove':
        return forget(repair.group)
      case 'set':
        return setAsConfigured(layout)
      case 'introduce':
        return introduce(group.name, introductionTo(picture, repair.host))
      case 'reset':
        return reset(group.name, introductionTo(picture, repair.host))
    }
  }

  function introductionTo(picture: SentinelPicture, to: string): Introduction {
    const own = picture.sentinels.find((s) => s.host === to)
    const watch = own === undefined ? null : watchOf(layout, own)
    const others = picture.sentinels.filter((s) => s.host !== to && s.answers && s.id !== null && s.id !== own?.id)
    return { primary: watch?.address ?? { ip: '', port: 0 }, configEpoch: watch?.configEpoch ?? 0, others: watch === null ? [] : others }
  }

  /** Returns what is missing still. */
  async function untilWhole(repair: SentinelRepair & { readonly host: string }, before: SentinelPicture): Promise<string | null> {
    const endMs = performance.now() + settledWithinMs
    const idOf = (picture: SentinelPicture): string | null => picture.sentinels.find((s) => s.host === repair.host)?.id ?? null
    let introduced = repair.kind !== 'renew-id'
    for (;;) {
      const picture = await look()
      const missing = notYet(layout, picture, repair.host)
      if (missing === null) return null
      if (performance.now() > endMs) return `not within ${settledWithinMs / 1000} s: ${missing}`
      // It has never heard of whoever had the same id.
      if (!introduced && idOf(picture) !== null && idOf(picture) !== idOf(before)) {
        introduced = true
        await carryOut({ kind: 'introduce', host: repair.host }, picture)
      }
      await new Promise((resolve) => setTimeout(resolve, lookAgainMs))
    }
  }

  return {
    look,
    repair: async (repair) => {
      const startedMs = performance.now()
      if (repairing) return { result: 'refused', why: `the agent of ${host} is repairing already`, tookMs: 0 }
      repairing = true
      try {
        return { ...(await repairOne(repair)), tookMs: Math.round(performance.now() - startedMs) }
      } finally {
        repairing = false
      }
    },
  }
}

function movingOf(move: Move | null): Pick<SentinelPicture, 'moving'> {
  const { host: ip, port } = move?.source ?? { host: '', port: 0 }
  return isUnderWay(move) || isReceiving(move) ? { moving: { source: { ip, port }, watched: !isReceiving(move) } } : {}
}

/** What the loop of this agent knows against any repair now; null: nothing. */
function troubleOf(snapshot: GroupSnapshot | null): string | null {
  if (snapshot?.view == null) return 'this agent knows nothing of the group yet'
  const { state, decision, view } = snapshot
  const words = view.peers.flatMap((p) => (p.agent === 'alive' && p.statement !== null ? [p.statement] : []))
  if (isReceiving(state.move)) return 'the group receives a redis that is moved to it: nobody is watched before the cut-over'
  if (state.handover !== null || words.some((w) => w.handover !== null)) return 'a switchover is under way'
  // A host without data has no loop that judges: it hears whether somebody serves.
  if (decision === null) return words.some((w) => w.phase === 'primary' && w.answering) ? null : 'this agent hears of no primary that serves'
  const calm = decision.diagnosis === 'i-serve' || decision.diagnosis === 'holder-serves'
  return calm ? null : `this agent is not calm: ${decision.because}`
}
