/**
 * Cut-overs and ways back under load, and in each a random process is killed (-9) at a random moment: the agent that sees to the move, the other
 * one, a redis of the group, the old redis. HOLDFAST_MOVES=100 plays a hundred, a few otherwise: at most 25 with one set of data, for it grows with each,
 * and a redis that died fetches all of it.
 */
import { spawn } from 'node:child_process'
import { readFile, stat } from 'node:fs/promises'
import { afterAll, describe, expect, test } from 'vitest'
import type { Death } from '../../src/lab/double-writer.ts'
import { nodeOf } from '../../src/lab/faults.ts'
import { holdInquest } from '../../src/lab/inquest.ts'
import { vip } from './ground.ts'
import { OldRedis } from './moving.ts'
import { problems, rigFor, twoHosts, type Rig } from './rig.ts'

const mostRounds = 25
const rounds = Number(process.env['HOLDFAST_MOVES'] ?? 2)
const parts = Array.from({ length: Math.ceil(rounds / mostRounds) }, (_, i) => ({ part: i + 1, turns: Math.min(mostRounds, rounds - i * mostRounds) }))
const dice = (below: number): number => Math.floor(Math.random() * below)
const victims = ['the agent', 'the redis', 'the other agent', 'the other redis', 'the old redis', 'nobody'] as const

const all = { turns: 0, acked: 0, lost: 0, kept: 0, withProcess: 0, untraced: 0, overlapMs: 0, heldMs: [] as number[], perS: [] as number[] }

describe.skipIf(problems.length > 0).each(parts)(
  'moves there and back, and in each something dies: part $part',
  { timeout: 60_000 + mostRounds * 40_000 },
  ({ part, turns }) => {
    const theRig = rigFor(`movel${part}`, twoHosts(['migration: { awaits: true, hook: ./hook }']))

    test('nothing acknowledged is lost without a trace, never do two accept writes', async () => {
      const rig = theRig()
      const old = new OldRedis(rig)
      await old.start({ supervised: true, lines: ['appendonly yes', 'appendfsync always'] })
      await old.startMove()
      const clients = await Promise.all(
        ['client', 'client', 'client'].map(async (client, i) => ({
          name: `${client}-${i}`,
          writer: await rig.writer({ client, identify: true, intervalMs: 0 }),
        })),
      )
      const flood = startFlood(rig)
      const deaths: Death[] = []
      const told: string[] = []
      try {
        for (let round = 0; round < turns; round += 1) {
          // It died before its file said that it is no primary any more: what it had taken by then is there and nowhere else, and there is no way back.
          if ((await old.shown()).move.wayBack === 'copy') break
          const verb = await ready(rig, old)
          if (verb === null) break
          const { holder } = await old.shown()
          all.perS.push(await commandsPerS(rig, old, verb === 'cutover' ? null : holder))
          const other = holder === 'red-a' ? 'red-b' : 'red-a'
          const victim = victims[(round + dice(2)) % victims.length] ?? 'nobody'
          const order = rig.cli('migrate', verb, 'sessions', ...(verb === 'cutover' ? ['--unverified'] : []))
          await untilHeld(rig, holder)
          await new Promise((resolve) => setTimeout(resolve, dice(60)))
          await kill(rig, old, victim, holder, other, deaths)
          const result = await order
          for (const host of [holder, other]) if ((await rig.agentState(host)) !== 'up') await rig.startAgent(host)
          const where = await settled(old)
          const { move } = await old.shown()
          if (result.code === 0 && move.heldMs !== null) all.heldMs.push(move.heldMs)
          all.turns += 1
          told.push(`${verb}, ${victim} dies: ${result.code === 0 ? 'done' : result.stderr.split('\n')[0]}; ${where}`)
          for (const { name, writer } of clients)
            expect(await writer.steady({ acks: 50, withinMs: 20_000 }), `${name} writes after: ${told.at(-1) ?? ''}`).toBe(true)
        }
      } finally {
        flood.stop()
        console.info(told.join('\n'))
      }
      // What was kept is looked up where the group serves.
      if ((await old.shown()).move.stage === 'sync' && (await ready(rig, old)) === 'cutover') await old.ok('cutover', 'sessions', '--unverified')
      await rig.untilOk()
      const inquest = await holdInquest(rig.lab, 'sessions', clients, { deaths })
      for (const what of ['acked', 'lost', 'kept', 'withProcess', 'untraced', 'overlapMs'] as const) all[what] += inquest[what]
      expect(inquest.incomplete).toEqual([])
      expect([inquest.untraced, inquest.examples, inquest.overlapMs, inquest.rejectedPresent]).toEqual([0, [], 0, 0])
      await rig.expectNoBrokenRule()
      for (const { writer } of clients) await writer.close()
      await old.stop()
    })
  },
)

afterAll(() => {
  const middle = (list: readonly number[]): number => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)] ?? Number.NaN
  console.info(
    `${all.turns} turns under ${middle(all.perS)} writes a second (median), ${all.acked} acknowledged to those who read them back: lost ${all.lost} (kept ${all.kept}, with a process ${all.withProcess}, untraced ${all.untraced}); two writers for ${all.overlapMs} ms; writes held for ${middle(all.heldMs)} ms (median), at most ${Math.max(...all.heldMs)}`,
  )
})

/** More writes than three clients come to that wait for each answer. It ends with each outage, and begins anew. */
function startFlood(rig: Rig): { readonly stop: () => void } {
  const writes = `redis-benchmark -h ${vip} -p 6379 -t set -c 1 -P 16 -r 10000 -n 1000000000 -q`
  const words = ['netns', 'exec', nodeOf(rig.lab.record, 'client').netns, 'sh', '-c', `while :; do ${writes}; sleep 0.1; done`]
  const child = spawn('ip', words, { stdio: 'ignore', detached: true })
  child.unref()
  return {
    stop: () => {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
    },
  }
}

/** Of whoever has the clients. `holder`: null, the old redis. */
async function commandsPerS(rig: Rig, old: OldRedis, holder: string | null): Promise<number> {
  const info = await (holder === null ? old.ask('INFO', 'stats') : rig.redis(holder, 'INFO', 'stats'))
  return Number(/instantaneous_ops_per_sec:(\d+)/.exec(info)?.[1])
}

async function kill(rig: Rig, old: OldRedis, victim: (typeof victims)[number], holder: string, other: string, deaths: Death[]): Promise<void> {
  const died = (info: string): void => {
    const runId = /run_id:(\w+)/.exec(info)?.[1]
    if (runId !== undefined) deaths.push({ runId, fromMs: Date.now() - 100, toMs: Date.now() + 20, lastOnly: true })
  }
  if (victim === 'the agent') await rig.killAgent(holder)
  if (victim === 'the other agent') await rig.killAgent(other)
  if (victim === 'the redis' || victim === 'the other redis') {
    const host = victim === 'the redis' ? holder : other
    const info = await rig.redis(host, 'INFO', 'server')
    await rig.lab.kill(host, 'redis')
    died(info)
  }
  if (victim === 'the old redis') {
    const info = await old.ask('INFO', 'server')
    await old.kill(/process_id:(\d+)/.exec(info)?.[1] ?? '')
    died(info)
  }
}

/** What an operator does where the old redis was started anew: whoever has more goes on. null: that is the group, and there is no way back. */
async function decideForOne(rig: Rig, old: OldRedis, last: string): Promise<'cutover' | null> {
  const { holder } = await old.shown()
  const [there, here] = await Promise.all([old.ask('DBSIZE'), rig.redis(holder, 'DBSIZE')])
  if (Number(there.match(/\d+/)?.[0]) < Number(here.match(/\d+/)?.[0])) {
    await old.ask('REPLICAOF', '127.0.0.1', '1')
    await old.leaveAddress()
    expect((await rig.cli('failover', 'sessions', '--to', holder, '--force')).code).toBe(0)
    return null
  }
  const runId = /--overwrite (\w{40})/.exec(last)?.[1] ?? ''
  const accept = ['P6', 'P8', 'P9', 'P10', 'P16', 'P17'].flatMap((id) => ['--accept', id])
  await rig.cli('migrate', 'start', old.url, 'sessions', '--seconds', '0.2', '--overwrite', runId, ...accept)
  return 'cutover'
}

/** What an operator waits for, and does where the old redis was started anew: the order would be taken up now. */
async function ready(rig: Rig, old: OldRedis): Promise<'cutover' | 'rollback' | null> {
  let last = ''
  for (let i = 0; i < 60; i += 1) {
    const { move } = await old.shown()
    const verb = move.stage === 'moved' ? 'rollback' : 'cutover'
    const dry = await rig.cli('migrate', verb, 'sessions', '--dry-run', ...(verb === 'cutover' ? ['--unverified'] : []))
    if (dry.code === 0) return verb
    last = `${move.stage}: ${dry.stderr.split('\n')[0] ?? ''}`
    // Started anew with less than the group has received: the group has the data.
    if (move.last.startsWith('INV-1') && i > 3) return await decideForOne(rig, old, move.last)
    await new Promise((resolve) => setTimeout(resolve, 400))
  }
  throw new Error(`it would not be taken up: ${last}`)
}

/** Writes are held from now on, or were not within the time that a command takes. */
async function untilHeld(rig: Rig, holder: string): Promise<void> {
  const file = rig.file(holder, 'state', 'sessions', 'events.jsonl')
  const before = await stat(file).then(({ size }) => size)
  const endMs = performance.now() + 1500
  while (performance.now() < endMs) {
    const { size } = await stat(file)
    if (size > before && /are held/.test((await readFile(file, 'utf8')).slice(before))) return
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}

async function settled(old: OldRedis): Promise<string> {
  let last = ''
  await expect
    .poll(
      async () => {
        const writers = await old.writers()
        const { move } = await old.shown()
        last = `${move.stage}, ${writers.join(' and ')} takes writes`
        return writers.length === 1 && (move.stage === 'sync' || move.stage === 'moved') ? 'one' : last
      },
      { timeout: 25_000, interval: 200 },
    )
    .toBe('one')
  return last
}
