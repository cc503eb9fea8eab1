/**
 * What is asked of the redis that is being moved to this group: to hold its writes, to step down, to serve again, to follow. It has no agent, so
 * the one of the group's holder does it over a connection. What is changed there is on disk here BEFORE it is changed, and put back.
 * Idempotent; decides nothing.
 */
import type { SourceAt, SourceOrder, SourceRecord } from '../model/move.ts'
import { done, failed, waiting, type Observed, type Outcome } from '../model/outcome.ts'
import type { RedisLink } from '../redis/link.ts'
import { readLimits, setLimits } from './min-replicas.ts'
import { command, killClients, replicaOf, type RedisHands } from './redis.ts'
import { guardSaves, impatientAgain, patientAsSource, raiseBuffer, raiseTimeout, unguardSaves } from './source-care.ts'

/** No redis has so many replicas. */
const unreachable = '99'
const servingPatienceMs = 20

export interface SourceHands {
  readonly source: SourceAccess
}

export interface SourceAccess {
  /** null: there is no connection. */
  readonly link: () => RedisLink | null
  readonly record: () => SourceRecord | null
  /** Durable when it returns. */
  readonly keep: (record: SourceRecord) => Promise<Outcome>
  /** Where the redis of this host finds it: its address, or this agent's way to it over TLS. */
  readonly entrance: () => Observed<SourceAt>
  /** The group's redis here serves clients, or is about to. */
  readonly serves: () => boolean
  /** Writes wait there until then by CLIENT PAUSE (monotonic); null: they do not. */
  readonly pausedForMs: (forMs: number | null) => void
  /** What was known of it is of before. */
  readonly changed: () => void
}

type Hands = Pick<RedisHands, 'password' | 'link'> & SourceHands

export async function followSource(hands: RedisHands & SourceHands, host: string, port: number): Promise<Outcome> {
  const record = hands.source.record()
  if (record === null || record.host !== host || record.port !== port)
    return failed(`how ${host}:${port} is entered is not known to this host: holdfast migrate start`)
  const raised = await raise(hands, record)
  if (!raised.done) return raised
  for (const prepare of [() => guardSaves(hands.source), () => patientAsSource(hands, hands.source)]) {
    const ready = await prepare()
    if (!ready.done) return ready
  }
  const auth = await command(hands, 'CONFIG', 'SET', 'masterauth', record.password ?? '')
  if (!auth.done) return auth
  const user = await command(hands, 'CONFIG', 'SET', 'masteruser', record.user ?? '')
  if (!user.done && record.user !== null) return user
  const at = hands.source.entrance()
  return at.ok ? replicaOf(hands, at.value.host, String(at.value.port)) : failed(`${host}:${port} cannot be followed: ${at.why}`)
}

export async function orderSource(hands: Hands, order: SourceOrder): Promise<Outcome> {
  const record = hands.source.record()
  if (record === null) return failed('nothing is known of the source on this host')
  const carry = () => carryOut(hands, hands.source.record() ?? record, order)
  const outcome = await (isBeside(order) ? beside(hands.source, carry) : begun(hands.source, order, carry))
  hands.source.changed()
  if (outcome.done) return done
  // An alarm says which of the two redises it means.
  return { ...outcome, why: `${record.host}:${record.port}: ${outcome.why}` }
}

/** Asked for again for as long as it is not so (`held`), and once more when the address has moved. */
function isBeside({ do: what }: SourceOrder): boolean {
  return what === 'release' || what === 'kill-clients'
}

/** Nothing depends on its end. Once this redis serves, it is on its way before the address comes here, and the clients that wait for that do not wait for it. */
async function beside(source: SourceAccess, carry: () => Promise<Outcome>): Promise<Outcome> {
  if (source.serves()) start(ordersTo(source), carry)
  else await carry()
  return done
}

interface Begun {
  readonly ending: Promise<Outcome>
  outcome: Outcome | null
  endedMs: number
}

interface Orders {
  readonly begun: Map<string, Begun>
  /** The end of what was begun last. */
  last: Promise<unknown>
}

const underWay = new WeakMap<SourceAccess, Orders>()
/** The end of an order is of use to whoever asks for the same again at once, as the loop does. */
const keptMs = 1000

/**
 * A primary has a lease to look after: it waits for nobody. What it began goes on, and who asks for the same again is told of its end. One after the other:
 * each writes what is known of the source anew.
 */
async function begun(source: SourceAccess, order: SourceOrder, carry: () => Promise<Outcome>): Promise<Outcome> {
  if (!source.serves()) return carry()
  const orders = ordersTo(source)
  const key = JSON.stringify(order)
  const before = orders.begun.get(key)
  if (before?.outcome != null) orders.begun.delete(key)
  if (before?.outcome != null && performance.now() - before.endedMs < keptMs) return before.outcome
  const now = before?.outcome === null ? before : start(orders, carry)
  orders.begun.set(key, now)
  const outcome = await within(now.ending, servingPatienceMs)
  if (outcome === null) return waiting('it is being asked')
  orders.begun.delete(key)
  return outcome
}

function ordersTo(source: SourceAccess): Orders {
  const orders = underWay.get(source) ?? { begun: new Map<string, Begun>(), last: Promise.resolve() }
  underWay.set(source, orders)
  return orders
}

function start(orders: Orders, carry: () => Promise<Outcome>): Begun {
  const ending = orders.last.then(carry).catch((error: Error): Outcome => failed(error.message))
  const now: Begun = { ending, outcome: null, endedMs: 0 }
  orders.last = ending.then((outcome) => Object.assign(now, { outcome, endedMs: performance.now() }))
  return now
}

/** null: not by then. */
async function within(ending: Promise<Outcome>, patienceMs: number): Promise<Outcome | null> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(resolve, patienceMs, null)
  })
  try {
    return await Promise.race([ending, late])
  } finally {
    clearTimeout(timer)
  }
}

async function carryOut(hands: Hands, record: SourceRecord, order: SourceOrder): Promise<Outcome> {
  const { source } = hands
  const linked = { link: source.link }
  switch (order.do) {
    case 'hold':
      return hold(hands, record, order.forMs)
    case 'release':
      return release(hands, record)
    case 'demote': {
      // Where clients may write to replicas, a replica of nobody is no fence.
      const readOnly = await firstOf(linked, ['replica-read-only', 'slave-read-only'], 'yes')
      return readOnly.done ? lasting(linked, record, await replicaOf(linked, '127.0.0.1', '1')) : readOnly
    }
    case 'promote':
      return lasting(linked, record, await replicaOf(linked, 'NO', 'ONE'))
    case 'follow':
      return followGroup(hands, record, order.host, order.port)
    case 'kill-clients':
      return killClients(linked).then((killed) => (killed.ok ? done : failed(killed.why)))
    case 'raise-buffer':
      return raiseBuffer(source, record, order.bytes)
    case 'raise-timeout':
      return raiseTimeout(hands, source, record, order.seconds)
    case 'unguard':
      return unguardSaves(source)
    case 'settle':
      return settle(hands, record)
  }
}

/**
 * Its file says at once what it is, where it has one: killed in the next moment, its supervisor would have it back in its old role, accepting writes
 * beside the new primary, or refusing them when nobody else takes any. Not waited for: whoever looks at it by this connection is answered after it, and
 * nothing is done before that look.
 */
function lasting(linked: { readonly link: () => RedisLink | null }, { priority }: SourceRecord, outcome: Outcome): Outcome {
  if (outcome.done && priority !== undefined) void command(linked, 'CONFIG', 'SET', priority.name, priority.value)
  if (outcome.done) void command(linked, 'CONFIG', 'REWRITE')
  return outcome
}

/** From 6.2 on writes wait; before, they are refused by a limit that no number of replicas meets. */
async function hold(hands: Hands, record: SourceRecord, forMs: number): Promise<Outcome> {
  const { source } = hands
  const linked = { link: source.link }
  const pause = await command(linked, 'CLIENT', 'PAUSE', String(forMs), 'WRITE')
  if (pause.done) {
    source.pausedForMs(forMs)
    return done
  }
  if (!/syntax|wrong number|unknown/i.test(pause.why)) return pause
  let limits = record.hold
  if (limits === null) {
    const read = await readLimits(linked)
    if (read === null) return failed('it knows no CLIENT PAUSE … WRITE, and does not tell its min-replicas values: its writes cannot be held')
    limits = { names: read.names, toWrite: read.toWrite === unreachable ? '0' : read.toWrite, maxLag: read.maxLag }
    const kept = await source.keep({ ...record, hold: limits })
    if (!kept.done) return kept
  }
  // With a lag of 0 redis would not look at all.
  return setLimits(linked, limits.names, { toWrite: unreachable, maxLag: limits.maxLag === '0' ? '10' : limits.maxLag })
}

async function release(hands: Hands, record: SourceRecord): Promise<Outcome> {
  const { source } = hands
  const linked = { link: source.link }
  const resumed = await command(linked, 'CLIENT', 'UNPAUSE')
  if (!resumed.done && !/unknown|syntax|wrong number/i.test(resumed.why)) return resumed
  source.pausedForMs(null)
  if (record.hold === null) return done
  const open = await setLimits(linked, record.hold.names, record.hold)
  return open.done ? source.keep({ ...record, hold: null }) : open
}

async function followGroup(hands: Hands, { priority }: SourceRecord, host: string, port: number): Promise<Outcome> {
  const linked = { link: hands.source.link }
  // BEFORE their Sentinels can see it: a failover that one of them leads would take it for a member.
  const worth = priority === undefined ? done : await command(linked, 'CONFIG', 'SET', priority.name, '0')
  if (!worth.done) return worth
  const auth = await command(linked, 'CONFIG', 'SET', 'masterauth', hands.password ?? '')
  if (!auth.done) return auth
  await command(linked, 'CONFIG', 'SET', 'masteruser', '')
  return replicaOf(linked, host, String(port))
}

/** A source whose settings may not be changed is followed as it is; the plan has told what that risks. */
async function raise(hands: Hands, record: SourceRecord): Promise<Outcome> {
  if (record.raised || record.raises.length === 0) return done
  const kept = await hands.source.keep({ ...record, raised: true })
  if (!kept.done) return kept
  for (const { name, to } of record.raises) {
    const set = await command({ link: hands.source.link }, 'CONFIG', 'SET', name, to)
    if (!set.done && !/NOPERM|unknown|unsupported/i.test(set.why)) return set
  }
  return done
}

/** Put back also in its file. */
async function settle(hands: Hands, record: SourceRecord): Promise<Outcome> {
  const linked = { link: hands.source.link }
  // By whoever sees to the move now: who had raised them may be gone.
  for (const { name, from } of record.raises) {
    const set = await command(linked, 'CONFIG', 'SET', name, from)
    if (!set.done && !/NOPERM|unknown|unsupported/i.test(set.why)) return set
  }
  if (record.raised) {
    const kept = await hands.source.keep({ ...record, raised: false })
    if (!kept.done) return kept
  }
  const [guard, patience] = [await unguardSaves(hands.source), await impatientAgain(hands, hands.source)]
  if (!guard.done || !patience.done) return guard.done ? patience : guard
  await command(linked, 'CONFIG', 'REWRITE')
  return done
}

async function firstOf(linked: { readonly link: () => RedisLink | null }, names: readonly string[], value: string): Promise<Outcome> {
  let outcome: Outcome = failed('')
  for (const name of names) {
    outcome = await command(linked, 'CONFIG', 'SET', name, value)
    if (outcome.done) return outcome
  }
  return outcome
}
