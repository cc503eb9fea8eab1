/**
 * The Sentinels of one group as one agent has them: the eyes on all of them, and the one of this host, kept running and kept to the
 * configuration. `SENTINEL SET` is not propagated: each agent sees to its own. Whom it watches is sentinel-teach.ts. Elects nobody and tells nobody who serves (decide/, act/sentinel.ts).
 */
import type { Config, GroupConfig } from '../model/config.ts'
import type { Event } from '../model/action.ts'
import { localIp } from '../model/local-address.ts'
import { done, failed, type Outcome } from '../model/outcome.ts'
import { sentinelPace, sentinelUser, type SentinelProbe, type SentinelSettings, type Watched } from '../model/sentinel.ts'
import type { SentinelProcess } from '../act/sentinel-process.ts'
import { sentinelMemory, sentinelProcess } from '../act/sentinel-process.ts'
import type { SentinelPace } from '../observe/sentinel-pace.ts'
import { observeSentinels, type SentinelObserver } from '../observe/sentinels.ts'
import { openRedis, sentinelTarget, type RedisLink } from '../redis/link.ts'
import { passwordHash, sentinelUserPassword } from '../redis/sentinel-id.ts'
import { settingsOf, settingWords, type SentinelMemory } from '../render/sentinel-conf.ts'
import { monotonicMs } from './clock.ts'
import { passwordsOf } from './password-change.ts'
import { teachSentinel, watchedInWords } from './sentinel-teach.ts'

/** A look at /proc and at what was last heard: nothing is asked in calm times. */
const lookEveryMs = 1000
/** A look that is under way is over by then. */
const lookedMs = 3000
/** While it does not run. */
const againMs = 200
const askDeadlineMs = 1000
/** Its own file says as whom it comes to redis; it writes that anew at each change. And how long one of somebody else may go on at its own pace. */
const lookAtUserMs = 5000
/** The first start of all waits so long for a word of who serves: the Sentinel of a host that was replaced must not begin at epoch 0. */
const hearFirstMs = 500
const hearEveryMs = 50
/** Of a Sentinel that cannot be hastened: its second without a connection, and time to answer. */
const slowDownAfterMs = 2000
/** The same trouble is told again after this long, should it last. */
const complainAgainMs = 60_000

export interface SentinelsOptions {
  readonly config: Config
  readonly group: GroupConfig
  readonly host: string
  readonly secrets: readonly [string, ...string[]]
  readonly wake: () => void
  readonly pace: () => SentinelPace
  readonly watched: () => Watched
  readonly note: (kind: Event['kind'], text: string) => void
}

export interface GroupSentinels {
  readonly sense: SentinelObserver
  /** Hashes of the passwords with which Sentinels may come to redis: two while the agents' secret is changed. */
  readonly keys: readonly string[]
  /** The Sentinels' own. */
  readonly password: string | undefined
  /** To be called some twenty times a second. */
  readonly awake: () => void
  /** From now on the Sentinel of this host is looked after, if it has one. */
  readonly keep: () => void
  readonly renewId: () => Promise<Outcome>
  /** Stops looking; the Sentinel runs on (INV-7). */
  readonly close: () => void
}

export async function openSentinels(options: SentinelsOptions): Promise<GroupSentinels> {
  const { config, group, host } = options
  const { hosts, port, downAfterMs } = settingsOf(group)
  const { current: password, other: otherPassword } = await passwordsOf(config.paths, group, 'sentinels')
  const userPassword = sentinelUserPassword(options.secrets[0], group.name)
  const ipOf = (name: string): string => config.hosts[name]?.ip ?? ''
  const sense = observeSentinels({
    group: group.name,
    self: host,
    targets: hosts.map((h) => ({ host: h, ip: ipOf(h), port, ...(password === undefined ? {} : { password }) })),
    members: group.members.map((m) => ({ host: m.host, ip: ipOf(m.host), port: m.port })),
    downAfterMs,
    clock: monotonicMs,
    pace: options.pace,
    wake: () => {
      options.wake()
      keeper?.heard()
    },
  })
  let keeper: SentinelKeeper | null = null
  return {
    sense,
    keys: options.secrets.map((secret) => passwordHash(sentinelUserPassword(secret, group.name))),
    password,
    awake: () => {
      sense.awake()
      keeper?.awake()
    },
    keep: () => {
      if (hosts.includes(host)) keeper ??= keepSentinel({ ...options, password, otherPassword, userPassword, probe: sense.probe })
    },
    renewId: () => keeper?.renewId() ?? Promise.resolve(failed(`no Sentinel of ${group.name} is looked after on ${host}`)),
    close: () => {
      keeper?.close()
      sense.close()
    },
  }
}

export interface KeeperOptions extends Omit<SentinelsOptions, 'secrets' | 'wake' | 'pace'> {
  readonly password: string | undefined
  /** Valid beside it, while it is changed. */
  readonly otherPassword?: string | undefined
  readonly userPassword: string
  readonly probe: () => readonly SentinelProbe[]
}

export interface SentinelKeeper {
  /** There is news of a Sentinel. */
  readonly heard: () => void
  /** Whom it is to watch may have changed: after a move the lease that the new primary begins with is over in less than a second. */
  readonly awake: () => void
  readonly renewId: () => Promise<Outcome>
  readonly close: () => void
}

export function keepSentinel(options: KeeperOptions): SentinelKeeper {
  const { config, group, host, password, otherPassword, userPassword, note } = options
  const wanted = settingsOf(group)
  const isOurs = wanted.process === 'direct'
  const target = sentinelTarget({ host: localIp(config, host), port: wanted.port }, password)
  const told = new Map<string, number>()
  let closed = false
  let looking = false
  let again = false
  let watched = watchedInWords(options.watched())
  /** It was stopped on purpose, and its file is being changed: nobody else may start it. */
  let renewing = false
  let timer: NodeJS.Timeout | null = null
  let changedAtMs = Number.NEGATIVE_INFINITY
  let running: number | null = null
  let hastened: number | null = null
  let hastenedMs = Number.NEGATIVE_INFINITY
  let userSeenMs = Number.NEGATIVE_INFINITY
  const openedMs = monotonicMs()
  const process: SentinelProcess | null = isOurs
    ? sentinelProcess({
        config,
        group,
        host,
        password,
        otherPassword,
        userPassword,
        target,
        watched: options.watched,
        note: (text) => note('alarm', text),
        exited: ended,
      })
    : null

  const teacher = teachSentinel({ config, group, host, target, userPassword, isOurs, watched: options.watched, note, complain, change })

  function ended(): void {
    if (closed || renewing) return
    note('alarm', `the Sentinel of ${host} has ended; it is started again`)
    lookIn(0)
  }

  function lookIn(ms: number): void {
    if (timer !== null) clearTimeout(timer)
    if (!closed) timer = setTimeout(() => void look(), ms)
  }

  async function look(): Promise<void> {
    if (looking || renewing) return
    looking = true
    let nextMs = lookEveryMs
    try {
      const mayHear = monotonicMs() - openedMs < hearFirstMs && options.watched() === null && process?.isNew() === true
      if (mayHear) nextMs = hearEveryMs
      else if (!(await isKept())) nextMs = againMs
    } catch (error) {
      complain(`the Sentinel of ${host} cannot be looked after: ${(error as Error).message}`, 'alarm')
    }
    looking = false
    lookIn(again ? 0 : nextMs)
    again = false
  }

  async function renewId(): Promise<Outcome> {
    if (process === null) return failed(`the Sentinel of ${host} is external: its file is not ours to change`)
    if (renewing) return failed(`the Sentinel of ${host} is being given an id already`)
    renewing = true
    const endMs = monotonicMs() + lookedMs
    while (looking && monotonicMs() < endMs) await new Promise((resolve) => setTimeout(resolve, hearEveryMs))
    try {
      if (looking) return failed(`the Sentinel of ${host} cannot be looked after: see the log of its agent`)
      const renewed = await process.renewId()
      if (renewed.done) note('started', `the Sentinel of ${host} was given another id: another Sentinel had the same`)
      return renewed
    } finally {
      renewing = false
      lookIn(0)
    }
  }

  async function isKept(): Promise<boolean> {
    const ensured = process === null ? done : await process.ensure()
    if (closed) return true
    if (!ensured.done) {
      complain(ensured.why, ensured.waiting === true ? 'waiting' : 'alarm')
      return false
    }
    await keepEqual()
    return true
  }

  async function keepEqual(): Promise<void> {
    const pid = process?.pid() ?? null
    if (pid !== null && pid !== running) {
      running = pid
      note('started', `the Sentinel of ${host} runs (pid ${pid}, port ${wanted.port})`)
      userSeenMs = Number.NEGATIVE_INFINITY
    }
    // Somebody may have had it forget the group and watch it again: as nobody in particular it would be above the valve.
    if (pid !== null && monotonicMs() - userSeenMs >= lookAtUserMs) {
      userSeenMs = monotonicMs()
      const memory = sentinelMemory({ config, group })
      if (memory?.watches === true && !comesAsWanted(memory))
        await change('comes to redis as its user again', [], ['auth-user', sentinelUser, 'auth-pass', userPassword])
      if (memory !== null && password !== undefined && memory.password !== password) await comeWith(password)
    }
    const probe = options.probe().find((p) => p.host === host)
    if (probe === undefined) return
    // That somebody else has started his anew does not show here.
    const isSlow = isOurs ? pid !== null && hastened !== pid : monotonicMs() - hastenedMs >= lookAtUserMs
    if (isSlow && probe.reach === 'answers') await hasten(pid)
    // What was asked before the last change says nothing about it.
    const isNews = monotonicMs() - probe.ageMs > changedAtMs
    if (probe.reach === 'forgot') await teacher.teach()
    else if (probe.reach === 'answers' && options.watched() === 'nobody') await teacher.unteach()
    else if (probe.reach === 'answers' && (await teacher.listsFormer())) await teacher.teachAnew()
    else if (probe.reach === 'answers' && probe.facts !== null && isNews) await settle(probe.facts.settings)
  }

  /** It was given none before. Who asks for none takes it all the same. */
  async function comeWith(password: string): Promise<void> {
    const opened = await openRedis(target, askDeadlineMs, () => {})
    if (!opened.ok) return complain(`the Sentinel of ${host} cannot be given a password: ${opened.why}`, 'alarm')
    const answer = await opened.value.call(['SENTINEL', 'CONFIG', 'SET', 'sentinel-pass', password], askDeadlineMs)
    opened.value.close()
    if (answer.ok) note('started', `the Sentinel of ${host} comes to the others with the password`)
    else complain(`the Sentinel of ${host} cannot be given a password: ${answer.why}`, 'alarm')
  }

  /** The agents' secret may have changed since the Sentinel was first started. */
  function comesAsWanted({ user, userPassword: found }: SentinelMemory): boolean {
    return user === sentinelUser && found === userPassword
  }

  /**
   * In its own time a Sentinel looks once a second at what it has lost and once in ten at what it has: told of a new primary right after
   * the crash of the old one, it would not connect to it for a second, and find it down for that, or be no Sentinel by which that one may serve. From redis 7.0
   * on; no file says so, and it forgets it when it ends.
   */
  async function hasten(pid: number | null): Promise<void> {
    const opened = await openRedis(target, askDeadlineMs, () => {})
    if (!opened.ok) return
    const answer = await opened.value.call(
      ['SENTINEL', 'DEBUG', 'PING-PERIOD', String(sentinelPace.pingMs), 'INFO-PERIOD', String(sentinelPace.infoMs)],
      askDeadlineMs,
    )
    opened.value.close()
    // A connection that broke is no answer.
    if (answer.ok || /^ERR|unknown/i.test(answer.why)) {
      hastened = pid
      hastenedMs = answer.ok ? monotonicMs() : Number.POSITIVE_INFINITY
    }
    if (!answer.ok && wanted.downAfterMs < slowDownAfterMs) {
      const why = `the Sentinel of ${host} is older than redis 7.0 and connects to a new primary only a second after the old one crashed`
      complain(`${why}: with down_after_ms ${wanted.downAfterMs} it may find it down for that; ${slowDownAfterMs} or more is safe`, 'alarm')
    }
  }

  async function settle(found: SentinelSettings): Promise<void> {
    const differs = differences(found, wanted)
    if (differs.length === 0) return
    const words = differs.map(([name, value, before]) => `${name} ${value} (was ${before})`).join(', ')
    if (!isOurs) complain(`the Sentinel of ${host} is not as configured: it should have ${words}; it is external, and left as it is`, 'alarm')
    else
      await change(
        `is set as configured: ${words}`,
        [],
        differs.flatMap((one) => one.slice(0, 2)),
      )
  }

  /** `before`: more subcommands, first. */
  async function change(what: string, before: readonly (readonly string[])[], set: readonly string[]): Promise<void> {
    const opened = await openRedis(target, askDeadlineMs, () => {})
    if (!opened.ok) return complain(`the Sentinel of ${host} cannot be set as configured: ${opened.why}`, 'alarm')
    const link: RedisLink = opened.value
    try {
      // In one go: between the two it would come to redis as nobody in particular, and what sets that right takes its connections away again.
      const orders = [...before, ['SET', group.name, ...set]]
      const answers = await Promise.all(orders.map((words) => link.call(['SENTINEL', ...words], askDeadlineMs)))
      changedAtMs = monotonicMs()
      for (const answer of answers) if (!answer.ok) return complain(`the Sentinel of ${host} cannot be set as configured: ${answer.why}`, 'alarm')
      note('started', `the Sentinel of ${host} ${what}`)
    } finally {
      link.close()
    }
  }

  function complain(why: string, kind: 'alarm' | 'waiting'): void {
    const nowMs = monotonicMs()
    if (nowMs - (told.get(why) ?? Number.NEGATIVE_INFINITY) < complainAgainMs) return
    if (told.size > 16) told.clear()
    told.set(why, nowMs)
    note(kind, why)
  }

  /** Without a majority of Sentinels that watch it, a primary refuses writes: the next look would be late. */
  function heard(): void {
    const own = options.probe().find((p) => p.host === host)
    if (own?.reach === 'forgot' && !looking && options.watched() !== 'nobody') lookIn(0)
  }

  function awake(): void {
    const now = watchedInWords(options.watched())
    if (now === watched) return
    watched = now
    if (looking) again = true
    else lookIn(0)
  }

  lookIn(0)
  return {
    heard,
    awake,
    renewId,
    close: () => {
      closed = true
      if (timer !== null) clearTimeout(timer)
    },
  }
}

/** By the words of SENTINEL SET: what it should be, and what it is. */
function differences(found: SentinelSettings, wanted: SentinelSettings): readonly (readonly [name: string, value: string, before: string])[] {
  const all = (settings: SentinelSettings) => [['quorum', String(settings.quorum)] as const, ...settingWords(settings)]
  const before = new Map(all(found))
  return all(wanted).flatMap(([name, value]) => (before.get(name) === value ? [] : [[name, value, before.get(name) ?? '?'] as const]))
}
