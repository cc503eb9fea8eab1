/** Plays seed after seed until time or seeds run out. What breaks a rule is shrunk and told so that it can be replayed and kept. */
import { play, tellStory } from './play.ts'
import { regressions } from './regressions.ts'
import { shrink } from './shrink.ts'
import { storyOf, type Story } from './story.ts'

export interface Found {
  readonly seed: number
  /** A seed is another story where only stories of one mode are played. */
  readonly mode?: 'vip' | 'sentinel' | 'move' | undefined
  readonly broken: string
  readonly shortest: Story
}

export interface Sought {
  readonly histories: number
  readonly seconds: number
  /** Of this process, shrinking included: on a busy machine less than the time that passed. */
  readonly cpuSeconds: number
  readonly found: readonly Found[]
  /** Histories that left a documented bound where a rule would else have been broken: how many, by the bound. */
  readonly outside: Readonly<Record<string, number>>
}

export interface Seek {
  readonly from: number
  readonly seconds: number
  readonly histories?: number
  readonly members?: number
  readonly mode?: 'vip' | 'sentinel' | 'move'
  /** Every so many-th seed: for jobs that share the work. */
  readonly stride?: number
  /** Only tell the seed. */
  readonly asItIs?: boolean
  /** Stop after so many broken rules. */
  readonly atMost: number
}

export function seek(options: Seek): Sought {
  const startedMs = performance.now()
  const usedBefore = process.cpuUsage()
  const spent = () => {
    const { user, system } = process.cpuUsage(usedBefore)
    return { seconds: spentMs() / 1000, cpuSeconds: (user + system) / 1e6 }
  }
  const spentMs = () => performance.now() - startedMs - shrinkingMs
  const found: Found[] = []
  const outside: Record<string, number> = {}
  let histories = 0
  let shrinkingMs = 0
  if (options.asItIs === true) {
    // A story that was kept for the accident that a guard prevents is the quickest to miss it.
    for (const [i, { story }] of regressions.entries()) {
      const { broken } = play(story)
      if (broken !== null) return { histories: i + 1, ...spent(), outside: {}, found: [{ seed: -1 - i, broken, shortest: story }] }
    }
  }
  for (let seed = options.from; found.length < options.atMost; seed += options.stride ?? 1) {
    if (histories >= (options.histories ?? Number.POSITIVE_INFINITY) || spentMs() >= options.seconds * 1000) break
    const story = storyOf(seed, options.members, options.mode)
    const { broken, outside: left } = play(story)
    histories += 1
    for (const bound of left) outside[bound] = (outside[bound] ?? 0) + 1
    if (broken === null) continue
    const sinceMs = performance.now()
    const shortest = options.asItIs === true ? story : shrink(story, broken)
    found.push({ seed, mode: options.mode, broken: options.asItIs === true ? broken : (play(shortest).broken ?? broken), shortest })
    shrinkingMs += performance.now() - sinceMs
  }
  return { histories, ...spent(), found, outside }
}

export function report({ seed, mode, broken, shortest }: Found): string {
  return `seed ${seed}: ${broken}\nits shortest story: ${tellStory(shortest)}\nfor regressions.ts: ${JSON.stringify(shortest)}\nthe whole of it: script/sim --seed ${seed}${mode === undefined ? '' : ` --mode ${mode}`}`
}
