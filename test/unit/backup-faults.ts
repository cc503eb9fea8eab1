/**
 * What disks, transfers and people do to stored backups: each fault changes one backup of a store, by dice, and says what it was. The key
 * is never known to whoever does it.
 */
import { createHash } from 'node:crypto'
import { dataName, paperName } from '../../src/backup/manifest.ts'
import type { Dice } from '../sim/prng.ts'

export interface Victim {
  readonly id: string
  readonly group: string
  readonly encrypted: boolean
  /** Of the same kind of store, and other data. */
  readonly other: string
}

type Objects = Map<string, Buffer>

const frameBytes = 1024 * 1024 + 16
const headBytes = 24

function change(objects: Objects, name: string, how: (bytes: Buffer) => Buffer): void {
  objects.set(name, how(Buffer.from(objects.get(name) ?? Buffer.alloc(0))))
}

export function flip(roll: Dice): (bytes: Buffer) => Buffer {
  return (bytes) => {
    const at = roll.int(bytes.length)
    bytes[at] = (bytes[at] ?? 0) ^ (1 << roll.int(8))
    return bytes
  }
}

export const cut = (roll: Dice) => (bytes: Buffer) => bytes.subarray(0, roll.int(bytes.length))
export const grown = (roll: Dice) => (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(1 + roll.int(5000), roll.int(256))])

/** A page that came back as zeros, as from a disk that lost a write. */
export function blanked(roll: Dice): (bytes: Buffer) => Buffer {
  return (bytes) => {
    const at = roll.int(bytes.length)
    return Buffer.concat([bytes.subarray(0, at), Buffer.alloc(Math.min(4096, bytes.length - at)), bytes.subarray(at + 4096)])
  }
}

/** In the pieces in which it is encrypted, or as large ones. */
function framesOf(bytes: Buffer, encrypted: boolean): { readonly head: Buffer; readonly frames: Buffer[] } {
  const from = encrypted ? headBytes : 0
  const frames: Buffer[] = []
  for (let at = from; at < bytes.length; at += frameBytes) frames.push(bytes.subarray(at, at + frameBytes))
  return { head: bytes.subarray(0, from), frames }
}

function reframed(encrypted: boolean, how: (frames: Buffer[]) => readonly Buffer[]): (bytes: Buffer) => Buffer {
  return (bytes) => {
    const { head, frames } = framesOf(bytes, encrypted)
    return Buffer.concat([head, ...how(frames)])
  }
}

function swapped(roll: Dice): (frames: Buffer[]) => readonly Buffer[] {
  return (frames) => {
    const one = roll.int(frames.length - 1)
    const two = one + 1 + roll.int(frames.length - one - 1)
    return frames.map((frame, at) => frames[at === one ? two : at === two ? one : at] ?? frame)
  }
}

function twice(roll: Dice): (frames: Buffer[]) => readonly Buffer[] {
  return (frames) => {
    const which = roll.int(frames.length)
    return frames.flatMap((frame, at) => (at === which ? [frame, frame] : [frame]))
  }
}

export function exchange(objects: Objects, one: string, two: string): void {
  const [a, b] = [objects.get(one), objects.get(two)]
  if (a === undefined || b === undefined) throw new Error(`no ${one} or no ${two}`)
  objects.set(one, b)
  objects.set(two, a)
}

/** Somebody who can write to the store, and has not the key, edits a field and makes the checksum right again. */
function edited(bytes: Buffer, roll: Dice): Buffer {
  const fields = [
    (text: string) => text.replace(/"offset": \d+/, '"offset": 999999'),
    (text: string) => text.replace(/"atWallMs": \d+/, '"atWallMs": 1700000000000'),
    (text: string) => text.replace(/"host": "[^"]+"/, '"host": "redis-x"'),
    (text: string) => text.replace(/("rdb": \{[^}]*"sha256": ")[0-9a-f]{64}/, `$1${'a'.repeat(64)}`),
    (text: string) => text.replace(/("stored": \{[^}]*"sha256": ")[0-9a-f]{64}/, `$1${'b'.repeat(64)}`),
  ]
  const whole = roll
    .pick(fields)(bytes.toString())
    .replace(/,\n {2}"sha256": "[0-9a-f]{64}"\n\}\n$/, '')
  const summed = roll.oneIn(2) ? whole : whole.replace(/"hmac": "[0-9a-f]{64}"$/, '"hmac": null')
  return Buffer.from(`${summed},\n  "sha256": "${createHash('sha256').update(summed).digest('hex')}"\n}\n`)
}

type Fault = (objects: Objects, victim: Victim, roll: Dice) => void

const onData =
  (how: (roll: Dice, victim: Victim) => (bytes: Buffer) => Buffer): Fault =>
  (objects, victim, roll) =>
    change(objects, dataName(victim.group, victim.id), how(roll, victim))
const onManifest =
  (how: (roll: Dice) => (bytes: Buffer) => Buffer): Fault =>
  (objects, { group, id }, roll) =>
    change(objects, paperName(group, id, 'manifest'), how(roll))

/** By name, with how many of a thousand. */
export const faults: readonly (readonly [times: number, name: string, fault: Fault])[] = [
  [330, 'a bit of the dataset flipped', onData(flip)],
  [230, 'a bit of the manifest flipped', onManifest(flip)],
  [90, 'the dataset cut off', onData(cut)],
  [50, 'the manifest cut off', onManifest(cut)],
  [40, 'the dataset with more behind it', onData(grown)],
  [40, 'a page of the dataset turned to zeros', onData(blanked)],
  [30, 'two frames changed places', onData((roll, { encrypted }) => reframed(encrypted, swapped(roll)))],
  [30, 'a frame twice', onData((roll, { encrypted }) => reframed(encrypted, twice(roll)))],
  [30, 'a frame missing', onData((roll, { encrypted }) => reframed(encrypted, (all) => all.toSpliced(roll.int(all.length), 1)))],
  [30, 'datasets of two backups changed places', (objects, { group, id, other }) => exchange(objects, dataName(group, id), dataName(group, other))],
  [
    30,
    'manifests of two backups changed places',
    (objects, { group, id, other }) => exchange(objects, paperName(group, id, 'manifest'), paperName(group, other, 'manifest')),
  ],
  [20, 'the dataset missing', (objects, { group, id }) => void objects.delete(dataName(group, id))],
  [20, 'the manifest missing', (objects, { group, id }) => void objects.delete(paperName(group, id, 'manifest'))],
  [
    30,
    'the manifest edited by somebody without the key',
    (objects, victim, roll) => (victim.encrypted ? onManifest(() => (bytes) => edited(bytes, roll)) : onManifest(flip))(objects, victim, roll),
  ],
]
