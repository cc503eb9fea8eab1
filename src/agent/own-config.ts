/**
 * The configuration file of this agent: what it runs with, and how it takes up another that is offered to it over its port. Checked as at a
 * start and written whole BEFORE the agent starts anew in place; one with which it cannot start is taken back. Plans nothing (cli/apply.ts).
 */
import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { hostsOf, type Config } from '../model/config.ts'
import type { ConfigOffer, OfferAnswer, RunningConfig } from '../model/own-config.ts'
import { OperatorError, type ErrorCode } from '../model/error.ts'
import { configHistoryDir } from '../model/paths.ts'
import { writeDurably } from '../act/durable.ts'
import { identityOf, withOwnKeys } from '../config/identity.ts'
import { checkConfigText } from '../config/load.ts'
import type { FileFindings } from '../config/files.ts'
import { tryConfig } from '../trial/config.ts'

const keptFiles = 10
/** The answer must reach whoever asked before the port is closed. */
const answerFirstMs = 100

export interface OwnConfig {
  readonly running: () => RunningConfig
  readonly offer: (offer: ConfigOffer) => Promise<OfferAnswer>
}

export interface OwnConfigOptions {
  readonly config: Config
  readonly text: string
  readonly host: string
  readonly problem: string | null
  /** This host has no part in that group any more. null: done; else why not. */
  readonly leave: (group: string) => Promise<string | null>
  /** The file holds another configuration: start anew. */
  readonly changed: () => void
}

export function ownConfig(options: OwnConfigOptions): OwnConfig {
  const { config, text, host, problem } = options
  const { file } = config
  const identity = identityOf(text)
  let isTaking = false

  async function offer({ text: offered, from, dryRun }: ConfigOffer): Promise<OfferAnswer> {
    const refuse = (why: string, code?: ErrorCode): OfferAnswer => ({ ok: false, why, warnings: [], ...(code === undefined ? {} : { code }) })
    if (from !== identity.hash) return refuse(`${host} runs with another configuration by now (${identity.hash}, not ${from})`)
    if (isTaking) return refuse(`${host} is taking up another configuration at this moment`)
    isTaking = !dryRun
    try {
      const wanted = withOwnKeys(offered, text)
      const checked = await checkConfigText(wanted, file, {
        machine: (c) => asked(c, host),
        backupsOf: ({ members }) => members.some((member) => member.host === host),
      })
      if (checked.config.hosts[host] === undefined) return refuse(`${file} would have no host ${host}`)
      if (dryRun) return { ok: true, why: '', warnings: checked.warnings }
      const leaves = Object.values(config.groups).filter((g) => hostsOf(g).includes(host) && !isIn(checked.config, g.name, host))
      for (const { name } of leaves) {
        const why = await options.leave(name)
        if (why === null) continue
        // What it has let go of is taken up again.
        setTimeout(options.changed, answerFirstMs)
        return refuse(`it cannot leave ${name}: ${why}`)
      }
      const before = await readFile(file, 'utf8')
      if (before !== wanted) {
        await keep(config, text)
        await replaceFile(file, wanted)
      }
      setTimeout(options.changed, answerFirstMs)
      return { ok: true, why: '', warnings: checked.warnings }
    } catch (error) {
      isTaking = false
      return error instanceof OperatorError ? refuse(error.message, error.code) : refuse(`${file} cannot be written: ${(error as Error).message}`)
    }
  }

  return { running: () => ({ ...identity, file, text, problem }), offer }
}

/** What cannot be tried is refused: the redis that serves would not come back from its next crash, and asking again costs nothing. */
async function asked(config: Config, host: string): Promise<FileFindings> {
  const { problems, untried } = await tryConfig(config, host)
  return { problems: [...problems, ...untried], warnings: [] }
}

function isIn(config: Config, name: string, host: string): boolean {
  const group = config.groups[name]
  return group !== undefined && hostsOf(group).includes(host)
}

/** Whole or not at all; who may read it stays as it was. */
export async function replaceFile(file: string, text: string): Promise<void> {
  const { mode } = await stat(file)
  await writeDurably(file, text, mode & 0o777)
}

/** What it ran with, for whoever wants it back. The operator may have edited the file already. */
async function keep(config: Config, text: string): Promise<void> {
  const dir = configHistoryDir(config.paths)
  await mkdir(dir, { recursive: true, mode: 0o750 })
  const name = `${new Date().toISOString().replace(/[:.]/g, '-')}.yaml`
  await writeDurably(join(dir, name), text)
  const all = (await readdir(dir)).filter((n) => n.endsWith('.yaml')).sort()
  for (const old of all.slice(0, -keptFiles)) await rm(join(dir, old), { force: true })
}
