/**
 * Two members without a witness cannot tell a dead peer from a cut wire (ADR 6, 9): with `durability: available` both may accept
 * writes while they are cut from each other. What is promised: it ends by itself at the heal, one history rules, and every write that
 * leaves it is kept and shown.
 */
import { describe, test } from 'vitest'
import { expectRefused, playIncident, type Incident } from './partition.ts'
import { problems, rigFor, twoHosts } from './rig.ts'

const members = ['red-a', 'red-b']
/** From the cut to the heal and what the members need to find each other again. */
const untilHealed = (cutMs: number): number => cutMs + 2500

const incidents: readonly Incident[] = [
  {
    name: 'cut from each other, a client on either side',
    twoWritersMs: untilHealed(1500),
    primary: 'moves',
    act: async (s) => {
      await s.split([s.primary, 'client2'], [s.replica, 'client'])
      await s.lasts(1500)
    },
  },
  {
    name: 'cut from each other, both clients on the side of the primary',
    twoWritersMs: untilHealed(1500),
    primary: 'either',
    act: async (s) => {
      await s.split([s.primary, 'client', 'client2'], [s.replica])
      await s.lasts(1500)
    },
  },
  {
    name: 'cut from each other, both clients on the side of the replica',
    twoWritersMs: 0,
    primary: 'moves',
    act: async (s) => {
      await s.split([s.primary], [s.replica, 'client', 'client2'])
      await s.lasts(1500)
    },
  },
  {
    name: 'the members lose each other, the clients reach both',
    twoWritersMs: untilHealed(1500),
    primary: 'either',
    act: async (s) => {
      await s.split([s.primary], [s.replica])
      await s.lasts(1500)
    },
  },
  {
    name: 'one way: what the primary says does not reach the replica',
    twoWritersMs: untilHealed(1500),
    primary: 'either',
    act: async (s) => {
      await s.mute([s.primary], [s.replica])
      await s.lasts(1500)
    },
  },
  {
    name: 'one way: what the replica says does not reach the primary',
    twoWritersMs: untilHealed(1500),
    primary: 'either',
    act: async (s) => {
      await s.mute([s.replica], [s.primary])
      await s.lasts(1500)
    },
  },
  {
    name: 'a flapping link: six cuts of 40 to 400 ms',
    twoWritersMs: untilHealed(1200),
    primary: 'either',
    act: async (s) => {
      for (const cutMs of [40, 400, 80, 250, 120, 160]) {
        await s.split([s.primary, 'client2'], [s.replica, 'client'])
        await s.lasts(cutMs)
        await s.heal()
        await s.lasts(200)
      }
    },
  },
  {
    name: 'the agent of the primary is frozen, then cut: redis there goes on until the agent is back',
    twoWritersMs: untilHealed(2000),
    primary: 'moves',
    act: async (s) => {
      await s.freeze(s.primary, 'agent')
      await s.split([s.primary, 'client2'], [s.replica, 'client'])
      await s.lasts(1500)
    },
  },
  {
    name: 'the agent of the primary is dead before the cut',
    twoWritersMs: untilHealed(4000),
    primary: 'either',
    act: async (s) => {
      await s.killAgent(s.primary)
      await s.split([s.primary, 'client2'], [s.replica, 'client'])
      await s.lasts(1500)
    },
  },
  {
    name: 'the agent of the primary dies during the cut',
    twoWritersMs: untilHealed(4000),
    primary: 'moves',
    act: async (s) => {
      await s.split([s.primary, 'client2'], [s.replica, 'client'])
      await s.lasts(700)
      await s.killAgent(s.primary)
      await s.lasts(700)
    },
  },
  {
    name: 'the agent of the replica is frozen before the cut: nobody takes over',
    twoWritersMs: untilHealed(1500),
    primary: 'either',
    act: async (s) => {
      await s.freeze(s.replica, 'agent')
      await s.split([s.primary, 'client2'], [s.replica, 'client'])
      await s.lasts(1500)
    },
  },
  {
    name: 'keepalived of the primary is killed during the cut',
    twoWritersMs: untilHealed(2000),
    primary: 'moves',
    act: async (s) => {
      await s.split([s.primary, 'client2'], [s.replica, 'client'])
      await s.lasts(800)
      await s.rig.lab.kill(s.primary, 'keepalived')
      await s.lasts(800)
    },
  },
  {
    name: 'a switchover is asked for during a cut: refused',
    twoWritersMs: untilHealed(2500),
    primary: 'either',
    act: async (s) => {
      await s.split([s.primary, 'client', 'client2'], [s.replica])
      await s.lasts(300)
      await expectRefused(s.rig, 'switchover', 'sessions')
    },
  },
  {
    name: 'the wire is cut in the middle of a switchover',
    twoWritersMs: untilHealed(1500),
    primary: 'either',
    act: async (s) => {
      const asked = s.rig.cli('switchover', 'sessions')
      await s.lasts(220)
      await s.split([s.primary, 'client2'], [s.replica, 'client'])
      await s.lasts(1500)
      await s.heal()
      await asked
    },
  },
]

describe.skipIf(problems.length > 0)('partitions of two members', { timeout: 90_000 }, () => {
  const theRig = rigFor('part2', twoHosts())
  test.each(incidents)('$name', async (incident) => void (await playIncident(theRig(), members, incident)))
})
