/**
 * script/demo's second half: chooses the ground, raises the stage, plays the story, and takes everything down, also after Ctrl-C and after an
 * error. Exit codes: 0 played to the end, 1 not (with the reason), 2 wrong usage, 130 and 143 when told to stop. Not a command
 * of holdfast: it uses the lab as anybody could.
 */
import { randomBytes } from 'node:crypto'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { labProblems, missingPrivileges } from '../../src/lab/capability.ts'
import { labExists } from '../../src/lab/lab.ts'
import { trialProblems } from '../../src/lab/loopback.ts'
import { OperatorError } from '../../src/model/error.ts'
import { play } from './acts.ts'
import type { Ground } from './ground.ts'
import { labGround } from './lab-ground.ts'
import { loopbackGround } from './loopback-ground.ts'
import { clearStage, setStage, type Stage, whole } from './stage.ts'
import { line, ms, of } from './tell.ts'

const say = (text: string): void => console.log(text)
const interrupt = new AbortController()
// A reader that has seen enough (`| head`) must not leave a lab behind: the demo goes on, unheard, and takes it down.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
  })
}
let stoppedBy: NodeJS.Signals | undefined
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    say(stoppedBy === undefined ? '\nStopping: everything is taken down …' : 'Still taking things down, please wait …')
    stoppedBy ??= signal
    interrupt.abort()
  })
}
process.exit(await main())

async function main(): Promise<number> {
  const wanted = readWanted()
  if (wanted === null) return 2
  const ground = await chooseGround(wanted)
  if (ground === null) return 1
  const startedMs = performance.now()
  const code = await perform(ground)
  if (code === 0) say(`\nEnd of the demo, after ${ms(performance.now() - startedMs)}. Nothing is left behind: ${ground.words.nothingLeft}.`)
  if (stoppedBy !== undefined) return stoppedBy === 'SIGINT' ? 130 : 143
  return code
}

/** A lab, where this machine allows it; else loopback addresses, after a word on what was missing. null: neither, and it was said why. */
async function chooseGround({ name, loopback }: Wanted): Promise<Ground | null> {
  const entry = [process.execPath, '--enable-source-maps', join(dirname(fileURLToPath(import.meta.url)), 'main.js')]
  const progress = (text: string): void => say(`   ${text}`)
  const missing = loopback ? [] : labMissing()
  if (!loopback && missing.length === 0) {
    // What is taken down at the end must be the demo's own.
    if (!(await labExists(name))) return labGround(name, entry, interrupt.signal, progress)
    console.error(`There is a lab ${name} already. Give the demo another name, or none.`)
    return null
  }
  const why = loopback ? 'As asked (--loopback)' : `No network namespaces here (${missing.join('; ')})`
  const problems = trialProblems()
  if (problems.length > 0) {
    console.error(`${why}; and on loopback addresses the story cannot be played either:`)
    for (const problem of problems) console.error(`  - ${problem}`)
    return null
  }
  say(`${why}: the story is played on loopback addresses, without an address of the group's own; clients reach it through HAProxy, which needs no privilege.`)
  return loopbackGround(entry, interrupt.signal, progress)
}

function labMissing(): readonly string[] {
  // With those, setup has installed the programs; without, they would be of no use.
  const privileges = process.platform === 'linux' ? missingPrivileges() : []
  if (privileges.length > 0) return privileges
  // An agent that holds an address must be root, whatever else its user may do.
  return process.getuid?.() === 0 ? labProblems() : ['this user is not root']
}

async function perform(ground: Ground): Promise<number> {
  const stage = setStage(ground, interrupt.signal)
  let code = 0
  try {
    say(ground.words.opening)
    await ground.raise()
    const { primary, members } = await whole(stage, 30_000)
    await ground.open()
    const others = members.filter(({ host }) => host !== primary).map(({ host, state }) => `${host}: ${state}`)
    say(line('status', `${of(ground.words.address, primary)}; ${others.join(', ')}`))
    await play(stage, say)
  } catch (error) {
    code = 1
    if (!interrupt.signal.aborted) explainFailure(error)
  }
  return (await clear(stage)) ? code : 1
}

async function clear(stage: Stage): Promise<boolean> {
  try {
    const left = await clearStage(stage)
    if (left !== null) console.error(`Not everything could be taken down; left behind: ${left}`)
    return left === null
  } catch (error) {
    console.error(`Not everything could be taken down: ${(error as Error).message}`)
    return false
  }
}

function explainFailure(error: unknown): void {
  console.error(`\nThe demo could not go on: ${error instanceof OperatorError ? `${error.message}\n${error.hint}` : ((error as Error).stack ?? String(error))}`)
}

interface Wanted {
  /** Of the lab. */
  readonly name: string
  readonly loopback: boolean
}

function readWanted(): Wanted | null {
  try {
    const { values } = parseArgs({ options: { name: { type: 'string' }, loopback: { type: 'boolean' } } })
    return { name: values.name ?? `demo-${randomBytes(3).toString('hex')}`, loopback: values.loopback ?? false }
  } catch (error) {
    console.error(`${(error as Error).message}\nscript/demo [--name NAME] [--loopback]`)
    return null
  }
}
