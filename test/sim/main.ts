/**
 * script/sim: plays fault histories over the real core, as long as one likes. Exit codes: 0 no rule was broken, 1 one was,
 * 2 wrong usage. `--mutate` asks the other way round: does it notice when a guard of the core is missing (mutate.ts)?
 */
import { fork } from 'node:child_process'
import { parseArgs } from 'node:util'
import { mutate } from './mutate.ts'
import { play, tellStory } from './play.ts'
import { report, seek, type Seek, type Sought } from './seek.ts'
import { shrink } from './shrink.ts'
import { storyOf } from './story.ts'

const usage = `script/sim [--seconds S] [--from SEED] [--members N] [--mode vip|sentinel] [--jobs N]   play until time is up (10 s)
script/sim --seed N [--members N] [--mode vip|sentinel]                                play one seed, with its whole transcript and its shortest story
script/sim --mutate [--seconds S] [--only PATTERN]                  remove each guard of src/decide in turn: is it noticed?`

if (process.send === undefined) process.exit(await main())
else process.once('message', (options) => process.send?.(seek(options as Seek), () => process.disconnect()))

async function main(): Promise<number> {
  const args = readArgs()
  if (args === null) return 2
  if (args.mutate) return mutate(args.seconds ?? 30, args.only)
  if (args.seed !== null) return replay(args.seed, args.members, args.mode)
  const options: Seek = {
    from: args.from ?? 1,
    seconds: args.seconds ?? 10,
    atMost: 5,
    ...(args.members === null ? {} : { members: args.members }),
    ...(args.mode === null ? {} : { mode: args.mode }),
  }
  const parts = args.jobs <= 1 ? [seek(options)] : await Promise.all(Array.from({ length: args.jobs }, (_, i) => inProcess(options, i, args.jobs)))
  return tellAll(parts)
}

function tellAll(parts: readonly Sought[]): number {
  const found = parts.flatMap((p) => p.found)
  const histories = parts.reduce((sum, p) => sum + p.histories, 0)
  const seconds = Math.max(...parts.map((p) => p.seconds))
  for (const one of found) console.log(`${report(one)}\n`)
  tellOutside(parts, histories)
  const cpuSeconds = parts.reduce((sum, p) => sum + p.cpuSeconds, 0)
  const jobs = `${parts.length} job${parts.length > 1 ? 's' : ''}`
  const perSecond = `${Math.round(histories / seconds)} a second, ${Math.round(histories / cpuSeconds)} per CPU second`
  console.log(`${histories} histories in ${seconds.toFixed(1)} s, ${jobs}: ${perSecond}; ${found.length} broke a rule`)
  return found.length === 0 ? 0 : 1
}

/** Nobody is to hide behind a bound: how often a history left one in which a rule is kept. */
function tellOutside(parts: readonly Sought[], histories: number): void {
  const bounds = [...new Set(parts.flatMap((p) => Object.keys(p.outside)))].toSorted()
  console.log('outside the documented bounds, where a rule would else have been broken:')
  for (const bound of bounds) {
    const count = parts.reduce((sum, p) => sum + (p.outside[bound] ?? 0), 0)
    console.log(`${String(count).padStart(9)} (${((100 * count) / histories).toFixed(2)} %)  ${bound}`)
  }
}

/** The same program as a child that was told its share; it answers with what it found. */
function inProcess(options: Seek, index: number, jobs: number): Promise<Sought> {
  return new Promise((resolve, reject) => {
    const child = fork(process.argv[1] ?? '')
    child.once('message', (sought) => resolve(sought as Sought))
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`a job ended with code ${code}`)))
    child.send({ ...options, from: options.from + index, stride: jobs } satisfies Seek)
  })
}

function replay(seed: number, members: number | null, mode: Args['mode']): number {
  const story = storyOf(seed, members ?? undefined, mode ?? undefined)
  const { broken, world } = play(story, true)
  console.log(
    `seed ${seed}: ${tellStory(story)}\n\n${world.notes.join('\n')}\n\n${world
      .tale()
      .split('\n')
      .slice(-story.members - world.assertions.length)
      .join('\n')}`,
  )
  if (broken === null) {
    console.log('\nno rule was broken')
    return 0
  }
  console.log(`\n${broken}\n\n${report({ seed, mode: mode ?? undefined, broken, shortest: shrink(story, broken) })}`)
  return 1
}

interface Args {
  readonly seconds: number | null
  readonly from: number | null
  readonly seed: number | null
  readonly members: number | null
  readonly mode: 'vip' | 'sentinel' | 'move' | null
  readonly jobs: number
  readonly mutate: boolean
  readonly only: string | null
}

function readArgs(): Args | null {
  try {
    const text = { type: 'string' } as const
    const { values } = parseArgs({
      options: {
        seconds: text,
        from: text,
        seed: text,
        members: text,
        mode: text,
        jobs: text,
        only: text,
        mutate: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    })
    if (values.help === true) throw new Error('help')
    const number = (name: 'seconds' | 'from' | 'seed' | 'members' | 'jobs', least: number, most: number): number | null => {
      const given = values[name]
      if (given === undefined) return null
      const value = Number(given)
      if (!Number.isFinite(value) || value < least || value > most) throw new Error(`--${name} is a number from ${least} to ${most}`)
      return value
    }
    const { mode } = values
    if (mode !== undefined && mode !== 'vip' && mode !== 'sentinel' && mode !== 'move') throw new Error('--mode is vip, sentinel or move')
    return {
      mode: mode ?? null,
      seconds: number('seconds', 0.1, 1e6),
      from: number('from', 0, 2 ** 32 - 1),
      seed: number('seed', 0, 2 ** 32 - 1),
      members: number('members', 2, 5),
      jobs: number('jobs', 1, 64) ?? 1,
      mutate: values.mutate ?? false,
      only: values.only ?? null,
    }
  } catch (error) {
    const why = (error as Error).message
    console.error(why === 'help' ? usage : `${why}\n${usage}`)
    return null
  }
}
