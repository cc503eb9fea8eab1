/**
 * The demo's stage: a ground, and the questions that the story asks it. All it knows it knows as a user does, through the command
 * line and the client. Every wait has an end, and ends at once on Ctrl-C.
 */
import type { GroupStatus } from '../../src/lab/drill.ts'
import type { Failover } from '../../src/lab/drill-report.ts'
import { poll } from '../../src/lab/run.ts'
import type { WriterHandle } from '../../src/lab/writer.ts'
import { fail, type Ground, group } from './ground.ts'
import type { ToldEvent } from './tell.ts'

export interface MemberStatus {
  readonly host: string
  readonly role: string
  readonly state: string
}

export type Status = GroupStatus & { readonly members: readonly MemberStatus[] }

export interface Stage {
  readonly ground: Ground
  readonly signal: AbortSignal
  /** Every writer of the story; their keys stay until the end, to be read back once more. */
  readonly writers: WriterHandle[]
}

export function setStage(ground: Ground, signal: AbortSignal): Stage {
  const writers: WriterHandle[] = []
  // Whoever waits for a writer's answer is not to wait for its deadline too.
  signal.addEventListener('abort', () => void Promise.allSettled(writers.map((writer) => writer.close())))
  return { ground, signal, writers }
}

/** Returns what is left, which should be nothing. */
export async function clearStage({ ground, writers }: Stage): Promise<string | null> {
  for (const writer of writers) await writer.close()
  return ground.clear()
}

export async function status(stage: Stage): Promise<Status | string> {
  const answer = await askJson<{ readonly groups?: readonly Status[] }>(stage, ['status', '--json'])
  return typeof answer === 'string' ? answer : (answer.groups?.find((found) => found.group === group) ?? 'status does not name the group')
}

/** Waits until the group is whole: a primary that serves, and replicas that stream and may take over. */
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
  const writer = await stage.ground.startWriter()
  stage.writers.push(writer)
  if (!(await writer.steady({ acks: 300, withinMs: 15_000 }))) return fail('the client cannot write steadily through the address')
  return writer
}

export function stopIfInterrupted(signal: AbortSignal): void {
  if (signal.aborted) fail('interrupted')
}

async function askJson<T extends object>(stage: Stage, argv: readonly string[]): Promise<T | string> {
  const result = await stage.ground.cli(argv, 15_000)
  try {
    return JSON.parse(result.stdout) as T
  } catch {
    return result.stderr.trim().split('\n')[0] || `${argv.join(' ')} answered nothing`
  }
}
