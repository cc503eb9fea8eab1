/**
 * The bench's command line. PURE: words in, a plan or a complaint out. The default run stays under ten minutes on two
 * cores; `--full` has the rounds that the goals are stated for.
 */

export const cases = [
  'crash',
  'host-cut',
  'switchover',
  'hang',
  'restart',
  'idle',
  'false-alarms',
  'throughput',
  'backup',
  'archive',
  'verify',
  'cutover',
  'sync',
] as const
export type Case = (typeof cases)[number]

export const systems = ['holdfast', 'keepalived-1s', 'keepalived-2s', 'sentinel'] as const
export type System = (typeof systems)[number]

export interface BenchOptions {
  readonly only: readonly Case[]
  readonly systems: readonly System[]
  /** Overrides the number of rounds of every case. */
  readonly rounds: number | null
  readonly full: boolean
  /** How long the machine is kept busy for the false alarms. */
  readonly minutes: number
  readonly jsonFile: string | null
  readonly keepLogs: boolean
}

export type Parsed = { readonly kind: 'run'; readonly options: BenchOptions } | { readonly kind: 'help' } | { readonly kind: 'wrong'; readonly why: string }

export const usage = `usage: script/bench [options]
  --full              rounds as the goals are stated: 100 crashes, 50 host cuts, 100 switchovers, 10 minutes of load
  --rounds N          this many rounds of every case
  --only A,B          only these cases: ${cases.join(', ')}
  --systems A,B       only these systems: ${systems.join(', ')}
  --minutes M         length of the false-alarm case (default 1; with --full 10)
  --json FILE         also write everything that was measured, as JSON
  --keep-logs         keep the logs of every lab, not only of those with an outlier
  --help
`

const withValue = ['--only', '--systems', '--rounds', '--minutes', '--json'] as const

export function parseOptions(argv: readonly string[]): Parsed {
  const given = new Map<string, string>()
  for (let index = 0; index < argv.length; index += 1) {
    const word = argv[index] ?? ''
    if (word === '--help' || word === '-h') return { kind: 'help' }
    if (word === '--full' || word === '--keep-logs') {
      given.set(word, '')
      continue
    }
    const [name = '', inline] = word.split(/=(.*)/s)
    if (!withValue.some((known) => known === name)) return wrong(`unknown option ${word}`)
    if (inline === undefined) index += 1
    const value = inline ?? argv[index]
    if (value === undefined) return wrong(`${name} needs a value`)
    given.set(name, value)
  }
  const only = pick(given.get('--only'), cases)
  const chosen = pick(given.get('--systems'), systems)
  if (typeof only === 'string') return wrong(`--only: ${only}`)
  if (typeof chosen === 'string') return wrong(`--systems: ${chosen}`)
  const rounds = given.has('--rounds') ? Number(given.get('--rounds')) : null
  if (rounds !== null && (!Number.isInteger(rounds) || rounds < 1 || rounds > 1000)) return wrong('--rounds takes a whole number from 1 to 1000')
  const full = given.has('--full')
  const minutes = given.has('--minutes') ? Number(given.get('--minutes')) : full ? 10 : 1
  if (!(minutes >= 0.1 && minutes <= 120)) return wrong('--minutes takes a number from 0.1 to 120')
  const options = {
    only,
    systems: chosen,
    rounds,
    full,
    minutes,
    jsonFile: given.get('--json') ?? null,
    keepLogs: given.has('--keep-logs'),
  }
  return { kind: 'run', options }
}

/** How many rounds of a case on a system. What takes the recipes up to a minute is repeated less often. */
export function roundsOf(options: BenchOptions, system: System, of: Case): number {
  if (options.rounds !== null) return options.rounds
  if (system === 'keepalived-2s') return options.full ? 3 : 1
  if (system !== 'holdfast') return options.full ? 3 : 2
  if (of === 'cutover') return options.full ? 50 : 5
  if (of === 'restart') return options.full ? 5 : 2
  if (of === 'hang') return options.full ? 10 : 3
  if (of === 'host-cut') return options.full ? 50 : 10
  return options.full ? 100 : 20
}

function pick<T extends string>(text: string | undefined, known: readonly T[]): readonly T[] | string {
  if (text === undefined) return known
  const words = text
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '')
  const strange = words.filter((word) => !known.some((name) => name === word))
  if (strange.length > 0) return `${strange.join(', ')} is not one of ${known.join(', ')}`
  return words.length === 0 ? 'nothing is named' : known.filter((name) => words.includes(name))
}

function wrong(why: string): Parsed {
  return { kind: 'wrong', why }
}
