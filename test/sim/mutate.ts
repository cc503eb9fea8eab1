/**
 * Takes each guard away from a copy of the core, in turn, and plays until the simulator notices. A table says how soon and at which
 * seed; a guard whose absence nobody notices is a failure: of the simulator, or it is no guard.
 */
import { execFileSync, fork, spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative, resolve } from 'node:path'
import type { Mutation } from './mutation.ts'
import { mutations } from './mutations.ts'
import type { Seek, Sought } from './seek.ts'

/** Asked about what no history notices. */
const otherTests: readonly string[] = [
  'test/scenarios',
  'test/table',
  ...['decide', 'election', 'following', 'handover', 'invariants', 'learn', 'position', 'situation', 'voting', 'vouching'].map(
    (name) => `test/unit/${name}.test.ts`,
  ),
]

interface Verdict {
  readonly noticed: boolean
  readonly how: string
}

export async function mutate(seconds: number, only: string | null): Promise<number> {
  const copy = mkdtempSync(join(tmpdir(), 'holdfast-mutate-'))
  try {
    for (const part of ['src', 'test', 'vitest.config.ts', 'package.json', 'tsconfig.json']) cpSync(part, join(copy, part), { recursive: true })
    symlinkSync(resolve('node_modules'), join(copy, 'node_modules'))
    const chosen = mutations.filter((m) => only === null || new RegExp(only).test(`${m.file} ${m.guard}`))
    const unnoticed: string[] = []
    for (const mutation of chosen) {
      const { noticed, how } = await judge(copy, mutation, seconds)
      if (!noticed) unnoticed.push(mutation.guard)
      console.log(`${noticed ? 'noticed ' : 'UNSEEN  '} ${mutation.guard.padEnd(62)} ${how}`)
    }
    console.log(`${chosen.length - unnoticed.length} of ${chosen.length} guards are missed when they are gone`)
    return unnoticed.length === 0 ? 0 : 1
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

async function judge(copy: string, mutation: Mutation, seconds: number): Promise<Verdict> {
  const file = join(copy, mutation.file)
  const text = readFileSync(file, 'utf8')
  if (text.split(mutation.from).length !== 2) return { noticed: false, how: `its text is not exactly once in ${mutation.file}: mend the list` }
  writeFileSync(
    file,
    text.replace(mutation.from, () => mutation.to),
  )
  try {
    if (mutation.test !== undefined) return byTest(copy, [mutation.test])
    const verdict = await bySimulator(copy, seconds)
    return verdict.noticed ? verdict : byTest(copy, otherTests)
  } finally {
    writeFileSync(file, text)
  }
}

async function bySimulator(copy: string, seconds: number): Promise<Verdict> {
  const bundle = join(copy, 'sim.mjs')
  execFileSync(
    'node_modules/.bin/esbuild',
    [join(copy, 'test/sim/main.ts'), '--bundle', '--platform=node', '--format=esm', '--target=node20', '--log-level=error', `--outfile=${bundle}`],
    { stdio: 'inherit' },
  )
  const { found, histories, seconds: took } = await inProcess(bundle, { from: 1, seconds, atMost: 1, asItIs: true })
  const [first] = found
  if (first === undefined) return { noticed: false, how: `not in ${histories} histories` }
  return {
    noticed: true,
    how: `${first.seed < 0 ? `story ${String(-first.seed).padStart(5)}` : `seed ${String(first.seed).padStart(6)}`} ${took.toFixed(1).padStart(5)} s  ${first.broken.split('\n')[0]?.slice(0, 90) ?? ''}`,
  }
}

function inProcess(bundle: string, options: Seek): Promise<Sought> {
  return new Promise((done, failed) => {
    const child = fork(bundle)
    child.once('message', (sought) => done(sought as Sought))
    child.once('error', failed)
    child.once('exit', (code) => failed(new Error(`the simulator ended with code ${code}`)))
    child.send(options)
  })
}

/** Which of these tests fail: the files, or none. */
function byTest(copy: string, tests: readonly string[]): Verdict {
  const report = join(copy, 'report.json')
  spawnSync('node_modules/.bin/vitest', ['run', '--project', 'fast', ...tests, '--reporter=json', `--outputFile=${report}`], { cwd: copy, stdio: 'ignore' })
  const { testResults } = JSON.parse(readFileSync(report, 'utf8')) as { readonly testResults: readonly { readonly name: string; readonly status: string }[] }
  const failed = testResults.filter((t) => t.status !== 'passed').map((t) => relative(copy, t.name))
  return failed.length > 0 ? { noticed: true, how: `by no history; only by ${failed.join(', ')}` } : { noticed: false, how: 'by no history and by no test' }
}
