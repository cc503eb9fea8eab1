/**
 * How fast a disk takes what must not be lost: one file, written and synced, for a second and 64 MiB at the most. It is a folder of redis that serves, so
 * it never takes the last of the room, and what it wrote is gone afterwards, however it ends.
 */
import { open, statfs, unlink } from 'node:fs/promises'
import { randomBytes } from 'node:crypto'
import type { DiskSpeed } from '../model/doctor.ts'
import type { Observed } from '../model/outcome.ts'

const mib = 1024 ** 2
export const probeBytes = 64 * mib
const probeMs = 1000
/** Of it, for the small ones: what AOF does. */
const smallMs = 400
const smallBytes = 4096
const smallCount = 50
const chunkBytes = mib
/** What must be left when the probe is largest. */
const leaveBytes = 256 * mib

export async function measureDisk(
  dir: string,
  limits: { readonly bytes: number; readonly ms: number } = { bytes: probeBytes, ms: probeMs },
): Promise<Observed<DiskSpeed>> {
  const file = `${dir}/.holdfast-doctor-${process.pid}-${randomBytes(4).toString('hex')}`
  try {
    const { bavail, bsize } = await statfs(dir)
    if (bavail * bsize < leaveBytes + limits.bytes) return { ok: false, why: `${dir} is too full for it: what is left belongs to redis` }
    const handle = await open(file, 'wx', 0o600)
    try {
      // Nobody finds it, and it is gone with this process.
      await unlink(file)
      const startMs = performance.now()
      const fsyncMs = await small(handle, startMs + Math.min(smallMs, limits.ms * 0.4))
      return { ok: true, value: { ...(await large(handle, startMs + limits.ms, limits.bytes)), fsyncMs } }
    } finally {
      await handle.close()
    }
  } catch (error) {
    return { ok: false, why: `${dir} cannot be written: ${(error as Error).message}` }
  }
}

type Handle = Awaited<ReturnType<typeof open>>

async function small(handle: Handle, endMs: number): Promise<DiskSpeed['fsyncMs']> {
  const piece = randomBytes(smallBytes)
  const took: number[] = []
  while (took.length < smallCount && (took.length === 0 || performance.now() < endMs)) {
    const fromMs = performance.now()
    await handle.write(piece)
    await handle.datasync()
    took.push(performance.now() - fromMs)
  }
  took.sort((one, two) => one - two)
  return { median: took[Math.floor(took.length / 2)] ?? 0, worst: took.at(-1) ?? 0 }
}

/** Synced every chunk: a second of writes that only the page cache took would wait at the end for as long as they need. */
async function large(handle: Handle, endMs: number, limitBytes: number): Promise<Pick<DiskSpeed, 'bytes' | 'bytesPerS'>> {
  // Not zeros: some disks and file systems do not write those.
  const chunk = randomBytes(chunkBytes)
  const fromMs = performance.now()
  let bytes = 0
  while (bytes + chunkBytes + smallCount * smallBytes <= limitBytes && (bytes === 0 || performance.now() < endMs)) {
    await handle.write(chunk)
    await handle.datasync()
    bytes += chunkBytes
  }
  return { bytes, bytesPerS: Math.round((bytes / Math.max(1, performance.now() - fromMs)) * 1000) }
}
