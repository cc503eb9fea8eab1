/** The record that goes ahead of a file, on a real disk: what was written is found, whenever the agent was killed and whatever was torn. */
import { spawn } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, rmdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { openDurable, type DurableFile } from '../../src/act/ahead.ts'
import { readAhead, roomBytes } from '../../src/observe/ahead.ts'
import { openFilesOf } from './open-files.ts'

/** Once, after the first file that is read. */
let betweenLooks: (() => void) | null = null
vi.mock('node:fs', async (original) => {
  const real = await original<typeof import('node:fs')>()
  const readFileSync = (...given: Parameters<typeof real.readFileSync>) => {
    const read = real.readFileSync(...given)
    const happens = betweenLooks
    betweenLooks = null
    happens?.()
    return read
  }
  return { ...real, readFileSync }
})

/** Whoever replaces the file goes on when it is called. */
let release: (() => void) | null = null
let holdsReplacements: 'before' | 'after' | null = null
/** Replacements that failed. */
let refused = 0
vi.mock('../../src/act/durable.ts', async (original) => {
  const real = await original<typeof import('../../src/act/durable.ts')>()
  const writeDurably = async (...given: Parameters<typeof real.writeDurably>) => {
    const held = () => new Promise<void>((resolve) => (release = resolve))
    if (holdsReplacements === 'before') await held()
    await real.writeDurably(...given).catch((error: unknown) => {
      refused += 1
      throw error
    })
    if (holdsReplacements === 'after') await held()
  }
  return { ...real, writeDurably }
})

let dir: string
let file: string
let durable: DurableFile
beforeEach(() => {
  dir = mkdtempSync(`${tmpdir()}/holdfast-ahead-`)
  file = `${dir}/state.json`
  durable = openDurable(file)
})
afterEach(async () => {
  holdsReplacements = null
  refused = 0
  letGo()
  await durable.close()
  rmSync(dir, { recursive: true, force: true })
})

function letGo(): void {
  const go = release
  release = null
  go?.()
}

const untilHeld = () => expect.poll(() => release !== null, { interval: 1 }).toBe(true)

const known = () => (JSON.parse(readAhead(file)) as { is: unknown }).is
const inFile = () => (JSON.parse(readFileSync(file, 'utf8')) as { is: unknown }).is
const openFiles = () => openFilesOf(dir)

/** Room is made beside the first writes, which do not wait for it. Returns when a record went ahead, and the file holds it as well: 'first'. */
async function withRoom(): Promise<void> {
  const isInUse = () => existsSync(`${file}.ahead`) && readFileSync(`${file}.ahead`).some((byte) => byte !== 0)
  for (let tries = 0; !isInUse(); tries += 1) {
    expect(tries, 'writes that nothing went ahead of').toBeLessThan(1000)
    await durable.write({ is: tries })
  }
  await durable.write({ is: 'first' })
  await expect.poll(inFile).toBe('first')
  await expect.poll(openFiles).toBe(1)
}

/** The file itself is not replaced from here on: what is found is in the records, as after a crash before the replacement. */
async function withRoomAndNoFile(): Promise<void> {
  await withRoom()
  mkdirSync(`${file}.new`)
}

describe('killed before the file was replaced', () => {
  test('whoever comes after it brings the file up to date, before it writes anything itself', async () => {
    await withRoomAndNoFile()
    await durable.write({ is: 'second' })
    const after = readFileSync(`${file}.ahead`)
    await durable.close()
    rmdirSync(`${file}.new`)
    writeFileSync(`${file}.ahead`, after)
    expect([known(), inFile()]).toEqual(['second', 'first'])
    await openDurable(file).close()
    expect([known(), inFile(), existsSync(`${file}.ahead`)]).toEqual(['second', 'second', false])
  })

  test('and where it cannot, the record stays', async () => {
    await withRoomAndNoFile()
    await durable.write({ is: 'second' })
    await durable.close()
    await openDurable(file).close()
    expect([known(), inFile()]).toEqual(['second', 'first'])
  })

  test('the record counts', async () => {
    await withRoomAndNoFile()
    await durable.write({ is: 'second' })
    expect([known(), inFile()]).toEqual(['second', 'first'])
  })

  test('torn in its first byte, its last, and anywhere between: what was written before it counts', async () => {
    await withRoomAndNoFile()
    await durable.write({ is: 'second' })
    const whole = readFileSync(`${file}.ahead`)
    const from = whole.indexOf('second') < roomBytes ? 0 : roomBytes
    const length = whole.subarray(from, from + roomBytes).findLastIndex((byte) => byte !== 0) + 1
    for (let at = from; at < from + length; at += 1) {
      const changed = Buffer.from(whole)
      changed[at] = (changed[at] ?? 0) ^ 0x20
      writeFileSync(`${file}.ahead`, changed)
      expect(known(), `byte ${at}`).toBe('first')
      writeFileSync(`${file}.ahead`, Buffer.from(whole).fill(0, at, from + length))
      expect(known(), `nothing from byte ${at} on`).toBe('first')
    }
    writeFileSync(`${file}.ahead`, whole)
    expect(known()).toBe('second')
  })

  test('of two records the later counts; where it is torn, the one before', async () => {
    await withRoom()
    await durable.write({ is: 'second' })
    await durable.write({ is: 'third' })
    const ahead = readFileSync(`${file}.ahead`)
    const found = [...Array(2).keys()]
      .map((i) => ahead.toString('latin1', i * roomBytes, i * roomBytes + 2000))
      .map((part) => /"is\\":\\"(\w+)/.exec(part)?.[1])
    expect(found.toSorted(), 'neither has taken the place of the other').toEqual(['second', 'third'])
  })
})

test('killed when the file is about to be replaced: what was written meanwhile counts', async () => {
  await withRoom()
  holdsReplacements = 'before'
  await durable.write({ is: 'second' })
  await untilHeld()
  await durable.write({ is: 'third' })
  expect([known(), inFile()]).toEqual(['third', 'first'])
})

test('killed when the file has just been replaced by what was written before the last: the last counts', async () => {
  await withRoom()
  holdsReplacements = 'after'
  let behind = 0
  await durable.write({ is: 0 })
  await untilHeld()
  for (let is = 1; is < 200; is += 2) {
    await durable.write({ is })
    const last = durable.write({ is: is + 1 })
    letGo()
    await last
    await untilHeld()
    expect(known()).toBe(is + 1)
    if (inFile() === is) behind += 1
  }
  expect(behind, 'the file was replaced while the last record was written').toBeGreaterThan(0)
})

describe('a record counts over the file that it was written over, and over no other', () => {
  test('the file was replaced since', async () => {
    await withRoomAndNoFile()
    await durable.write({ is: 'second' })
    rmdirSync(`${file}.new`)
    await durable.write({ is: 'third' })
    await expect.poll(inFile).toBe('third')
    expect(known()).toBe('third')
  })

  test('it says again what it said before: no two are alike, and the record between them is of the past', async () => {
    await withRoom()
    mkdirSync(`${file}.new`)
    await durable.write({ is: 'held' })
    await expect.poll(() => refused).toBe(1)
    expect(known()).toBe('held')
    rmdirSync(`${file}.new`)
    await durable.write({ is: 'first' })
    expect(known()).toBe('first')
  })

  test('a copy of it is put back while nobody writes it', async () => {
    await withRoom()
    const copy = readFileSync(file)
    await durable.write({ is: 'second' })
    await durable.close()
    writeFileSync(file, copy)
    expect(known()).toBe('first')
  })

  test('somebody has mended it by hand', async () => {
    await withRoomAndNoFile()
    await durable.write({ is: 'second' })
    writeFileSync(file, readFileSync(file, 'utf8').replace('first', 'mended'))
    expect(known()).toBe('mended')
  })

  test('it was moved away: there is none', async () => {
    await withRoomAndNoFile()
    await durable.write({ is: 'second' })
    rmSync(file)
    expect(known).toThrow(/ENOENT/)
  })
})

describe('a disk that does not take it', () => {
  test('the file cannot be replaced: told at the next write, and what was acknowledged before is found', async () => {
    await withRoomAndNoFile()
    await durable.write({ is: 'second' })
    await expect.poll(() => durable.write({ is: 'third' }).then(String, (error: NodeJS.ErrnoException) => error.code)).toBe('EISDIR')
    await expect(durable.write({ is: 'fourth' })).rejects.toThrow(/EISDIR/)
    expect(known()).toBe('third')
    rmdirSync(`${file}.new`)
    await durable.write({ is: 'fifth' })
    expect([known(), inFile()]).toEqual(['fifth', 'fifth'])
  })

  test('no room beside it: every write replaces the file', async () => {
    mkdirSync(`${file}.ahead`)
    for (const is of [1, 2, 3]) {
      await durable.write({ is })
      expect([known(), inFile()]).toEqual([is, is])
    }
  })

  test('more than the room holds goes into the file at once', async () => {
    await withRoom()
    await durable.write({ is: 'x'.repeat(70_000) })
    expect(String(inFile())).toHaveLength(70_000)
    await durable.write({ is: 'third' })
    expect(known()).toBe('third')
  })

  test.each<readonly [what: string, does: () => void]>([
    ['the room', () => rmSync(`${file}.ahead`)],
    ['the room, and has put a copy in its place', replaceByCopy],
    ['the file', () => rmSync(file)],
    ['a word in the file', () => writeFileSync(file, 'mended')],
  ])('somebody takes away %s: nothing is acknowledged that nobody would find', async (_what, does) => {
    await withRoom()
    does()
    await durable.write({ is: 'second' })
    expect([known(), inFile()]).toEqual(['second', 'second'])
    await withRoom()
  })

  test('somebody takes away the folder: told at once', async () => {
    await withRoom()
    rmSync(dir, { recursive: true })
    await expect(durable.write({ is: 'second' })).rejects.toThrow(/ENOENT/)
  })

  test('room that is not given: nothing stays open', async () => {
    symlinkSync('/dev/full', `${file}.ahead`)
    for (let is = 0; is < 9; is += 1) await durable.write({ is })
    await expect.poll(() => openFilesOf('/dev/full')).toBe(0)
  })

  test('two writes at once are a mistake of ours', async () => {
    const one = durable.write({ is: 1 })
    await expect(durable.write({ is: 2 })).rejects.toThrow(/by two at once/)
    await one
  })
})

test('whoever reads while it is written finds nothing older than what was acknowledged', async () => {
  await durable.write({ is: 0 })
  for (let is = 1; is <= 300; is += 1) {
    await durable.write({ is })
    expect(known()).toBe(is)
    if (is % 3 === 0) await new Promise((resolve) => setTimeout(resolve, is % 7))
    expect(known()).toBe(is)
  }
})

test('and whoever is held up between its two looks, while others write, neither', async () => {
  await withRoomAndNoFile()
  await durable.write({ is: 'second' })
  const before = [file, `${file}.ahead`].map((name) => [name, readFileSync(name)] as const)
  rmdirSync(`${file}.new`)
  await durable.write({ is: 'third' })
  await expect.poll(inFile).toBe('third')
  for (const is of ['fourth', 'fifth']) await durable.write({ is })
  const after = [file, `${file}.ahead`].map((name) => [name, readFileSync(name)] as const)
  const put = (files: typeof before) => {
    for (const [name, bytes] of files) writeFileSync(name, bytes)
  }
  put(before)
  expect(known()).toBe('second')
  betweenLooks = () => put(after)
  expect(known(), 'not what was there before the second').toBe('third')
  expect(known()).toBe('fifth')
})

test('closed: the file holds the last, and nothing stays open', async () => {
  for (let is = 1; is <= 9; is += 1) await durable.write({ is })
  await durable.close()
  expect(inFile()).toBe(9)
  await expect.poll(openFiles).toBe(0)
})

test('closed twice: what somebody else has begun to write meanwhile is theirs', async () => {
  await withRoom()
  await durable.close()
  const first = durable
  durable = openDurable(file)
  await withRoom()
  await durable.write({ is: 'theirs' })
  await first.close()
  expect(known()).toBe('theirs')
})

const rounds = Number(process.env.HOLDFAST_KILLS ?? 20)
test(`killed -9 in the middle of writing, ${rounds} times: nothing acknowledged is forgotten, by whoever goes on from it`, {
  timeout: rounds * 3000,
}, async () => {
  const program = `
    import { openDurable } from './src/act/ahead.ts'
    import { readAhead } from './src/observe/ahead.ts'
    import { writeSync } from 'node:fs'
    const durable = openDurable(${JSON.stringify(file)})
    let is = 0
    try { ({ is } = JSON.parse(readAhead(${JSON.stringify(file)}))) } catch (error) { if (error.code !== 'ENOENT') throw error }
    for (;;) {
      await durable.write({ is: is += 1, more: 'x'.repeat(is % 20_000) })
      writeSync(1, is + '\\n')
      if (is % 5 === 0) await new Promise((resolve) => setTimeout(resolve, is % 11))
    }`
  let last = 0
  let onlyInRecord = 0
  for (let round = 0; round < rounds; round += 1) {
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
    let told = ''
    child.stdout.on('data', (chunk: Buffer) => {
      if (told === '') setTimeout(() => child.kill('SIGKILL'), (round * 7) % 40)
      told += chunk.toString('latin1')
    })
    await new Promise((resolve) => child.once('close', resolve))
    const acknowledged = Number(told.slice(0, told.lastIndexOf('\n')).split('\n').at(-1))
    expect(acknowledged).toBeGreaterThan(last)
    last = Number(known())
    expect(last - acknowledged, 'the last that was acknowledged, or the one that was on its way').toBeOneOf([0, 1])
    if (last !== inFile()) onlyInRecord += 1
  }
  expect(onlyInRecord, 'the file alone would have forgotten').toBeGreaterThan(0)
})

function replaceByCopy(): void {
  renameSync(`${file}.ahead`, `${dir}/old`)
  copyFileSync(`${dir}/old`, `${file}.ahead`)
}
