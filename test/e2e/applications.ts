/**
 * Applications that ask the Sentinels, as people write them: ioredis, @redis/client and Debian's python3-redis, each with its own default settings.
 * Each writes in the first client's namespace; what was acknowledged to it, and when, is kept here.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import { poll, type Rig } from './rig.ts'

const python = '/usr/bin/python3'
const hasPython = spawnSync(python, ['-c', 'import redis.sentinel']).status === 0
if (!hasPython) console.warn('skipped: python3-redis is not installed')
export const applicationPrograms: readonly (readonly [string, readonly string[]])[] = [
  ['ioredis', [process.execPath, clientScript('with-ioredis.mjs')]],
  ['@redis/client', [process.execPath, clientScript('with-node-redis.mjs')]],
  ...(hasPython ? [['python3-redis', [python, clientScript('with-redis-py.py')]] as const] : []),
]
const sentinels = [1, 2, 3].map((n) => `192.168.77.${n}:26379`)

export function clientScript(name: string): string {
  return fileURLToPath(new URL(`./clients/${name}`, import.meta.url))
}

export interface Kill {
  readonly fromMs: number
  readonly toMs: number
}

export class Application {
  readonly acked: { readonly counter: number; readonly atMs: number }[] = []
  readonly #child: ChildProcess
  #rest = ''

  constructor(
    rig: Rig,
    readonly name: string,
    argv: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ) {
    const netns = rig.lab.record.plan.nodes.find((n) => n.name === 'client')?.netns ?? ''
    this.#child = spawn('ip', ['netns', 'exec', netns, ...argv, 'sessions', `app:${name}`, ...sentinels], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...env },
    })
    this.#child.stdout?.on('data', (data: Buffer) => {
      const lines = `${this.#rest}${data.toString()}`.split('\n')
      this.#rest = lines.pop() ?? ''
      for (const line of lines) {
        const [counter, atMs] = line.split(' ').map(Number)
        this.acked.push({ counter: counter ?? 0, atMs: atMs ?? 0 })
      }
    })
  }

  async writes(sinceMs: number, count: number): Promise<void> {
    const done = await poll(async () => (this.acked.filter((a) => a.atMs > sinceMs).length >= count ? true : undefined), { withinMs: 20_000, everyMs: 20 })
    expect(done, `${this.name} writes`).toBe(true)
  }

  /** The longest time without an acknowledged write in this time, and the last write before it. */
  gap(sinceMs: number, untilMs = Number.POSITIVE_INFINITY): { readonly ms: number; readonly after: number | null } {
    const first = this.acked.findLastIndex((a) => a.atMs <= sinceMs)
    const heard = this.acked.slice(Math.max(0, first)).filter((a) => a.atMs <= untilMs)
    let longest: { ms: number; after: number | null } = { ms: 0, after: null }
    for (const [i, ack] of heard.entries()) {
      const next = heard[i + 1]
      if (next !== undefined && next.atMs - ack.atMs > longest.ms) longest = { ms: next.atMs - ack.atMs, after: ack.counter }
    }
    return longest
  }

  /**
   * How many of the acknowledged writes this host's redis does not have. A redis that was killed may have taken one with it: the last answer that
   * this client had of it (double-writer.ts, Death). `kills`: each from shortly before it until this client wrote again.
   */
  async gone(rig: Rig, host: string, kills: readonly Kill[] = []): Promise<number> {
    const gone = JSON.parse(await rig.redis(host, 'EVAL', listGone, '0', `app:${this.name}:`, JSON.stringify(this.acked.map((a) => a.counter)))) as unknown
    if (!Array.isArray(gone)) throw new Error(`${this.name}: what is gone was not told: ${JSON.stringify(gone)}`)
    const last = new Set(kills.map(({ fromMs, toMs }) => this.gap(fromMs, toMs).after))
    const [excused, lost] = [[] as number[], [] as number[]]
    for (const counter of gone as number[]) (last.has(counter) ? excused : lost).push(counter)
    if (excused.length > 0) console.info(`${this.name}: ${excused.length} gone with the redis that was killed in the turn of its answer`)
    for (const counter of lost)
      console.info(
        `${this.name}: ${counter} is gone, acknowledged at ${this.acked.find((a) => a.counter === counter)?.atMs}; kills at ${kills.map(({ fromMs }) => fromMs).join(', ')}`,
      )
    return lost.length
  }

  end(): void {
    this.#child.kill('SIGKILL')
  }
}

/** Those of these counters that have no key. */
const listGone = `local gone = {}
for _, n in ipairs(cjson.decode(ARGV[2])) do
  if redis.call('EXISTS', ARGV[1] .. string.format('%d', n)) == 0 then gone[#gone + 1] = n end
end
return #gone == 0 and '[]' or cjson.encode(gone)`
