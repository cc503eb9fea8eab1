/**
 * How an incident of the partition tables is played: two clients write through the address, `there` and `here`, one on each side;
 * something breaks; everything is mended; the group must be well by itself; and the inquest over both histories says for how long
 * two members accepted writes and what became of every acknowledged write. What is promised stands in the tables, not here.
 */
import { expect } from 'vitest'
import { describeVerdict, type Death } from '../../src/lab/double-writer.ts'
import type { Target } from '../../src/lab/hosts.ts'
import { holdInquest, type Inquest } from '../../src/lab/inquest.ts'
import type { WriterHandle, WriterOptions } from '../../src/lab/writer.ts'
import type { Rig } from './rig.ts'

export interface Stage {
  readonly rig: Rig
  readonly primary: string
  /** The other members, in the order of the configuration. */
  readonly replicas: readonly string[]
  readonly replica: string
  /** On `client`: wherever the table puts it; and on `client2`. */
  readonly there: WriterHandle
  readonly here: WriterHandle
  /** Nobody of one list hears anybody of another. `oneWay`: what the first says is lost, what it is told is not. */
  readonly split: (...sides: readonly (readonly string[])[]) => Promise<void>
  /** Split otherwise than before, in one step: nobody finds anybody for a moment between. */
  readonly regroup: (...sides: readonly (readonly string[])[]) => Promise<void>
  readonly mute: (from: readonly string[], to: readonly string[]) => Promise<void>
  readonly heal: () => Promise<void>
  /** Undone by itself at the end. */
  readonly freeze: (host: string, what: Target) => Promise<void>
  readonly killAgent: (host: string) => Promise<void>
  readonly powerOff: (host: string) => Promise<void>
  /** What a client was told in the very turn of the loop in which redis died may be gone with it: one answer each. */
  readonly killRedis: (host: string) => Promise<void>
  readonly lasts: (ms: number) => Promise<void>
  /** Not one acknowledgement on either side for so long. */
  readonly nobodyWrites: (forMs: number) => Promise<void>
}

export interface Incident {
  readonly name: string
  readonly act: (stage: Stage) => Promise<unknown>
  /** For how long two members may have accepted writes at the same time, all in all. */
  readonly twoWritersMs: number
  readonly primary: 'stays' | 'moves' | 'either'
  /** How many acknowledged writes may have left the accepted history: every one of them is kept. */
  readonly keptAtMost?: number
  /** The longest time without an acknowledged write, at each of the two clients. */
  readonly outageMs?: number
  /** Where the clients write, if not at the address of the group. */
  readonly through?: { readonly there?: Partial<WriterOptions>; readonly here?: Partial<WriterOptions> }
}

const wellWithinMs = 25_000

export async function playIncident(rig: Rig, members: readonly string[], incident: Incident): Promise<Inquest> {
  const before = await rig.untilOk('sessions', wellWithinMs)
  const options = { identify: true, commandTimeoutMs: 1000, connectTimeoutMs: 1000 }
  const [there, here] = await Promise.all([
    rig.writer({ ...options, ...incident.through?.there }),
    rig.writer({ ...options, client: 'client2', ...incident.through?.here }),
  ])
  const undo: (() => Promise<unknown>)[] = []
  const deaths: Death[] = []
  const startedAtMs = Date.now()
  await incident.act(stageFor(rig, members, before.primary, [there, here], { undo, deaths }))
  await rig.lab.heal()
  for (const mend of undo) await mend()
  const mendedAtMs = Date.now()
  const after = await rig.untilOk('sessions', wellWithinMs)
  const wellMs = Date.now() - mendedAtMs
  for (const writer of [there, here]) expect(await writer.steady({ acks: 100, withinMs: 10_000 }), 'both clients write again').toBe(true)
  const clients = [
    { name: 'there', writer: there },
    { name: 'here', writer: here },
  ]
  const found = await holdInquest(rig.lab, 'sessions', clients, { deaths })
  const outages = found.reports.map((report) => Math.round(report.longestOutage.lengthMs))
  console.info(
    `${incident.name}: ${describeVerdict(found)}; outages ${outages.join(' and ')} ms; broken for ${mendedAtMs - startedAtMs} ms, well ${wellMs} ms after`,
  )
  expect(found.incomplete, 'the inquest is complete').toEqual([])
  expect(found.rejectedPresent, 'a refused write did not take place').toBe(0)
  expect(found.examples, 'acknowledged, and gone without a trace').toEqual([])
  expect(found.untraced).toBe(0)
  expect(found.overlapMs, `two writers: ${JSON.stringify(found.terms)}`).toBeLessThanOrEqual(incident.twoWritersMs)
  if (incident.outageMs !== undefined) expect(Math.max(...outages), 'the longest time without an acknowledged write').toBeLessThanOrEqual(incident.outageMs)
  expect(found.kept, 'left the accepted history, and kept').toBeLessThanOrEqual(incident.keptAtMost ?? Number.MAX_SAFE_INTEGER)
  if (incident.primary !== 'either') expect(after.primary === before.primary ? 'stays' : 'moves', `the primary was ${before.primary}`).toBe(incident.primary)
  expect(await rig.writable()).toEqual([after.primary])
  await rig.expectNoBrokenRule()
  for (const host of members)
    expect((await rig.journal(host, 'sessions', startedAtMs)).length, `decisions of ${host} that were worth keeping`).toBeLessThan(150)
  for (const writer of [there, here]) {
    await writer.cleanup()
    await writer.close()
  }
  return found
}

function stageFor(
  rig: Rig,
  members: readonly string[],
  primary: string,
  [there, here]: readonly [WriterHandle, WriterHandle],
  { undo, deaths }: { readonly undo: (() => Promise<unknown>)[]; readonly deaths: Death[] },
): Stage {
  const replicas = members.filter((host) => host !== primary)
  const lasts = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
  return {
    rig,
    primary,
    replicas,
    replica: replicas[0] ?? '',
    there,
    here,
    lasts,
    split: async (...sides) => void (await rig.lab.partition(sides)),
    regroup: async (...sides) => void (await rig.lab.partition(sides, { instead: true })),
    mute: async (from, to) => void (await rig.lab.partition([from, to], { oneWay: true })),
    heal: async () => void (await rig.lab.heal()),
    freeze: async (host, what) => {
      await rig.lab.freeze(host, what)
      undo.push(() => rig.lab.thaw(host, what))
    },
    killAgent: async (host) => {
      await rig.killAgent(host)
      undo.push(() => rig.startAgent(host))
    },
    powerOff: async (host) => {
      await rig.lab.power(host, 'off')
      undo.push(() => rig.lab.power(host, 'on'))
    },
    killRedis: async (host) => void deaths.push(await deathOfRedis(rig, host)),
    nobodyWrites: async (forMs) => {
      const before = await Promise.all([there.stats(), here.stats()])
      await lasts(forMs)
      const after = await Promise.all([there.stats(), here.stats()])
      expect(
        after.map((s) => s.acked),
        'not one more write on either side',
      ).toEqual(before.map((s) => s.acked))
    },
  }
}

/** A client that has had no answer for longer was not answered in the turn of the loop in which redis died. */
const answerMs = 100

/** Kills redis there: which process that was. */
async function deathOfRedis(rig: Rig, host: string): Promise<Death> {
  const runId = /run_id:(\w+)/.exec(await rig.redis(host, 'INFO', 'server'))?.[1] ?? ''
  expect(runId, `${host} answers`).not.toBe('')
  const fromMs = Date.now() - answerMs
  await rig.lab.kill(host, 'redis')
  return { runId, fromMs, toMs: Date.now(), lastOnly: true }
}

/** A request that must be refused: nothing is switched over while the members do not see each other. */
export async function expectRefused(rig: Rig, ...argv: readonly string[]): Promise<void> {
  const result = await rig.cli(...argv)
  expect(result, `${argv.join(' ')} is refused`).toMatchObject({ code: 1 })
}
