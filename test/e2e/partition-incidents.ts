/** Partitions that mean the same for every group of two members and a third host that votes, a witness or a Sentinel without data. */
import { expectRefused, type Incident } from './partition.ts'

export interface PairAndThird {
  readonly third: string
  /** As many writes as one client is acknowledged on the wrong side before the lease ends. */
  readonly ofOneLease: number
  /** What it takes to find a member gone, and to elect. */
  readonly cutMs: number
  /** After so long without anybody a primary has certainly begun to refuse. */
  readonly aloneMs: number
  readonly flapsMs: readonly number[]
}

export function ofPairAndThird({ third: w, ofOneLease, cutMs, aloneMs, flapsMs }: PairAndThird): readonly Incident[] {
  return [
    {
      name: 'the primary is cut from everyone, clients too',
      twoWritersMs: 0,
      primary: 'moves',
      keptAtMost: ofOneLease,
      act: async (s) => {
        await s.split([s.primary], [s.replica, w, 'client', 'client2'])
        await s.lasts(cutMs)
      },
    },
    {
      name: 'the primary is cut off, a client with it',
      twoWritersMs: 0,
      primary: 'moves',
      keptAtMost: ofOneLease,
      act: async (s) => {
        await s.split([s.primary, 'client2'], [s.replica, w, 'client'])
        await s.lasts(cutMs)
      },
    },
    {
      name: 'the replica is cut off, a client with it: nothing happens on the other side',
      twoWritersMs: 0,
      primary: 'stays',
      keptAtMost: 0,
      act: async (s) => {
        await s.split([s.primary, w, 'client2'], [s.replica, 'client'])
        await s.lasts(cutMs)
      },
    },
    {
      name: 'one way: nobody hears the primary',
      twoWritersMs: 0,
      primary: 'moves',
      keptAtMost: ofOneLease,
      act: async (s) => {
        await s.mute([s.primary, 'client2'], [s.replica, w, 'client'])
        await s.lasts(cutMs)
      },
    },
    {
      name: 'one way: the primary hears nobody',
      twoWritersMs: 0,
      primary: 'either',
      keptAtMost: ofOneLease,
      act: async (s) => {
        await s.mute([s.replica, w, 'client'], [s.primary, 'client2'])
        await s.lasts(cutMs)
      },
    },
    {
      name: 'all three are alone: nobody is elected, nobody writes; the replica finds the third host first: it is elected',
      twoWritersMs: 0,
      primary: 'moves',
      keptAtMost: ofOneLease,
      act: async (s) => {
        await s.split([s.primary, 'client2'], [s.replica, 'client'], [w])
        await s.lasts(aloneMs)
        await s.nobodyWrites(500)
        await s.regroup([s.primary, 'client2'], [s.replica, 'client', w])
        await s.lasts(cutMs)
      },
    },
    {
      name: 'the link of the primary flaps: six cuts',
      twoWritersMs: 0,
      primary: 'either',
      keptAtMost: 2 * ofOneLease,
      act: async (s) => {
        for (const ms of flapsMs) {
          await s.split([s.primary, 'client2'], [s.replica, w, 'client'])
          await s.lasts(ms)
          await s.heal()
          await s.lasts(200)
        }
      },
    },
    {
      name: 'a switchover is asked for while the replica is cut off: refused, the primary goes on',
      twoWritersMs: 0,
      primary: 'stays',
      keptAtMost: 0,
      act: async (s) => {
        await s.split([s.primary, w, 'client', 'client2'], [s.replica])
        await s.lasts(300)
        await expectRefused(s.rig, 'switchover', 'sessions')
      },
    },
  ]
}
