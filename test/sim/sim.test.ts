/** The simulator for a few seconds, from a seed that moves on with nothing: a failure repeats exactly. More of it: script/sim. */
import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { mutations } from './mutations.ts'
import { play, tellStory } from './play.ts'
import { dice } from './prng.ts'
import { regressions } from './regressions.ts'
import { kindOf, shrink } from './shrink.ts'
import { report, seek } from './seek.ts'
import { storyOf } from './story.ts'

const seconds = Number(process.env.HOLDFAST_SIM_SECONDS ?? 6)

describe('fault histories', () => {
  test('no rule is broken in any', { timeout: 60_000 + seconds * 1000 }, () => {
    const { found, histories } = seek({ from: 1, seconds, histories: 6000, atMost: 1 })
    expect(found.map(report).join('\n')).toBe('')
    // A machine that is busy with other things plays fewer; below this the step says nothing.
    // Some of them at least, on a busy machine too: a run that plays none proves nothing.
    expect(histories).toBeGreaterThan(25)
  })

  test.each(regressions)('once: $accident', ({ story }) => {
    expect(play(story).broken).toBeNull()
  })
})

describe('the simulator itself', () => {
  test('a seed always tells the same story, and it always ends in the same way', () => {
    expect(storyOf(7)).toEqual(storyOf(7))
    const [one, other] = [play(storyOf(7), true), play(storyOf(7), true)]
    expect(one.world.notes).toEqual(other.world.notes)
  })

  test('the dice are fair enough', () => {
    const d = dice(42)
    const counts = [0, 0, 0, 0, 0]
    for (let i = 0; i < 10_000; i += 1) counts[d.int(5)] = (counts[d.int(5)] ?? 0) + 1
    for (const count of counts) expect(count).toBeGreaterThan(1800)
  })

  test('stories have ten faults and more, of two to five members', () => {
    const stories = Array.from({ length: 500 }, (_, seed) => storyOf(seed))
    expect(Math.min(...stories.map((s) => s.steps.filter((x) => x.kind !== 'wait' && x.kind !== 'write').length))).toBeGreaterThanOrEqual(5)
    expect([...new Set(stories.map((s) => s.members))].sort()).toEqual([2, 3, 4, 5])
  })

  test.each(mutations)('the list of guards is up to date: $guard', ({ file, from, to, test: named }) => {
    expect(readFileSync(file, 'utf8').split(from)).toHaveLength(2)
    expect(to).not.toBe(from)
    expect(named === undefined || existsSync(named)).toBe(true)
  })

  test('what breaks a rule is told with a shorter story that breaks the same', () => {
    // A member whose agent never comes back cannot be attached: given an ending that demands it, every story fails.
    const story = { ...storyOf(3, 3), healed: 0 }
    const { broken } = play(story)
    expect(broken).not.toBeNull()
    const shortest = shrink(story, broken ?? '')
    expect(shortest.steps.length).toBeLessThan(story.steps.length)
    expect(kindOf(play(shortest).broken ?? '')).toBe(kindOf(broken ?? ''))
    expect(tellStory(shortest)).toContain('healed in the end')
  })
})
