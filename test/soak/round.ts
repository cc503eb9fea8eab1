/**
 * One round: two clients write, the plan is carried out, everything is mended, and then nothing may be missing: the group is well
 * within a bound, one member accepts writes and has the address, all replicas follow it, no decision broke a safety rule, and the
 * inquest over both clients finds every acknowledged write. Every problem is told, not only the first.
 */
import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import type { GroupStatus } from '../../src/cli/ask.ts'
import { describeVerdict, type Death } from '../../src/lab/double-writer.ts'
import { holdInquest, type Inquest } from '../../src/lab/inquest.ts'
import { poll } from '../../src/lab/run.ts'
import { startWriter, type WriterHandle } from '../../src/lab/writer.ts'
import { vip } from '../e2e/ground.ts'
import { breakIt, mendAll, whyNot, type Cast } from './break.ts'
import { group, sentinelClient, sentinelClientPort, type Ground } from './ground.ts'
import { agentsAct, describeFault, mayPart, promotedUnheard, type Fault } from './schedule.ts'
import { notOfOneMind } from './sentinels.ts'
import type { RoundResult } from './table.ts'

export interface Played {
  readonly result: RoundResult
  readonly problems: readonly string[]
}

const wellWithinMs = 45_000
/** From then on: a group that calls itself well and takes no writes is not. A client may just have begun a wait of a second. */
const flowsWithinMs = 4000
const writeEveryMs = 2
/** What had not left a process when it was killed. */
const inFlightMs = 60
const canary = 'soak:canary'

export async function playRound(ground: Ground, round: number, faults: readonly Fault[], say: (line: string) => void): Promise<Played> {
  const problems: string[] = []
  const startedAtMs = Date.now()
  const before = await untilWell(ground)
  if (typeof before === 'string') return { result: emptyResult(round, faults), problems: [`not well before the round: ${before}`] }
  const cast: Cast = { primary: before.primary ?? '', replicas: ground.members.filter((host) => host !== before.primary) }
  await plantCanary(ground, round)
  const initialRuns = await runsNow(ground)
  const clients = await Promise.all(
    doors(ground).map(async ({ name, host, port }) => ({
      name,
      writer: await startWriter(
        { kind: 'lab', lab: ground.lab, client: name },
        { host, port, identify: true, intervalMs: writeEveryMs, commandTimeoutMs: 1000, connectTimeoutMs: 1000 },
      ),
    })),
  )
  try {
    if (
      !(await allSteady(
        clients.map((c) => c.writer),
        10_000,
      ))
    )
      problems.push('writes did not flow before anything was broken')
    say(`${cast.primary} is primary`)
    for (const { writer } of clients) await writer.mark('faults')
    const killed = await carryOut(ground, cast, faults, say)
    await mendAll(ground)
    const mendedAtMs = Date.now()
    say('mended')
    const after = await untilWell(ground)
    const wellMs = Date.now() - mendedAtMs
    if (typeof after === 'string') problems.push(`not well within ${wellWithinMs} ms: ${after}`)
    else say(`well after ${wellMs} ms: ${after.primary} is primary, epoch ${after.epoch}`)
    if (
      !(await allSteady(
        clients.map((c) => c.writer),
        flowsWithinMs,
      ))
    )
      problems.push(`writes do not flow within ${flowsWithinMs} ms, while the group says that it is well`)
    const journals = await readJournals(ground, startedAtMs)
    const deaths = killed.flatMap((death) => {
      const runs = new Set([...(initialRuns[death.host] ?? []), ...(journals.runs[death.host] ?? [])])
      return [...runs].map((runId): Death => ({ runId, fromMs: death.fromMs, toMs: death.toMs }))
    })
    const found = await holdInquest(ground.lab, group, clients, { deaths, readBackWithinMs: 60_000 })
    const [here = 0, there = 0, asking = null] = found.reports.map((report) => report.marks[0]?.longestOutage.lengthMs ?? 0)
    const outageMs = Math.min(here, there)
    const ofAsking = asking === null ? '' : `, of the one that asks the Sentinels ${asking.toFixed(0)} ms`
    say(`${describeVerdict(found)}; outage of the clients of the address ${here.toFixed(0)} and ${there.toFixed(0)} ms${ofAsking}`)
    problems.push(...journals.broken, ...judgeInquest(ground, faults, found))
    if (typeof after !== 'string') problems.push(...(await judgeGroup(ground, after, round)))
    if (typeof after !== 'string' && ground.shape.sentinel) problems.push(...(await notOfOneMind(ground, after.primary ?? '')))
    for (const { writer } of clients) await writer.cleanup(60_000)
    return { result: { ...emptyResult(round, faults), ...found, outageMs, askingOutageMs: asking, wellMs }, problems }
  } finally {
    await Promise.all(clients.map(({ writer }) => writer.close()))
  }
}

function emptyResult(round: number, faults: readonly Fault[]): RoundResult {
  const nothing = { outageMs: 0, askingOutageMs: null, wellMs: 0, acked: 0, lost: 0, kept: 0, withProcess: 0, untraced: 0, overlapMs: 0 }
  return { round, kinds: faults.map((fault) => fault.kind), ...nothing }
}

/** How the clients come to the group: two by its address, and one by its Sentinels. */
function doors(ground: Ground): readonly { readonly name: string; readonly host: string; readonly port: number }[] {
  const byAddress = ['client', 'client2'].map((name) => ({ name, host: vip, port: 6379 }))
  return ground.shape.sentinel ? [...byAddress, { name: sentinelClient, host: '127.0.0.1', port: sentinelClientPort }] : byAddress
}

/** A redis that was killed has its data again after this long, at the most: started, found, filled. */
const attachedWithinMs = 3000

interface Killed {
  readonly host: string
  readonly fromMs: number
  readonly toMs: number
}

/** Beginnings and ends in the order of the plan. Faults that take long push later ones back: the story has the true times. */
async function carryOut(ground: Ground, cast: Cast, faults: readonly Fault[], say: (line: string) => void): Promise<readonly Killed[]> {
  const startMs = Date.now()
  const due: { atMs: number; act: () => Promise<unknown> }[] = []
  const killed: Killed[] = []
  const absent: Killed[] = []
  const answers: Promise<void>[] = []
  const inOrder = (): typeof due => due.sort((a, b) => a.atMs - b.atMs)
  for (const fault of faults) {
    due.push({
      atMs: fault.atMs,
      act: async () => {
        const beganMs = Date.now()
        const broken = await breakIt(ground, cast, fault).catch((error: unknown) => ({
          said: `not done: ${whyNot(error)}`,
          end: null,
          killed: [],
          answer: null,
        }))
        say(`${describeFault(fault)}: ${broken.said}`)
        // A process that was alone since an earlier fault may take with it what it acknowledged since then.
        const sinceMs =
          fault === faults[0] && fault.kind !== 'power-cut-of-all' ? beganMs - inFlightMs : startMs - (fault.kind === 'power-cut-of-all' ? wellWithinMs : 0)
        for (const host of broken.killed) {
          // The last copy: what was in no file yet is gone with it, from the first write of the round on.
          const last = ground.members.every((other) => other === host || absent.some((a) => a.host === other && a.toMs > beganMs))
          const toMs = Date.now() + 1500
          killed.push({ host, fromMs: last ? startMs - wellWithinMs : sinceMs, toMs })
          // Whoever acknowledged it before: the copy that outlived that one was this.
          if (last)
            killed.push(...ground.members.filter((other) => other !== host).map((other) => ({ host: other, fromMs: startMs - wellWithinMs, toMs: beganMs })))
          absent.push({ host, fromMs: beganMs, toMs: broken.end === null ? Date.now() + attachedWithinMs : Number.MAX_SAFE_INTEGER })
        }
        if (broken.answer !== null) answers.push(broken.answer.then(say))
        const { end } = broken
        if (end === null) return
        const back = async (): Promise<void> => {
          say(`end of ${fault.kind}${await ended(end)}`)
          for (const [i, away] of absent.entries())
            if (broken.killed.includes(away.host) && away.fromMs === beganMs) absent[i] = { ...away, toMs: Date.now() + attachedWithinMs }
        }
        due.push({ atMs: Date.now() - startMs + fault.forMs, act: back })
      },
    })
  }
  while (due.length > 0) {
    const next = inOrder().shift()
    if (next === undefined) break
    await delay(Math.max(0, startMs + next.atMs - Date.now()))
    await next.act()
  }
  await Promise.all(answers)
  return killed
}

async function ended(end: () => Promise<unknown>): Promise<string> {
  try {
    await end()
    return ''
  } catch (error) {
    return ` (${whyNot(error)})`
  }
}

/** Something that was on every disk before the round must be at the address after it, whatever happened to one of them (INV-1, INV-8). */
async function plantCanary(ground: Ground, round: number): Promise<void> {
  await ground.atAddress('SET', canary, String(round))
  await ground.atAddress('WAIT', String(ground.members.length - 1), '2000')
  await Promise.all(ground.members.map((host) => ground.redis(host, 'SAVE')))
}

async function untilWell(ground: Ground): Promise<GroupStatus | string> {
  let last: GroupStatus | null = null
  const well = await poll(
    async () => {
      last = await ground.status()
      return last?.health === 'ok' ? last : undefined
    },
    { withinMs: wellWithinMs, everyMs: 150 },
  )
  return well ?? JSON.stringify(last)
}

async function allSteady(writers: readonly WriterHandle[], withinMs: number): Promise<boolean> {
  return (await Promise.all(writers.map((writer) => writer.steady({ acks: 100, withinMs })))).every(Boolean)
}

async function judgeGroup(ground: Ground, status: GroupStatus, round: number): Promise<readonly string[]> {
  const problems: string[] = []
  if (status.primary === null || status.vipHolder !== status.primary)
    problems.push(`the address is at ${status.vipHolder ?? 'nobody'}, the primary is ${status.primary ?? 'nobody'}`)
  for (const member of status.members) {
    if (member.host !== status.primary && (member.role !== 'replica' || !member.fit))
      problems.push(`${member.host} is ${member.role}, ${member.state}: ${member.why}`)
    const found = await ground.redis(member.host, 'GET', canary)
    if (found !== String(round)) problems.push(`${member.host} has ${found === '' ? 'nothing' : found} where ${round} was on every disk before`)
  }
  const writable: string[] = []
  for (const host of ground.members) if ((await ground.redis(host, 'SET', 'soak:probe', '1')) === 'OK') writable.push(host)
  if (writable.join() !== status.primary) problems.push(`writable: ${writable.join(', ') || 'nobody'}; the primary is ${status.primary ?? 'nobody'}`)
  return problems
}

function judgeInquest(ground: Ground, faults: readonly Fault[], found: Inquest): readonly string[] {
  const problems = [...found.incomplete]
  if (found.untraced > 0)
    problems.push(
      `${found.untraced} acknowledged writes are gone without a trace, for example ${JSON.stringify(found.examples)}; terms: ${JSON.stringify(found.terms)}`,
    )
  if (found.rejectedPresent > 0) problems.push(`${found.rejectedPresent} refused writes took place`)
  const { sentinel, witness } = ground.shape
  const promised = sentinel ? agentsAct(faults) && !promotedUnheard(faults) : witness ? agentsAct(faults) : !mayPart(faults)
  if (promised && found.overlapMs > 0) problems.push(`two members accepted writes for ${found.overlapMs.toFixed(1)} ms: ${JSON.stringify(found.terms)}`)
  return problems
}

async function runsNow(ground: Ground): Promise<Readonly<Record<string, readonly string[]>>> {
  const found = await Promise.all(
    ground.members.map(async (host) => [host, [/run_id:(\w+)/.exec(await ground.redis(host, 'INFO', 'server'))?.[1] ?? '']] as const),
  )
  return Object.fromEntries(found)
}

/** Since the round began: decisions that broke a rule, and every redis process that the agents met. */
async function readJournals(
  ground: Ground,
  fromMs: number,
): Promise<{ readonly broken: readonly string[]; readonly runs: Readonly<Record<string, readonly string[]>> }> {
  const broken: string[] = []
  const runs: Record<string, string[]> = {}
  for (const host of ground.members) {
    const text = await readFile(ground.file(host, 'state', group, 'journal.jsonl'), 'utf8').catch(() => '')
    for (const line of text.split('\n')) {
      if (Number(/"atWallMs":(\d+)/.exec(line)?.[1] ?? 0) < fromMs) continue
      const assertion = /"assertion":"([^"]*)"/.exec(line)?.[1]
      if (assertion !== undefined) broken.push(`${host} broke a rule: ${assertion}`)
      for (const [, runId = ''] of line.matchAll(/"runId":"(\w+)"/g)) runs[host] = [...new Set([...(runs[host] ?? []), runId])]
    }
  }
  return { broken, runs }
}
