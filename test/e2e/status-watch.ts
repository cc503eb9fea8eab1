/**
 * `holdfast status` again and again, for who waits until it says something: one process on the machine of the client goes on asking, as a new one each time would
 * take longer to start than the agents take to answer, and that time of the agents' processors. What it says is what the command says; who waits
 * for nothing asks the command.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Look, Question } from '../../src/cli/status-again.ts'
import type { Lab } from '../../src/lab/lab.ts'
import { nodeConfigFile } from '../../src/lab/record.ts'

const withinMs = 10_000

interface Running {
  readonly child: ChildProcess
  readonly answers: AsyncIterator<string>
}

export class StatusWatch {
  readonly #lab: Lab
  #running: Running | null = null
  #turn: Promise<unknown> = Promise.resolve()

  constructor(lab: Lab) {
    this.#lab = lab
  }

  /** null: the command would have failed. `off`: nobody is there to answer, and to wait for it takes long. */
  look(group: string, off: readonly string[]): Promise<Look | null> {
    const answer = this.#turn.then(() => this.#ask({ group, silent: off }))
    this.#turn = answer
    return answer
  }

  async #ask(question: Question): Promise<Look | null> {
    this.#running ??= this.#start()
    const { child, answers } = this.#running
    child.stdin?.write(`${JSON.stringify(question)}\n`)
    let timer: NodeJS.Timeout | undefined
    const tooLong = new Promise<null>((resolve) => {
      timer = setTimeout(() => resolve(null), withinMs)
    })
    const line = await Promise.race([answers.next(), tooLong])
    clearTimeout(timer)
    // It ended, with its machine for instance, or hangs: the next look begins anew.
    if (line === null || line.done === true) {
      this.end()
      return null
    }
    return JSON.parse(line.value) as Look | null
  }

  #start(): Running {
    const { record } = this.#lab
    const netns = record.plan.nodes.find((node) => node.name === 'client')?.netns ?? ''
    const argv = ['netns', 'exec', netns, ...record.entry, '--config', nodeConfigFile(record, 'client'), '__status']
    const child = spawn('ip', argv, { stdio: ['pipe', 'pipe', 'ignore'] })
    child.on('error', () => {})
    child.stdin.on('error', () => {})
    return { child, answers: createInterface({ input: child.stdout, terminal: false })[Symbol.asyncIterator]() }
  }

  end(): void {
    this.#running?.child.kill('SIGKILL')
    this.#running = null
  }
}
