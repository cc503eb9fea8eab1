/** Plays one story from its begin to its end, under the rules. What comes back is what was broken, if anything. */
import { sourceHost } from '../scenarios/model-source.ts'
import { World } from '../scenarios/world.ts'
import { end } from './ending.ts'
import { BrokenRule, Rules, type Bound } from './rules.ts'
import { hostCount, sentinelCount, type MoveStory, type Step, type Story } from './story.ts'
import { Snipers, take } from './take.ts'

export interface Played {
  /** null: all went well. */
  readonly broken: string | null
  readonly world: World
  /** Which documented bounds it left, where a rule would else have been broken. */
  readonly outside: readonly Bound[]
}

const names = ['a', 'b', 'c', 'd', 'e']
/** After the members: a witness, or those that only run a Sentinel. */
const spare = ['w', 'x', 'y']

export function play(story: Story, tells = false): Played {
  const world = begin(story, tells)
  const rules = new Rules(world, story.external)
  const played = (broken: string | null): Played => ({ broken, world, outside: [...rules.outside] })
  try {
    const snipers = new Snipers()
    world.afterEach = rules.look
    for (const [i, step] of story.steps.entries()) {
      if (tells) world.note('──', `${i + 1}. ${tell(step, story.members)}`)
      if (step.kind === 'failover' || step.kind === 'accept') rules.overruled = true
      take(world, story, snipers, step)
    }
    snipers.leave(world)
    if (tells) world.note('──', 'the healing')
    end(world, story, rules)
    return played(null)
  } catch (error) {
    if (error instanceof BrokenRule) return played(error.message)
    return played(`the simulator or the core failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
  }
}

function begin(story: Story, tells: boolean): World {
  const { members, witness, external, neverPrimary, priorities, cascade, latenessMs, sentinels, move } = story
  const world = new World({
    members: names.slice(0, members).map((host, i) => ({
      host,
      neverPrimary: i === neverPrimary,
      priority: priorities === 'equal' ? 100 : priorities === 'rising' ? 50 + 10 * i : 100 - 10 * i,
      ...(cascade === i ? { replicateFrom: names[i - 1] ?? 'a' } : {}),
    })),
    external,
    ...(witness ? { witness: 'w' } : {}),
    ...(move === undefined ? {} : { source: move.source }),
    ...(sentinels === undefined ? {} : { sentinels: { ...sentinels, hosts: sentinelHosts(members, sentinels.apart) } }),
  })
  world.tells = tells
  world.timerLatenessMs = latenessMs
  if (external) for (const h of world.hosts) world.supervisorStarts(h, 'empty')
  world.run(20)
  if (move !== undefined) return receive(world, move)
  world.begin()
  world.writes(2)
  return world
}

/** The source has had clients for a while, and the group follows it; or the cut-over was done as well. */
function receive(w: World, move: MoveStory): World {
  w.supervisorStarts(sourceHost, 'empty')
  w.run(10)
  w.writes(2)
  for (const host of w.voters) w.startAgent(host)
  w.run(1500)
  w.move('a', { verb: 'start', source: { host: `ip-${sourceHost}`, port: 6379 }, overwrite: null })
  w.until('all follow', () => w.hosts.every((h) => w.redis(h).linkUp && w.redis(h).offset === w.redis(sourceHost).offset), 5000)
  w.writes(2)
  w.run(1000)
  if (move.begun === 'received') return w
  const isMoved = () => w.isWhole() && w.redis(sourceHost).linkUp
  for (let tries = 0; tries < 10 && !isMoved(); tries += 1) {
    w.move('a', { verb: 'cutover', unverified: true })
    w.runUntil(w.nowMs + 1000, isMoved)
  }
  w.writes(2)
  return w
}

function sentinelHosts(members: number, apart: number): readonly string[] {
  return [...names.slice(0, members), ...spare].slice(members + apart - sentinelCount, members + apart).sort()
}

function nameAt(index: number, members: number): string {
  return (index >= members ? spare[index - members] : names[index]) ?? '?'
}

export function tell(step: Step, members: number): string {
  const { kind, ...rest } = step
  const words = Object.entries(rest).map(([key, value]) => {
    if (key === 'host' || key === 'other' || key === 'to')
      return `${key === 'host' ? '' : `${key} `}${value === null ? 'anybody' : nameAt(Number(value), members)}`
    return `${key} ${Array.isArray(value) ? value.join('+') : String(value)}`
  })
  return [kind, ...words].join(' ')
}

export function tellStory(story: Story): string {
  const { members, witness, external, neverPrimary, priorities, cascade, latenessMs, healed } = story
  const { sentinels, move } = story
  const votes =
    sentinels === undefined
      ? ''
      : ` and three Sentinels, ${sentinels.apart} of them apart,${sentinels.quorum === undefined ? '' : ` quorum ${sentinels.quorum},`} down-after ${sentinels.downAfterMs} ms, failover-timeout ${sentinels.failoverTimeoutMs} ms`
  const order = priorities === 'falling' ? '' : `, ${priorities} priorities`
  const middle = cascade === null ? '' : `, ${names[cascade] ?? '?'} replicates from ${names[cascade - 1] ?? '?'}`
  const head = `${members} members${witness ? ' and a witness' : ''}${votes}${order}${middle}${external ? ', external redis' : ''}${move === undefined ? '' : `, a source that ${move.source}, ${move.begun}`}${neverPrimary === null ? '' : `, ${names[neverPrimary] ?? '?'} never primary`}, timers ${latenessMs} ms late`
  const core = [...names.slice(0, members), ...spare.slice(0, hostCount(story) - members)].filter((_, i) => (healed & (1 << i)) !== 0)
  return [head, ...story.steps.map((s, i) => `  ${i + 1}. ${tell(s, members)}`), `  healed in the end: ${core.join(', ')}`].join('\n')
}
