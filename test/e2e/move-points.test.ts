/**
 * The agent that sees to a move is killed (-9) between any two steps of a cut-over and of the way back, and comes back; so are the processes on
 * either side, at any moment. Which steps there are is read from the journal of an undisturbed run. HOLDFAST_MOVES=N plays so many, a few otherwise.
 */
import { describe, expect, test } from 'vitest'
import { OldRedis } from './moving.ts'
import { problems, rigFor, twoHosts, type JournalLine, type Rig } from './rig.ts'

const rounds = Number(process.env['HOLDFAST_MOVES'] ?? 2)
const dice = (below: number): number => Math.floor(Math.random() * below)

const kinds = [
  { kind: 'a move', lab: 'movep', start: async (old: OldRedis) => old.start(), words: [] },
  // Its agent is the way of redis to the source: while it is away there is none.
  { kind: 'a move over TLS', lab: 'movetp', start: async (old: OldRedis) => old.startWithTls(), words: ['--plain-way-back'] },
] as const

describe.skipIf(problems.length > 0).each(kinds)(
  'an agent that dies between two steps of $kind',
  { timeout: 30_000 + rounds * 30_000 },
  ({ lab, start, words }) => {
    const theRig = rigFor(lab, twoHosts(['migration: { awaits: true, hook: ./hook }']))

    test('one writer at any time, nothing lost, and the same command brings it to its end', async () => {
      const rig = theRig()
      const old = new OldRedis(rig)
      await start(old)
      await old.startMove(...words)
      const holder = (await old.shown()).holder
      const points = { cutover: await pointsOf(rig, old, holder, 'cutover'), rollback: await pointsOf(rig, old, holder, 'rollback') }
      expect(points.cutover.length, 'points of a cut-over').toBeGreaterThan(5)
      const writer = await rig.writer()
      const told: string[] = []
      for (let round = 0; round < rounds; round += 1) {
        const back = (await old.shown()).move.stage === 'moved'
        const verb = back ? 'rollback' : 'cutover'
        const all = points[verb]
        const label = all[(Math.floor(round / 2) + dice(all.length)) % all.length] ?? ''
        await ready(old, verb)
        await rig.killAgent(holder)
        await rig.startAgent(holder, { HOLDFAST_CRASH_AT: label })
        await ready(old, verb).catch(() => undefined)
        expect(await writer.steady({ acks: 100, withinMs: 10_000 }), `writes flow before: ${verb} ${label}`).toBe(true)
        await writer.mark(`${verb}: ${label}`)
        const order = rig.cli('migrate', verb, 'sessions', ...(back ? [] : ['--unverified']))
        const died = await rig.untilAgentIsGone(holder, 3000).then(
          () => true,
          () => false,
        )
        if (!died) await rig.killAgent(holder)
        await rig.startAgent(holder)
        await order
        await old.untilStage(['IN_SYNC', 'VERIFIED', 'ROLLED_BACK', 'MOVED', 'DRAINED'], 20_000)
        const stage = (await old.shown()).move.stage
        const writers = await old.writers()
        expect([writers.length, writers[0] === 'old'], `${verb} ${label}: ${stage}, ${writers.join()}`).toEqual([1, stage === 'sync'])
        expect(await writer.steady({ acks: 100, withinMs: 10_000 }), `writes flow after: ${verb} ${label}`).toBe(true)
        told.push(`${verb} ${label}${died ? '' : ' (not reached)'}: ${stage}`)
      }
      console.info(told.join('\n'))
      await rig.finishWithin(writer, 6000)
      if (lab === 'movep') await lateWayBack(rig, old, holder)
      await rig.expectNoBrokenRule()
      await old.stop()
    })
  },
)

/**
 * Dead in the middle of a way back, and back after longer than one may take: the address goes while a write still waits for its answer. A client whose
 * connection was not ended before would wait for that answer, which cannot reach it any more, until its own timeout.
 */
async function lateWayBack(rig: Rig, old: OldRedis, holder: string): Promise<void> {
  if ((await old.shown()).move.stage !== 'moved') {
    await ready(old, 'cutover')
    await old.ok('cutover', 'sessions', '--unverified')
    await old.untilStage(['MOVED', 'DRAINED'])
  }
  await ready(old, 'rollback')
  await rig.killAgent(holder)
  await rig.startAgent(holder, { HOLDFAST_CRASH_AT: 'receiving/saved' })
  await ready(old, 'rollback').catch(() => undefined)
  const patient = await rig.writer({ commandTimeoutMs: 20_000 })
  await patient.mark('a late way back')
  const order = rig.cli('migrate', 'rollback', 'sessions')
  await rig.untilAgentIsGone(holder)
  // As with a longer max_pause_ms: nothing is written meanwhile, so the way back goes on where it was.
  expect(await rig.redis(holder, 'CLIENT', 'PAUSE', '8000', 'WRITE')).toBe('OK')
  await new Promise((resolve) => setTimeout(resolve, 3100))
  await rig.startAgent(holder)
  await order
  await old.untilStage(['ROLLED_BACK', 'MOVED', 'DRAINED'], 20_000)
  expect(await patient.steady({ acks: 100, withinMs: 25_000 }), 'writes flow after a late way back').toBe(true)
  console.info((await old.shown()).move.last)
  await rig.finishWithin(patient, 6000)
}

/** What an operator waits for before the order: it would be taken up now. */
async function ready(old: OldRedis, verb: 'cutover' | 'rollback'): Promise<void> {
  await expect
    .poll(async () => (await old.rig.cli('migrate', verb, 'sessions', '--dry-run', ...(verb === 'cutover' ? ['--unverified'] : []))).code, {
      timeout: 10_000,
      interval: 200,
    })
    .toBe(0)
}

async function pointsOf(rig: Rig, old: OldRedis, holder: string, verb: 'cutover' | 'rollback'): Promise<readonly string[]> {
  await ready(old, verb)
  const fromMs = Date.now()
  await old.ok(verb, 'sessions', ...(verb === 'cutover' ? ['--unverified'] : []))
  await old.untilStage(verb === 'cutover' ? ['MOVED', 'DRAINED'] : ['ROLLED_BACK'])
  const labels = new Set<string>()
  for (const line of await rig.journal(holder, 'sessions', fromMs)) for (const label of labelsOf(line)) labels.add(label)
  return [...labels]
}

function labelsOf(line: JournalLine): readonly string[] {
  const phase = line.next?.phase ?? ''
  const actions = (line.actions ?? []).map((a) => a.action.kind).filter((kind) => kind !== 'poke')
  return [`${phase}/saved`, ...actions.slice(0, 1).map((kind) => `${phase}/before:${kind}`), ...actions.map((kind) => `${phase}/after:${kind}`)]
}
