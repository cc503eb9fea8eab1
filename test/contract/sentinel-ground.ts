/** Real Sentinels on loopback, as Holdfast starts them: a configuration for them, and questions. Ended by pid, gone with the test. */
import { mkdirSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { keepSentinel, type SentinelKeeper } from '../../src/agent/sentinel.ts'
import { monotonicMs } from '../../src/agent/clock.ts'
import type { Config, GroupConfig, SentinelConfig } from '../../src/model/config.ts'
import type { Observed } from '../../src/model/outcome.ts'
import { groupStateDir } from '../../src/model/paths.ts'
import type { SentinelProbe, Watched } from '../../src/model/sentinel.ts'
import { openRedis } from '../../src/redis/link.ts'
import { isForgotten } from '../../src/redis/sentinel-replies.ts'
import { poll } from '../../src/lab/run.ts'
import { groupConfig } from '../unit/builders.ts'
import { freePort } from '../unit/wire.ts'

const answerMs = 2000
const limitMs = 15_000

export const userPassword = 'the-password-of-the-user'

export interface Ground {
  readonly config: Config
  readonly group: GroupConfig
  readonly sentinel: SentinelConfig
}

/** One member and one Sentinel, both on 127.0.0.1. */
export async function ground(dir: string, port: number, more: Partial<SentinelConfig> = {}): Promise<Ground> {
  const sentinel: SentinelConfig = {
    ...{ hosts: ['a'], port: await freePort(), quorum: 1, downAfterMs: 500, failoverTimeoutMs: 2000, parallelSyncs: 1, process: 'direct' },
    ...more,
  }
  const group = groupConfig(['a'], { mode: 'sentinel', sentinel, port })
  const paths = { state: `${dir}/state`, run: `${dir}/run`, redisServer: 'redis-server', redisSentinel: `${dir}/not-installed`, keepalived: '' }
  const config: Config = {
    file: '',
    api: { port: 0, secretFile: '' },
    paths,
    hosts: { a: { name: 'a', ip: '127.0.0.1' } },
    groups: { sessions: group },
  }
  mkdirSync(groupStateDir(paths, group.name), { recursive: true })
  return { config, group, sentinel }
}

export function asks(port: number, password?: string): (...words: readonly string[]) => Promise<Observed<unknown>> {
  return async (...words) => {
    const opened = await openRedis({ host: '127.0.0.1', port, password }, answerMs, () => {})
    if (!opened.ok) return opened
    try {
      return await opened.value.call(words, answerMs)
    } finally {
      opened.value.close()
    }
  }
}

/** Flat name-value lists are how Sentinels answer. */
export async function master(ask: ReturnType<typeof asks>): Promise<Readonly<Record<string, string>>> {
  const answer = await ask('SENTINEL', 'MASTER', 'sessions')
  const words = answer.ok ? (answer.value as readonly string[]) : []
  return Object.fromEntries(words.flatMap((word, i) => (i % 2 === 0 ? [[word, words[i + 1] ?? '']] : [])))
}

export async function pidOf(ask: ReturnType<typeof asks>): Promise<number> {
  const answer = await ask('INFO', 'server')
  return answer.ok ? Number(/process_id:(\d+)/.exec(String(answer.value))?.[1]) : 0
}

export async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const found = await poll(async () => ((await isSo()) ? true : undefined), { withinMs: limitMs, everyMs: 20 })
  if (found === undefined) throw new Error(`not within ${limitMs} ms: ${what}`)
}

export interface Kept extends SentinelKeeper {
  readonly said: readonly string[]
}

/** The keeper of an agent, with eyes of the test's own. */
export function keeper(
  { config, group, sentinel }: Ground,
  given: { readonly userPassword?: string; readonly password?: string; readonly otherPassword?: string; readonly watched?: () => Watched } = {},
): Kept {
  const said: string[] = []
  const ask = asks(sentinel.port, given.password)
  let seen: readonly SentinelProbe[] = []
  let open = true
  const watching = (async () => {
    while (open) {
      const askedMs = monotonicMs()
      seen = [await look(ask, askedMs)]
      await delay(50)
    }
  })()
  const kept = keepSentinel({
    ...{ config, group, host: 'a', password: given.password, otherPassword: given.otherPassword, userPassword: given.userPassword ?? userPassword },
    watched: given.watched ?? (() => ({ host: 'a', epoch: 3 })),
    note: (kind, text) => said.push(`${kind}: ${text}`),
    probe: () => seen,
  })
  return {
    ...kept,
    said,
    close: () => {
      open = false
      kept.close()
      void watching
    },
  }
}

async function look(ask: ReturnType<typeof asks>, askedMs: number): Promise<SentinelProbe> {
  const answer = await ask('SENTINEL', 'MASTER', 'sessions')
  const told = answer.ok ? await master(ask) : {}
  const number = (name: string): number => Number(told[name])
  const settings = {
    quorum: number('quorum'),
    downAfterMs: number('down-after-milliseconds'),
    failoverTimeoutMs: number('failover-timeout'),
    parallelSyncs: number('parallel-syncs'),
  }
  const facts = {
    id: '',
    names: 'a',
    address: '',
    configEpoch: 0,
    down: false,
    pendingPingMs: 0,
    failover: null,
    tilt: false,
    settings,
    others: 0,
    replicas: 0,
  }
  return {
    host: 'a',
    reach: answer.ok ? 'answers' : isForgotten(answer.why) ? 'forgot' : 'trouble',
    trouble: answer.ok ? null : answer.why,
    facts: answer.ok ? facts : null,
    ageMs: monotonicMs() - askedMs,
    vote: null,
  }
}
