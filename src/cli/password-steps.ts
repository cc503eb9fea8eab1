/** One step of a change of password at all hosts, one after the other: each agent starts anew after its step. What a host does is agent/password-change.ts. */
import type { GroupConfig } from '../model/config.ts'
import { OperatorError } from '../model/error.ts'
import type { PasswordAnswer, PasswordStep, PasswordWord } from '../model/password.ts'
import type { Known, SentinelLook, SentinelPicture } from '../model/sentinel-look.ts'
import { ask, askAll, statusOf } from './ask.ts'
import { lookAll, lookAt, needsOffer, needsUse, type Change } from './password-look.ts'

const settleWithinMs = 20_000
/** A Sentinel that was started just now is connected to again within a second or two. */
const connectedWithinMs = 5000
/** Longer than an agent waits before it starts anew. */
const lookAgainMs = 200
const stepDeadlineMs = 10_000
/** A Sentinel of somebody else is listened for. */
const picturesDeadlineMs = 10_000

export async function carryOut(change: Change, step: PasswordStep): Promise<void> {
  const { session, hosts, path, password, without, say } = change
  const done: string[] = []
  const seen = await lookAll(change)
  const silent = seen.filter(({ word }) => word === null).map(({ host }) => host)
  for (const host of hosts) {
    const word = seen.find((s) => s.host === host)?.word ?? null
    if (isThereAlready(change, step, word) || (word === null && without.includes(host))) continue
    const stop = (why: string): OperatorError =>
      new OperatorError(
        'HF803',
        `${step}: ${host}: ${why}; done: ${done.join(', ') || 'none'}`,
        'what served serves on; mend this, then run the same command again: it does what is left',
      )
    try {
      const answer = (await ask(session, host, {
        method: 'POST',
        path,
        body: { step, password },
        deadlineMs: stepDeadlineMs,
      })) as PasswordAnswer
      if (!answer.ok) throw stop(answer.why)
      const why = await untilSettled({ ...change, silent: silent.filter((one) => one !== host) }, host, step)
      if (why !== null) throw stop(why)
      done.push(host)
    } catch (error) {
      if (!(error instanceof OperatorError) || error.code === 'HF803') throw error
      if (!without.includes(host)) throw stop(error.message)
    }
  }
  say(`${step}: ${done.join(', ')}`)
}

function isThereAlready({ id }: Change, step: PasswordStep, word: PasswordWord | null): boolean {
  if (word === null) return false
  if (step === 'finish') return word.stage === 'none' && !word.isOpen
  return step === 'offer' ? !needsOffer(word, id) : !needsUse(word, id)
}

interface Silent {
  /** They did not answer when this step began. */
  readonly silent: readonly string[]
}

/** null: the agent runs anew, what it guards takes what it should, and all is well in the group. */
async function untilSettled(change: Change & Silent, host: string, step: PasswordStep): Promise<string | null> {
  const deadlineMs = performance.now() + settleWithinMs
  let why: string | null = 'no answer'
  while (performance.now() < deadlineMs) {
    // Also the answer of the agent that is about to start anew would do: what it says comes from the disk and from who is guarded.
    await new Promise((resolve) => setTimeout(resolve, lookAgainMs))
    why = (await notThere(change, host, step)) ?? (await unwell(change, step))
    if (why === null) return null
  }
  return `not within ${settleWithinMs / 1000} s: ${why}`
}

async function notThere(change: Change, host: string, step: PasswordStep): Promise<string | null> {
  const { id, guarded, guard } = change
  const { word, why } = await lookAt(change, host)
  if (word === null) return why
  const isThere = step === 'offer' ? word.current === id || word.other === id : word.current === id && (step === 'use' || word.stage === 'none')
  if (!isThere) return `it is at ${word.stage}`
  if (step === 'finish' && word.isOpen) return `${guard} there lets in anybody`
  if (step !== 'offer' && word.comes === false) return `${guard} there does not come with it yet`
  const takes = !guarded.includes(host) || (word.takesCurrent === true && word.takesOther !== false)
  return takes ? null : `${guard} there does not take what it should yet`
}

/** The next host loses nobody's connection before those of the last one are back. null: well. */
async function unwell(change: Change & Silent, step: PasswordStep): Promise<string | null> {
  const { session, groups, talk, without, silent } = change
  for (const group of groups) {
    const [status] = await statusOf(session, group.name, silent)
    const broken = status?.members.find((m) => m.role === 'none' && !without.includes(m.host))
    if (broken !== undefined) return `${broken.host}: ${broken.state}`
    if (status?.primary == null) return `${group.name} has no primary`
    // One that was away hears nobody before it comes with the new one.
    const why = talk === 'Sentinels' && step !== 'offer' ? await unheardSentinel(change, group, status.primary) : null
    if (why !== null) return why
  }
  return talk === 'agents' ? unheardAgent(change) : null
}

/** Every Sentinel that is there answers the agent of the primary, and hears every other. */
async function unheardSentinel({ session, without }: Change, group: GroupConfig, asker: string): Promise<string | null> {
  const call = { method: 'GET', path: `/groups/${group.name}/sentinels`, deadlineMs: picturesDeadlineMs } as const
  const picture = (await ask(session, asker, call)) as SentinelPicture
  const there = picture.sentinels.filter((s) => !without.includes(s.host))
  const deaf = there.find((s) => !s.answers)
  if (deaf !== undefined) return `the Sentinel of ${deaf.host} does not answer the agent of ${asker}: ${deaf.trouble ?? ''}`
  for (const sentinel of there) {
    const missing = there.find((other) => other !== sentinel && !hears(sentinel, other))
    if (missing !== undefined) return `the Sentinel of ${sentinel.host} does not hear the one of ${missing.host}`
  }
  return null
}

/** null: every Sentinel hears every other, now or soon. */
export async function untilHeard(change: Change, group: GroupConfig, asker: string): Promise<string | null> {
  const deadlineMs = performance.now() + connectedWithinMs
  for (;;) {
    const why = await unheardSentinel(change, group, asker)
    if (why === null || performance.now() > deadlineMs) return why
    await new Promise((resolve) => setTimeout(resolve, lookAgainMs))
  }
}

/** Every agent that is there hears every other of its groups. */
async function unheardAgent({ session, hosts, without }: Change): Promise<string | null> {
  const there = hosts.filter((host) => !without.includes(host))
  for (const { host, ok, why, groups } of await askAll(session, there)) {
    if (!ok) return `${host}: ${why}`
    if (groups.some((g) => g.view === null)) return `the agent of ${host} has not looked at its groups yet`
    const missing = groups.flatMap((g) => g.view?.peers ?? []).find((p) => there.includes(p.host) && p.agent !== 'alive')
    if (missing !== undefined) return `the agent of ${host} does not hear the one of ${missing.host}`
  }
  return null
}

const notHeard = ['s_down', 'o_down', 'disconnected']

function hears(sentinel: SentinelLook, other: SentinelLook): boolean {
  const known: Known | undefined = sentinel.others.find((o) => o.id === other.id)
  return known !== undefined && !known.flags.some((flag) => notHeard.includes(flag))
}
