/** Real redis-servers on loopback for tests, in a folder of their own, gone with the test. Each test file brings its own set. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import type { RedisHands } from '../../src/act/redis.ts'
import { factsFromInfo } from '../../src/redis/info.ts'
import { openRedis, type RedisLink } from '../../src/redis/link.ts'
import { freePort } from './wire.ts'

export const noRedis = (() => {
  try {
    return !/v=[5-9]/.test(execFileSync('redis-server', ['--version'], { encoding: 'utf8' }))
  } catch {
    return true
  }
})()

export interface RealRedis {
  readonly port: number
  readonly link: RedisLink
  readonly call: (...words: readonly string[]) => Promise<unknown>
  readonly facts: () => Promise<NonNullable<ReturnType<typeof factsFromInfo>>>
}

export class Redises {
  #dir: string | null = null
  /** Where they all listen. */
  readonly ip: string
  readonly #children: ChildProcess[] = []
  readonly #links: RedisLink[] = []

  readonly #program: string

  constructor(ip = '127.0.0.1', program = 'redis-server') {
    this.ip = ip
    this.#program = program
  }

  /** Made when it is asked for: what is skipped is never closed. */
  get dir(): string {
    this.#dir ??= mkdtempSync(`${tmpdir()}/holdfast-real-`)
    return this.#dir
  }

  /** Of the installed redis-server, or of another `program`; `detached`: with a session of its own, as a service. */
  async start(...given: readonly (string | { readonly program?: string; readonly detached?: true })[]): Promise<RealRedis> {
    const more = given.filter((word) => typeof word === 'string')
    const { program = this.#program, detached = false } = given.find((word) => typeof word !== 'string') ?? {}
    const port = await freePort()
    const dir = `${this.dir}/${port}`
    mkdirSync(dir)
    this.#children.push(
      spawn(program, ['--port', String(port), '--bind', this.ip, '--dir', dir, '--save', '', '--repl-diskless-sync-delay', '0', ...more], {
        stdio: 'ignore',
        detached,
      }),
    )
    const password = more.includes('--requirepass') ? more[more.indexOf('--requirepass') + 1] : undefined
    const endMs = performance.now() + 5000
    for (;;) {
      const opened = await openRedis({ host: this.ip, port, password }, 500, () => {})
      if (opened.ok) {
        const link = opened.value
        this.#links.push(link)
        const call = async (...words: readonly string[]): Promise<unknown> => {
          const answer = await link.call(words, 5000)
          if (!answer.ok) throw new Error(answer.why)
          return answer.value
        }
        return {
          port,
          link,
          call,
          facts: async () => {
            const facts = factsFromInfo(String(await call('INFO')))
            if (facts === null) throw new Error('no INFO')
            return facts
          },
        }
      }
      if (performance.now() > endMs) throw new Error(`redis does not start: ${opened.why}`)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }

  async close(): Promise<void> {
    for (const link of this.#links) link.close()
    await Promise.all(
      this.#children.map(
        (child) =>
          new Promise<void>((resolve) => {
            if (child.exitCode !== null || child.signalCode !== null) resolve()
            else child.once('exit', () => resolve())
            child.kill('SIGKILL')
          }),
      ),
    )
    if (this.#dir !== null) rmSync(this.#dir, { recursive: true, force: true })
    this.#dir = null
  }

  /** What an executor gets, with notes for the test to read. */
  hands(redis: RealRedis, notes: string[] = [], password?: string): RedisHands {
    const paths = { state: `${this.dir}/state`, run: `${this.dir}/run`, redisServer: 'redis-server', redisSentinel: '', keepalived: '' }
    mkdirSync(`${paths.state}/sessions`, { recursive: true })
    return {
      config: { file: '', api: { port: 0, secretFile: '' }, paths, hosts: { a: { name: 'a', ip: this.ip } }, groups: {} },
      group: { name: 'sessions' } as RedisHands['group'],
      member: { host: 'a', port: redis.port } as RedisHands['member'],
      password,
      userConf: undefined,
      link: () => redis.link,
      started: () => {},
      exited: () => {},
      diskChanged: () => {},
      aofIsCut: async () => {},
      settingsChanged: () => {},
      note: (text) => notes.push(text),
    }
  }
}

/** Waits until the replica has all that its primary has. */
export async function caughtUp(primary: RealRedis, replica: RealRedis): Promise<void> {
  const endMs = performance.now() + 5000
  for (;;) {
    const [p, r] = [await primary.facts(), await replica.facts()]
    if (r.linkUp && r.offset === p.offset) return
    if (performance.now() > endMs) throw new Error(`the replica does not catch up: ${r.offset} of ${p.offset}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

export interface Parted {
  readonly old: RealRedis
  readonly now: RealRedis
  readonly fork: { readonly epoch: number; readonly replid: string; readonly fromOffset: number; readonly forkedAtWallMs: number }
}

/** A primary and its replica, parted: both have what `before` wrote, and the replica is a primary of its own from there on. */
export async function parted(redises: Redises, before: (old: RealRedis) => Promise<void>, ...more: readonly string[]): Promise<Parted> {
  const old = await redises.start(...more)
  const now = await redises.start()
  await now.call('REPLICAOF', redises.ip, String(old.port))
  await until(async () => (await now.facts()).linkUp)
  await before(old)
  await caughtUp(old, now)
  const { replid } = await old.facts()
  await now.call('REPLICAOF', 'NO', 'ONE')
  const facts = await now.facts()
  return { old, now, fork: { epoch: 1, replid, fromOffset: facts.secondOffset, forkedAtWallMs: 1 } }
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + 5000
  while (!(await isSo())) {
    if (performance.now() > endMs) throw new Error('not within 5 s')
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
