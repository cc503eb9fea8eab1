/**
 * What script/test checks, in order: quick ones first, so that a slip is told within seconds. Every step has a name for
 * `--only`, a deadline, and a sentence that says what its failure means.
 */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { labProblems } from '../../src/lab/capability.ts'
import { importFindings } from './imports.ts'
import { purityFindings } from './purity.ts'
import { sizeFindings } from './sizes.ts'
import { format, readSources } from './source.ts'
import { twoAtATime } from './two-at-a-time.ts'

export type Step = { readonly name: string; readonly about: string } & (
  | { readonly kind: 'command'; readonly argv: readonly string[]; readonly deadlineMs: number; readonly skip?: () => string | null }
  | { readonly kind: 'look'; readonly look: () => { readonly failures: readonly string[]; readonly notes: readonly string[] } }
  | {
      readonly kind: 'suite'
      readonly project: string
      readonly deadlineMs: number
      readonly skip?: () => string | null
      readonly slow: boolean
      readonly args: readonly string[]
    }
)

const minuteMs = 60_000
const bin = (name: string): string => `node_modules/.bin/${name}`
const contractAbout = 'the models of redis and VRRP, which scenarios and simulator believe, do not behave as redis-server and keepalived do'
const e2eAbout = 'end-to-end tests with real programs in namespaces fail'

export const steps: readonly Step[] = [
  { name: 'types', about: 'the types do not fit', kind: 'command', argv: [bin('tsc'), '-p', 'tsconfig.json'], deadlineMs: 2 * minuteMs },
  {
    name: 'types-pure',
    about: 'the pure folders use names that only Node has',
    kind: 'command',
    argv: [bin('tsc'), '-p', 'tsconfig.pure.json'],
    deadlineMs: 2 * minuteMs,
  },
  {
    name: 'format',
    about: 'files are not formatted; mend it with: npm run format',
    kind: 'command',
    argv: [bin('biome'), 'format', '--max-diagnostics=20'],
    deadlineMs: minuteMs,
  },
  {
    name: 'lint',
    about: 'the linter objects (import cycles among it); what can be mended by itself: npm run lint:fix',
    kind: 'command',
    argv: [bin('biome'), 'lint', '--error-on-warnings', '--max-diagnostics=50'],
    deadlineMs: minuteMs,
  },
  {
    name: 'promises',
    about: 'a promise is left alone, or the type-aware linter objects otherwise',
    kind: 'command',
    argv: [bin('oxlint'), '--type-aware', '--deny-warnings'],
    deadlineMs: 2 * minuteMs,
  },
  { name: 'dead-code', about: 'something is exported, depended on or kept that nobody uses', kind: 'command', argv: [bin('knip')], deadlineMs: 2 * minuteMs },
  { name: 'imports', about: 'a folder imports what it must not; the table is script/check/rules.ts', kind: 'look', look: lookAtImports },
  { name: 'purity', about: 'a pure folder has a clock, randomness or waiting', kind: 'look', look: lookAtPurity },
  { name: 'sizes', about: 'a file or function is too long', kind: 'look', look: lookAtSizes },
  {
    name: 'shellcheck',
    about: 'a shell script has a mistake',
    kind: 'command',
    argv: ['shellcheck', '--severity=warning', ...shellScripts()],
    deadlineMs: minuteMs,
    skip: () => (spawnSync('shellcheck', ['--version']).error === undefined ? null : 'shellcheck is not installed (apt-get install shellcheck)'),
  },
  {
    name: 'tests',
    about: 'unit, table, scenario or golden tests fail',
    kind: 'suite',
    project: 'fast',
    deadlineMs: 4 * minuteMs,
    slow: false,
    args: ['--maxWorkers=2'],
  },
  {
    ...{ name: 'contract-wide', about: contractAbout, kind: 'suite', project: 'contract', slow: true },
    deadlineMs: 7 * minuteMs,
    args: wide('contract'),
  },
  {
    ...{ name: 'contract', about: contractAbout, kind: 'suite', project: 'contract', slow: true },
    deadlineMs: 5 * minuteMs,
    args: alone('contract'),
  },
  {
    ...{ name: 'e2e-wide', about: e2eAbout, kind: 'suite', project: 'e2e', slow: true, skip: withoutLabs },
    deadlineMs: 14 * minuteMs,
    args: wide('e2e'),
  },
  {
    ...{ name: 'e2e', about: e2eAbout, kind: 'suite', project: 'e2e', slow: true, skip: withoutLabs },
    deadlineMs: 32 * minuteMs,
    args: alone('e2e'),
  },
]

function lookAtImports(): { readonly failures: readonly string[]; readonly notes: readonly string[] } {
  const sources = readSources('.', ['src'])
  return { failures: importFindings(sources).map(format), notes: [`${sources.length} files`] }
}

function lookAtPurity(): { readonly failures: readonly string[]; readonly notes: readonly string[] } {
  return { failures: purityFindings(readSources('.', ['src'])).map(format), notes: [] }
}

function lookAtSizes(): { readonly failures: readonly string[]; readonly notes: readonly string[] } {
  const { failures, warnings } = sizeFindings(readSources('.', ['src', 'script', 'bench', 'test']))
  return { failures: failures.map(format), notes: warnings.map((warning) => `warning: ${format(warning)}`) }
}

function wide(suite: keyof typeof twoAtATime): readonly string[] {
  return [...twoAtATime[suite], '--fileParallelism', '--maxWorkers=2']
}

/** All the others, and with them whatever is new. */
function alone(suite: keyof typeof twoAtATime): readonly string[] {
  return [...twoAtATime[suite].map((file) => `--exclude=${file}`), '--no-file-parallelism']
}

function withoutLabs(): string | null {
  const problems = labProblems()
  return problems.length === 0 ? null : `labs cannot run here: ${problems.join('; ')}`
}

/** Known by their first line; their names have no ending. */
function shellScripts(): readonly string[] {
  const files = readdirSync('script', { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => `script/${entry.name}`)
  return [...files, '.ci/run'].filter((file) => /^#!.*\b(ba)?sh\b/.test(readFileSync(file, 'utf8').split('\n')[0] ?? ''))
}
