/**
 * Random histories: faults, healing and operator's words in any order, in a world of two or three members. After each step the
 * rules that hold always; after the healing the ones that hold in the end. The seed is fixed: a failure repeats exactly.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ownFitness } from '../../src/decide/fitness.ts'
import type { Written } from './model-redis.ts'
import { World } from './world.ts'

type Step =
  | {
      readonly kind:
        | 'crash'
        | 'restart-empty'
        | 'restart-old'
        | 'save'
        | 'kill-agent'
        | 'start-agent'
        | 'cut'
        | 'power-off'
        | 'power-on'
        | 'freeze'
        | 'thaw'
        | 'switchover'
        | 'lag'
        | 'catch-up'
      readonly host: number
    }
  | { readonly kind: 'heal' | 'pause' | 'resume' }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'write'; readonly count: number }

const host = fc.nat(2)
const hostStep = (kind: Extract<Step, { host: number }>['kind']) => fc.record({ kind: fc.constant(kind), host })
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 1200 }) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 12 }) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('write' as const), count: fc.integer({ min: 1, max: 8 }) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('heal' as const, 'pause' as const, 'resume' as const) }) },
  ...(
    [
      'crash',
      'restart-empty',
      'restart-old',
      'save',
      'kill-agent',
      'start-agent',
      'cut',
      'power-off',
      'power-on',
      'freeze',
      'thaw',
      'switchover',
      'lag',
      'catch-up',
    ] as const
  ).map((kind) => ({ weight: 1, arbitrary: hostStep(kind) })),
)

function take(w: World, external: boolean, s: Step): void {
  if (s.kind === 'wait') w.run(s.ms)
  else if (s.kind === 'write') w.writes(s.count)
  else if (!('host' in s)) {
    const [first] = w.hosts.filter((h) => w.agent(h).up)
    if (s.kind === 'heal') w.heal()
    else if (first !== undefined) w.ask(first, s.kind)
  } else {
    const name = w.hosts[s.host % w.hosts.length] ?? 'a'
    const redis = w.redis(name)
    if (s.kind === 'crash') w.crash(name)
    else if (s.kind === 'save') redis.save()
    else if (s.kind === 'restart-empty' || s.kind === 'restart-old') {
      w.crash(name)
      if (!w.linked(name, name, 'redis')) return
      // A supervisor that races with the failover, or a host without a living agent, is beyond what can be kept safe:
      // `explain` warns of the one, guard.test.ts has the other as a known gap.
      if (external) w.run(50)
      if (external && w.hosts.every((h) => w.agent(h).up && !w.redis(h).frozen)) {
        w.supervisorStarts(name, s.kind === 'restart-empty' ? 'empty' : 'old')
        w.run(30)
      } else if (!external && s.kind === 'restart-empty') redis.disk = { replid: '', offset: 0, log: [] }
    } else if (s.kind === 'kill-agent') w.killAgent(name)
    else if (s.kind === 'start-agent') w.startAgent(name)
    else if (s.kind === 'cut') w.cut(name)
    else if (s.kind === 'power-off') w.powerOff(name)
    else if (s.kind === 'power-on') w.powerOn(name)
    else if (s.kind === 'freeze') w.freeze(name)
    else if (s.kind === 'thaw') w.thaw(name)
    else if (s.kind === 'lag') redis.lagging = true
    else if (s.kind === 'catch-up') redis.lagging = false
    else w.ask(name, 'switchover')
  }
}

/** What is never true, whatever happens. */
function watch(w: World): () => void {
  const epochs = new Map<string, number>()
  const held = new Map<string, { readonly runId: string; readonly log: readonly Written[] }>()
  return () => {
    for (const h of w.hosts) {
      const { runId, log, syncUntilMs } = w.redis(h)
      if (syncUntilMs !== null) continue
      const before = held.get(h)
      held.set(h, { runId, log })
      if (before === undefined || before.runId !== runId || before.log === log || !w.redis(h).running) continue
      const here = new Set(log.map((x) => x.key))
      const copies = new Set(w.kept.filter((k) => k.host === h).flatMap((k) => k.keys))
      const gone = before.log.filter((x) => !here.has(x.key) && !copies.has(x.key))
      if (gone.length > 0) throw new Error(`${h} gave ${gone.length} writes up without a copy (INV-6)\n${w.tale()}`)
    }
    const serving = w.hosts.filter(
      (h) => w.agent(h).up && w.state(h).phase === 'primary' && w.state(h).holder === h && w.redis(h).running && w.redis(h).role === 'primary',
    )
    for (const h of serving) {
      const twin = serving.find((o) => o !== h && w.state(o).epoch === w.state(h).epoch && w.linked(o, h, 'agent') && w.heardMs(o, h) > w.nowMs - 1)
      if (twin !== undefined && w.network.heardSinceMs(h, twin, w.nowMs) > 200)
        throw new Error(`${h} and ${twin} both serve epoch ${w.state(h).epoch}\n${w.tale()}`)
    }
    for (const h of w.hosts) {
      const { epoch } = w.state(h)
      if (epoch < (epochs.get(h) ?? 0)) throw new Error(`the epoch of ${h} fell\n${w.tale()}`)
      epochs.set(h, epoch)
    }
    if (w.assertions.length > 0) throw new Error(`the core tripped over itself\n${w.tale()}`)
  }
}

/** Everything that is broken is repaired, as an operator would, and nothing else is decided for the group. */
function repair(w: World, external: boolean): void {
  w.heal()
  for (const h of w.hosts) {
    w.powerOn(h)
    w.thaw(h)
    w.redis(h).lagging = false
    w.startAgent(h)
  }
  w.run(1000)
  if (external) for (const h of w.hosts) if (!w.redis(h).running) w.supervisorStarts(h, 'old')
  w.run(300)
  for (const h of w.hosts) w.ask(h, 'resume')
}

/** Nobody may serve by the rules (every dataset was lost, or is of unknown history): then, and only then, the operator chooses. */
function overrule(w: World): void {
  if (w.serving().length > 0) return
  const fit = w.hosts.filter((h) => {
    const { view } = w.agent(h)
    return view !== null && ownFitness(w.state(h), view, w.policy).fit
  })
  if (fit.length > 0) throw new Error(`nobody serves, and ${fit.join()} could\n${w.tale()}`)
  const [most = ''] = [...w.hosts].sort((a, b) => w.keys(b).length - w.keys(a).length)
  w.ask(most, 'failover')
  w.run(5000)
}

const runs = Number(process.env.HOLDFAST_RANDOM_RUNS ?? 150)
/** Of the four worlds together about ten seconds; a slow machine then sees fewer histories. */
const limitMs = Number(process.env.HOLDFAST_RANDOM_LIMIT_MS ?? 2500)
const seed = Number(process.env.HOLDFAST_RANDOM_SEED ?? 20_240_607)

test.each([
  { members: 2, external: false },
  { members: 3, external: false },
  { members: 2, external: true },
  { members: 3, external: true },
])(
  '$members members, external redis: $external',
  ({ members, external }) => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 25 }), (steps) => {
        const w = new World({ members: ['a', 'b', 'c'].slice(0, members), external })
        if (external) for (const h of w.hosts) w.supervisorStarts(h, 'empty')
        w.run(20)
        w.begin()
        w.writes(5)
        w.afterEach = watch(w)
        for (const s of steps) take(w, external, s)
        repair(w, external)
        w.run(12_000)
        overrule(w)
        const serving = w.serving()
        // A member may rightly wait for an operator, but then it has said so, and nobody else is hindered.
        const refusing = w.hosts.filter(
          (h) => w.events.some((e) => e.host === h && e.kind === 'alarm') && w.state(h).phase !== 'replica' && w.state(h).phase !== 'primary',
        )
        if (serving.length !== 1) throw new Error(`serving in the end: ${serving.join() || 'nobody'}\n${w.tale()}`)
        const [primary = ''] = serving
        for (const h of w.hosts) {
          if (h === primary || refusing.includes(h)) continue
          if (w.state(h).phase !== 'replica' || !w.redis(h).linkUp) throw new Error(`${h} is not attached to ${primary}\n${w.tale()}`)
          expect(w.keys(h)).toEqual(w.keys(primary))
        }
        expect(w.addressOn()).toEqual([primary])
        for (const h of w.hosts) expect(w.redis(h).refusesWrites, `no fence stays behind on ${h}`).toBe(false)
      }),
      { seed, numRuns: runs, interruptAfterTimeLimit: limitMs, markInterruptAsFailure: false },
    )
  },
  60_000,
)
