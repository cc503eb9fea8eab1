/**
 * Partitions in Sentinel mode (ADR 0020): at most one member accepts writes at any time, whoever is cut from whom. A primary that loses
 * sight of the Sentinels refuses before they may find it down; who is cut off with too few of them is elected by nobody.
 */
import { describe, expect, test } from 'vitest'
import { ofPairAndThird } from './partition-incidents.ts'
import { playIncident, type Incident } from './partition.ts'
import { pairWithSentinels, problems, rigFor, threeWithSentinels } from './rig.ts'

const w = 'red-w'
/** Acknowledged on the wrong side before the lease ended (0.8 s of the second after which a Sentinel finds a primary down). */
const ofOneLease = 1800
/** An agent that is dead holds nothing back; the guard does, within two seconds (ADR 16). */
const withoutAgentMs = 2000
/** down_after, what a Sentinel needs to see it, and an election. */
const cutMs = 3000

const pair: readonly Incident[] = [
  ...ofPairAndThird({ third: w, ofOneLease, cutMs, aloneMs: 1500, flapsMs: [40, 1200, 400, 900, 120, 700] }),
  {
    name: 'primary and replica lose each other, the third Sentinel hears both: nothing happens',
    twoWritersMs: 0,
    primary: 'stays',
    keptAtMost: 0,
    act: async (s) => {
      await s.split([s.primary], [s.replica])
      await s.lasts(cutMs)
    },
  },
  {
    name: 'the host without data is lost; then redis dies: the two Sentinels that are left are enough',
    twoWritersMs: 0,
    primary: 'moves',
    keptAtMost: 0,
    act: async (s) => {
      await s.powerOff(w)
      await s.lasts(1500)
      await s.killRedis(s.primary)
      await s.lasts(1500)
    },
  },
]

const three: readonly Incident[] = [
  {
    name: 'the primary is cut off with its Sentinel, a client with it',
    twoWritersMs: 0,
    primary: 'moves',
    keptAtMost: ofOneLease,
    act: async (s) => {
      await s.split([s.primary, 'client2'], [...s.replicas, 'client'])
      await s.lasts(cutMs)
    },
  },
  {
    name: 'SENTINEL FAILOVER is ordered at the Sentinel of the primary while it is cut off: it can reach no replica, and nobody is promoted by it',
    twoWritersMs: 0,
    primary: 'moves',
    keptAtMost: ofOneLease,
    act: async (s) => {
      await s.split([s.primary, 'client2'], [...s.replicas, 'client'])
      await s.rig.sentinel(s.primary, 'SENTINEL', 'FAILOVER', 'sessions')
      await s.lasts(cutMs)
    },
  },
  {
    name: 'two replicas each alone with one Sentinel, the primary with its own: nobody writes; then two find each other',
    twoWritersMs: 0,
    primary: 'either',
    keptAtMost: ofOneLease,
    act: async (s) => {
      await s.split([s.primary, 'client2'], [s.replicas[0] ?? '', 'client'], [s.replicas[1] ?? ''])
      await s.lasts(1500)
      await s.nobodyWrites(1000)
      await s.regroup([s.primary, 'client2'], [...s.replicas, 'client'])
      await s.lasts(cutMs)
    },
  },
  {
    name: 'the old primary comes back with writes that nobody has, and Sentinel would make it a replica: they are kept first',
    twoWritersMs: withoutAgentMs,
    primary: 'moves',
    act: async (s) => {
      await s.split([s.primary, 'client2'], [...s.replicas, 'client'])
      await s.killAgent(s.primary)
      await s.lasts(cutMs)
      await s.heal()
      // Longer than a Sentinel waits before it orders a stray primary to follow, while no agent is there to keep anything.
      await s.lasts(14_000)
      expect(await s.rig.redis(s.primary, 'ROLE'), 'no Sentinel has made it give its data up').toMatch(/^master/)
    },
  },
]

describe.skipIf(problems.length > 0)('partitions of two members and three Sentinels', { timeout: 90_000 }, () => {
  const theRig = rigFor('parts', pairWithSentinels)
  test.each(pair)('$name', async (incident) => void (await playIncident(theRig(), ['red-a', 'red-b'], incident)))
})

describe.skipIf(problems.length > 0)('partitions of three members and their Sentinels', { timeout: 90_000 }, () => {
  const theRig = rigFor('parts3', threeWithSentinels())
  test.each(three)('$name', async (incident) => void (await playIncident(theRig(), ['red-a', 'red-b', 'red-c'], incident)))
})
