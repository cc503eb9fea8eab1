/**
 * What the end-to-end tests stand on: a lab with real agents, redis-servers and keepaliveds, the writing client, and the
 * words in which the tests tell their incidents. An incident is: steady writes, something breaks, writes flow again, the
 * group is well again. Nothing here knows the right answer; limits and losses are asserted by the tests themselves.
 */
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFailed } from 'vitest'
import type { GroupStatus } from '../../src/cli/ask.ts'
import type { Look } from '../../src/cli/status-again.ts'
import { OperatorError } from '../../src/model/error.ts'
import type { MarkReport } from '../../src/lab/ack-log.ts'
import type { Lab } from '../../src/lab/lab.ts'
import { raiseLab, takeDown } from '../../src/lab/lab.ts'
import { ownedDir } from '../../src/lab/leftovers.ts'
import { namespaces } from '../../src/lab/net.ts'
import type { RunResult } from '../../src/lab/run.ts'
import { poll, run } from '../../src/lab/run.ts'
import type { WriterHandle, WriterOptions } from '../../src/lab/writer.ts'
import { startWriter } from '../../src/lab/writer.ts'
import type { State } from '../../src/model/state.ts'
import type { View } from '../../src/model/view.ts'
import { entry, problems, vip } from './ground.ts'
import { Stalls } from './stalls.ts'
import { StatusWatch } from './status-watch.ts'

export interface JournalLine {
  readonly atWallMs: number
  readonly rule?: string
  readonly because?: string
  readonly assertion?: string
  readonly view: View
  readonly next?: State
  readonly actions?: readonly { readonly action: { readonly kind: string }; readonly outcome: { readonly done: boolean; readonly why?: string } }[]
}

interface Limits {
  /** The longest time without an acknowledged write. */
  readonly outageMs: number
  /** From the fault until writes flow steadily again. */
  readonly flowsWithinMs?: number
  /** From then until the group is redundant again; null: do not wait. */
  readonly okWithinMs?: number | null
  readonly group?: string
  /** The fault may pass unnoticed by clients: writes that simply go on count as "flow again". */
  readonly mayBeUnfelt?: boolean
}

function errorsOf({ errors }: MarkReport): string {
  return errors.map(({ kind, count }) => `${kind} × ${count}`).join(', ') || 'no error'
}

/** An agent that is not busy looks more often. */
const staleMs = 500

/** The last decisions before a failure. */
const maxStory = 40

interface Report {
  readonly marks: readonly MarkReport[]
  readonly errorKinds: readonly string[]
  readonly lost: number
  readonly acked: number
}

interface RigOptions {
  /** Written beside the configuration. */
  readonly files?: Readonly<Record<string, string>>
  readonly agents?: boolean
}

/** One lab for the tests of a file: raised before them, down after them; after a failure its logs are kept and named. */
export function rigFor(name: string, yaml: string, options: RigOptions = {}): () => Rig {
  let rig: Rig | undefined
  let told: string | undefined
  beforeAll(async () => {
    if (problems.length > 0) {
      console.warn(`skipped: ${name} cannot run here: ${problems.join('; ')}`)
      return
    }
    rig = await raiseRig(name, yaml, options)
  }, 60_000)
  afterAll(async () => {
    await rig?.down()
  }, 60_000)
  return () => {
    if (rig === undefined) throw new Error('the lab is not up')
    const [its, sinceMs] = [rig, Date.now()]
    // Whoever takes it twice in one test is told of once.
    if (told === expect.getState().currentTestName) return rig
    told = expect.getState().currentTestName
    onTestFailed(async () => {
      its.keep()
      for (const line of await its.story(sinceMs)) console.warn(`evidence: ${line}`)
    })
    return rig
  }
}

async function raiseRig(name: string, yaml: string, options: RigOptions): Promise<Rig> {
  const { dir: base, owner } = await ownedDir('hf-e2e-')
  const configFile = join(base, 'holdfast.yaml')
  await writeFile(configFile, yaml)
  for (const [file, text] of Object.entries(options.files ?? {})) await writeFile(join(base, file), text, { mode: 0o600 })
  try {
    const lab = await raiseLab({ name: `t-${name}`, configFile, startAgents: options.agents ?? true, baseDir: base, entry, clients: 2, owner })
    return new Rig(lab, base)
  } catch (error) {
    // Of that name there is one already, of somebody else's run.
    if (!(error instanceof OperatorError && error.code === 'HF502')) await takeDown(`t-${name}`, { baseDir: base })
    await rm(base, { recursive: true, force: true })
    throw error
  }
}

export class Rig {
  readonly lab: Lab
  readonly base: string
  readonly #writers: WriterHandle[] = []
  readonly stalls = new Stalls()
  readonly #watch: StatusWatch
  #kept = false

  constructor(lab: Lab, base: string) {
    this.lab = lab
    this.base = base
    this.#watch = new StatusWatch(lab)
  }

  cli(...argv: string[]): Promise<RunResult> {
    return this.lab.cli(argv)
  }

  async status(group = 'sessions'): Promise<GroupStatus | null> {
    const shown = await this.cli('status', group, '--json')
    try {
      return (JSON.parse(shown.stdout) as { groups: GroupStatus[] }).groups[0] ?? null
    } catch {
      return null
    }
  }

  /** What `status` says, for who asks again and again: no process is started for it. null: it would fail. */
  async look(group = 'sessions'): Promise<Look | null> {
    return this.#watch.look(group, await this.poweredOff())
  }

  /** Waits until the group is well and redundant; fails with what is wrong. */
  async untilOk(group = 'sessions', withinMs = 15_000): Promise<GroupStatus & { readonly primary: string }> {
    return this.until(`${group} is ok`, group, (s) => s.health === 'ok', withinMs) as Promise<GroupStatus & { primary: string }>
  }

  async until(what: string, group: string, holds: (status: GroupStatus) => boolean, withinMs = 15_000): Promise<GroupStatus> {
    let last: GroupStatus | null = null
    const askedAtMs = Date.now()
    // An agent tells what it saw when it last looked, which may be before what the test has just done. One that is busy looks when it is done.
    const isFresh = (seenAtWallMs: number): boolean => seenAtWallMs >= askedAtMs || Date.now() - askedAtMs > staleMs
    const found = await poll(
      async () => {
        const look = await this.look(group)
        last = look?.status ?? null
        return look !== null && holds(look.status) && isFresh(look.seenAtWallMs ?? askedAtMs) ? look.status : undefined
      },
      { withinMs, everyMs: 100 },
    )
    if (found === undefined) throw new Error(`not within ${withinMs} ms: ${what}; status: ${JSON.stringify(last, null, 1)}`)
    return found
  }

  /** redis-cli on the host itself, beside its redis: what a login there would see. */
  async redis(host: string, ...args: string[]): Promise<string> {
    return (await this.redisAt(host, '127.0.0.1', ...args)).trim()
  }

  async redisAt(from: string, ip: string, ...args: string[]): Promise<string> {
    const group = this.lab.record.groups[0]
    const auth = group?.passwordFile ? ['-a', (await readFile(group.passwordFile, 'utf8')).trim(), '--no-auth-warning'] : []
    const result = await this.lab.exec(from, ['redis-cli', '-h', ip, '-p', String(group?.port ?? 6379), ...auth, ...args], { deadlineMs: 5000 })
    return result.stdout.trim() === '' ? result.stderr.trim() : result.stdout.trim()
  }

  /** The members that a client could write to, asked at the same time at their own addresses: never more than one (INV-3). */
  async writable(): Promise<readonly string[]> {
    const members = new Set(this.lab.record.redisPorts.map(({ host }) => host))
    const off = await this.poweredOff()
    // Nothing runs on a machine that is off, and whoever asks it is told so after many seconds.
    const nodes = this.lab.record.plan.nodes.filter((n) => members.has(n.name) && !off.includes(n.name))
    const answers = await Promise.all(nodes.map((node) => this.redisAt('client2', node.ip, 'SET', `probe:${node.name}`, '1').catch(() => '')))
    return nodes.filter((_, i) => answers[i] === 'OK').map((node) => node.name)
  }

  async poweredOff(): Promise<readonly string[]> {
    const existing = await namespaces()
    return this.lab.record.plan.nodes.filter((node) => node.kind === 'host' && !existing.includes(node.netns)).map((node) => node.name)
  }

  async writer(options: Partial<WriterOptions> & { readonly group?: string; readonly client?: string } = {}): Promise<WriterHandle> {
    const { group: name, client, ...rest } = options
    const group = this.lab.record.groups.find((g) => name === undefined || g.name === name)
    const writer = await startWriter(
      { kind: 'lab', lab: this.lab, ...(client === undefined ? {} : { client }) },
      {
        host: group?.vip ?? vip,
        port: group?.port ?? 6379,
        ...(group?.passwordFile ? { passwordFile: group.passwordFile } : {}),
        ...rest,
      },
    )
    this.#writers.push(writer)
    expect(await writer.steady({ acks: 200, withinMs: 10_000 }), 'writes flow before anything is broken').toBe(true)
    return writer
  }

  /** Steady writes → `act` → felt by the client (unless it may not be) → steady writes → the group ok again. */
  async incident(writer: WriterHandle, label: string, limits: Limits, act: () => Promise<unknown>): Promise<GroupStatus | null> {
    expect(await writer.steady({ acks: 100, withinMs: 10_000 }), `writes flow before: ${label}`).toBe(true)
    await writer.mark(label)
    const before = await writer.stats()
    await act()
    const acted = await writer.stats()
    const flowsWithinMs = limits.flowsWithinMs ?? Math.max(10_000, limits.outageMs * 3)
    // Steady writes prove nothing while the fault has not arrived: an error first, or a silence long enough to be one.
    const felt =
      limits.mayBeUnfelt === true ||
      (await poll(
        async () => {
          const now = await writer.stats()
          return now.errors > before.errors || (now.lastAckMs !== null && now.nowMs - now.lastAckMs > 40) || now.acked > acted.acked + 2000 ? true : undefined
        },
        { withinMs: flowsWithinMs, everyMs: 5 },
      ))
    expect(felt, `felt by the client: ${label}`).toBe(true)
    if (!(await writer.steady({ acks: 200, withinMs: flowsWithinMs }))) {
      throw new Error(`no steady writes within ${flowsWithinMs} ms after: ${label}; ${JSON.stringify(await this.status(limits.group))}`)
    }
    return limits.okWithinMs === null ? null : this.untilOk(limits.group, limits.okWithinMs)
  }

  /** The end of every incident: what the client saw, and whether anything acknowledged is gone. */
  async finish(writer: WriterHandle): Promise<Report> {
    const { marks, errors, acked } = await writer.stop()
    const verified = await writer.verify()
    expect(verified.complete, `everything could be read back (${verified.why ?? ''})`).toBe(true)
    expect(verified.rejectedPresent, 'a refused write did not take place').toBe(0)
    const shown = marks.map((m) => `${m.label}: outage ${m.longestOutage.lengthMs.toFixed(0)} ms, ${errorsOf(m)}`)
    console.info(`${shown.join('\n')}\n${acked} acknowledged, ${verified.lost} lost${verified.lost > 0 ? ` ${JSON.stringify(verified)}` : ''}`)
    await writer.cleanup()
    await writer.close()
    return { marks, errorKinds: errors.map((e) => e.kind), lost: verified.lost, acked }
  }

  /** `finish`, and the two figures that every test must assert. */
  async finishWithin(writer: WriterHandle, outageMs: number, lost = 0): Promise<Report> {
    const report = await this.finish(writer)
    for (const mark of report.marks)
      expect(
        mark.longestOutage.lengthMs,
        `outage: ${mark.label} (began ${new Date(mark.longestOutage.startMs).toISOString()}; ${errorsOf(mark)})`,
      ).toBeLessThanOrEqual(outageMs)
    expect(report.lost, 'acknowledged and gone').toBe(lost)
    return report
  }

  async killAgent(host: string, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await this.lab.kill(host, 'agent', { signal })
    await this.untilAgentIsGone(host)
  }

  async untilAgentIsGone(host: string, withinMs = 10_000): Promise<void> {
    const gone = await poll(async () => ((await this.agentState(host)) === 'up' ? undefined : true), { withinMs, everyMs: 10 })
    if (gone === undefined) throw new Error(`the agent of ${host} still runs after ${withinMs} ms`)
  }

  async agentState(host: string): Promise<string> {
    return (await this.lab.status()).find((h) => h.name === host)?.agent ?? 'none'
  }

  /** Starts the agent with an environment of its own, for fail points. */
  async startAgent(host: string, env: Readonly<Record<string, string>> = {}): Promise<void> {
    const saved = Object.fromEntries(Object.keys(env).map((key) => [key, process.env[key]]))
    Object.assign(process.env, env)
    try {
      await this.lab.start(host, 'agent')
    } finally {
      for (const [key, value] of Object.entries(saved)) {
        if (value === undefined) delete process.env[key]
        else process.env[key] = value
      }
    }
  }

  file(host: string, ...parts: string[]): string {
    return join(this.lab.record.dir, host, ...parts)
  }

  /** The decisions since `fromMs`, oldest first. */
  async journal(host: string, group = 'sessions', fromMs = 0): Promise<readonly JournalLine[]> {
    const text = await readFile(this.file(host, 'state', group, 'journal.jsonl'), 'utf8').catch(() => '')
    return text
      .split('\n')
      .filter((line) => line !== '')
      .flatMap((line) => {
        try {
          return [JSON.parse(line) as JournalLine]
        } catch {
          return [] // half a line of an agent that was killed while writing it
        }
      })
      .filter((line) => line.atWallMs >= fromMs)
  }

  /** What the agents decided since, in the order of time, and for how long a processor stood still: what a failed test is judged by where nothing else is left of it. */
  async story(sinceMs: number): Promise<readonly string[]> {
    const told: { readonly atMs: number; readonly line: string }[] = []
    for (const { host, group } of this.lab.record.redisPorts)
      for (const { atWallMs, rule, because, assertion } of await this.journal(host, group, sinceMs))
        told.push({ atMs: atWallMs, line: `${host} ${rule ?? assertion ?? ''}: ${because ?? ''}`.slice(0, 160) })
    const stalledMs = this.stalls.betweenMs(sinceMs, Date.now())
    const from = new Date(sinceMs).toISOString()
    return [
      `${this.lab.record.name} since ${from}; a processor stood still for ${Math.round(stalledMs)} ms of it`,
      ...told
        .sort((x, y) => x.atMs - y.atMs)
        .slice(-maxStory)
        .map(({ atMs, line }) => `+${atMs - sinceMs} ms ${line}`),
    ]
  }

  /** No decision broke a safety rule, in any agent, at any time (the core asserts them; a failure goes to the journal). */
  async expectNoBrokenRule(group = 'sessions'): Promise<void> {
    for (const { host } of this.lab.record.redisPorts.filter((m) => m.group === group)) {
      const broken = (await this.journal(host, group)).filter((line) => line.assertion !== undefined)
      expect(
        broken.map((line) => `${host}: ${line.assertion}`),
        'broken rules',
      ).toEqual([])
    }
  }

  /** A command to the Sentinel of a host, from the host itself. */
  async sentinel(host: string, ...args: string[]): Promise<string> {
    const result = await this.lab.exec(host, ['redis-cli', '-p', '26379', ...args], { deadlineMs: 5000 })
    return result.stdout.trim() === '' ? result.stderr.trim() : result.stdout.trim()
  }

  /** When the Sentinel of a host told its clients of another primary, since a moment: by its own log. null: not yet. */
  async switchedAt(host: string, sinceMs: number, group = 'sessions'): Promise<number | null> {
    return (await this.loggedAt(host, 'sentinel.log', '+switch-master', group)).find((ms) => ms >= sinceMs - 1) ?? null
  }

  /** When redis or a Sentinel wrote a line that begins with these words, by its own log. */
  async loggedAt(host: string, file: 'redis.log' | 'sentinel.log', words: string, group = 'sessions'): Promise<readonly number[]> {
    const text = await readFile(this.file(host, 'state', group, file), 'utf8').catch(() => '')
    return text.split('\n').flatMap((line) => {
      const found = /(\d+ \w+ \d+ [\d:]+)\.(\d+) . (.*)/.exec(line)
      return found?.[3]?.startsWith(words) === true ? [Date.parse(found[1] ?? '') + Number(found[2])] : []
    })
  }

  agentLog(host: string): Promise<string> {
    return readFile(this.file(host, 'agent.log'), 'utf8').catch(() => '')
  }

  keep(): void {
    this.#kept = true
  }

  async down(): Promise<void> {
    await Promise.all(this.#writers.map((writer) => writer.close()))
    this.stalls.end()
    this.#watch.end()
    // Agents that end in good order wait for what ends with them, and nobody looks at it any more.
    const kept = await this.lab.down({ keepLogs: this.#kept, graceMs: 0 })
    if (kept !== null) {
      const place = join(tmpdir(), `hf-e2e-failed-${this.lab.record.name}-${process.pid}`)
      await rename(kept, place)
      console.warn(`logs of the failed test: ${place}`)
    }
    await rm(this.base, { recursive: true, force: true })
  }
}

export { hostLines, pairAndWitness, pairWithSentinels, threeWithSentinels, twoHosts } from './ground.ts'
export { entry, poll, problems, run, vip }
