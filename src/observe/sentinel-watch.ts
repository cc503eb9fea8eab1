/**
 * One Sentinel of a group: keeps a connection for questions and one for its events, polls, and keeps the last answer. Facts come only
 * from polls; an event says no more than that it is worth asking. When else it is time to ask, sentinels.ts says. Whoever reads what is
 * known here never waits.
 */
import type { Observed } from '../model/outcome.ts'
import { openEvents, openRedis, type RedisLink, type RedisTarget } from '../redis/link.ts'
import type { SentinelLink } from '../redis/sentinel-link.ts'
import { isForgotten, troubleFrom, type Address, type VoteReply } from '../redis/sentinel-replies.ts'
import { settleMs } from './sentinel-pace.ts'
import { answerOf, questionsOf, type Answer, type Question } from './sentinel-poll.ts'
import { factsOf, substanceOf, type SentinelSeen } from './sentinel-seen.ts'
import { hearVote } from './sentinel-votes.ts'

const connectDeadlineMs = 500
/** After a connection has closed it is tried again soon (a restart takes some 20 ms), then at this pace. */
const [firstRetryMs, retryMs] = [20, 200]
/** A connection on which nothing was answered for so long may be dead on one side: another is opened. */
const giveUpMs = 2000
const tiltEveryMs = 2000
/** In calm times: an event says when it votes. */
const voteEveryMs = 2000
const eventPatterns = ['+*', '-*']

export interface SentinelWatch {
  readonly seen: () => SentinelSeen
  readonly link: () => SentinelLink
  /** It is time for the next question. */
  readonly ask: () => void
  /** It answers at once and says that all is as it was, and its events are heard. */
  readonly isCalm: (nowMs: number) => boolean
  readonly close: () => void
}

export interface WatchOrder {
  readonly group: string
  readonly host: string
  readonly target: RedisTarget
  readonly askerId: string
  readonly silentMs: number
  readonly lateMs: number
  readonly clock: () => number
  /** Something of substance is not what it was. */
  readonly changed: () => void
}

export function watchSentinel(order: WatchOrder): SentinelWatch {
  const { group, host, target, clock, silentMs, lateMs } = order
  let link: RedisLink | null = null
  let events: { readonly close: () => void } | null = null
  let opening = false
  let openingEvents = false
  let closed = false
  let retryInMs = firstRetryMs
  let timer: NodeJS.Timeout | undefined
  let asking: { readonly sentMs: number; readonly done: Promise<void> } | null = null
  /** Since the first question that is not answered yet. */
  let waiting: { readonly alarm: NodeJS.Timeout; readonly sinceMs: number; late: boolean } | null = null
  let queued: Promise<void> | null = null
  let detailed = false
  let tiltAskedMs = Number.NEGATIVE_INFINITY
  let voteAskedMs = Number.NEGATIVE_INFINITY
  /** An event was heard, or an answer that was not like all the others. */
  let stirredMs = Number.NEGATIVE_INFINITY
  let id = ''
  let idAsked = false
  /** Something was answered on this connection. */
  let proved = false
  let tilt = false

  let seen: SentinelSeen = { reach: 'silent', trouble: 'it has not answered yet', facts: null, sentMs: Number.NEGATIVE_INFINITY, vote: null }
  let names: Address | null = null
  let told = substanceOf(seen)

  /** Returns whether something of substance is new. */
  function saw(next: Partial<SentinelSeen>): boolean {
    seen = { ...seen, ...next }
    const substance = substanceOf(seen)
    if (substance === told) return false
    told = substance
    order.changed()
    return true
  }

  function expectAnswer(): void {
    if (waiting !== null) return
    const since = {
      late: false,
      sinceMs: clock(),
      alarm: setTimeout(() => {
        // After a stall of this process the answer may lie in the socket: it is read before this is called.
        setImmediate(() => {
          if (waiting !== since) return
          since.late = true
          saw({ reach: 'silent', trouble: `no answer within ${silentMs} ms` })
        })
      }, silentMs),
    }
    waiting = since
  }

  /** Returns whether the answer came in time. */
  function answered(): boolean {
    const inTime = waiting?.late !== true
    clearTimeout(waiting?.alarm)
    waiting = null
    return inTime
  }

  function ask(): void {
    if (link === null) return
    if (asking === null) void poll()
    else if (clock() - asking.sentMs > giveUpMs) drop()
  }

  function isCalm(nowMs: number): boolean {
    const isPrompt = waiting === null || nowMs - waiting.sinceMs < lateMs
    return isPrompt && events !== null && seen.reach === 'answers' && seen.facts?.tilt === false && nowMs - stirredMs >= settleMs
  }

  async function open(): Promise<void> {
    if (opening || closed || link !== null) return
    opening = true
    expectAnswer()
    const opened = await openRedis(target, connectDeadlineMs, lost)
    opening = false
    if (closed) {
      if (opened.ok) opened.value.close()
      return
    }
    if (!opened.ok) {
      refused(opened.why)
      retry()
      return
    }
    link = opened.value
    idAsked = false
    proved = false
    tiltAskedMs = Number.NEGATIVE_INFINITY
    voteAskedMs = Number.NEGATIVE_INFINITY
    void poll()
  }

  function refused(why: string): void {
    // Who was not reached has not answered: `expectAnswer` says when that is silence.
    if (isSilence(why)) return
    answered()
    if (why.includes('ECONNREFUSED')) saw({ reach: 'refused', trouble: 'nobody listens on its port' })
    else saw({ reach: 'trouble', trouble: troubleFrom(why, group, target.port) })
  }

  function lost(): void {
    link = null
    asking = null
    events?.close()
    events = null
    // One that is closed before it answers anything would be opened as fast as the other side can close it.
    if (proved) {
      retryInMs = firstRetryMs
      void open()
    } else retry()
  }

  function retry(): void {
    clearTimeout(timer)
    if (!closed) timer = setTimeout(() => void open(), retryInMs)
    retryInMs = Math.min(retryMs, retryInMs * 2)
  }

  function drop(): void {
    link?.close()
    lost()
  }

  async function listen(): Promise<void> {
    if (openingEvents || events !== null || link === null) return
    openingEvents = true
    const beside = link
    const opened = await openEvents(target, connectDeadlineMs, eventPatterns, heardEvent, () => {
      events = null
    })
    openingEvents = false
    if (!opened.ok) return
    if (closed || link !== beside) return opened.value.close()
    events = opened.value
    // What happened before it listened.
    void poll()
  }

  function heardEvent(channel: string): void {
    if (channel.endsWith('tilt')) tiltAskedMs = Number.NEGATIVE_INFINITY
    detailed = true
    stirredMs = clock()
    void poll()
  }

  /** One question at a time: what is asked for meanwhile is asked for behind it, once. Resolves when nothing is new any more. */
  function poll(): Promise<void> {
    if (asking !== null) {
      queued ??= asking.done.then(() => {
        queued = null
        return poll()
      })
      return queued
    }
    const current = link
    if (current === null) return Promise.resolve()
    const sentMs = clock()
    const short = isCalm(sentMs) && sentMs - voteAskedMs < voteEveryMs
    if (!short) voteAskedMs = sentMs
    const question = {
      about: short ? null : names,
      detailed: detailed || seen.facts?.failover != null,
      tilt: sentMs - tiltAskedMs >= tiltEveryMs,
      id: !idAsked || id === '',
    }
    detailed = false
    if (question.tilt) tiltAskedMs = sentMs
    expectAnswer()
    const done = current.callAll(questionsOf(question, group, order.askerId), Number.POSITIVE_INFINITY).then((replies) => {
      if (link !== current) return
      // The connection is ending. Left to its close event, whoever waits for this answer would ask again before that can come.
      if (!replies.ok) return drop()
      asking = null
      return take(question, short, replies.value, sentMs) ? undefined : poll()
    })
    asking = { sentMs, done }
    return done
  }

  /** Returns whether the next question has time: nothing is new, nothing is missing. */
  function take(question: Question, short: boolean, replies: readonly Observed<unknown>[], sentMs: number): boolean {
    const inTime = answered()
    proved = true
    const answer = answerOf(question, replies)
    if (!answer.ok) return !saw({ reach: isForgotten(answer.why) ? 'forgot' : 'trouble', trouble: troubleFrom(answer.why, group, target.port) })
    const { value } = answer
    if (!value.plain || value.pendingPingMs > lateMs) stirredMs = clock()
    idAsked ||= question.id
    id = value.id ?? id
    tilt = value.tilt ?? tilt
    names = value.address
    if (short) return inTime && isAsBefore(value, sentMs)
    const failing = value.failover && value.selected === undefined
    if (failing) detailed = true
    // Half of what belongs together would be told: facts without the vote, a new epoch with the old primary.
    if (failing || !value.voteTold) return false
    const facts = factsOf(value, id, tilt)
    // Another Sentinel at this address: what that one had voted is not this one's.
    const known = seen.facts === null || seen.facts.id === facts.id ? seen.vote : null
    const vote = value.vote === null ? known : hearVote(known, value.vote, clock())
    const isNew = saw({ facts, sentMs, vote, ...(inTime ? { reach: 'answers' as const, trouble: null } : {}) })
    void listen()
    return inTime && !isNew
  }

  /** Of the short question. If it says anything new, all is asked at once, and told together. */
  function isAsBefore(value: Answer, sentMs: number): boolean {
    const next = { ...seen, facts: factsOf(value, id, tilt), sentMs }
    const isSo = substanceOf(next) === told
    if (isSo) seen = next
    else voteAskedMs = Number.NEGATIVE_INFINITY
    return isSo
  }

  function heardVotes(replies: readonly VoteReply[]): void {
    let { vote } = seen
    for (const reply of replies) vote = hearVote(vote, reply, clock())
    saw({ vote })
  }

  void open()
  return {
    seen: () => seen,
    ask,
    isCalm,
    link: () => ({
      host,
      address: { ip: target.host, port: target.port },
      id: id === '' ? null : id,
      isOpen: link !== null,
      answers: seen.reach === 'answers',
      names,
      ask: (commands) => link?.callAll(commands, Number.POSITIVE_INFINITY) ?? Promise.resolve({ ok: false, why: 'no connection' }),
      heardVotes,
      poll,
    }),
    close: () => {
      closed = true
      clearTimeout(timer)
      answered()
      link?.close()
      link = null
      asking = null
      events?.close()
    },
  }
}

function isSilence(why: string): boolean {
  return /no answer within|ETIMEDOUT|EHOST|ENET|ECONNRESET|connection (is )?closed/i.test(why)
}
