/** What a redis gets of an RDB before all of it is proven: never its end. */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { feed, makePipe } from '../../src/dump/feed.ts'
import { pieces } from './stored-backups.ts'

const never = new AbortController().signal
let dir = ''
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-feed-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const data = Buffer.alloc(500_000, 'redis')
const chunkBytes = 60_000

/** Reads the pipe as redis would, and ends where it ends. */
async function reader(): Promise<{ readonly pipe: string; readonly ended: Promise<Buffer> }> {
  const [pipe, file] = [join(dir, 'pipe'), join(dir, 'read')]
  await makePipe(pipe)
  const child = spawn('sh', ['-c', 'cat "$0" > "$1"', pipe, file], { stdio: 'ignore' })
  return { pipe, ended: new Promise((done) => child.once('exit', () => done(readFileSync(file)))) }
}

describe('an RDB through a pipe', () => {
  test('all of it, where it is proven', async () => {
    const { pipe, ended } = await reader()
    await feed(pipe, pieces(data, chunkBytes), { hasEnded: () => false }, never, () => Promise.resolve())
    expect((await ended).equals(data)).toBe(true)
  })

  test('without its last piece, where it is not', async () => {
    const { pipe, ended } = await reader()
    const wrong = (): Promise<void> => Promise.reject(new Error('it is not what redis gave'))
    await expect(feed(pipe, pieces(data, chunkBytes), { hasEnded: () => false }, never, wrong)).rejects.toThrow('not what redis gave')
    const read = await ended
    expect(read.equals(data.subarray(0, read.length))).toBe(true)
    expect(read.length).toBeLessThanOrEqual(Math.floor(data.length / chunkBytes) * chunkBytes)
  })

  test('a reader that stands still: a megabyte is made ahead of it, and no more; when it ends, that is told', async () => {
    const pipe = join(dir, 'pipe')
    await makePipe(pipe)
    const child = spawn('sh', ['-c', 'exec 3<"$0"; exec sleep 60', pipe], { stdio: 'ignore' })
    let bytes = 0
    const endless = async function* (): AsyncGenerator<Buffer> {
      for (;;) {
        bytes += chunkBytes
        yield data.subarray(0, chunkBytes)
      }
    }
    const fed = feed(pipe, endless(), { hasEnded: () => false }, never, () => Promise.resolve()).catch((error: unknown) => error)
    await expect.poll(() => bytes, { timeout: 5000 }).toBeGreaterThan(900_000)
    // Time for more of it, if it were not held up.
    for (let turn = 0; turn < 1000; turn += 1) await new Promise((resolve) => setImmediate(resolve))
    expect(bytes).toBeLessThan(1_400_000)
    child.kill('SIGKILL')
    expect(await fed).toMatchObject({ code: 'EPIPE' })
  })

  test('a single piece: nothing at all', async () => {
    const { pipe, ended } = await reader()
    await expect(feed(pipe, pieces(data, data.length), { hasEnded: () => false }, never, () => Promise.reject(new Error('no')))).rejects.toThrow('no')
    expect((await ended).length).toBe(0)
  })

  test('the reader ends before it has begun to read, or is never there: said, and nobody waits', async () => {
    const pipe = join(dir, 'pipe')
    await makePipe(pipe)
    await expect(feed(pipe, pieces(data), { hasEnded: () => true }, never, () => Promise.resolve())).rejects.toMatchObject({ code: 'EPIPE' })
    const abort = new AbortController()
    setTimeout(() => abort.abort(new Error('Ctrl-C')), 30)
    await expect(feed(pipe, pieces(data), { hasEnded: () => false }, abort.signal, () => Promise.resolve())).rejects.toThrow('Ctrl-C')
  })
})
