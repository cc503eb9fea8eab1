/**
 * Clients that speak Sentinel, as applications use them: ioredis, @redis/client and Debian's python3-redis, each with its own default settings, beside
 * clients that know the address only. All of them through a crash, a switchover and the loss of a host: how long each was without an
 * acknowledged write, and that nothing acknowledged is gone.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { poll, problems, rigFor, threeWithSentinels, type Rig } from './rig.ts'

const python = '/usr/bin/python3'
const hasPython = spawnSync(python, ['-c', 'import redis.sentinel']).status === 0
if (!hasPython) console.warn('skipped: python3-redis is not installed')
const programs: readonly (readonly [string, readonly string[]])[] = [
  ['ioredis', [process.execPath, script('with-ioredis.mjs')]],
  ['@redis/client', [process.execPath, script('with-node-redis.mjs')]],
  ...(hasPython ? [['python3-redis', [python, script('with-redis-py.py')]] as const] : []),
]
const sentinels = [1, 2, 3].map((n) => `192.168.77.${n}:26379`)

function script(name: string): string {
  return fileURLToPath(new URL(`./clients/${name}`, import.meta.url))
}

class Application {
  readonly acked: { readonly counter: number; readonly atMs: number }[] = []
  readonly #child: ChildProcess
  #rest = ''

  constructor(
    rig: Rig,
    readonly name: string,
    argv: readonly string[],
  ) {
    const netns = rig.lab.record.plan.nodes.find((n) => n.name === 'client')?.netns ?? ''
    this.#child = spawn('ip', ['netns', 'exec', netns, ...argv, 'sessions', `app:${name}`, ...sentinels], { stdio: ['ignore', 'pipe', 'inherit'] })
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

  /** The longest time without an acknowledged write since then. */
  gapMs(sinceMs: number): number {
    const before = this.acked.findLast((a) => a.atMs <= sinceMs)?.atMs ?? sinceMs
    const times = [before, ...this.acked.filter((a) => a.atMs > sinceMs).map((a) => a.atMs)]
    return Math.max(...times.slice(1).map((ms, i) => ms - (times[i] ?? ms)))
  }

  end(): void {
    this.#child.kill('SIGKILL')
  }
}

describe.skipIf(problems.length > 0)('clients that ask the Sentinels', { timeout: 120_000 }, () => {
  const theRig = rigFor('sclients', threeWithSentinels())
  const applications: Application[] = []
  afterAll(() => {
    for (const application of applications) application.end()
  })

  const faults: readonly (readonly [string, number, (rig: Rig, primary: string) => Promise<unknown>])[] = [
    ['redis is killed', 1500, (rig, primary) => rig.lab.kill(primary, 'redis')],
    ['a switchover', 1500, (rig) => rig.cli('switchover', 'sessions')],
    ['redis is killed again', 1500, (rig, primary) => rig.lab.kill(primary, 'redis')],
  ]

  test('each goes on within a second and a half, beside a client of the address; nothing acknowledged is gone', async () => {
    const rig = theRig()
    await rig.untilOk('sessions', 25_000)
    for (const [name, argv] of programs) applications.push(new Application(rig, name, argv))
    const writer = await rig.writer()
    for (const application of applications) await application.writes(0, 50)
    for (const [what, limitMs, act] of faults) {
      const { primary } = await rig.untilOk('sessions', 25_000)
      const sinceMs = Date.now()
      await rig.incident(writer, what, { outageMs: 400, mayBeUnfelt: true }, () => act(rig, primary))
      for (const application of applications) {
        await application.writes(sinceMs + 200, 100)
        const gap = application.gapMs(sinceMs)
        console.info(`${what}: ${application.name} ${gap} ms`)
        expect(gap, `${application.name}: ${what}`).toBeLessThanOrEqual(limitMs)
      }
    }
    for (const application of applications) application.end()
    const { primary } = await rig.untilOk('sessions', 25_000)
    for (const { name, acked } of applications) {
      const there = await rig.redis(primary, 'EVAL', lost, '0', `app:${name}:`, JSON.stringify(acked.map((a) => a.counter)))
      expect(there, `acknowledged to ${name} and gone`).toBe('0')
    }
    await rig.finishWithin(writer, 400)
    await rig.expectNoBrokenRule()
  })
})

/** How many of these counters have no key. */
const lost = `local gone = 0
for _, n in ipairs(cjson.decode(ARGV[2])) do
  if redis.call('EXISTS', ARGV[1] .. string.format('%d', n)) == 0 then gone = gone + 1 end
end
return gone`
