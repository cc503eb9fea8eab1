/**
 * Two members and a witness (ADR 9): at most one member accepts writes at any time, whoever is cut from whom. Only an agent that is
 * dead or frozen on a primary that is cut off holds nothing back. More incidents of this shape: witness.test.ts.
 */
import { describe, expect, test } from 'vitest'
import { ofPairAndThird } from './partition-incidents.ts'
import { playIncident, type Incident } from './partition.ts'
import { pairAndWitness, problems, rigFor } from './rig.ts'

const members = ['red-a', 'red-b']
const w = 'red-w'
/** Acknowledged on the wrong side before the lease ended: at one write a millisecond and client. */
const ofOneLease = 400
/** An agent that cannot act: redis goes on until it can. */
const withoutAgentMs = 6000

const incidents: readonly Incident[] = [
  ...ofPairAndThird({ third: w, ofOneLease, cutMs: 1500, aloneMs: 1000, flapsMs: [40, 400, 80, 250, 120, 160] }),
  {
    name: 'paused, and the primary is cut off: it goes on writing; resumed on the other side, nobody is promoted before it knows',
    twoWritersMs: 0,
    primary: 'stays',
    keptAtMost: 0,
    act: async (s) => {
      await s.rig.cli('pause', 'sessions')
      await s.split([s.primary, 'client2'], [s.replica, w, 'client'])
      await s.lasts(1200)
      const resumed = await s.rig.cli('resume', 'sessions')
      expect(resumed.stdout).toContain(`${s.primary} is not heard and may still accept writes`)
      await s.lasts(1500)
      expect(await s.here.steady({ acks: 100, withinMs: 1000 }), 'its side still writes').toBe(true)
      expect((await s.rig.cli('status', 'sessions')).stdout).toContain('has not been heard since automatic failover was resumed')
    },
  },
  {
    name: 'cut off, and then paused on its side only: the others cannot know, so its lease ends as ever',
    twoWritersMs: 0,
    primary: 'moves',
    keptAtMost: ofOneLease,
    act: async (s) => {
      await s.split([s.primary, 'client'], [s.replica, w, 'client2'])
      await s.rig.cli('pause', 'sessions')
      await s.lasts(1500)
      await s.heal()
      await s.rig.cli('resume', 'sessions')
    },
  },
  {
    name: 'the witness is cut from the primary only: nothing happens',
    twoWritersMs: 0,
    primary: 'stays',
    keptAtMost: 0,
    act: async (s) => {
      await s.split([s.primary], [w])
      await s.lasts(1500)
    },
  },
  {
    name: 'both members are cut from the witness: nothing happens; then redis dies: the two are enough',
    twoWritersMs: 0,
    primary: 'moves',
    keptAtMost: 0,
    act: async (s) => {
      await s.split(['red-a', 'red-b', 'client', 'client2'], [w])
      await s.lasts(1000)
      await s.killRedis(s.primary)
      await s.lasts(1000)
    },
  },
  {
    name: 'the witness is frozen, and the members lose each other: nobody is elected, nobody writes',
    twoWritersMs: 0,
    primary: 'either',
    keptAtMost: 0,
    act: async (s) => {
      await s.freeze(w, 'agent')
      await s.split([s.primary, 'client2'], [s.replica, 'client'])
      await s.lasts(1000)
      await s.nobodyWrites(1000)
    },
  },
  {
    name: 'all three are alone; the primary finds the witness first: it goes on',
    twoWritersMs: 0,
    primary: 'stays',
    keptAtMost: 0,
    act: async (s) => {
      await s.split([s.primary, 'client2'], [s.replica, 'client'], [w])
      await s.lasts(1000)
      await s.nobodyWrites(500)
      await s.regroup([s.primary, 'client2', w], [s.replica, 'client'])
      await s.lasts(1500)
    },
  },
  {
    name: 'the agent of the primary is frozen, and the primary is cut off',
    twoWritersMs: withoutAgentMs,
    primary: 'moves',
    act: async (s) => {
      await s.freeze(s.primary, 'agent')
      await s.split([s.primary, 'client2'], [s.replica, w, 'client'])
      await s.lasts(1500)
    },
  },
  {
    name: 'the agent of the primary is dead, and the primary is cut off',
    twoWritersMs: withoutAgentMs,
    primary: 'either',
    act: async (s) => {
      await s.killAgent(s.primary)
      await s.split([s.primary, 'client2'], [s.replica, w, 'client'])
      await s.lasts(1500)
    },
  },
  {
    name: 'the agent of the replica is dead, and the witness is cut from the primary: it goes on',
    twoWritersMs: 0,
    primary: 'stays',
    keptAtMost: 0,
    act: async (s) => {
      await s.killAgent(s.replica)
      await s.split([s.primary], [w])
      await s.lasts(1500)
    },
  },
  {
    name: 'the agent of the replica is frozen, and the primary is cut from the witness: nobody can vote, writes are held back',
    twoWritersMs: 0,
    primary: 'either',
    keptAtMost: ofOneLease,
    act: async (s) => {
      await s.freeze(s.replica, 'agent')
      await s.split([s.primary], [w])
      await s.lasts(1500)
    },
  },
  {
    name: 'the witness dies and comes back while the primary is cut off',
    twoWritersMs: 0,
    primary: 'moves',
    keptAtMost: ofOneLease,
    act: async (s) => {
      await s.rig.killAgent(w)
      await s.split([s.primary, 'client2'], [s.replica, w, 'client'])
      await s.rig.startAgent(w)
      await s.lasts(2000)
    },
  },
  {
    name: 'keepalived of the primary is killed while it is cut off',
    twoWritersMs: 0,
    primary: 'moves',
    keptAtMost: ofOneLease,
    act: async (s) => {
      await s.split([s.primary, 'client2'], [s.replica, w, 'client'])
      await s.rig.lab.kill(s.primary, 'keepalived')
      await s.lasts(1500)
    },
  },
]

describe.skipIf(problems.length > 0)('partitions of two members and a witness', { timeout: 90_000 }, () => {
  const theRig = rigFor('partw', pairAndWitness)
  test.each(incidents)('$name', async (incident) => void (await playIncident(theRig(), members, incident)))
})
