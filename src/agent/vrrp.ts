/**
 * The one keepalived of this host, for all of its groups: the rules that go with an address, its start and restart, its words.
 * What it may announce is decided by the loops, through the track files; nothing here grants an address.
 */
import type { Config } from '../model/config.ts'
import { failed, type Outcome } from '../model/outcome.ts'
import { keepalivedFifo } from '../model/paths.ts'
import type { KeepalivedProbe } from '../model/view.ts'
import { ensureKeepalived, keepalivedPid, tellsItsEnd } from '../act/keepalived.ts'
import { installRules } from '../act/nftables.ts'
import { readFifo, type FifoReader } from '../observe/keepalived.ts'
import type { Log } from './log-files.ts'

/** A peer takes an address whose keepalived is gone after some 170 ms. */
const checkAdoptedMs = 100
/** One that was started by this agent tells its end by itself: looked at while something is to be done about it, and else only for certainty. */
const checkChildMs = 500
const checkCalmMs = 2000
/** Not later than a replica needs to stand for the address, and to miss three adverts. */
const checkFoundMs = 10
/** One that dies at once is not started more often than this; and one that was started as owner of an address goes on as any other after it. */
const againMs = 500

export interface VrrpOptions {
  readonly config: Config
  readonly host: string
  /** Groups whose address this host may hold. None: keepalived is not needed here, and nothing is started. */
  readonly groups: readonly string[]
  readonly word: (group: string, state: KeepalivedProbe['vrrp']) => void
  /** keepalived has come or gone. */
  readonly changed: () => void
  /** The group serves here, and its address was here just now: a keepalived that died has left it, or lost it, where it belongs. */
  readonly keeps: (group: string) => boolean
  /**
   * The group has not begun, and its address is on this host already: somebody else has put it there, and clients use it. A keepalived that is started
   * takes it off, and may not put it back before the group has begun: until every member was heard, however long that is.
   */
  readonly found: (group: string) => boolean
  /** keepalived had died, and was started again. */
  readonly restarted: () => void
  readonly log: Log
}

export interface Vrrp {
  readonly start: () => Promise<void>
  readonly runs: () => boolean
  readonly yields: (group: string) => boolean
  /** Lowers (or restores) the VRRP priority of one group, by a reload. */
  readonly yield: (group: string, yields: boolean) => Promise<Outcome>
  /** Stops watching; keepalived itself runs on (INV-7). */
  readonly close: () => void
}

export function openVrrp(options: VrrpOptions): Vrrp {
  const { config, host, log } = options
  const wanted = new Set<string>()
  /** What keepalived has been given. */
  let yielding: ReadonlySet<string> = new Set()
  let queue: Promise<unknown> = Promise.resolve()
  let alive = keepalivedPid(config.paths) !== null
  let starting = false
  let resumed = false
  let triedMs = Number.NEGATIVE_INFINITY
  let closed = false
  let fifo: FifoReader | null = null
  /** For a group whose address was found here to begin. */
  let waiting = false
  let timer: NodeJS.Timeout | null = null

  /** One at a time: two groups of one host lose their peer in the same moment, and share one file. */
  function apply(): Promise<Outcome> {
    const turn = queue.then(async () => {
      // It waited behind another: what was killed meanwhile is not this agent's to start any more.
      if (closed) return failed('this agent looks after keepalived no more')
      const asked = new Set(wanted)
      const resuming = keepalivedPid(config.paths) === null ? options.groups.filter((name) => !asked.has(name) && options.keeps(name)) : []
      const outcome = await ensureKeepalived(config, host, { yielding: asked, resuming: new Set(resuming) }, look)
      if (outcome.done) yielding = asked
      if (outcome.done) resumed = resuming.length > 0
      lookLater()
      return outcome
    })
    queue = turn
    return turn
  }

  async function start(): Promise<void> {
    if (options.groups.length === 0) return
    for (const name of options.groups) {
      const group = config.groups[name]
      const outcome = group === undefined ? null : await installRules(config, group, host)
      if (outcome?.done === false) log('error', `${name}: the stale-address rule is missing: ${outcome.why}`)
    }
    waiting = mustWait()
    if (waiting)
      log('info', `the address of ${options.groups.filter(options.found).join(', ')} is here already; keepalived is started when the group has begun`)
    else await begin()
    look()
  }

  /** Then the group serves here, and keepalived starts as owner of its address; or elsewhere, and it takes the address off. */
  function mustWait(): boolean {
    return keepalivedPid(config.paths) === null && options.groups.some(options.found)
  }

  async function begin(): Promise<void> {
    const outcome = await apply()
    if (!outcome.done) log('error', outcome.why)
    fifo = readFifo(
      keepalivedFifo(config.paths),
      (word) => {
        log('info', `${word.instance}: VRRP ${word.state}`)
        options.word(word.instance, word.state)
      },
      (why) => log('error', why),
    )
    alive = keepalivedPid(config.paths) !== null
    options.changed()
  }

  function lookLater(): void {
    if (timer !== null) clearTimeout(timer)
    const calm = alive && !resumed && !starting
    const inMs = waiting ? checkFoundMs : !tellsItsEnd() ? checkAdoptedMs : calm ? checkCalmMs : checkChildMs
    if (!closed) timer = setTimeout(look, inMs)
  }

  function look(): void {
    startAgain()
    lookLater()
  }

  /** keepalived is restarted when it dies. Its track files start at "no" (init_file), and the loops write them anew. */
  function startAgain(): void {
    if (starting || closed) return
    if (waiting) {
      waiting = mustWait()
      if (waiting) return
      starting = true
      void begin().then(() => {
        starting = false
        if (closed) fifo?.close()
      })
      return
    }
    const now = keepalivedPid(config.paths) !== null
    if (now !== alive) {
      if (!now) log('error', 'keepalived is gone; it is started again')
      alive = now
      options.changed()
    }
    const sinceTryMs = performance.now() - triedMs
    if ((now && !resumed) || sinceTryMs < againMs) return
    starting = true
    if (!now) triedMs = performance.now()
    void apply().then((outcome) => {
      starting = false
      if (closed) return
      if (!outcome.done) log('error', outcome.why)
      // Not again and again of one that does not stay up: the log has its own word.
      else if (!now && sinceTryMs > 1.5 * againMs) options.restarted()
    })
  }

  return {
    start,
    runs: () => alive,
    yields: (group) => yielding.has(group),
    yield: (group, yields) => {
      if (yields) wanted.add(group)
      else wanted.delete(group)
      return apply()
    },
    close: () => {
      closed = true
      if (timer !== null) clearTimeout(timer)
      fifo?.close()
    },
  }
}
