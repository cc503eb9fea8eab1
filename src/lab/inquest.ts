/**
 * What several writing clients went through, put together: stops them, reads everything back through the address, looks up what is
 * missing in what the group keeps (`salvage list`, `salvage show`, as an operator would), and hands all of it to double-writer.ts.
 * Must not judge: it gathers, and says so when it could not gather everything.
 */
import type { WriterReport } from './ack-log.ts'
import { judge, type ClientHistory, type Death, type Verdict } from './double-writer.ts'
import type { Lab } from './lab.ts'
import type { RunResult } from './run.ts'
import type { WriterHandle } from './writer.ts'

export interface Inquest extends Verdict {
  /** Why this is not the whole truth; empty: it is. */
  readonly incomplete: readonly string[]
  readonly reports: readonly WriterReport[]
  /** Refused with an error, and there all the same: must be 0. */
  readonly rejectedPresent: number
}

const everything = '100000000'
const showWithinMs = 120_000

export async function holdInquest(
  lab: Lab,
  group: string,
  clients: readonly { readonly name: string; readonly writer: WriterHandle }[],
  options: { readonly deaths?: readonly Death[]; readonly readBackWithinMs?: number } = {},
): Promise<Inquest> {
  const incomplete: string[] = []
  // All of them first: none may still write while another is read back.
  const reports = await Promise.all(clients.map(({ writer }) => writer.stop()))
  const histories: ClientHistory[] = []
  let rejectedPresent = 0
  for (const { name, writer } of clients) {
    const verified = await writer.verify(options.readBackWithinMs)
    if (!verified.complete) incomplete.push(`${name}: not everything could be read back: ${verified.why ?? ''}`)
    rejectedPresent += verified.rejectedPresent
    histories.push({ client: name, prefix: writer.prefix, acks: await writer.history(), lostRuns: verified.lostRuns })
  }
  const missing = histories.some((history) => history.lostRuns.length > 0)
  // What was kept before the first of these writes cannot have any of them.
  const sinceMs = Math.min(...reports.map((report) => report.startMs))
  const kept = missing ? await keptKeys(lab, group, sinceMs) : { keys: new Set<string>(), problems: [] }
  const verdict = judge(histories, kept.keys, options.deaths)
  if (verdict.unidentified > 0) incomplete.push(`${verdict.unidentified} writes were acknowledged by nobody knows whom`)
  return { ...verdict, incomplete: [...incomplete, ...kept.problems], reports, rejectedPresent }
}

/** Every key in every copy kept since, as `salvage` shows it. */
async function keptKeys(lab: Lab, group: string, sinceMs: number): Promise<{ readonly keys: ReadonlySet<string>; readonly problems: readonly string[] }> {
  const keys = new Set<string>()
  const list = parsed<{ kept: readonly { id: string; host: string; keptAtWallMs: number }[]; silentHosts: readonly string[] }>(
    await lab.cli(['salvage', 'list', group, '--json']),
  )
  if (typeof list === 'string') return { keys, problems: [`salvage list: ${list}`] }
  const problems = list.silentHosts.map((host) => `salvage list: ${host} was not asked`)
  for (const { id, host, keptAtWallMs } of list.kept) {
    if (keptAtWallMs < sinceMs) continue
    const shown = await showKept(lab, group, `${host}/${id}`)
    if (typeof shown === 'string') problems.push(`salvage show ${host}/${id}: ${shown}`)
    else for (const item of shown.items) for (const { key } of item.keys) keys.add(key)
  }
  return { keys, problems }
}

interface Shown {
  readonly items: readonly { readonly keys: readonly { readonly key: string }[] }[]
}

async function showKept(lab: Lab, group: string, id: string): Promise<Shown | string> {
  return parsed<Shown>(await lab.cli(['salvage', 'show', group, id, '--keys', '--limit', everything, '--json'], { deadlineMs: showWithinMs }))
}

function parsed<T>(result: RunResult): T | string {
  if (result.code !== 0) return result.stderr.trim() || `exit code ${result.code}`
  try {
    return JSON.parse(result.stdout) as T
  } catch (error) {
    return (error as Error).message
  }
}
