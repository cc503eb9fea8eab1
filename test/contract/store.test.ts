/** What every store does, asked of all three: a directory, a real S3 server, a real sshd. */
import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { StoreConfig } from '../../src/model/config.ts'
import { openStore } from '../../src/store/open.ts'
import type { Store } from '../../src/store/store.ts'
import { gateTo, hasSshd, hasSwift, startServers, type S3Server, type SshServer, type StoreServers } from './store-servers.ts'

const never = new AbortController().signal
const done = { ok: true, value: null }
const calm = { connectMs: 10_000, silentMs: 10_000 }
/** As short as real servers on a busy machine still answer. */
const hasty = { connectMs: 1000, silentMs: 1000 }
const mib = 1024 * 1024

let dir = ''
let s3: S3Server
let ssh: SshServer
let servers: StoreServers
beforeAll(async () => {
  servers = await startServers('holdfast-stores-')
  ;({ dir, s3, ssh } = servers)
})
afterAll(() => servers.stop())

let runs = 0
function nextRun(): string {
  runs += 1
  return `run-${runs}`
}

function folder(): string {
  const made = join(dir, nextRun())
  mkdirSync(made)
  return made
}

function filesIn(path: string): readonly string[] {
  return readdirSync(path, { recursive: true, withFileTypes: true }).flatMap((entry) => (entry.isFile() ? [entry.name] : []))
}

interface Ground {
  readonly config: StoreConfig
  /** The same by way of somebody's port. */
  readonly behind: (port: number) => StoreConfig
  readonly port: number
  /** Whatever lies there, listed or not. */
  readonly lies: () => Promise<readonly string[]>
}

const kinds = [
  {
    kind: 'a directory',
    isHere: true,
    ground: (): Ground => {
      const path = folder()
      const config: StoreConfig = { kind: 'directory', path }
      return { config, behind: () => config, port: 0, lies: () => Promise.resolve(filesIn(path)) }
    },
  },
  {
    kind: 's3',
    isHere: hasSwift,
    ground: (): Ground => {
      const config = { ...s3.config, prefix: `of/${nextRun()}` }
      return { config, behind: (port) => ({ ...config, endpoint: `http://127.0.0.1:${port}` }), port: s3.port, lies: s3.unfinished }
    },
  },
  {
    kind: 'sftp',
    isHere: hasSshd,
    ground: (): Ground => {
      const config = { ...ssh.config, path: folder() }
      const behind = (port: number): StoreConfig => ({ ...config, ...ssh.knownAt(port), port })
      return { config, behind, port: ssh.config.port, lies: () => Promise.resolve(filesIn(config.path)) }
    },
  },
]

async function opened(config: StoreConfig, patience = calm): Promise<Store> {
  const store = await openStore(config, patience)
  if (!store.ok) throw new Error(store.why)
  return store.value
}

async function* chunks(...pieces: readonly (string | Buffer)[]): AsyncGenerator<Buffer> {
  for (const piece of pieces) yield Buffer.from(piece)
}

/** Says nothing any more after that, until nobody asks. */
async function* stuckAfter(first: Buffer, isStuck: () => void): AsyncGenerator<Buffer> {
  yield first
  isStuck()
  await new Promise(() => undefined)
}

async function read(store: Store, name: string, signal: AbortSignal = never): Promise<Buffer> {
  const got = await store.get(name, signal)
  if (!got.ok) throw new Error(got.why)
  const all: Buffer[] = []
  for await (const chunk of got.value) all.push(chunk)
  return Buffer.concat(all)
}

const sum = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

/** More than one part of S3. */
const large = randomBytes(12 * mib)

describe.each(kinds)('$kind', ({ isHere, ground }) => {
  const it = test.skipIf(!isHere)
  let at: Ground
  let store: Store
  beforeEach(async () => {
    if (!isHere) return
    at = ground()
    store = await opened(at.config)
    return () => store.close()
  })

  it('put, listed, read, replaced, removed; what is not there is removed already', async () => {
    expect(await store.list('')).toEqual({ ok: true, value: [] })
    expect(await store.put('cache/two/manifest.json', chunks('{}'), never)).toEqual(done)
    expect(await store.put('cache/one/dataset', chunks('REDIS', '0011'), never)).toEqual(done)
    expect(await store.put('cache/one/empty', chunks(), never)).toEqual(done)
    await store.put('cache2/x', chunks('x'), never)
    const [empty, one, two] = [
      { name: 'cache/one/empty', bytes: 0 },
      { name: 'cache/one/dataset', bytes: 9 },
      { name: 'cache/two/manifest.json', bytes: 2 },
    ]
    expect(await store.list('')).toEqual({ ok: true, value: [one, empty, two, { name: 'cache2/x', bytes: 1 }] })
    expect(await store.list('cache')).toEqual({ ok: true, value: [one, empty, two] })
    expect(await store.list('cache/two')).toEqual({ ok: true, value: [two] })
    expect(await store.list('nobody/knows')).toEqual({ ok: true, value: [] })
    expect(String(await read(store, 'cache/one/dataset'))).toBe('REDIS0011')
    expect(String(await read(store, 'cache/one/empty'))).toBe('')
    await store.put('cache/one/dataset', chunks('new'), never)
    expect(String(await read(store, 'cache/one/dataset'))).toBe('new')
    expect(await store.remove('cache/one/dataset')).toEqual(done)
    expect(await store.remove('cache/one/dataset'), 'again').toEqual(done)
    expect(await store.remove('nobody/knows')).toEqual(done)
    expect(await store.get('cache/one/dataset', never)).toEqual({ ok: false, why: expect.stringContaining('cache/one/dataset is not there') as string })
    expect(await store.list('cache')).toEqual({ ok: true, value: [empty, two] })
  })

  it('12 MiB come back as they were, and are seen only when they are whole', async () => {
    await store.put('cache/one/dataset', chunks('old'), never)
    async function* looking(): AsyncGenerator<Buffer> {
      yield large.subarray(0, 13 * mib)
      expect(await store.list('')).toEqual({ ok: true, value: [{ name: 'cache/one/dataset', bytes: 3 }] })
      expect(String(await read(store, 'cache/one/dataset'))).toBe('old')
      yield large.subarray(13 * mib)
    }
    expect(await store.put('cache/one/dataset', looking(), never)).toEqual(done)
    expect(await store.list('')).toEqual({ ok: true, value: [{ name: 'cache/one/dataset', bytes: large.length }] })
    expect(sum(await read(store, 'cache/one/dataset'))).toBe(sum(large))
  })

  it('more names than a server tells at once', async () => {
    const names = Array.from({ length: 110 }, (_, i) => `cache/${String(i).padStart(3, '0')}`)
    for (let i = 0; i < names.length; i += 10) await Promise.all(names.slice(i, i + 10).map((name) => store.put(name, chunks('x'), never)))
    const listed = await store.list('cache')
    expect(listed).toEqual({ ok: true, value: names.map((name) => ({ name, bytes: 1 })) })
  })

  it('whoever gives the data fails half-way: said in his words, and nothing is left', async () => {
    async function* broken(): AsyncGenerator<Buffer> {
      yield large
      throw new Error('redis hung up')
    }
    expect(await store.put('cache/one/dataset', broken(), never)).toEqual({ ok: false, why: 'redis hung up' })
    expect(await store.list('')).toEqual({ ok: true, value: [] })
    expect(await at.lies()).toEqual([])
  })

  it('called off while whoever gives the data says nothing: ended at once, and nothing is left', async () => {
    const abort = new AbortController()
    let beganMs = 0
    const stuck = stuckAfter(large, () => {
      beganMs = performance.now()
      abort.abort(new Error('called off'))
    })
    expect(await store.put('cache/one/dataset', stuck, abort.signal)).toEqual({ ok: false, why: 'called off' })
    expect(performance.now() - beganMs).toBeLessThan(1000)
    expect(await store.list('')).toEqual({ ok: true, value: [] })
    expect(await at.lies()).toEqual([])
  })

  it('called off in the middle of reading, and before anything: ended at once', async () => {
    await store.put('cache/one/dataset', chunks(large), never)
    const abort = new AbortController()
    const got = await store.get('cache/one/dataset', abort.signal)
    if (!got.ok) throw new Error(got.why)
    const reading = (async () => {
      for await (const _ of got.value) abort.abort(new Error('called off'))
    })()
    await expect(reading).rejects.toThrow('called off')
    const off = { ok: false, why: 'called off' }
    expect(await store.get('cache/one/dataset', abort.signal)).toEqual(off)
    expect(await store.list('', abort.signal)).toEqual(off)
    expect(await store.remove('cache/one/dataset', abort.signal)).toEqual(off)
    expect(await store.put('cache/one/other', chunks('x'), abort.signal)).toEqual(off)
    expect(await store.list('')).toEqual({ ok: true, value: [{ name: 'cache/one/dataset', bytes: large.length }] })
  })

  it('a reader who takes his time is not taken for a store that says nothing', async () => {
    await store.put('cache/one/dataset', chunks(large), never)
    const hurried = await opened(at.config, { ...hasty, silentMs: 600 })
    const got = await hurried.get('cache/one/dataset', never)
    if (!got.ok) throw new Error(got.why)
    let bytes = 0
    for await (const chunk of got.value) {
      if (bytes === 0) await new Promise((resolve) => setTimeout(resolve, 900))
      bytes += chunk.length
    }
    expect(bytes).toBe(large.length)
    await hurried.close()
  })
})

describe.each(kinds.filter(({ kind }) => kind !== 'a directory'))('$kind over a bad line', ({ isHere, ground }) => {
  const it = test.skipIf(!isHere)
  const ways = ['stopAfter', 'cutAfter'] as const
  const said = { stopAfter: /hangs: it has said nothing for 1 s/, cutAfter: /the connection to .* broke in the middle/ }
  const saidAtOnce = { stopAfter: /said nothing for 1 s|no SSH connection within 1 s/, cutAfter: /broke in the middle|hangs up at once/ }

  it.each(ways)('%s 3 MiB of 12: no write and no read passes for a whole one; the line is mended, and the same store goes on', async (way) => {
    const at = ground()
    const gate = await gateTo(at.port)
    const store = await opened(at.behind(gate.port), hasty)
    try {
      gate[way]('in', 3 * mib)
      expect(await store.put('cache/one/dataset', chunks(large), never)).toEqual({ ok: false, why: expect.stringMatching(said[way]) as string })
      gate.mend()
      expect(await store.list('')).toEqual({ ok: true, value: [] })
      expect(await store.put('cache/one/dataset', chunks(large), never)).toEqual(done)
      gate[way]('out', 3 * mib)
      await expect(read(store, 'cache/one/dataset')).rejects.toThrow(said[way])
      gate.mend()
      expect(sum(await read(store, 'cache/one/dataset'))).toBe(sum(large))
      gate[way]('out', 0)
      expect(await store.list('')).toEqual({ ok: false, why: expect.stringMatching(saidAtOnce[way]) as string })
    } finally {
      await store.close()
      await gate.close()
    }
  })

  it('called off while the server says nothing: not waited for', async () => {
    const at = ground()
    const gate = await gateTo(at.port)
    const store = await opened(at.behind(gate.port))
    try {
      expect(await store.list('')).toEqual({ ok: true, value: [] })
      const calledOff = async (order: (signal: AbortSignal) => Promise<unknown>): Promise<number> => {
        const abort = new AbortController()
        let beganMs = 0
        setTimeout(() => {
          beganMs = performance.now()
          abort.abort(new Error('called off'))
        }, 300)
        expect(await order(abort.signal)).toEqual({ ok: false, why: 'called off' })
        return performance.now() - beganMs
      }
      gate.stopAfter('in', mib)
      // It tries for a second to leave nothing behind.
      expect(await calledOff((signal) => store.put('cache/one/dataset', chunks(large), signal))).toBeLessThan(2000)
      gate.stopAfter('in', 0)
      expect(await calledOff((signal) => store.list('', signal))).toBeLessThan(500)
      expect(await calledOff((signal) => store.get('cache/one/dataset', signal))).toBeLessThan(500)
      expect(await calledOff((signal) => store.remove('cache/one/dataset', signal))).toBeLessThan(500)
    } finally {
      await store.close()
      await gate.close()
    }
  })
})
