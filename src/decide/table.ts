/**
 * What to do: phase × diagnosis → response, total by type: a missing cell does not compile. Each cell says why; that
 * text is what `explain` and the event log print. The responses themselves are in responses.ts.
 */
import type { Cell, Diagnosis, ResponseName } from '../model/decision.ts'
import type { Phase } from '../model/state.ts'

type Row = Record<Diagnosis, Cell>

function cell(response: ResponseName, why: string): Cell {
  return { response, why }
}

const cannotBe = cell('hold', 'this phase does not hold an epoch, so nothing is touched')
const startIt = cell('start-redis', 'a replica that is down protects nobody; it starts as a replica of nobody (INV-2)')
const unclear = cell('hold', 'unknown never permits a promotion; what runs goes on running')
const stepDown = cell('step-down', 'a newer epoch is served elsewhere: refuse writes here before anything else')
/** Of a phase that serves: a newer epoch ends it, whether or not its holder can be heard from here, and whatever redis does (INV-3). */
const outvotedBusy = cell('step-down', 'a newer epoch exists: who goes on as its primary would take the address back as soon as redis answers')
const outvoted = {
  'holder-serves-redis-down': outvotedBusy,
  'holder-serves-redis-busy': outvotedBusy,
  'holder-gone-redis-down': outvotedBusy,
  'holder-gone-redis-busy': outvotedBusy,
  'holder-unclear-redis-down': outvotedBusy,
  'holder-gone': cell('step-down', 'a newer epoch exists: this one is over, also where its holder cannot be heard from here'),
  'holder-unclear': cell('step-down', 'a newer epoch exists: this one is over, also where its holder cannot be heard from here'),
} as const
const busyReplica = cell('hold', 'a busy replica is left alone: killing one in the middle of a sync would make it sync for ever')

/** What every phase that does not serve answers alike. */
const bystander: Row = {
  'i-serve': cannotBe,
  'i-am-demoted': cannotBe,
  'i-am-replaced': cannotBe,
  'i-load': cannotBe,
  'i-am-slow': cannotBe,
  'i-hang': cannotBe,
  'i-crashed': cannotBe,
  'nobody-holds': cannotBe,
  'nobody-holds-redis-down': cannotBe,
  'nobody-holds-redis-busy': cannotBe,
  'holder-serves': cell('follow', 'replicate from the primary, and be ready to replace it'),
  'holder-serves-and-i-am-primary': stepDown,
  'holder-serves-redis-down': startIt,
  'holder-serves-redis-busy': busyReplica,
  'holder-gone': cell('elect', 'the member with the most data takes over; all compute the same answer'),
  'holder-gone-redis-down': cell('start-redis', 'its data may be the best that is left; fenced, it can harm nobody while it is measured'),
  'holder-gone-redis-busy': cell('hold', 'data that is still being read cannot be compared, let alone promoted (INV-4)'),
  'holder-unclear': unclear,
  'holder-unclear-redis-down': startIt,
}

const receive = cell('receive', 'another redis serves the clients until the cut-over; this one follows it')

const neverHandsOver = {
  'nobody-holds': cannotBe,
  'nobody-holds-redis-down': cannotBe,
  'nobody-holds-redis-busy': cannotBe,
} as const

export const responseTable: Record<Phase, Row> = {
  fresh: {
    ...bystander,
    'nobody-holds': cell('bootstrap', 'the first primary is chosen once every member has been heard'),
    'nobody-holds-redis-down': startIt,
    'nobody-holds-redis-busy': cell('hold', 'wait until its data can be seen'),
    'holder-serves-and-i-am-primary': cell('follow', 'a member that joins a running group; its own data, if any, are protected by follow'),
  },
  replica: bystander,
  fenced: bystander,
  promoting: {
    ...bystander,
    ...outvoted,
    ...neverHandsOver,
    'i-serve': cell('finish-promotion', 'redis is primary: record its new replication id'),
    'i-am-demoted': cell('finish-promotion', 'the epoch is claimed and durable, the promotion is still to be done'),
    'i-am-replaced': cell('resign', 'not the process that was to be promoted'),
    'i-load': cell('resign', 'the process that was to be promoted is gone; this one is unmeasured'),
    'i-am-slow': cell('hold', 'wait for its answer'),
    'i-hang': cell('resign', 'it cannot be promoted; let another be'),
    'i-crashed': cell('resign', 'it died before it could serve'),
  },
  primary: {
    ...bystander,
    ...outvoted,
    ...neverHandsOver,
    'i-serve': cell('serve', 'the normal state'),
    'i-am-demoted': cell('resign', 'redis does not serve; the election finds the best data, which may still be here'),
    'i-am-replaced': cell('resign', 'its data are unmeasured and perhaps empty: nobody may resync from it (INV-1)'),
    'i-load': cell('resign', 'the process that served is gone; replicas have newer data than this disk'),
    'i-am-slow': cell('hold', 'a slow command is no failure; unresponsive_ms decides when it is one'),
    'i-hang': cell('end-hang', 'killed first, so that no late write is acknowledged, and only if somebody can take over'),
    'i-crashed': cell('resign', 'say so at once: give the address up, let the best replica take over'),
  },
  handing: {
    ...bystander,
    ...outvoted,
    ...neverHandsOver,
    'i-serve': cell('hand-over', 'the next step of the switchover, or its roll-back'),
    'i-am-demoted': cell('resign', 'it was demoted behind our back in the middle of a switchover'),
    'i-am-replaced': cell('resign', 'it crashed in the middle of a switchover'),
    'i-load': cell('resign', 'it crashed in the middle of a switchover'),
    'i-am-slow': cell('hand-over', 'over its deadline the switchover rolls back'),
    'i-hang': cell('end-hang', 'a hang ends the switchover and becomes a failover'),
    'i-crashed': cell('resign', 'it crashed in the middle of a switchover; the target is as good as ever'),
  },
  receiving: {
    ...bystander,
    ...outvoted,
    ...neverHandsOver,
    'i-serve': receive,
    'i-am-demoted': receive,
    'i-am-replaced': receive,
    'i-load': receive,
    'i-am-slow': receive,
    'i-hang': receive,
    'i-crashed': receive,
  },
  handed: {
    ...bystander,
    'holder-unclear': cell('await-successor', 'the epoch is given away; take it back only when the target is known not to have it'),
  },
}

export function respondTo(phase: Phase, diagnosis: Diagnosis): Cell {
  return responseTable[phase][diagnosis]
}
