/**
 * The four acts of the demo, each alike: what is foretold, what is done, what the client saw, what was decided and why, and
 * whether an acknowledged write is gone. It only breaks, asks and tells; the agents do the rest.
 */
import { poll } from '../../src/lab/run.ts'
import type { VerifyReport } from '../../src/lab/read-back.ts'
import type { WriterHandle } from '../../src/lab/writer.ts'
import { fail, group } from './ground.ts'
import { eventsSince, failoversSince, forecast, type Stage, type Status, stopIfInterrupted, whole, writeThroughAddress } from './stage.ts'
import { clientLines, decisionLines, eventLines, line, ms, of, verifiedLine } from './tell.ts'

type Say = (line: string) => void

const wholeWithinMs = 30_000
const flowsWithinMs = 30_000
const flowingAcks = 300
/** No command is started for so long after a fault: on a small machine its start would be measured as an outage. */
const quietMs = 1000

export async function play(stage: Stage, say: Say): Promise<void> {
  await crash(stage, say)
  const away = await hostLoss(stage, say)
  await heal(stage, say, away)
  await switchover(stage, say)
  await lookBack(stage, say)
}

async function crash(stage: Stage, say: Say): Promise<void> {
  const { primary, epoch } = await whole(stage, wholeWithinMs)
  say(`\n1. redis is killed on the primary, ${primary} (kill -9)`)
  say(line('foretold', await forecast(stage, primary)))
  const writer = await writeThroughAddress(stage)
  const brokenAtMs = await breakIt(stage, writer, 'crash', () => stage.ground.killRedis(primary))
  await whole(stage, wholeWithinMs)
  const tookMs = performance.now() - brokenAtMs
  await tell(stage, say, writer, epoch)
  say(line('afterwards', `${primary} was started again as a replica, and the group is ready for the next failover (seen ${ms(tookMs)} after the kill)`))
}

/** Returns the host that stays away. */
async function hostLoss(stage: Stage, say: Say): Promise<string> {
  const { primary, epoch } = await whole(stage, wholeWithinMs)
  say(`\n2. ${of(stage.ground.words.lost, primary)}`)
  say(line('foretold', await forecast(stage, primary)))
  const writer = await writeThroughAddress(stage)
  await breakIt(stage, writer, 'host loss', () => stage.ground.loseHost(primary))
  await tell(stage, say, writer, epoch)
  say(line('afterwards', of(stage.ground.words.stillLost, primary)))
  return primary
}

async function heal(stage: Stage, say: Say, host: string): Promise<void> {
  say(`\n3. ${of(stage.ground.words.comesBack, host)}`)
  const writer = await writeThroughAddress(stage)
  const { atMs: sinceMs } = await writer.mark('heal')
  const startedMs = performance.now()
  await stage.ground.bringBack(host)
  const states: string[] = []
  const { epoch, primary } = await whole(stage, wholeWithinMs, (now) => note(states, now, host))
  say(line('it rejoins', `${states.join(' → ')}: a replica of ${primary} after ${ms(performance.now() - startedMs)}`))
  for (const told of eventLines(await eventsSince(stage, sinceMs), sinceMs)) say(told)
  await tell(stage, say, writer, epoch)
}

async function switchover(stage: Stage, say: Say): Promise<void> {
  const { primary, epoch } = await whole(stage, wholeWithinMs)
  say(`\n4. the operator moves the primary away from ${primary}: holdfast switchover ${group}`)
  const writer = await writeThroughAddress(stage)
  const brokenAtMs = await breakIt(stage, writer, 'switchover', async () => {
    const result = await stage.ground.cli(['switchover', group], 30_000)
    if (result.code !== 0) fail(`the switchover was refused: ${result.stderr.trim()}`)
  })
  await whole(stage, wholeWithinMs)
  const tookMs = performance.now() - brokenAtMs
  await tell(stage, say, writer, epoch)
  say(line('afterwards', `${primary} is a replica, and the group is ready for the next failover (seen ${ms(tookMs)} after the command was typed)`))
}

/** Writes that were there after one act could have been lost in a later one. */
async function lookBack(stage: Stage, say: Say): Promise<void> {
  say('\nOnce more, after all of it: every acknowledged write of the four acts')
  const all: VerifyReport[] = []
  for (const writer of stage.writers) all.push(await writer.verify())
  const sum = (key: 'acked' | 'lost'): number => all.reduce((total, verified) => total + verified[key], 0)
  const incomplete = all.find(({ complete }) => !complete)
  say(verifiedLine({ ...(incomplete ?? all[0] ?? fail('nothing was written')), acked: sum('acked'), lost: sum('lost') }))
}

/** Breaks something and waits until the client has FELT it and writes steadily again. Returns when it was broken. */
async function breakIt(stage: Stage, writer: WriterHandle, label: string, fault: () => Promise<unknown>): Promise<number> {
  stopIfInterrupted(stage.signal)
  await writer.mark(label)
  const before = await writer.stats()
  const startedMs = performance.now()
  await fault()
  const flows = await poll(
    async () => {
      stopIfInterrupted(stage.signal)
      const { errors, streak, lastAckMs, nowMs } = await writer.stats()
      const quiet = performance.now() - startedMs < quietMs
      return !quiet && errors > before.errors && streak >= flowingAcks && lastAckMs !== null && nowMs - lastAckMs < 100 ? true : undefined
    },
    { withinMs: flowsWithinMs, everyMs: 100 },
  )
  if (flows === undefined) fail(`the client felt nothing, or could not write again, within ${flowsWithinMs / 1000} s of the ${label}`)
  return startedMs
}

async function tell(stage: Stage, say: Say, writer: WriterHandle, epochBefore: number): Promise<void> {
  const { marks } = await writer.stop()
  const verified = await writer.verify()
  const decisions = await failoversSince(stage, epochBefore)
  const mark = marks[0] ?? fail('the client has kept no record')
  for (const told of [...clientLines(mark), ...decisionLines(decisions), verifiedLine(verified)]) say(told)
}

function note(states: string[], now: Status, host: string): void {
  const state = now.members.find((member) => member.host === host)?.state
  if (state !== undefined && states.at(-1) !== state) states.push(state)
}
