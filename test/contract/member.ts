/** One member with its agent's own eyes and hands on its files, and a real redis: what happens between an end and the next start. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mendAof } from '../../src/act/mend-aof.ts'
import type { RedisHands } from '../../src/act/redis.ts'
import { setAside } from '../../src/act/set-aside.ts'
import { startRedis } from '../../src/act/start.ts'
import { openDiskSense, type DiskSense } from '../../src/agent/disk-sense.ts'
import { keptStore } from '../../src/agent/kept-store.ts'
import { decide } from '../../src/decide/decide.ts'
import { positionOf } from '../../src/decide/position.ts'
import { poll } from '../../src/lab/run.ts'
import type { GroupConfig } from '../../src/model/config.ts'
import type { KeptEntry } from '../../src/model/kept.ts'
import type { RedisFacts } from '../../src/model/view.ts'
import { factsFromInfo } from '../../src/redis/info.ts'
import { openRedis, type RedisLink } from '../../src/redis/link.ts'
import { entry, groupConfig, peer, policy, primaryFacts, probe, state, view, word } from '../unit/builders.ts'
import { freePort } from '../unit/wire.ts'

/** A member that was primary of epoch 1, with its agent's own eyes and hands, and no other part of it. */
export class Member {
  readonly root = mkdtempSync(join(tmpdir(), 'holdfast-files-'))
  readonly data = `${this.root}/state/sessions/data`
  readonly notes: string[] = []
  starts = 0
  readonly #hands: RedisHands
  readonly #disk: DiskSense
  #pid: number | null = null
  #link: RedisLink | null = null
  #lineage = [entry(1, 'b', 0)]

  private constructor(group: GroupConfig, redisServer: string) {
    const paths = { state: `${this.root}/state`, run: `${this.root}/run`, redisServer, redisSentinel: '', keepalived: '' }
    const [member] = group.members
    if (member === undefined) throw new Error('no member')
    this.#disk = openDiskSense(
      paths,
      group,
      undefined,
      () => null,
      (why) => this.notes.push(why),
    )
    this.#hands = {
      config: { file: '', api: { port: 0, secretFile: '' }, paths, hosts: { b: { name: 'b', ip: '127.0.0.1' } }, groups: { sessions: group } },
      ...{ group, member, password: undefined, userConf: undefined, link: () => this.#link, settingsChanged: () => {} },
      started: (pid) => {
        this.#pid = pid
        this.starts += 1
      },
      exited: (text, failures, words) => {
        this.notes.push(text)
        this.#pid = null
        this.#disk.exited(failures, words)
      },
      diskChanged: () => this.#disk.changed(),
      aofIsCut: () => this.#disk.aofIsCut(),
      note: (text) => this.notes.push(text),
    }
  }

  static async open(redis: GroupConfig['redis'], redisServer = 'redis-server'): Promise<Member> {
    return new Member(groupConfig(['b'], { port: await freePort(), redis }), redisServer)
  }

  /** Serves, writes, and dies as with its host. What was noted of it stands. */
  async serveAndDie(write: (call: Call) => Promise<unknown>, after?: (call: Call) => Promise<unknown>): Promise<void> {
    await startRedis(this.#hands)
    await this.#answers()
    await this.call('REPLICAOF', 'NO', 'ONE')
    await write(this.call)
    await poll(async () => (/aof_rewrite_(in_progress|scheduled):1/.test(String(await this.call('INFO', 'persistence'))) ? undefined : true), {
      withinMs: 5000,
    })
    const facts = await this.#facts()
    this.#lineage = [entry(1, 'b', 0, { replid: facts.replid })]
    await this.#disk.look(probe({ facts }), this.#state())
    await after?.(this.call)
    await this.die()
  }

  async die(): Promise<void> {
    this.#link?.close()
    this.#link = null
    if (this.#pid !== null) process.kill(this.#pid, 'SIGKILL')
    await poll(async () => (this.#pid === null ? true : undefined), { withinMs: 5000, everyMs: 5 })
  }

  /** As its agent does: looks, decides, acts, until redis answers or nothing more is done. What it says last. */
  async gate({ serves = false, mended = false } = {}): Promise<string> {
    const a = serves ? word('a', { phase: 'primary', redis: primaryFacts() }) : word('a', { phase: 'fenced', redis: null, answering: false, fit: false })
    const own = serves ? { ...this.#state(), holder: 'a' } : { ...this.#state(), phase: 'fenced' as const }
    let last = ''
    let calmMs = performance.now()
    // What somebody changes by hand is seen within a second.
    const patienceMs = mended ? 1500 : 50
    const endMs = performance.now() + 10_000
    while (performance.now() < endMs) {
      const seen = await this.#disk.look(probe({ process: false, facts: null, factsAgeMs: 1e9 }), own)
      const decision = decide(own, view('b', [peer(a)], { nowWallMs: Date.now(), redis: { ...seen, fence: null } }), policy())
      last = decision.because
      this.notes.push(...decision.events.map(({ text }) => text))
      if (decision.actions.some(({ kind }) => kind !== 'vip') || /being looked for/.test(last)) calmMs = performance.now()
      if (performance.now() - calmMs > patienceMs) return last
      for (const action of decision.actions) {
        const outcome =
          action.kind === 'mend-aof'
            ? await mendAof(this.#hands, action.end)
            : action.kind === 'set-aside'
              ? await setAside(this.#hands, action.file, action.why)
              : action.kind === 'start-redis'
                ? await startRedis(this.#hands, action.load)
                : { done: true as const }
        if (!outcome.done) this.notes.push(outcome.why)
        if (!outcome.done) break
      }
      if (this.#pid !== null && (await this.#answers())) return last
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    return `after 10 s: ${last}`
  }

  readonly call: Call = async (...words) => {
    const answer = await this.#link?.call(words, 5000)
    if (answer?.ok !== true) throw new Error(answer?.why ?? 'no connection')
    return answer.value
  }

  /** Where its dataset stands, as its agent tells others. */
  async position(): Promise<ReturnType<typeof positionOf>> {
    const { facts } = await this.#disk.look(probe({ facts: await this.#facts() }), this.#state())
    if (facts === null) throw new Error('no facts')
    return positionOf(facts, this.#lineage)
  }

  kept(): Promise<readonly KeptEntry[]> {
    return keptStore(this.#hands.config.paths, 'sessions', 'b', () => {}).list()
  }

  /** The file that a crash tears. */
  last(): string {
    const dir = `${this.data}/appendonlydir`
    const name = existsSync(dir) ? readdirSync(dir).findLast((n) => n.includes('.incr.')) : undefined
    return name === undefined ? `${this.data}/appendonly.aof` : `${dir}/${name}`
  }

  async close(): Promise<void> {
    await this.die()
    rmSync(this.root, { recursive: true, force: true })
  }

  #state() {
    return state('b', { holder: 'b', lineage: this.#lineage })
  }

  async #facts(): Promise<RedisFacts> {
    const facts = factsFromInfo(String(await this.call('INFO')))
    if (facts === null) throw new Error('no INFO')
    return facts
  }

  /** false: it has ended. */
  async #answers(): Promise<boolean> {
    const answer = await poll(
      async () => {
        if (this.#pid === null) return 'ended'
        const opened = await openRedis({ host: '127.0.0.1', port: this.#hands.member.port, password: undefined }, 500, () => {})
        if (!opened.ok) return undefined
        this.#link = opened.value
        const facts = await this.#facts().catch(() => null)
        if (facts?.loading === false) return 'answers'
        opened.value.close()
        this.#link = null
        return undefined
      },
      { withinMs: 8000, everyMs: 10 },
    )
    return answer === 'answers'
  }
}

export type Call = (...words: readonly string[]) => Promise<unknown>
