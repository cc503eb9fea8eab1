/**
 * `holdfast apply`: the configuration file of this host to all agents, one after the other, in an order in which the group serves throughout.
 * Says first what it would do; run again, it does what is left. What changes and in which order is config/change.ts and config/order.ts.
 */
import { confirm, isCancel } from '@clack/prompts'
import type { Command } from '@commander-js/extra-typings'
import { changesBetween, type Change } from '../config/change.ts'
import { readSecret } from '../config/files.ts'
import { identityOf } from '../config/identity.ts'
import { loadConfig, parseConfig } from '../config/load.ts'
import { nextHost, whyThisOrder } from '../config/order.ts'
import { hostsOf, type Config } from '../model/config.ts'
import { isReceiving } from '../model/move.ts'
import { OperatorError } from '../model/error.ts'
import type { OfferAnswer, RunningConfig } from '../model/own-config.ts'
import { forget, refuseHosts, type Agent, type Plan } from './apply-hosts.ts'
import { ask, askAll, send, statusOf, type GroupStatus, type Session } from './ask.ts'

const settleWithinMs = 30_000
const lookAgainMs = 100
/** So long all is well before the next host's turn: of a primary that lives on the word of two, not both may be away at once. */
const steadyMs = 500

export function register(program: Command): void {
  program
    .command('apply')
    .description('bring the configuration of this host to all agents while the groups serve; run again, it does what is left')
    .option('--dry-run', 'say what would change and in which order')
    .option('--yes', 'do not ask')
    .option('--without <host...>', 'these hosts are lost for good: they are removed although their agents do not answer')
    .option('--json', 'machine-readable')
    .action(async (options, command) => {
      const { config: file } = command.optsWithGlobals() as unknown as { config: string }
      const say = (text: string): void => void (options.json === true ? process.stderr : process.stdout).write(`${text}\n`)
      const plan = await makePlan(file, options.without ?? [])
      for (const line of drawPlan(plan)) say(line)
      const { changes, left } = plan
      const report = (done: readonly string[]): void => {
        if (options.json === true) process.stdout.write(`${JSON.stringify({ ok: true, hash: plan.hash, changes, left, done })}\n`)
      }
      refuseImpossible(changes)
      await refuseHosts(plan)
      if (left.length > 0) await askAgents(plan)
      if (options.dryRun === true) return report([])
      if (left.length === 0) {
        await forget(plan, options.yes === true, options.json === true, say)
        return report([])
      }
      const statuses = await statusOf(plan.session)
      refuseUnwell(plan, statuses)
      await confirmed(options.yes === true)
      const done = await carryOut(plan, statuses, say)
      await forget(plan, true, options.json === true, say)
      report(done)
    })
}

async function makePlan(file: string, without: readonly string[]): Promise<Plan> {
  const { config, text } = await loadConfig(file, { files: true })
  const session = { config, text, secret: await readSecret(config) }
  const { hash } = identityOf(text)
  const staying = [...new Set(Object.values(config.groups).flatMap(hostsOf))]
  const first = await Promise.all(staying.map((host) => lookAt(session, host)))
  const texts = first.flatMap((a) => (a.running === null || a.running.hash === hash ? [] : [parsedBefore(a.running, config)]))
  const going = [...new Set(texts.flatMap((c) => Object.values(c.groups).flatMap(hostsOf)))].filter(
    (h) => !staying.includes(h) && config.hosts[h] !== undefined,
  )
  const agents = [...first, ...(await Promise.all(going.map((host) => lookAt(session, host))))]
  if (agents.every((a) => a.running === null))
    throw new OperatorError('HF301', `no agent answers: ${agents[0]?.why ?? ''}`, 'the agents must run to be given a configuration')
  const differing = agents.filter((a) => a.running !== null && a.running.hash !== hash)
  const runnings = new Map(differing.map((a) => [a.running?.hash, a.running]))
  const changes = [...runnings.values()].flatMap((running) => (running == null ? [] : changesBetween(parsedBefore(running, config), config)))
  const unique = changes.filter((c, i) => changes.findIndex((d) => d.group === c.group && d.what === c.what) === i)
  const leaving = unique.flatMap((c) => (c.group !== null && c.host?.move === 'removed' ? [[c.group, c.host.name] as const] : []))
  const serving = await askAll(session, [...new Set(leaving.map(([, host]) => host))])
  const handsOver = leaving.filter(([group, host]) =>
    serving.some((a) => a.host === host && a.groups.some((g) => g.group === group && g.state?.phase === 'primary')),
  )
  const left = differing.map((a) => a.host)
  return { session, text, hash, changes: unique, agents, before: texts[0] ?? null, without, handsOver: Object.fromEntries(handsOver), left }
}

async function lookAt(session: Session, host: string): Promise<Agent> {
  try {
    return { host, running: (await ask(session, host, { method: 'GET', path: '/config' })) as RunningConfig, why: '' }
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error
    if (error.code === 'HF303')
      throw new OperatorError(
        'HF801',
        `the agent of ${host} is of an earlier version and takes no configuration`,
        `install this version there and start its agent again`,
      )
    return { host, running: null, why: error.message }
  }
}

function parsedBefore(running: RunningConfig, to: Config): Config {
  // As if it lay where the file here does: names beside it then mean the same.
  const { config } = parseConfig(running.text, to.file)
  if (config === undefined)
    throw new OperatorError('HF801', `what an agent runs with cannot be read here (${running.file})`, 'do agent and CLI have the same version?')
  return config
}

function drawPlan({ changes, agents, left, session, handsOver }: Plan): readonly string[] {
  const silent = agents
    .filter((a) => a.running === null)
    .map((a) => `${a.host} does not answer and keeps what it has (${a.why}): run this again when it is back`)
  if (left.length === 0)
    return [silent.length === 0 ? 'every agent runs with this configuration' : 'every agent that answers runs with this configuration', ...silent]
  const words: Record<Change['needs'], string> = { agent: '', 'redis restart': 'pending restart: ', refused: 'REFUSED: ' }
  const groups = Object.keys(session.config.groups).flatMap((group) => {
    const own = changes.filter((c) => c.group === group)
    return own.length === 0
      ? []
      : [
          `${group}: ${whyThisOrder(changes, group)}`,
          ...(handsOver[group] === undefined
            ? []
            : [`  ${handsOver[group]} is its primary: it hands over first (a switchover, which loses nothing or is rolled back)`]),
          ...own.map((c) => `  ${c.what} (${words[c.needs]}${c.why})`),
        ]
  })
  const other = changes.filter((c) => c.group === null || session.config.groups[c.group] === undefined)
  const none = changes.length === 0 ? ['nothing that matters to a group changes'] : []
  return [
    ...groups,
    ...other.map((c) => `${c.group ?? 'all'}: ${c.what} (${words[c.needs]}${c.why})`),
    ...none,
    `to be taken up by: ${left.join(', ')}`,
    ...silent,
  ]
}

function refuseImpossible(changes: readonly Change[]): void {
  const refused = changes.filter((c) => c.needs === 'refused')
  if (refused.length === 0) return
  const words = refused.map((c) => `${c.group === null ? '' : `${c.group}: `}${c.what}`)
  throw new OperatorError('HF801', words.join('; '), [...new Set(refused.map((c) => c.why))].join('; '))
}

/** Each looks at what only it can: do the files exist there that the configuration names, and does its redis start with what that comes to? */
async function askAgents(plan: Plan): Promise<void> {
  const answers = await Promise.all(plan.left.map(async (host) => ({ host, answer: await offer(plan, host, true) })))
  const refused = answers.filter(({ answer }) => !answer.ok)
  if (refused.length > 0)
    throw new OperatorError(
      refused.every(({ answer }) => answer.code === 'HF403') ? 'HF403' : 'HF801',
      refused.map(({ host, answer }) => `${host}: ${answer.why}`).join('\n'),
      'nothing was changed; mend this, then run it again',
    )
}

/** A group that does not serve is not changed: whether a change did it harm could not be told. */
export function refuseUnwell({ changes, agents, handsOver }: Pick<Plan, 'changes' | 'agents' | 'handsOver'>, statuses: readonly GroupStatus[]): void {
  for (const { group, primary, because, move } of statuses) {
    if (handsOver[group] !== undefined) continue
    const own = changes.filter((c) => c.group === group)
    if (own.length === 0 || own.some((c) => c.what === 'a group is added')) continue
    if (primary === null)
      throw new OperatorError(
        'HF801',
        `${group} has no primary: ${because}`,
        move !== null && isReceiving(move.move) ? `first holdfast migrate cutover ${group}, or abort ${group}` : 'change it when it serves again',
      )
    if (own.some((c) => c.lease !== undefined) && agents.find((a) => a.host === primary)?.running === null)
      throw new OperatorError(
        'HF801',
        `the agent of ${primary} does not answer, and it is the primary of ${group}`,
        'it must know before, or after, all others: start it',
      )
  }
}

async function confirmed(yes: boolean): Promise<void> {
  if (yes) return
  if (!process.stdin.isTTY)
    throw new OperatorError('HF802', 'a running installation would be changed; it was not confirmed', 'read the plan with --dry-run; then add --yes')
  const answer = await confirm({ message: 'Go on?', initialValue: false })
  if (isCancel(answer) || !answer) throw new OperatorError('HF802', 'broken off: nothing was changed', 'see --dry-run')
}

async function carryOut(plan: Plan, before: readonly GroupStatus[], say: (text: string) => void): Promise<readonly string[]> {
  const done: string[] = []
  const { session, changes } = plan
  let left = [...plan.left]
  for (const [group, host] of Object.entries(plan.handsOver)) {
    const result = await send(session, host, group, { kind: 'switchover', to: null, dryRun: false })
    if (!result.ok) throw halfWay(`${host} cannot hand ${group} over: ${result.message}`, done)
    say(result.message)
  }
  while (left.length > 0) {
    const primaries = Object.fromEntries((await statusOf(session, undefined, silentIn(plan))).map((s) => [s.group, s.primary]))
    const host = nextHost({ config: session.config, changes, primaries, left })
    if (host === null) throw new OperatorError('HF801', 'groups that share hosts ask for opposite orders', 'change one group at a time')
    const beganMs = performance.now()
    const answer = await offer(plan, host, false)
    if (!answer.ok) throw halfWay(`${host} refuses: ${answer.why}`, done)
    const why = await untilSettled(plan, host, before)
    if (why !== null) throw halfWay(why, done)
    say(`${host}: taken up after ${((performance.now() - beganMs) / 1000).toFixed(1)} s`)
    done.push(host)
    left = left.filter((h) => h !== host)
  }
  return done
}

function halfWay(why: string, done: readonly string[]): OperatorError {
  const so = done.length === 0 ? 'no host has taken it up yet' : `taken up by ${done.join(', ')}`
  return new OperatorError('HF803', `${why}; ${so}`, 'the groups serve; mend this, then run the same command again: it does what is left')
}

async function offer(plan: Plan, host: string, dryRun: boolean): Promise<OfferAnswer> {
  const from = plan.agents.find((a) => a.host === host)?.running?.hash ?? ''
  return (await ask(plan.session, host, { method: 'POST', path: '/config', body: { text: plan.text, from, dryRun }, deadlineMs: 30_000 })) as OfferAnswer
}

/** null: the agent runs with it, its Sentinels are set, and what was well before the step is well again. Else what is not. */
async function untilSettled(plan: Plan, host: string, before: readonly GroupStatus[]): Promise<string | null> {
  const deadlineMs = performance.now() + settleWithinMs
  let why = 'no answer'
  let wellSinceMs: number | null = null
  while (performance.now() < deadlineMs) {
    await new Promise((resolve) => setTimeout(resolve, lookAgainMs))
    const [answer] = await askAll(plan.session, [host])
    if (answer?.ok !== true) {
      why = answer?.why ?? 'no answer'
      wellSinceMs = null
      continue
    }
    if (answer.config?.problem != null) return `${host}: ${answer.config.problem}`
    if (answer.config?.hash !== plan.hash) why = 'it runs with what it had'
    else if (answer.groups.some((g) => g.view === null)) why = 'it has not looked at its groups yet'
    else why = sentinelsBehind(plan, host, answer.groups) ?? (await unwellGroups(plan, host, before)) ?? ''
    const nowMs = performance.now()
    wellSinceMs = why === '' ? (wellSinceMs ?? nowMs) : null
    if (wellSinceMs !== null && nowMs - wellSinceMs >= steadyMs) return null
  }
  return `${host} has not taken it up within ${settleWithinMs / 1000} s: ${why}`
}

function sentinelsBehind(plan: Plan, host: string, groups: Awaited<ReturnType<typeof askAll>>[number]['groups']): string | null {
  for (const { group, view } of groups) {
    const wanted = plan.session.config.groups[group]?.sentinel
    if (wanted === undefined || wanted.process !== 'direct' || !wanted.hosts.includes(host)) continue
    const settings = view?.sentinels?.find((s) => s.host === host)?.facts?.settings
    const equal =
      settings !== undefined && (['quorum', 'downAfterMs', 'failoverTimeoutMs', 'parallelSyncs'] as const).every((key) => settings[key] === wanted[key])
    if (!equal) return `its Sentinel of ${group} is not set as configured yet`
  }
  return null
}

/** They did not answer when this was planned. */
function silentIn({ agents }: Plan): readonly string[] {
  return agents.filter(({ running }) => running === null).map(({ host }) => host)
}

async function unwellGroups(plan: Plan, host: string, before: readonly GroupStatus[]): Promise<string | null> {
  const { session } = plan
  const statuses = await statusOf(session, undefined, silentIn(plan))
  const why = unwell(statuses, before)
  if (why !== null) return why
  for (const { group, primary } of statuses) {
    const own = session.config.groups[group]
    if (primary === null || primary === host || own === undefined || !hostsOf(own).includes(host)) continue
    const [answer] = await askAll(session, [primary])
    const seen = answer?.groups.find((g) => g.group === group)?.view?.peers.find((p) => p.host === host)
    // One that is new to it is heard when it has taken it up itself.
    if (seen !== undefined && seen.agent !== 'alive') return `${primary}, the primary of ${group}, does not hear ${host} yet`
  }
  return null
}

/** Members that streamed before and do not now, groups that have no primary any more. */
function unwell(now: readonly GroupStatus[], before: readonly GroupStatus[]): string | null {
  for (const status of now) {
    const was = before.find((b) => b.group === status.group)
    if (was?.primary != null && status.primary === null) return `${status.group} has no primary: ${status.because}`
    const worse = status.members.find((m) => m.role === 'none' && was?.members.find((b) => b.host === m.host)?.role !== 'none')
    if (was !== undefined && worse !== undefined) return `${worse.host} of ${status.group}: ${worse.state}`
  }
  return null
}
