/** From a story that breaks a rule to the shortest one found that breaks the same: first without steps, then with simpler ones. */
import { play } from './play.ts'
import { hostCount, type Step, type Story } from './story.ts'

const mostPlays = 4000

/** What was broken, without names and numbers: a shorter story may have it happen to another member. */
export function kindOf(broken: string): string {
  const [line = ''] = broken.split('\n')
  return line.replace(/\d+/g, '#').replace(/\b[a-e]\b/g, '·')
}

export function shrink(story: Story, broken: string): Story {
  const kind = kindOf(broken)
  let plays = 0
  const stillBreaks = (candidate: Story): boolean => {
    plays += 1
    const { broken: now } = play(candidate)
    return now !== null && kindOf(now) === kind
  }
  let best = story
  for (let before: Story | null = null; before !== best && plays < mostPlays; ) {
    before = best
    best = withoutSteps(best, stillBreaks)
    for (const simpler of simplerGroups(best)) if (stillBreaks(simpler)) best = simpler
    for (let i = 0; i < best.steps.length; i += 1) {
      for (const step of simplerSteps(best.steps[i] as Step)) {
        const candidate = { ...best, steps: best.steps.with(i, step) }
        if (plays < mostPlays && stillBreaks(candidate)) {
          best = candidate
          break
        }
      }
    }
  }
  return best
}

/** Large parts first, then single steps. */
function withoutSteps(story: Story, stillBreaks: (s: Story) => boolean): Story {
  let best = story
  for (let size = Math.ceil(best.steps.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = best.steps.length - size; at >= 0; at -= size) {
      const candidate = { ...best, steps: best.steps.toSpliced(at, size) }
      if (stillBreaks(candidate)) best = candidate
    }
  }
  return best
}

function simplerGroups(story: Story): readonly Story[] {
  const all = 2 ** hostCount(story) - 1
  return [
    ...(story.members > 2 && story.sentinels === undefined
      ? [{ ...story, members: story.members - 1, healed: Math.floor(all / 2), neverPrimary: null, cascade: null }]
      : []),
    ...(story.witness ? [{ ...story, witness: false, healed: Math.floor(all / 2) }] : []),
    ...simplerSentinels(story),
    ...(story.cascade !== null ? [{ ...story, cascade: null }] : []),
    ...(story.priorities !== 'falling' ? [{ ...story, priorities: 'falling' as const }] : []),
    ...(story.external ? [{ ...story, external: false }] : []),
    ...(story.neverPrimary !== null ? [{ ...story, neverPrimary: null }] : []),
    ...(story.latenessMs > 0 ? [{ ...story, latenessMs: 0 }] : []),
    ...(story.healed !== all ? [{ ...story, healed: all }] : []),
  ]
}

function simplerSentinels(story: Story): readonly Story[] {
  const { sentinels } = story
  if (sentinels === undefined) return []
  return [0, 1, 2, 3].filter((seed) => seed < sentinels.seed).map((seed) => ({ ...story, sentinels: { ...sentinels, seed } }))
}

function simplerSteps(step: Step): readonly Step[] {
  if (step.kind === 'wait') return [...new Set([0, 1, 10, 100, 1000, Math.round(step.ms)])].filter((ms) => ms < step.ms).map((ms) => ({ ...step, ms }))
  if (step.kind === 'write' && step.count > 1) return [{ ...step, count: 1 }]
  if (step.kind === 'burst') return [{ kind: 'write', count: 1 }]
  if (step.kind === 'write-beside') return [{ kind: 'write', count: step.count }]
  if (step.kind === 'halt') return [{ ...step, kind: 'suspend' }]
  if (step.kind === 'suspend') return [{ ...step, kind: 'stall' }]
  if (step.kind === 'restart-old') return [{ kind: 'crash', host: step.host }]
  if (step.kind === 'deafen') return [{ kind: 'isolate', host: step.host, other: step.other, layers: ['agent', 'redis', 'vrrp'] }]
  return []
}
