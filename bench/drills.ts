/**
 * The cases in which something breaks: each is a drill (src/lab/drill.ts) on a lab of its own, for Holdfast and the recipes
 * alike. A round above the outlier limit is told with the events around it, and the lab's logs are kept.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { DrillReport } from '../src/lab/drill-report.ts'
import type { DrillFault, DrillLimits, DrillRig } from '../src/lab/drill-rig.ts'
import { defaultLimits, labRig } from '../src/lab/drill-rig.ts'
import { runDrill } from '../src/lab/drill.ts'
import { startWriter } from '../src/lab/writer.ts'
import type { Lab } from '../src/lab/lab.ts'
import { done } from '../src/model/outcome.ts'
import type { CaseResult } from './figures.ts'
import { isOutlier } from './figures.ts'
import type { Case, System } from './options.ts'
import { recipeRig, relayAddress, restartAfterMs, startRecipe, startRelay } from './recipes/recipe-rig.ts'
import { startRedis, waitForRedis, writeRedisConf } from './recipes/plain.ts'
import type { LabWish, Rig } from './rig.ts'
import { dataHosts, group, hostIps, waitHealthy } from './rig.ts'
import { formatMs } from './table.ts'
import { watchHeal, type WatchedRound } from './watch.ts'

export interface DrillWish {
  readonly system: System
  readonly case: Case
  readonly variant: string | null
  readonly rounds: number
  readonly keepLogs: boolean
}

const faults: Partial<Record<Case, DrillFault>> = {
  crash: 'crash',
  'host-cut': 'host-loss',
  switchover: 'switchover',
  hang: 'hang',
  restart: 'crash',
}
/** How a drill's report begins to say that its loss count is not complete. */
const unreadProblem = 'not every write could be read back'
/** Enough writes in a row to call a flow steady, few enough that a hundred rounds take minutes. */
const limits: DrillLimits = { ...defaultLimits, steadyAcks: 300, quietMs: 400 }

/** The same Sentinels as the recipe's, with agents beside them: felt by a client of the address, and by one that asks the Sentinels. */
const bySentinel = { address: '`mode: sentinel`, address', client: '`mode: sentinel`, Sentinel client' } as const

/** Which rows a case has on a system: Holdfast's restart is measured with both ways of starting redis. */
export function variantsOf(system: System, of: Case): readonly (string | null)[] {
  if (faults[of] === undefined) return []
  const withSentinels = [bySentinel.address, bySentinel.client]
  if (system === 'holdfast' && of === 'restart') return ['`process: direct`', '`process: external`', bySentinel.client]
  if (system === 'holdfast') return of === 'hang' ? [null] : [null, ...withSentinels]
  return of === 'crash' || of === 'host-cut' || of === 'restart' ? [null] : []
}

/** A recipe keeps its lab from case to case, because becoming ready takes it ten seconds and more. */
export type RecipeLabs = Map<System, Lab>

export interface Measured {
  readonly result: CaseResult
  readonly outliers: readonly string[]
}

export async function measureDrill(rig: Rig, wish: DrillWish, labs: RecipeLabs): Promise<Measured> {
  const fault = faults[wish.case]
  if (fault === undefined) throw new Error(`${wish.case} is no drill`)
  const { lab, drillRig } = await raiseFor(rig, wish, labs)
  try {
    const progress = (line: string): void => {
      if (/^round /.test(line)) rig.say(`  ${line}`)
    }
    const watch = watchHeal(drillRig)
    const report = await runDrill(watch.rig, { group, fault, rounds: wish.rounds, progress, signal: rig.signal })
    rig.signal.throwIfAborted()
    const rounds = fault === 'host-loss' ? watch.split(report.rounds) : report.rounds.map((round) => ({ ...round, healOutageMs: null }))
    const lossKnown = !report.problems.some((problem) => problem.startsWith(unreadProblem))
    const result: CaseResult = { system: wish.system, case: wish.case, variant: wish.variant, rounds, lossKnown, problems: report.problems }
    if (wish.system !== 'holdfast') return { result, outliers: report.problems.map((line) => `${titleOf(wish)}: ${line}`) }
    return { result, outliers: await lookInto(rig, lab, wish, report, rounds) }
  } catch (error) {
    labs.delete(wish.system)
    const path = await rig.drop(lab, !rig.signal.aborted)
    throw new Error(`${(error as Error).message}${path === null ? '' : ` (logs: ${path})`}`, { cause: error })
  }
}

export async function dropRecipe(rig: Rig, system: System, labs: RecipeLabs, keepLogs: boolean): Promise<void> {
  const lab = labs.get(system)
  labs.delete(system)
  if (lab !== undefined) await rig.drop(lab, keepLogs)
}

/** Takes the lab down. Its logs stay when anything in it is not as it should be. */
async function lookInto(rig: Rig, lab: Lab, wish: DrillWish, report: DrillReport, rounds: readonly WatchedRound[]): Promise<readonly string[]> {
  const strange = rounds.filter((round) => isOutlier(wish.case, round))
  const told: string[] = []
  for (const round of strange) told.push(await tellOutlier(lab, wish, round))
  for (const line of [...report.problems, ...report.warnings]) told.push(`${titleOf(wish)}: ${line}`)
  const path = await rig.drop(lab, wish.keepLogs || told.length > 0 || rounds.length < wish.rounds)
  if (path !== null) told.push(`${titleOf(wish)}: the logs are kept in ${path}`)
  return told
}

export function titleOf(wish: Pick<DrillWish, 'system' | 'case' | 'variant'>): string {
  return `${wish.system} ${wish.case}${wish.variant === null ? '' : ` (${wish.variant.replaceAll('`', '')})`}`
}

async function raiseFor(rig: Rig, wish: DrillWish, labs: RecipeLabs): Promise<{ readonly lab: Lab; readonly drillRig: DrillRig }> {
  if (wish.system !== 'holdfast') {
    let lab = labs.get(wish.system)
    if (lab === undefined) {
      lab = await rig.raise({ name: 'recipe', agents: false, third: wish.system === 'sentinel' })
      await startRecipe(lab, wish.system)
      labs.set(wish.system, lab)
    }
    return { lab, drillRig: recipeRig(lab, wish.system, wish.case === 'restart' ? 'restart' : 'crash') }
  }
  const external = wish.variant?.includes('external') === true
  if (wish.variant?.includes('sentinel') === true) return raiseSentinelMode(rig, wish)
  const groupYaml = [...(external ? ['    process: external'] : []), ...(wish.case === 'hang' ? ['    failover: { unresponsive_ms: 1000 }'] : [])]
  const about: LabWish = { name: wish.case, agents: !external, groupYaml }
  const lab = await rig.raise(about)
  if (external) await adoptPlainRedis(lab)
  await waitHealthy(rig, lab)
  const drillRig = { ...labRig(lab, group), limits }
  return { lab, drillRig: external ? supervised(lab, drillRig) : drillRig }
}

/** A restart is the worst case: a supervisor of its own has an external redis back, which may be empty, before anybody has elected. */
async function raiseSentinelMode(rig: Rig, wish: DrillWish): Promise<{ readonly lab: Lab; readonly drillRig: DrillRig }> {
  const external = wish.case === 'restart'
  const groupYaml = ['    mode: sentinel', `    sentinels: [${[...dataHosts, 'redis-w'].join(', ')}]`]
  if (external) groupYaml.push('    process: external', '    sentinel: { process: direct }')
  const lab = await rig.raise({ name: `s-${wish.case}`, agents: !external, third: true, groupYaml })
  if (external) {
    await adoptPlainRedis(lab)
    await lab.start('redis-w', 'agent')
  }
  await waitHealthy(rig, lab)
  const plain = { ...labRig(lab, group), limits }
  const drillRig = external ? supervised(lab, plain) : plain
  if (wish.variant !== bySentinel.client) return { lab, drillRig }
  await startRelay(lab)
  return { lab, drillRig: { ...drillRig, startWriter: () => startWriter({ kind: 'lab', lab }, relayAddress) } }
}

async function adoptPlainRedis(lab: Lab): Promise<void> {
  for (const host of dataHosts) {
    await writeRedisConf(lab, host, host === 'redis-a' ? null : hostIps['redis-a'])
    await startRedis(lab, host)
    await waitForRedis(lab, host)
  }
  for (const host of dataHosts) await lab.start(host, 'agent')
}

/** The supervisor that knows nothing of replication: half a second after its redis has died, it starts it again. */
function supervised(lab: Lab, inner: DrillRig): DrillRig {
  return {
    ...inner,
    inject: async (_fault, primary) => {
      await lab.kill(primary, 'redis', { group })
      await delay(restartAfterMs)
      await startRedis(lab, primary)
      return done
    },
  }
}

/** The outage, what was decided, and what the agents logged around it. */
async function tellOutlier(lab: Lab, wish: DrillWish, round: WatchedRound): Promise<string> {
  const head = `${titleOf(wish)}, round ${round.round}: outage ${formatMs(round.outageMs)}${round.healOutageMs === null ? '' : `, when the host was back ${formatMs(round.healOutageMs)}`}, ${round.recovered ? 'recovered' : 'NOT recovered'}`
  const asked = await lab.cli(['history', group, '--events', '--json', '--limit', '5000'])
  const { events, why } = eventsOf(asked.stdout)
  if (why !== null) return `${head}; its events are not known: ${why}`
  const startMs = (round.decisions[0]?.startedAtMs ?? Date.now()) - 1000
  const near = events
    .filter((event) => event.atWallMs >= startMs && event.atWallMs <= startMs + Math.max(round.outageMs, round.healOutageMs ?? 0) + 4000)
    .slice(0, 40)
  return [head, ...near.map((event) => `    ${new Date(event.atWallMs).toISOString()} ${event.host} epoch ${event.epoch} ${event.kind}: ${event.text}`)].join(
    '\n',
  )
}

interface ToldEvent {
  readonly atWallMs: number
  readonly host: string
  readonly epoch: number
  readonly kind: string
  readonly text: string
}

function eventsOf(json: string): { readonly events: readonly ToldEvent[]; readonly why: string | null } {
  try {
    return { events: (JSON.parse(json) as { readonly events?: readonly ToldEvent[] }).events ?? [], why: null }
  } catch (error) {
    return { events: [], why: (error as Error).message }
  }
}
