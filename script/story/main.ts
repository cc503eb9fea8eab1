/**
 * script/demo's second half: raises the stage, plays the story, and takes everything down, also after Ctrl-C and after an
 * error. Exit codes: 0 played to the end, 1 not (with the reason), 2 wrong usage, 130 and 143 when told to stop. Not a command
 * of holdfast: it uses the lab as anybody could.
 */
import { randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import { labProblems } from '../../src/lab/capability.ts'
import { labExists } from '../../src/lab/lab.ts'
import { OperatorError } from '../../src/model/error.ts'
import { play } from './acts.ts'
import { clearStage, makePlace, type Place, raiseStage, type Stage, whole } from './stage.ts'
import { line, ms } from './tell.ts'

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
  const name = readName()
  if (name === null) return 2
  const problems = labProblems()
  if (problems.length > 0) {
    console.error('The demo needs network namespaces, which are not to be had here:')
    for (const problem of problems) console.error(`  - ${problem}`)
    return 1
  }
  // What is taken down at the end must be the demo's own.
  if (await labExists(name)) {
    console.error(`There is a lab ${name} already. Give the demo another name, or none.`)
    return 1
  }
  const startedMs = performance.now()
  const place = await makePlace(name)
  const code = await perform(place)
  if (code === 0) say(`\nEnd of the demo, after ${ms(performance.now() - startedMs)}. Nothing is left behind: no namespace, process, firewall rule or file.`)
  if (stoppedBy !== undefined) return stoppedBy === 'SIGINT' ? 130 : 143
  return code
}

async function perform(place: Place): Promise<number> {
  let stage: Stage | undefined
  let code = 0
  try {
    say(`A lab (${place.name}): two hosts and a client as network namespaces, a real redis and keepalived on each host, an agent beside them`)
    stage = await raiseStage(place, interrupt.signal, (text) => say(`   ${text}`))
    const { primary, vip, members } = await whole(stage, 30_000)
    say(
      line(
        'status',
        `${primary} is primary and holds the address ${vip}; ${members
          .filter(({ host }) => host !== primary)
          .map(({ host, state }) => `${host}: ${state}`)
          .join(', ')}`,
      ),
    )
    await play(stage, say)
  } catch (error) {
    code = 1
    if (!interrupt.signal.aborted) explainFailure(error)
  }
  return (await clear(place, stage)) ? code : 1
}

async function clear(place: Place, stage: Stage | undefined): Promise<boolean> {
  try {
    const left = await clearStage(place, stage)
    if (left !== null) console.error(`Not everything could be taken down; left behind: ${left}`)
    return left === null
  } catch (error) {
    console.error(`Not everything could be taken down: ${(error as Error).message}\nTry: bin/holdfast lab down --name ${place.name}`)
    return false
  }
}

function explainFailure(error: unknown): void {
  console.error(`\nThe demo could not go on: ${error instanceof OperatorError ? `${error.message}\n${error.hint}` : ((error as Error).stack ?? String(error))}`)
}

function readName(): string | null {
  try {
    const { values } = parseArgs({ options: { name: { type: 'string' } } })
    return values.name ?? `demo-${randomBytes(3).toString('hex')}`
  } catch (error) {
    console.error(`${(error as Error).message}\nscript/demo [--name NAME]`)
    return null
  }
}
