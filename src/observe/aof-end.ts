/**
 * How an AOF ends. Before a start only what was written since it was last noted is looked at, or a file that is small: a torn end is found
 * before redis reads gigabytes to find it. Where redis refuses, the check tool of its own package reads all. Read-only.
 */
import { open } from 'node:fs/promises'
import type { AofEnd, AofSeen, PositionNote } from '../model/disk.ts'
import type { Observed } from '../model/outcome.ts'
import { scanSteps, type EndScan } from '../redis/aof-end.ts'
import { runCheckAof } from '../redis/check-aof.ts'

/** Some 0.1 s in all, and never more than a few milliseconds at one go: the agent has more to do. */
const maxLookBytes = 16 * 1024 * 1024
const sliceBytes = 512 * 1024
/** A cut larger than this is no torn end. */
const maxTailBytes = 64 * 1024 * 1024
type Whole = Extract<AofSeen, { ok: true }>

/** null: whole, or not known: redis is the judge. */
export async function lookAtEnd(dir: string, { base, bytes, last }: Whole, note: PositionNote | null): Promise<AofEnd | null> {
  const noted = typeof note?.aof === 'object' && note.aof.base === base ? note.aof.bytes - (bytes - last.bytes) : 0
  const since = noted > 0 && noted <= last.bytes ? await lookFrom(dir, last, noted) : null
  if (since === 'whole') return null
  // What was noted may not have been on disk yet: only behind a command that is whole it is sure to have been the beginning of one.
  if (since !== null && since.wholeBytes > noted) return since
  const all = await lookFrom(dir, last, 0)
  return all === 'whole' ? null : all
}

async function lookFrom(dir: string, last: Whole['last'], from: number): Promise<AofEnd | 'whole' | null> {
  if (last.bytes - from > maxLookBytes) return null
  let at = from
  let length = sliceBytes
  for (;;) {
    const to = Math.min(last.bytes, at + length)
    const slice = await readTail(`${dir}/${last.file}`, at, to)
    // An RDB, and where it ends cannot be found from here.
    if (slice === null || (at === 0 && slice.toString('latin1', 0, 5) === 'REDIS')) return null
    const scan = await scanned(slice)
    if (to === last.bytes) return scan.kind === 'whole' ? 'whole' : scan.kind === 'torn' ? endOf(last, at, scan) : null
    at += scan.wholeBytes
    length = scan.wholeBytes === 0 ? length * 2 : sliceBytes
  }
}

/** All of it, by the tool of redis' package. */
export async function checkEnd(redisServer: string, dir: string, { last }: Whole): Promise<Observed<AofEnd>> {
  const file = `${dir}/${last.file}`
  const ran = await runCheckAof(redisServer, file, last.bytes)
  if (!ran.ok) return ran
  const upTo = /ok_up_to=(\d+)/.exec(ran.value)?.[1]
  if (upTo === undefined) return { ok: false, why: `redis-check-aof does not say where it breaks: ${ran.value.trim().split('\n').at(-1) ?? ''}` }
  const from = Number(upTo)
  if (from === last.bytes) return { ok: false, why: 'redis-check-aof finds nothing wrong with it' }
  const left = last.bytes - from
  const none = { ...last, wholeBytes: from, kind: 'damaged', commands: 0, first: '', last: '' } as const
  if (left > maxTailBytes) return { ok: true, value: { ...none, why: `${left} bytes, which is more than a torn end` } }
  const tail = await readTail(file, from, last.bytes)
  if (tail === null) return { ok: false, why: `${last.file} cannot be read` }
  const scan = await scanned(tail)
  return { ok: true, value: scan.kind === 'whole' ? { ...none, why: `${left} bytes that redis does not take for commands` } : endOf(last, from, scan) }
}

/** Never at one go: the agent has one thread, and a lease is proved within 100 ms. */
async function scanned(bytes: Uint8Array): Promise<EndScan> {
  const steps = scanSteps(bytes)
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
    await new Promise((resolve) => setImmediate(resolve))
  }
}

function endOf(last: Whole['last'], from: number, scan: EndScan): AofEnd {
  const { wholeBytes, kind, why, commands, first } = scan
  return { ...last, wholeBytes: from + wholeBytes, kind: kind === 'torn' ? 'torn' : 'damaged', why, commands, first, last: scan.last }
}

/** null: it cannot be read, or has changed. */
async function readTail(file: string, from: number, to: number): Promise<Buffer | null> {
  try {
    const handle = await open(file, 'r')
    try {
      const { bytesRead, buffer } = await handle.read(Buffer.alloc(to - from), 0, to - from, from)
      return bytesRead === to - from ? buffer : null
    } finally {
      await handle.close()
    }
  } catch {
    return null
  }
}
