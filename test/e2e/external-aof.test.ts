/**
 * A power cut of everything, and redis is started by its own supervisor from its AOF, which names no history. Born fenced, nobody can
 * have written to it before it was seen: what its agent had noted tells where it stands. As people run it, that is not known.
 */
import { describe, expect, test } from 'vitest'
import type { KeptEntry } from '../../src/model/kept.ts'
import type { Rig } from './rig.ts'
import { problems, rigFor, twoHosts } from './rig.ts'
import { superviseRedis } from './supervised.ts'

const members = ['red-a', 'red-b'] as const

for (const fenced of [true, false]) {
  describe.skipIf(problems.length > 0)(`an external redis with an AOF, ${fenced ? 'born fenced' : 'as people run it'}`, { timeout: 90_000 }, () => {
    const theRig = rigFor(fenced ? 'extaof' : 'extaofx', twoHosts(['process: external']), { agents: false })

    test('power cut of all, and all are back', async () => {
      const rig = theRig()
      for (const host of members) await supervise(rig, host, fenced)
      if (!fenced) await rig.redis('red-b', 'REPLICAOF', '192.168.77.1', '6379')
      for (const host of members) await rig.startAgent(host)
      const { primary } = await rig.untilOk('sessions', 20_000)
      const writer = await rig.writer()
      await writer.mark('power cut')
      await Promise.all(members.map((host) => rig.lab.power(host, 'off')))
      await Promise.all(members.map((host) => rig.lab.power(host, 'on')))
      for (const host of members) await supervise(rig, host, fenced)
      for (const host of members) await rig.startAgent(host)
      if (!fenced) {
        const asks = await rig.until(
          'it asks an operator',
          'sessions',
          (s) => s.because.includes('unknown history') || s.members.every((m) => m.why.includes('unknown history')),
        )
        expect(asks.primary).toBeNull()
        expect((await rig.cli('failover', 'sessions', '--to', primary, '--force')).code).toBe(0)
      }
      await rig.untilOk('sessions', 20_000)
      expect(await writer.steady({ acks: 200, withinMs: 10_000 })).toBe(true)
      expect((await rig.finish(writer)).lost).toBe(0)
      await rig.expectNoBrokenRule()
    })

    if (!fenced) return
    test('a replica that is restarted is known to follow the same history: nothing is kept of it', async () => {
      const rig = theRig()
      const { primary } = await rig.untilOk()
      const replica = primary === 'red-a' ? 'red-b' : 'red-a'
      const keptIds = async () =>
        (JSON.parse((await rig.cli('salvage', 'list', 'sessions', '--json')).stdout) as { kept: readonly KeptEntry[] }).kept.map((k) => k.id)
      const before = await keptIds()
      await rig.lab.kill(replica, 'redis')
      await rig.until('it is missed', 'sessions', (s) => s.health !== 'ok')
      expect(await rig.untilOk()).toMatchObject({ primary })
      expect(await keptIds()).toEqual(before)
    })
  })
}

/** Its own files, in places and by names of its own. */
async function supervise(rig: Rig, host: string, fenced: boolean): Promise<void> {
  const names = ['dbfilename own.rdb', 'appenddirname own-aof', 'appendfilename own.aof']
  await superviseRedis(rig, host, { conf: ['appendonly yes', ...names, ...(fenced ? ['replicaof 127.0.0.1 1'] : [])], pauseS: '0.5' })
}
