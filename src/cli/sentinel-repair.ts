/**
 * `holdfast sentinel repair`: has the agents make one repair after the other, and looks anew after each. Whether a repair may be made is
 * decided by the agent that makes it. Nothing is remembered: broken off at any place, the next run sees what is left.
 */
import { confirm, isCancel } from '@clack/prompts'
import pc from 'picocolors'
import { findingsOf } from '../decide/sentinel-hygiene.ts'
import { repairWords, repairsOf } from '../decide/sentinel-repair.ts'
import { OperatorError } from '../model/error.ts'
import type { RepairAnswer, SentinelFinding, SentinelRepair } from '../model/sentinel-look.ts'
import { ask, type Session } from './ask.ts'
import { drawFindings } from './sentinel-draw.ts'
import type { Looked } from './sentinel.ts'

/** A Sentinel has 20 s to become whole. */
const repairDeadlineMs = 40_000
/** A refusal may be about a moment: a Sentinel that was seen to before this one is not heard by all yet. */
const waitAtMostMs = 15_000
const askAgainMs = 500
/** What comes back as often is brought by something that is not repaired. */
const timesAtMost = 3

export interface RepairWish {
  readonly session: Session
  readonly group: string
  readonly dryRun: boolean
  readonly yes: boolean
  readonly json: boolean
  readonly look: () => Promise<Looked>
}

export async function repairSentinels(wish: RepairWish): Promise<void> {
  const { group, json, dryRun } = wish
  const say = (text: string): void => void (json ? process.stderr : process.stdout).write(text)
  let looked = await wish.look()
  let findings = findingsNow(looked)
  say(drawFindings(looked, findings).replace(/→.*\n/, ''))
  const planned = repairsOf(findings)
  for (const repair of planned) say(`${dryRun ? 'would' : 'will'} ${repairWords(repair)}\n`)
  if (planned.length > 0 && !dryRun) await confirmed(wish, planned)
  const stopped = onInterrupt(() => say(`${pc.yellow('broken off:')} what has begun is ended by the agent; run it again for the rest\n`))
  const done: string[] = []
  const tried: string[] = []
  try {
    while (!dryRun && !stopped.isSo()) {
      const [repair] = repairsOf(findings)
      if (repair === undefined) break
      const words = repairWords(repair)
      if (tried.filter((t) => t === words).length >= timesAtMost) throw broken(`${words}: tried ${timesAtMost} times, and it is called for again`, group)
      tried.push(words)
      const answer = await make(wish, looked, repair)
      if (answer.result === 'repaired') {
        say(`${pc.green('✓')} ${words}: ${'host' in repair ? 'whole again' : 'done'} after ${answer.tookMs} ms\n`)
        done.push(words)
      }
      looked = await wish.look()
      findings = findingsNow(looked)
    }
  } finally {
    stopped.forget()
  }
  if (json) process.stdout.write(`${JSON.stringify({ group, dryRun, planned: planned.map(repairWords), done, left: findings })}\n`)
  else if (!dryRun) say(findings.length === 0 && done.length === 0 ? '' : drawFindings(looked, findings))
  if (stopped.isSo()) throw broken('broken off', group)
  if (!dryRun && findings.length > 0) process.exitCode = 1
}

function findingsNow({ layout, merged }: Looked): readonly SentinelFinding[] {
  return findingsOf(layout, merged)
}

async function confirmed({ group, yes }: RepairWish, planned: readonly SentinelRepair[]): Promise<void> {
  if (yes) return
  const what = `${planned.length} ${planned.length === 1 ? 'repair' : 'repairs'} of the Sentinels of ${group}, one at a time`
  if (!process.stdin.isTTY) throw new OperatorError('HF702', `${what}: it was not confirmed`, 'see --dry-run; then add --yes')
  const answer = await confirm({ message: `Make ${what}?`, initialValue: false })
  if (isCancel(answer) || !answer) throw new OperatorError('HF702', 'nothing was changed', 'see --dry-run')
}

/** By one agent all the time, so that there is one at a time; an id is given by the agent beside the Sentinel. */
async function make({ session, group }: RepairWish, { pictures }: Looked, repair: SentinelRepair): Promise<RepairAnswer> {
  const host = repair.kind === 'renew-id' ? repair.host : (pictures[0]?.asker ?? '')
  const startedMs = performance.now()
  for (;;) {
    const call = { method: 'POST', path: `/groups/${group}/sentinels/repair`, body: repair, deadlineMs: repairDeadlineMs } as const
    const answer = (await ask(session, host, call)) as RepairAnswer
    if (answer.result === 'repaired' || answer.result === 'not-needed') return answer
    const isOver = answer.result === 'failed' || performance.now() - startedMs > waitAtMostMs
    if (isOver) throw broken(`${repairWords(repair)}: ${answer.why}`, group)
    await new Promise((resolve) => setTimeout(resolve, askAgainMs))
  }
}

function broken(why: string, group: string): OperatorError {
  return new OperatorError('HF703', why, `holdfast sentinel repair ${group} does what is left`)
}

/** The repair under way goes on in its agent: only the next one is not begun. */
function onInterrupt(tell: () => void): { readonly isSo: () => boolean; readonly forget: () => void } {
  let interrupted = false
  const stop = (): void => {
    interrupted = true
    tell()
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop)
  return {
    isSo: () => interrupted,
    forget: () => {
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, stop)
    },
  }
}
