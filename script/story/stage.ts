/**
 * The demo's stage: a lab of two hosts and a client in a directory of its own, and the questions that the story asks it. All
 * it knows it knows as a user does, through the command line and the client. Every wait has an end, and ends at once on Ctrl-C.
 */
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { GroupStatus } from '../../src/lab/drill.ts'
import type { Failover } from '../../src/lab/drill-report.ts'
import { type Lab, labExists, raiseLab, takeDown } from '../../src/lab/lab.ts'
import { poll } from '../../src/lab/run.ts'
import { startWriter, type WriterHandle } from '../../src/lab/writer.ts'
import { OperatorError } from '../../src/model/error.ts'
import type { ToldEvent } from './tell.ts'

export const group = 'sessions'

const configuration = `# Two hosts, one group, one address.
api: { secret_file: ./secret }
hosts:
  redis-a: { ip: 192.168.100.201, interface: eth0 }
  redis-b: { ip: 192.168.100.202, interface: eth0 }
groups:
  ${group}:
    members: [redis-a, redis-b]
    vip: 192.168.100.123/24
    password_file: ./password
`

export interface MemberStatus {
  readonly host: string
  readonly role: string
  readonly state: string
}

export type Status = GroupStatus & { readonly vip: string | null; readonly members: readonly MemberStatus[] }

export interface Stage {
  readonly lab: Lab
  readonly signal: AbortSignal
  /** Every writer of the story; their keys stay until the end, to be read back once more. */
  readonly writers: WriterHandle[]
}

export interface Place {
  readonly name: string
  readonly dir: string
}

export async function makePlace(name: string): Promise<Place> {
  return { name, dir: await mkdtemp(join(tmpdir(), 'holdfast-demo-')) }
}

export async function raiseStage(place: Place, signal: AbortSignal, say: (line: string) => void): Promise<Stage> {
  const configFile = join(place.dir, 'holdfast.yaml')
  await writeFile(configFile, configuration)
  for (const file of ['secret', 'password']) await writeFile(join(place.dir, file), `${randomBytes(24).toString('hex')}\n`, { mode: 0o600 })
  const main = join(dirname(fileURLToPath(import.meta.url)), 'main.js')
  const lab = await raiseLab({
    name: place.name,
    configFile,
    startAgents: true,
    entry: [process.execPath, '--enable-source-maps', main],
    progress: say,
    signal,
  })
  const writers: WriterHandle[] = []
  // Whoever waits for a writer's answer is not to wait for its deadline too.
  signal.addEventListener('abort', () => void Promise.allSettled(writers.map((writer) => writer.close())))
  return { lab, signal, writers }
}

/** Removes all of it, however far the story came. Returns what is left, which should be nothing. */
export async function clearStage(place: Place, stage: Stage | undefined): Promise<string | null> {
  for (const writer of stage?.writers ?? []) await writer.close()
  await takeDown(place.name)
  await rm(place.dir, { recursive: true, force: true })
  return (await labExists(place.name)) ? `the lab ${place.name} (see: ip netns list)` : null
}

export async function status(stage: Stage): Promise<Status | string> {
  const answer = await askJson<{ readonly groups?: readonly Status[] }>(stage, ['status', '--json'])
  return typeof answer === 'string' ? answer : (answer.groups?.find((found) => found.group === group) ?? 'status does not name the group')
}

/** Waits until the group is whole: a primary that holds the address, and a replica that streams and may take over. */
export async function whole(stage: Stage, withinMs: number, look: (status: Status) => void = () => undefined): Promise<Status & { readonly primary: string }> {
  let why = 'not asked yet'
  const found = await poll(
    async () => {
      stopIfInterrupted(stage.signal)
      const now = await status(stage)
      if (typeof now === 'string') {
        why = now
        return undefined
      }
      look(now)
      why = `${now.health}: ${now.because}`
      return now.health === 'ok' && now.primary !== null ? { ...now, primary: now.primary } : undefined
    },
    { withinMs, everyMs: 150 },
  )
  return found ?? fail(`the group is not whole after ${withinMs / 1000} s (${why})`)
}

export async function failoversSince(stage: Stage, epoch: number): Promise<readonly Failover[]> {
  const answer = await askJson<{ readonly failovers?: readonly Failover[] }>(stage, ['history', group, '--json'])
  if (typeof answer === 'string') return fail(`what was decided is not known: ${answer}`)
  return (answer.failovers ?? []).filter((found) => found.epoch > epoch)
}

export async function eventsSince(stage: Stage, wallMs: number): Promise<readonly ToldEvent[]> {
  const answer = await askJson<{ readonly events?: readonly ToldEvent[] }>(stage, ['history', group, '--json', '--events', '--limit', '50'])
  return typeof answer === 'string' ? [] : (answer.events ?? []).filter((event) => event.atWallMs >= wallMs)
}

/** What `holdfast explain` foretells. */
export async function forecast(stage: Stage, primary: string): Promise<string> {
  const answer = await askJson<{ readonly views?: readonly { readonly asSeenBy: string; readonly wouldHappen: string }[] }>(stage, ['explain', group, '--json'])
  if (typeof answer === 'string') return answer
  return (answer.views?.find((view) => view.asSeenBy === primary) ?? answer.views?.[0])?.wouldHappen ?? 'nothing is foretold'
}

export async function writeThroughAddress(stage: Stage): Promise<WriterHandle> {
  stopIfInterrupted(stage.signal)
  const found = stage.lab.record.groups.find(({ name }) => name === group)
  if (found?.vip == null) return fail('the group has no address')
  const writer = await startWriter(
    { kind: 'lab', lab: stage.lab },
    {
      host: found.vip,
      port: found.port,
      ...(found.passwordFile === null ? {} : { passwordFile: found.passwordFile }),
    },
  )
  stage.writers.push(writer)
  if (!(await writer.steady({ acks: 300, withinMs: 15_000 }))) return fail('the client cannot write steadily through the address')
  return writer
}

export function stopIfInterrupted(signal: AbortSignal): void {
  if (signal.aborted) fail('interrupted')
}

export function fail(why: string): never {
  throw new OperatorError('HF505', why, 'Run script/demo again; if it happens again, raise the same with holdfast lab up and look at its logs.')
}

async function askJson<T extends object>(stage: Stage, argv: readonly string[]): Promise<T | string> {
  const result = await stage.lab.cli(argv, { deadlineMs: 15_000 })
  try {
    return JSON.parse(result.stdout) as T
  } catch {
    return result.stderr.trim().split('\n')[0] || `${argv.join(' ')} answered nothing`
  }
}
