/**
 * A running redis is moved to a group and back, again and again, as felt by a client that knows one address: the old host has it by hand, and the
 * hook takes it off there. Calm, and beside two clients that do nothing but write. Every acknowledged write is read back at the end.
 */
import { chmod, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { nodeOf } from '../src/lab/faults.ts'
import type { Lab } from '../src/lab/lab.ts'
import { poll } from '../src/lab/run.ts'
import { startWriter, type WriterHandle, type WriterOptions } from '../src/lab/writer.ts'
import { startRedis, waitForRedis, writeRedisConf } from './recipes/plain.ts'
import { group, vip, vipWithPrefix, witnessIp, type Rig } from './rig.ts'
import { cutOverLoads, type CutOverLoad, type CutOverResult, type CutOverTurns } from './table.ts'

const oldHost = 'redis-w'
const port = 6379
/** Within a second of the last word on an address Linux believes no other (locktime): nobody moves one there and back so soon. */
const addressMs = 3500
const takenUpWithinMs = 20_000
/** What such a lab has against any move. */
const accepted = ['P6', 'P7', 'P8', 'P9', 'P10', 'P16'].flatMap((id) => ['--accept', id])

export async function measureCutOver(rig: Rig, rounds: number): Promise<CutOverResult> {
  const lab = await rig.raise({ name: 'cutover', agents: true, third: true, groupYaml: ['    migration: { awaits: true, hook: ./hook }'] })
  const writers: WriterHandle[] = []
  const write = async (more: Partial<WriterOptions>): Promise<WriterHandle> => {
    const writer = await startWriter({ kind: 'lab', lab }, { host: vip, port, ...more })
    writers.push(writer)
    return writer
  }
  let keep = true
  try {
    await startOld(lab)
    await said(lab, 'start', `redis://${witnessIp}:${port}`, group, '--seconds', '0.3', ...accepted)
    const felt = await write({})
    const heldMs = new Map<CutOverLoad, number[]>()
    for (const load of cutOverLoads) {
      if (load === 'busy') await Promise.all([write({ intervalMs: 0 }), write({ intervalMs: 0 })])
      const held: number[] = []
      heldMs.set(load, held)
      for (let round = 0; round < rounds; round += 1) {
        await turn(rig, lab, felt, { verb: 'cutover', load })
        held.push(await heldFor(lab))
        await turn(rig, lab, felt, { verb: 'rollback', load })
      }
    }
    const { marks } = await felt.stop()
    const of = (load: CutOverLoad, verb: Verb): readonly number[] =>
      marks.filter(({ label }) => label === labelOf({ load, verb })).map(({ longestOutage }) => longestOutage.lengthMs)
    const turns = (load: CutOverLoad): CutOverTurns => ({ gapMs: of(load, 'cutover'), backMs: of(load, 'rollback'), heldMs: heldMs.get(load) ?? [] })
    const checked = await Promise.all(writers.map((writer) => writer.verify()))
    const unread = checked.find(({ complete }) => !complete)
    if (unread !== undefined) throw new Error(`not every write could be read back: ${unread.why}`)
    const sum = (what: 'acked' | 'lost'): number => checked.reduce((total, one) => total + one[what], 0)
    keep = sum('lost') > 0
    return { calm: turns('calm'), busy: turns('busy'), acked: sum('acked'), lost: sum('lost') }
  } finally {
    for (const writer of writers) await writer.close()
    await rig.drop(lab, keep && !rig.signal.aborted)
  }
}

type Verb = 'cutover' | 'rollback'

interface Turn {
  readonly verb: Verb
  readonly load: CutOverLoad
}

const labelOf = ({ load, verb }: Turn): string => `${load} ${verb}`

/** From the order until the address rests again: all that a client feels of it lies within. */
async function turn(rig: Rig, lab: Lab, felt: WriterHandle, of: Turn): Promise<void> {
  const words = [of.verb, group, ...(of.verb === 'cutover' ? ['--unverified'] : [])]
  let why = ''
  const could = await poll(
    async () => {
      rig.signal.throwIfAborted()
      const dry = await lab.cli(['migrate', ...words, '--dry-run'], { deadlineMs: 10_000 })
      why = dry.stderr.trim()
      return dry.code === 0 ? true : undefined
    },
    { withinMs: takenUpWithinMs, everyMs: 200 },
  )
  if (could === undefined) throw new Error(`${of.verb} is not taken up: ${why}`)
  if (!(await felt.steady({ acks: 300, withinMs: 20_000 }))) throw new Error('no steady writes through the address')
  await felt.mark(labelOf(of))
  await said(lab, ...words)
  await delay(addressMs, undefined, { signal: rig.signal })
  await felt.mark('between')
}

async function heldFor(lab: Lab): Promise<number> {
  const { move } = JSON.parse(await said(lab, 'status', group, '--json')) as { readonly move: { readonly heldMs: number | null } }
  return move.heldMs ?? Number.NaN
}

async function said(lab: Lab, ...words: readonly string[]): Promise<string> {
  const result = await lab.cli(['migrate', ...words], { deadlineMs: 60_000 })
  if (result.code !== 0) throw new Error(`migrate ${words[0]}: ${result.stderr.trim()}`)
  return result.stdout
}

/** With the address put up by hand, and a hook in the place of its keepalived. */
async function startOld(lab: Lab): Promise<void> {
  await writeRedisConf(lab, oldHost, null, port)
  await startRedis(lab, oldHost, [], port)
  await waitForRedis(lab, oldHost, port)
  await lab.exec(oldHost, ['ip', 'addr', 'add', vipWithPrefix, 'dev', 'eth0'])
  const there = `ip netns exec ${nodeOf(lab.record, oldHost).netns}`
  const hook = join(dirname(lab.record.configFile), 'hook')
  const lines = [
    '#!/bin/sh',
    'case "$1" in',
    `to-group) ${there} ip addr del ${vipWithPrefix} dev eth0 ;;`,
    `to-source) ${there} ip addr add ${vipWithPrefix} dev eth0; ${there} arping -U -q -c 3 -I eth0 ${vip} ;;`,
    'esac',
  ]
  await writeFile(hook, `${lines.join('\n')}\n`)
  await chmod(hook, 0o755)
}
