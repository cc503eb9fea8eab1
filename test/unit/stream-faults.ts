/**
 * What disks, transfers and people do to an archived stream: each fault changes one object of it by dice, or two. The key is never known to whoever does it.
 */
import { createHash } from 'node:crypto'
import { dataName, paperName } from '../../src/backup/manifest.ts'
import { parseSegmentName, segmentName, timelineName, type Segment } from '../../src/backup/stream.ts'
import type { Dice } from '../sim/prng.ts'
import { blanked, cut, exchange, flip, grown } from './backup-faults.ts'

type Objects = Map<string, Buffer>

/** A way through the archive that a restore wants to go. */
export interface Way {
  readonly group: string
  readonly base: string
  /** Names of the segments on it, in order. */
  readonly segments: readonly string[]
  readonly replids: readonly string[]
  readonly encrypted: boolean
  /** Of the same names, of another group and of another key; bytes of nobody's. */
  readonly strangers: readonly Objects[]
  /** The same bytes and names, not encrypted: what somebody makes who has not the key. */
  readonly bare: Objects
}

type Fault = (objects: Objects, way: Way, roll: Dice) => void

function change(objects: Objects, name: string, how: (bytes: Buffer) => Buffer): void {
  objects.set(name, how(Buffer.from(objects.get(name) ?? Buffer.alloc(0))))
}

const onSegment =
  (how: (roll: Dice) => (bytes: Buffer) => Buffer): Fault =>
  (objects, { segments }, roll) =>
    change(objects, roll.pick(segments), how(roll))
const onTimeline =
  (how: (roll: Dice) => (bytes: Buffer) => Buffer): Fault =>
  (objects, { group, replids }, roll) =>
    change(objects, timelineName(group, roll.pick(replids)), how(roll))

function two(roll: Dice, names: readonly string[]): readonly [string, string] {
  const one = roll.int(names.length)
  return [names[one] ?? '', names[(one + 1 + roll.int(names.length - 1)) % names.length] ?? '']
}

function renamed(how: (segment: Segment, roll: Dice, way: Way) => Segment, keep: boolean): Fault {
  return (objects, way, roll) => {
    const name = roll.pick(way.segments)
    const segment = parseSegmentName(way.group, name)
    if (segment === null) throw new Error(name)
    objects.set(segmentName(way.group, how(segment, roll, way)), objects.get(name) ?? Buffer.alloc(0))
    if (!keep) objects.delete(name)
  }
}

const shifted = ({ from, to, ...segment }: Segment, roll: Dice): Segment => {
  const by = 1 + roll.int(500)
  return { ...segment, from: from + by, to: to + by }
}
const longer = ({ from, to, ...segment }: Segment, roll: Dice): Segment => ({ ...segment, from: Math.max(1, from - roll.int(50)), to: to + 1 + roll.int(5000) })
const elsewhere = (segment: Segment, _roll: Dice, { replids }: Way): Segment => ({ ...segment, replid: replids.find((one) => one !== segment.replid) ?? '' })
const later = (segment: Segment, roll: Dice): Segment => ({ ...segment, lastWallMs: segment.lastWallMs + 1 + roll.int(10_000_000) })

/** Somebody who can write to the store edits where a history left its parent, and makes the checksum right again. */
function edited(roll: Dice): (bytes: Buffer) => Buffer {
  return (bytes) => {
    const fields = [
      (text: string) => text.replace(/"from": \d+/, `"from": ${1 + roll.int(5000)}`),
      (text: string) => text.replace(/"parent": (null|\{[^}]*\})/, `"parent": { "replid": "${'c'.repeat(40)}" }`),
      (text: string) => text.replace(/"epoch": \d+/, '"epoch": 99'),
    ]
    const whole = roll
      .pick(fields)(bytes.toString())
      .replace(/,\n {2}"sha256": "[0-9a-f]{64}"\n\}\n$/, '')
    const open = (text: string): string => text.replace(/"hmac": "[0-9a-f]{64}"$/, '"hmac": null').replace(/"keyId": "[0-9a-f]{16}"/, '"keyId": null')
    const summed = roll.oneIn(2) ? whole : open(whole)
    return Buffer.from(`${summed},\n  "sha256": "${createHash('sha256').update(summed).digest('hex')}"\n}\n`)
  }
}

const stranger =
  (which: number): Fault =>
  (objects, { segments, strangers }, roll) => {
    const name = roll.pick(segments)
    objects.set(name, strangers[which]?.get(name) ?? Buffer.alloc(0))
  }

/** By name, with how many of a thousand. `key`: without a key nobody can find it. */
export const faults: readonly (readonly [times: number, name: string, fault: Fault, key?: 'key'])[] = [
  [300, 'a bit of a segment flipped', onSegment(flip)],
  [120, 'a bit of a timeline flipped', onTimeline(flip)],
  [80, 'a segment cut off', onSegment(cut)],
  [30, 'a timeline cut off', onTimeline(cut)],
  [40, 'a segment with more behind it', onSegment(grown)],
  [40, 'a page of a segment turned to zeros', onSegment(blanked)],
  [60, 'a segment missing', (objects, { segments }, roll) => void objects.delete(roll.pick(segments))],
  [30, 'a timeline missing', (objects, { group, replids }, roll) => void objects.delete(timelineName(group, roll.pick(replids)))],
  [40, 'two segments changed places', (objects, { segments }, roll) => exchange(objects, ...two(roll, segments))],
  [
    20,
    'two timelines changed places',
    (objects, { group, replids }, roll) =>
      exchange(
        objects,
        ...two(
          roll,
          replids.map((replid) => timelineName(group, replid)),
        ),
      ),
  ],
  [30, 'a segment moved to other offsets', renamed(shifted, false)],
  [30, 'a segment doubled under a name that says more', renamed(longer, true)],
  [20, 'a segment moved to another history', renamed(elsewhere, false)],
  [20, 'a segment moved to another moment', renamed(later, false)],
  [30, 'a segment of another group', stranger(0)],
  [30, 'a segment of another key, or of none where there is one', stranger(1)],
  [
    30,
    'the backup that it begins at changed',
    (objects, { group, base }, roll) => change(objects, roll.oneIn(2) ? dataName(group, base) : paperName(group, base, 'manifest'), flip(roll)),
  ],
  [20, 'a timeline edited by somebody without the key', onTimeline(edited), 'key'],
  [
    30,
    'a segment made anew by somebody without the key',
    (objects, { segments, bare }, roll) => {
      const name = roll.pick(segments)
      objects.set(name, bare.get(name) ?? Buffer.alloc(0))
    },
    'key',
  ],
]
