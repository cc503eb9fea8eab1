/** A relay that stands: it hears the agents, takes and lets go as they say, and tells who is there, until it is ended. */
import { setTimeout as delay } from 'node:timers/promises'
import { courseOf, isIpv4, learn, type Course, type Known } from '../migrate/relay.ts'
import { elementMs } from '../migrate/relay-rules.ts'
import type { GroupConfig } from '../model/config.ts'
import type { Move } from '../model/move.ts'
import type { Outcome } from '../model/outcome.ts'
import type { ListedClient, RelayWord } from '../model/relay.ts'
import type { Relay } from '../move/relay.ts'
import { ask, type Session } from './ask.ts'
import { relayTeller, type RelayNow } from './migrate-relay-draw.ts'

/** How connections come to the relay. Each may be asked twice. */
export interface Place {
  readonly words: string
  /** All that can be done before. */
  readonly ready: () => Promise<Outcome>
  readonly take: () => Promise<Outcome>
  readonly letGo: () => Promise<Outcome>
  /** What these send stays with the old redis. */
  readonly spare: (ips: readonly string[]) => Promise<Outcome>
  /** Nothing is left of it on this host. */
  readonly clear: () => Promise<Outcome>
}

export interface RelayRun {
  readonly session: Session
  readonly group: GroupConfig
  readonly move: Move
  /** Of the old redis, as seen before. */
  readonly followers: readonly string[]
  readonly relay: Relay
  readonly place: Place
  /** What went wrong since it was told last. */
  readonly complaints: string[]
  /** null: it ends when it is told to. */
  readonly drainedMs: number | null
  readonly json: boolean
}

const waitMs = 2000
const deadlineMs = 4000
const againMs = 250
const tickMs = 1000
/** CLIENT LIST of many is work for the primary. */
const many = 1000
const manyEvery = 5

export async function runRelay(run: RelayRun): Promise<void> {
  const { session, group, relay, place } = run
  const stop = new AbortController()
  const tell = relayTeller(run.json)
  let known: Known = { source: run.move.source, move: run.move, primary: null }
  let applied: Course | null = null
  let isUp = false
  let trouble: string | null = null
  let handsOnSinceMs: number | null = null
  let heardMs = performance.now()
  const members = group.members.map(({ host }) => session.config.hosts[host]?.ip ?? '')
  const spared = new Set<string>()
  const names = new Map<string, ListedClient>()
  let steering: Promise<void> = Promise.resolve()

  /** Each second anew, for it is tried again. */
  function complain(why: string): void {
    if (why !== trouble) tell.event(why)
    trouble = why
  }

  async function apply(course: Course): Promise<void> {
    const beganMs = performance.now()
    if (course.does === 'forward') {
      relay.aim(aimAt(run, course.to))
      if (isUp) return
      const taken = await place.take()
      isUp = taken.done
      handsOnSinceMs = performance.now()
      if (taken.done) tell.event(`new connections are taken here, within ${Math.ceil(performance.now() - beganMs)} ms`)
      else complain(`new connections cannot be taken: ${taken.why}`)
      return
    }
    // A promotion that was not done is begun again: nobody takes writes at this moment.
    if (isUp && course.does === 'make ready') return relay.aim('wait')
    if (isUp) {
      const gone = await place.letGo()
      isUp = !gone.done
      if (gone.done) tell.event('new connections are left alone again')
      else complain(`it cannot let go: ${gone.why}`)
    }
    relay.aim('none')
    handsOnSinceMs = null
    const laid = course.does === 'make ready' ? await place.ready() : await place.clear()
    if (!laid.done) complain(laid.why)
  }

  /** What is asked for meanwhile comes next, by what is known then. */
  function steer(): Promise<void> {
    steering = steering.then(async () => {
      const course = courseOf(known)
      const isNews = JSON.stringify(course) !== JSON.stringify(applied)
      if (!isNews && isUp === (course.does === 'forward')) return
      applied = course
      if (isNews) tell.event(courseWords(course))
      await apply(course)
    })
    return steering
  }

  /** A replica of the old redis that was led to the group would fetch its data from there. Once seen it is left alone for good: it may be away for a moment. */
  async function spareFollowers({ followers }: Pick<RelayWord, 'followers'>): Promise<void> {
    const strangers = followers.filter((ip) => isIpv4(ip) && !members.includes(ip) && !spared.has(ip))
    if (strangers.length === 0) return
    for (const ip of strangers) spared.add(ip)
    tell.event(`${strangers.join(', ')} follows the old redis: what it sends stays there`)
    const outcome = await place.spare(strangers)
    if (!outcome.done) complain(outcome.why)
  }

  async function follow(host: string): Promise<void> {
    let since = ''
    while (!stop.signal.aborted) {
      try {
        const path = `/groups/${group.name}/relay?wait=${waitMs}&since=${encodeURIComponent(since)}`
        const word = (await ask(session, host, { method: 'GET', path, deadlineMs })) as RelayWord
        since = word.key
        heardMs = performance.now()
        known = learn(known, word)
        await spareFollowers(word)
        void steer()
      } catch {
        // What is known stays; `now` says for how long nobody was heard.
        await delay(againMs, undefined, { signal: stop.signal }).catch(() => undefined)
      }
    }
  }

  async function nameThem(): Promise<void> {
    const from = relay.open().find(({ seenAs }) => seenAs !== null)?.seenAs
    if (from == null || known.primary === null) return
    const path = `/groups/${group.name}/clients?from=${from.slice(0, from.lastIndexOf(':'))}`
    const answer = (await ask(session, known.primary.host, { method: 'GET', path }).catch(() => ({}))) as { readonly clients?: readonly ListedClient[] }
    if (answer.clients === undefined) return
    names.clear()
    for (const client of answer.clients) names.set(client.address, client)
  }

  function now(): RelayNow {
    const nowMs = performance.now()
    const course = courseOf(known)
    const usedMs = Math.max(relay.lastUsedMs() ?? 0, handsOnSinceMs ?? 0)
    return {
      group: group.name,
      stage: known.move.stage,
      at: place.words,
      takes: isUp,
      to: course.does === 'forward' && course.to !== null ? { host: course.to, ip: session.config.hosts[course.to]?.ip ?? '' } : null,
      why: course.why,
      silentMs: nowMs - heardMs,
      nobodyMs: handsOnSinceMs === null || relay.open().length > 0 ? null : nowMs - usedMs,
      ...relay.counts(),
      connections: relay.open().map((one) => {
        const named = one.seenAs === null ? undefined : names.get(one.seenAs)
        return { ...one, sinceMs: nowMs - one.sinceMs, name: named?.name ?? '', command: named?.command ?? '' }
      }),
    }
  }

  const leave = (): void => stop.abort()
  process.once('SIGINT', leave)
  process.once('SIGTERM', leave)
  await spareFollowers(run)
  for (const { host } of group.members) void follow(host)
  let why = 'it was told to end'
  for (let tick = 0; !stop.signal.aborted; tick += 1) {
    await steer()
    if (relay.open().length > 0 && (relay.open().length < many || tick % manyEvery === 0)) await nameThem()
    for (const complaint of run.complaints.splice(0)) complain(complaint)
    const seen = now()
    tell.look(seen)
    if (run.drainedMs !== null && seen.nobodyMs !== null && seen.nobodyMs >= run.drainedMs) {
      why = `nobody has used it for ${Math.round(seen.nobodyMs / 1000)} s`
      break
    }
    await delay(tickMs, undefined, { signal: stop.signal }).catch(() => undefined)
  }
  stop.abort()
  await steering
  if (isUp) await place.letGo()
  relay.aim('none')
  relay.silence()
  const gone = await place.clear()
  tell.end(now(), `${why}: new connections are left alone again${gone.done ? '' : ` (within ${elementMs} ms: ${gone.why})`}`)
  // The agents that are being waited for would hold it up for seconds.
  process.exit(0)
}

function aimAt({ session, group }: RelayRun, host: string | null): Parameters<Relay['aim']>[0] {
  const member = group.members.find((m) => m.host === host)
  return member === undefined ? 'wait' : { host: session.config.hosts[member.host]?.ip ?? '', port: member.port }
}

function courseWords(course: Course): string {
  return course.does === 'forward' ? `${course.to === null ? 'connections wait' : `hands on to ${course.to}`}: ${course.why}` : `stands by: ${course.why}`
}
