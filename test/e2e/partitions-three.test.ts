/**
 * Three members, with and without a witness. Without: a member that is alone promotes itself, and the heal ends that (ADR 6: among
 * those that hear each other, one that still hears the primary outweighs one that does not). With: three of four votes elect, so
 * an even split stands still on both sides, and nobody is ever one of two writers (ADR 9).
 */
import { describe, test } from 'vitest'
import { playIncident, type Incident } from './partition.ts'
import { hostLines, problems, rigFor, vip } from './rig.ts'

const members = ['red-a', 'red-b', 'red-c']
const w = 'red-w'
const ofOneLease = 400

const withoutWitness: readonly Incident[] = [
  {
    name: 'the primary is cut from both others, a client with it: two writers until the heal',
    twoWritersMs: 4000,
    primary: 'moves',
    act: async (s) => {
      await s.split([s.primary, 'client2'], [...s.replicas, 'client'])
      await s.lasts(1500)
    },
  },
  {
    name: 'one replica is cut off, a client with it: it promotes itself, and gives in at the heal or is followed',
    twoWritersMs: 4000,
    primary: 'either',
    act: async (s) => {
      await s.split([s.primary, ...s.replicas.slice(1), 'client2'], [s.replica, 'client'])
      await s.lasts(1500)
    },
  },
  {
    name: 'one way: one replica no longer hears the primary, the third does',
    twoWritersMs: 200,
    primary: 'either',
    act: async (s) => {
      await s.mute([s.primary], [s.replica])
      await s.lasts(1500)
    },
  },
]

const withWitness: readonly Incident[] = [
  {
    name: 'the primary is cut off, a client with it',
    twoWritersMs: 0,
    primary: 'moves',
    keptAtMost: ofOneLease,
    act: async (s) => {
      await s.split([s.primary, 'client2'], [...s.replicas, w, 'client'])
      await s.lasts(1500)
    },
  },
  // Before the even split: after votes that were given in vain one replica less is too few, and the primary is elected anew (ADR 9, limits).
  {
    name: 'one replica is alone, a client with it: nothing happens on the other side',
    twoWritersMs: 0,
    primary: 'stays',
    keptAtMost: 0,
    act: async (s) => {
      await s.split([s.primary, ...s.replicas.slice(1), w, 'client2'], [s.replica, 'client'])
      await s.lasts(1500)
    },
  },
  {
    name: 'an even split, two members on either side of it: nobody is elected, nobody writes',
    twoWritersMs: 0,
    primary: 'either',
    keptAtMost: 0,
    act: async (s) => {
      await s.split([s.primary, s.replica, 'client2'], [...s.replicas.slice(1), w, 'client'])
      await s.lasts(1200)
      await s.nobodyWrites(600)
    },
  },
  {
    name: 'one way: both replicas and the witness no longer hear the primary',
    twoWritersMs: 0,
    primary: 'moves',
    keptAtMost: ofOneLease,
    act: async (s) => {
      await s.mute([s.primary, 'client2'], [...s.replicas, w, 'client'])
      await s.lasts(1500)
    },
  },
  {
    name: 'the witness is gone and the primary cut off: two of four do not elect; the witness comes back, and they do',
    twoWritersMs: 0,
    primary: 'moves',
    keptAtMost: ofOneLease,
    act: async (s) => {
      await s.rig.killAgent(w)
      await s.split([s.primary, 'client2'], [...s.replicas, w, 'client'])
      await s.lasts(1000)
      await s.nobodyWrites(500)
      await s.rig.startAgent(w)
      await s.lasts(2500)
    },
  },
  {
    name: 'everybody is alone, then all is healed at once',
    twoWritersMs: 0,
    primary: 'either',
    keptAtMost: ofOneLease,
    act: async (s) => {
      await s.split([s.primary, 'client2'], [s.replica], [...s.replicas.slice(1), 'client'], [w])
      await s.lasts(1000)
      await s.nobodyWrites(500)
    },
  },
]

describe.skipIf(problems.length > 0)('partitions of three members', { timeout: 90_000 }, () => {
  const theRig = rigFor('part3', [hostLines(3), 'groups:', '  sessions:', '    members: [red-a, red-b, red-c]', `    vip: ${vip}/24`, ''].join('\n'))
  test.each(withoutWitness)('$name', async (incident) => void (await playIncident(theRig(), members, incident)))
})

describe.skipIf(problems.length > 0)('partitions of three members and a witness', { timeout: 90_000 }, () => {
  const theRig = rigFor(
    'part3w',
    [
      hostLines(3),
      '  red-w: { ip: 192.168.77.8 }',
      'groups:',
      '  sessions:',
      '    members: [red-a, red-b, red-c]',
      '    witness: red-w',
      `    vip: ${vip}/24`,
      '',
    ].join('\n'),
  )
  test.each(withWitness)('$name', async (incident) => void (await playIncident(theRig(), members, incident)))
})
