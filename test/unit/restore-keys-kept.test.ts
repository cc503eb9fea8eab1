/** What a return of keys overwrites, on a disk that has no room for it; and what an operator is told before and after. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { askWords, doneWords, drawDifferences, wouldWords, type KeyView } from '../../src/cli/restore-keys-draw.ts'
import { againWords, refuseThere, stopped, whyNoRoom } from '../../src/cli/restore-keys-keep.ts'
import { openRaw, type RawRedis } from '../../src/redis/raw.ts'
import { differences } from '../../src/replay/diff.ts'
import { returnKeys } from '../../src/replay/return.ts'
import { NotKept, readUndo, undoFile } from '../../src/replay/undo.ts'
import { noRedis, Redises, type RealRedis } from './real-redis.ts'

const isRoot = process.getuid?.() === 0
const signal = new AbortController().signal
const head = { format: 1, group: 'cache', backup: 'b', atWallMs: 1, by: 'anna' } as const
const all = Buffer.from('*')
const asked = { group: 'cache', pattern: 'user:*', keepIn: null }

let dir = ''
let closing: (() => unknown)[] = []
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-restore-kept-'))
  closing = []
})
afterEach(async () => {
  for (const close of closing.toReversed()) await close()
  rmSync(dir, { recursive: true, force: true })
})

function tmpfs(size: string): string {
  const small = join(dir, 'small')
  mkdirSync(small)
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', small])
  closing.push(() => execFileSync('umount', [small]))
  return small
}

async function raw(r: RealRedis): Promise<RawRedis> {
  const opened = await openRaw({ host: '127.0.0.1', port: r.port }, 5000)
  if (!opened.ok) throw new Error(opened.why)
  closing.push(opened.value.close)
  return opened.value
}

describe.skipIf(noRedis)('what is overwritten is kept', () => {
  async function sides(): Promise<{ readonly aside: RawRedis; readonly live: RawRedis; readonly r: RealRedis }> {
    const redises = new Redises()
    closing.push(() => redises.close())
    const [of, r] = await Promise.all([redises.start(), redises.start('--rdbcompression', 'no')])
    await of.call('EVAL', "for i=1,300 do redis.call('SET','user:'..i,'old') end", '0')
    await r.call('EVAL', "for i=1,200 do redis.call('SET','user:'..i,string.rep('new',300)..i) end", '0')
    return { aside: await raw(of), live: await raw(r), r }
  }

  test.skipIf(!isRoot)('its disk becomes full: it is known how many were written, and exactly those can be taken back', async () => {
    const { aside, live, r } = await sides()
    const path = join(tmpfs('96k'), 'undo')
    const found = await differences({ aside, live, pattern: all, absent: [], signal })
    const undo = undoFile(path, head)
    let changed = 0
    const written = (keys: number): void => {
      changed += keys
    }
    const error: unknown = await returnKeys(found.items, { live, aside, undo, progress: () => {}, written, signal }).catch((thrown: unknown) => thrown)
    await undo.close()
    expect(error).toBeInstanceOf(NotKept)
    expect(String(error)).toContain('no space is left on its disk')
    expect([undo.isMade(), changed > 0, changed < 300]).toEqual([true, true, true])
    const old = Number(
      await r.call('EVAL', "local n=0 for _,k in ipairs(redis.call('KEYS','*')) do if redis.call('GET',k)=='old' then n=n+1 end end return n", '0'),
    )
    expect(old, 'as many as were said').toBe(changed)
    const lines = readFileSync(path, 'utf8').split('\n')
    expect([lines.length, lines.at(-1)], 'a head, a line for each that was written, and nothing half').toEqual([changed + 2, ''])
    await readUndo(path)
  })

  test.skipIf(!isRoot)('its disk is full from the first key on: nothing was written, and no file is left in the way', async () => {
    const { aside, live, r } = await sides()
    const small = tmpfs('8k')
    const found = await differences({ aside, live, pattern: all, absent: [], signal })
    const undo = undoFile(join(small, 'undo'), head)
    await expect(returnKeys(found.items, { live, aside, undo, progress: () => {}, written: () => {}, signal })).rejects.toThrow(NotKept)
    await undo.close()
    expect([undo.isMade(), readdirSync(small), await r.call('EXISTS', 'user:300')]).toEqual([false, [], 0])
  })

  test('what it will take is known before: as much as it then takes, and little more', async () => {
    const { aside, live } = await sides()
    await live.call('SET', 'only there', 'x')
    const found = await differences({ aside, live, pattern: all, absent: [{ database: 0, key: 'only there' }], signal })
    expect(found).toMatchObject({ differ: 200, missing: 100, absent: 1 })
    const undo = undoFile(join(dir, 'undo'), head)
    await returnKeys(found.items, { live, aside, undo, progress: () => {}, written: () => {}, signal })
    await undo.close()
    const { size } = statSync(join(dir, 'undo'))
    expect([size < found.keptBytes + 200, found.keptBytes < size * 1.2], `${size} of ${found.keptBytes}`).toEqual([true, true])
  })
})

describe('an operator is told', () => {
  test.skipIf(!isRoot)('that there is no room for what is there, or no such directory', async () => {
    const small = tmpfs('16k')
    expect(await whyNoRoom(join(small, 'undo'), 1_000_000)).toBe(`what is there takes up to 977 KiB in a file, and 16.0 KiB are free in ${small}`)
    expect([await whyNoRoom(join(small, 'undo'), 1000), await whyNoRoom('undo', 1000)]).toEqual([null, null])
    expect(await whyNoRoom(join(dir, 'nowhere/undo'), 1)).toBe(`${join(dir, 'nowhere')}: there is no such directory`)
  })

  test('that the file is there: it is not touched, and can be looked at', async () => {
    const keepIn = join(dir, 'undo')
    await refuseThere({ ...asked, keepIn })
    writeFileSync(keepIn, 'of an earlier one')
    await expect(refuseThere({ ...asked, keepIn })).rejects.toMatchObject({
      code: 'HF819',
      exitCode: 2,
      message: `${keepIn} is there already: nothing was written`,
      hint: `name another with --keep-in, or look at it: holdfast restore cache --keys 'user:*' --undo ${keepIn} --dry-run`,
    })
    expect([existsSync(keepIn), readFileSync(keepIn, 'utf8')]).toEqual([true, 'of an earlier one'])
  })

  test('where it stopped: how many were changed, how to take them back, how to go on', () => {
    const error = new NotKept('what is there cannot be kept in u (no space is left on its disk), and without that nothing is overwritten')
    const full = stopped({ ...asked, keepIn: 'u' }, { path: 'u', isMade: true, written: 37_250, of: 60_000 }, error)
    expect([full.code, full.message, full.hint]).toEqual([
      'HF819',
      `it stopped: 37250 of 60000 keys were changed, and stay so: ${error.message}`,
      "to take that back: holdfast restore cache --keys 'user:*' --undo u; to go on, name a file on another disk with --keep-in: it compares anew, and does what is left",
    ])
    const first = stopped(asked, { path: 'u', isMade: false, written: 0, of: 60_000 }, error)
    expect([first.message.includes('60000'), first.hint]).toEqual([
      false,
      'nothing was written; to go on, name a file on another disk with --keep-in: it compares anew, and does what is left',
    ])
    const lost = stopped(asked, { path: 'u', isMade: true, written: 50, of: 100 }, new Error('the connection was lost'))
    expect([lost.message, lost.hint]).toEqual([
      'it stopped: at least 50 of 100 keys were changed, and stay so: the connection was lost',
      "to take that back: holdfast restore cache --keys 'user:*' --undo u; run the same command again: it compares anew, and does what is left",
    ])
    expect(againWords({ ...asked, keepIn: 'u' }, true), 'that file is there by then').toContain('again with another --keep-in:')
    expect(againWords({ ...asked, keepIn: 'u' }, false)).toContain('again:')
  })

  test('what is removed as removed, and what is written as written', () => {
    const [both, removal, writing] = [
      { differ: 1, missing: 2, absent: 40 },
      { differ: 0, missing: 0, absent: 11_111 },
      { differ: 3, missing: 4, absent: 0 },
    ]
    expect([both, removal, writing].map(wouldWords)).toEqual(['3 keys would be written, 40 removed', '11111 keys would be removed', '7 keys would be written'])
    expect([both, removal, writing].map((counts) => askWords(counts, 'a'))).toEqual([
      'Write 3 keys into a, and remove 40?',
      'Remove 11111 keys from a?',
      'Write 7 keys into a?',
    ])
    expect(doneWords(both, { applied: 41, removed: 39 })).toBe('2 of 3 keys written, 39 of 40 removed')
    expect(doneWords(removal, { applied: 11_111, removed: 11_111 })).toBe('11111 of 11111 keys removed')
    expect(doneWords(writing, { applied: 6, removed: 0 })).toBe('6 of 7 keys written')
  })

  test('which of two values is whose', () => {
    const view: KeyView = { database: 0, key: 'user:1', kind: 'differs', type: 'string', expiresInMs: null, backup: 'old', live: 'new' }
    const found = { items: [], differ: 1, missing: 0, absent: 0, equal: 0, onlyLive: 0, keptBytes: 0 }
    const drawn = (side: 'backup' | 'moment' | 'kept'): string =>
      stripVTControlCharacters(drawDifferences(found, [view], { pattern: 'user:*', from: 'b', host: 'a', expired: null, side }))
    expect(drawn('backup')).toContain('      backup: old\n      now:    new\n')
    expect(drawn('moment')).toContain('      moment: old\n      now:    new\n')
    expect(drawn('kept')).toContain('      kept:   old\n      now:    new\n')
  })
})
