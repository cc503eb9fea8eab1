/**
 * `script/soak`: random faults on a real lab, round after round, for as long as asked. Stops at the first round that ends badly, keeps
 * its logs and prints the seed, the story with its times, and where the evidence is. Ctrl-C takes everything down.
 */
import { randomInt } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { labProblems } from '../../src/lab/capability.ts'
import { layGround, type Ground } from './ground.ts'
import { playRound } from './round.ts'
import { describeFault, planRound, type Shape } from './schedule.ts'
import { closingTable, type RoundResult } from './table.ts'

const usage = `script/soak --minutes N [--seed S] [--pair | --witness | --three] [--external | --sentinel] [--from-round N] [--story] [--name LAB]

Breaks a lab at random, with two clients writing through the address all the time, and after each round demands: the group is well, one
primary, the address with it, all replicas attached, no broken safety rule, no acknowledged write gone without a trace.

  --minutes N     how long (5)
  --seed S        the dice; printed when not given. The same seed breaks the same things in the same order
  --pair          two members: may part in a partition, and must keep every write that leaves the history
  --witness       two members and a witness (this unless told otherwise): never two writers while agents run
  --three         three members and a witness
  --sentinel      mode: sentinel, three members with a Sentinel each; with --pair, two members and a third host with a Sentinel only.
                  A third client asks the Sentinels, with ioredis
  --external      redis under a supervisor that restarts it at once, always empty (process: external)
  --from-round N  begin with this round of the seed
  --story         tell every round whole, not only one that ends badly
  --name LAB      the name of the lab (soak)

Exit codes: 0 every round ended well; 1 one did not, or no lab can be made here; 2 wrong usage; 130 interrupted.
`

const options = {
  minutes: { type: 'string', default: '5' },
  seed: { type: 'string' },
  pair: { type: 'boolean', default: false },
  witness: { type: 'boolean', default: false },
  three: { type: 'boolean', default: false },
  external: { type: 'boolean', default: false },
  sentinel: { type: 'boolean', default: false },
  'from-round': { type: 'string', default: '1' },
  story: { type: 'boolean', default: false },
  name: { type: 'string', default: 'soak' },
  help: { type: 'boolean', short: 'h', default: false },
} as const

interface Wish {
  readonly minutes: number
  readonly seed: number
  readonly fromRound: number
  readonly name: string
  readonly story: boolean
  readonly shape: Shape
}

/** The story of the round that is played. */
const told: string[] = []
const interrupt = new AbortController()
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => interrupt.abort())
process.exit(await main())

async function main(): Promise<number> {
  const wish = readWish()
  if (typeof wish === 'string') {
    process[wish === '' ? 'stdout' : 'stderr'].write(`${wish === '' ? '' : `${wish}\n`}${usage}`)
    return wish === '' ? 0 : 2
  }
  const problems = labProblems()
  if (problems.length > 0) {
    console.error(`no lab can be made here: ${problems.join('; ')}`)
    return 1
  }
  const { shape } = wish
  console.info(
    `seed ${wish.seed}: ${shape.members} members${shape.sentinel ? ', three Sentinels' : shape.witness ? ' and a witness' : ''}${shape.external ? ', redis under its own supervisor' : ''}, ${wish.minutes} minutes`,
  )
  const entry = [process.execPath, '--enable-source-maps', resolve('dist/main.js')]
  const ground = await layGround({ name: wish.name, shape, entry, signal: interrupt.signal })
  let failed = true
  try {
    failed = !(await Promise.race([soak(ground, wish), interrupted()]))
  } finally {
    const evidence = await ground.close(failed && !interrupt.signal.aborted)
    if (evidence !== null) {
      await writeFile(join(evidence, 'story.txt'), `${told.join('\n')}\n`)
      console.error(`evidence: ${evidence} (story.txt; HOST/state.kept: journals, redis.log, what was kept; HOST/agent.log)`)
    }
  }
  if (interrupt.signal.aborted) return 130
  return failed ? 1 : 0
}

/** true: every round ended well. */
async function soak(ground: Ground, wish: Wish): Promise<boolean> {
  const startMs = performance.now()
  const rounds: RoundResult[] = []
  const minutes = (): number => (performance.now() - startMs) / 60_000
  let ok = true
  for (let round = wish.fromRound; ok && minutes() < wish.minutes && !interrupt.signal.aborted; round += 1) {
    const faults = planRound(wish.seed, round, wish.shape)
    told.length = 0
    const roundMs = performance.now()
    const say = (line: string): void => void told.push(`  ${((performance.now() - roundMs) / 1000).toFixed(2).padStart(6)} s  ${line}`)
    told.push(`round ${round}: ${faults.map(describeFault).join('; ')}`)
    const { result, problems } = await playRound(ground, round, faults, say)
    if (interrupt.signal.aborted) return false
    rounds.push(result)
    ok = problems.length === 0
    console.info(
      `${told[0]} → ${
        ok
          ? `ok, ${
              told
                .at(-1)
                ?.trim()
                .replace(/^[\d.]+ s +/, '') ?? ''
            }`
          : 'FAILED'
      }`,
    )
    if (ok && wish.story) console.info(told.slice(1).join('\n'))
    if (ok) continue
    for (const problem of problems) told.push(`  PROBLEM: ${problem}`)
    console.error(told.join('\n'))
    console.error(`again: script/soak --seed ${wish.seed} --from-round ${round} ${flagsOf(wish.shape)}`)
  }
  console.info(`\n${closingTable(rounds, minutes())}`)
  return ok
}

function interrupted(): Promise<false> {
  return new Promise((give) => interrupt.signal.addEventListener('abort', () => give(false)))
}

function flagsOf(shape: Shape): string {
  if (shape.sentinel) return shape.witness ? '--sentinel --pair' : '--sentinel'
  return `${shape.members > 2 ? '--three' : shape.witness ? '--witness' : '--pair'}${shape.external ? ' --external' : ''}`
}

/** '' when help was asked for; otherwise what is wrong. */
function readWish(): Wish | string {
  let given: ReturnType<typeof parseArgs<{ options: typeof options }>>['values']
  try {
    given = parseArgs({ options }).values
  } catch (error) {
    return (error as Error).message
  }
  if (given.help) return ''
  const [minutes, fromRound] = [Number(given.minutes), Number(given['from-round'])]
  const seed = given.seed === undefined ? randomInt(2 ** 31) : Number(given.seed)
  if (!(minutes > 0)) return `--minutes ${given.minutes} is no time`
  if (!Number.isInteger(seed) || seed < 0) return `--seed ${given.seed ?? ''} is no whole number`
  if (!Number.isInteger(fromRound) || fromRound < 1) return `--from-round ${given['from-round']} is no round`
  if ([given.pair, given.witness, given.three].filter(Boolean).length > 1) return 'one of --pair, --witness, --three'
  if (given.sentinel && (given.external || given.witness || given.three)) return '--sentinel goes with --pair or alone'
  const shape = given.sentinel
    ? { members: given.pair ? 2 : 3, witness: given.pair, external: false, sentinel: true }
    : { members: given.three ? 3 : 2, witness: !given.pair, external: given.external, sentinel: false }
  return { minutes, seed, fromRound, name: given.name, story: given.story, shape }
}
