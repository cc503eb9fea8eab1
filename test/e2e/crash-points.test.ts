/**
 * An agent is killed (-9) between any two steps of a failover and of a switchover, on either side, and comes back. Which steps
 * there are is read from the journals of an undisturbed run, so a new action is covered without anybody thinking of it. One run plays
 * every fourth of them, which ones by dice; HOLDFAST_ALL_POINTS=1 plays all.
 */
import { describe, expect, test } from 'vitest'
import type { JournalLine, Rig } from './rig.ts'
import { pairWithSentinels, poll, problems, rigFor, twoHosts } from './rig.ts'

type Side = 'old primary' | 'new primary'

interface Point {
  readonly side: Side
  readonly label: string
}

const outageMs = 6000
const every = process.env['HOLDFAST_ALL_POINTS'] === undefined ? 4 : 1
const firstPoint = Math.floor(Math.random() * every)

describe.skipIf(problems.length > 0).each([
  ['two hosts', 'points', twoHosts()],
  ['two hosts and three Sentinels', 'pointss', pairWithSentinels],
])('an agent that dies between two steps, %s', (_shape, lab, yaml) => {
  const theRig = rigFor(lab, yaml)

  const events = {
    failover: (rig: Rig, primary: string) => rig.lab.kill(primary, 'redis'),
    // The order may fail, because the agent that took it dies: what counts is what is left. A refusal is asked again.
    switchover: async (rig: Rig) => {
      await poll(
        async () => {
          const result = await rig.cli('switchover', 'sessions')
          if (result.code !== 0) console.info(`the order was not carried out: ${result.stderr.trim().split('\n')[0] ?? ''}`)
          return result.stderr.includes('HF303') && /is not heard|link is down|bytes behind/.test(result.stderr) ? undefined : true
        },
        { withinMs: 2000, everyMs: 100 },
      )
    },
  } as const

  for (const event of ['failover', 'switchover'] as const) {
    test(`of a ${event}: one writer, nothing lost, well again by itself`, { timeout: 400_000 }, async () => {
      const rig = theRig()
      const all = await pointsOf(rig, (primary) => events[event](rig, primary))
      expect(all.length, 'points found in the journals').toBeGreaterThan(10)
      const points = all.filter((_, i) => i % every === firstPoint)
      const writer = await rig.writer()
      const hit: string[] = []
      const missed: string[] = []
      for (const point of points) {
        const name = `${point.side}: ${point.label}`
        const { primary } = await rig.untilOk()
        const host = point.side === 'old primary' ? primary : other(primary)
        await rig.killAgent(host)
        await rig.startAgent(host, { HOLDFAST_CRASH_AT: point.label })
        const early = await settled(rig, host)
        let order: Promise<unknown> = Promise.resolve()
        if (!early) {
          expect(await writer.steady({ acks: 100, withinMs: 10_000 }), `writes flow before: ${name}`).toBe(true)
          await writer.mark(name)
          order = events[event](rig, primary)
        }
        const died = await rig.untilAgentIsGone(host, 4000).then(
          () => true,
          () => false,
        )
        ;(died && !early ? hit : missed).push(early ? `${name} (before the ${event})` : name)
        if (!died) await rig.killAgent(host)
        await rig.startAgent(host)
        // One that is asked again and carried out now would move the primary between two of the questions below.
        await order
        const after = await rig.untilOk().catch((error: unknown) => {
          throw new Error(`${name}: ${(error as Error).message}`)
        })
        expect(await rig.writable(), name).toEqual([after.primary])
        expect(await writer.steady({ acks: 100, withinMs: 10_000 }), `writes flow after: ${name}`).toBe(true)
      }
      console.info(
        `killed at ${hit.length} of ${points.length} points of a ${event}:\n  ${hit.join('\n  ')}${missed.length === 0 ? '' : `\nnot reached this time:\n  ${missed.join('\n  ')}`}`,
      )
      expect(hit.length, 'points at which the agent really died').toBeGreaterThan(points.length / 2)
      await rig.finishWithin(writer, outageMs)
      await rig.expectNoBrokenRule()
    })
  }
})

function other(host: string): string {
  return host === 'red-a' ? 'red-b' : 'red-a'
}

/** Waits until the group is ok with the armed agent; true: it came by its point already now, while it adopted what runs. */
async function settled(rig: Rig, host: string): Promise<boolean> {
  const state = await poll(
    async () => {
      if ((await rig.agentState(host)) !== 'up') return 'died' as const
      return (await rig.status())?.health === 'ok' ? ('ok' as const) : undefined
    },
    { withinMs: 10_000, everyMs: 50 },
  )
  return state === 'died'
}

/** Runs the event once and reads from both journals what was saved and done, in order and once each. */
async function pointsOf(rig: Rig, event: (primary: string) => Promise<unknown>): Promise<readonly Point[]> {
  const { primary, epoch } = await rig.untilOk()
  // The calm before, so that what belongs to an earlier event is over.
  await new Promise((resolve) => setTimeout(resolve, 1000))
  const fromMs = Date.now()
  await event(primary)
  await rig.until('the event is over', 'sessions', (s) => s.epoch > epoch && s.health === 'ok')
  const points: Point[] = []
  for (const [side, host] of [
    ['old primary', primary],
    ['new primary', other(primary)],
  ] as const) {
    const labels = new Set<string>()
    for (const line of await rig.journal(host, 'sessions', fromMs)) for (const label of labelsOf(line)) labels.add(label)
    for (const label of labels) points.push({ side, label })
  }
  return points
}

/**
 * As crash-point.ts names them. Before an action is the same moment as after the one in front of it, so only the first one's
 * is taken. Asking a peer (poke) changes nothing and happens all the time.
 */
function labelsOf(line: JournalLine): readonly string[] {
  const phase = line.next?.phase ?? ''
  const actions = (line.actions ?? []).map((a) => a.action.kind).filter((kind) => kind !== 'poke')
  return [`${phase}/saved`, ...actions.slice(0, 1).map((kind) => `${phase}/before:${kind}`), ...actions.map((kind) => `${phase}/after:${kind}`)]
}
