/** What the doctor reads of a machine: from folders that stand for one, and of the disk that is here. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { observeDevice, observeDisk, observeMachine, observeProcess, versionOf } from '../../src/observe/machine.ts'
import { measureDisk } from '../../src/trial/disk-speed.ts'

let root = ''
beforeEach(() => {
  root = mkdtempSync(`${tmpdir()}/holdfast-machine-`)
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

function put(file: string, text: string): void {
  mkdirSync(dirname(`${root}/${file}`), { recursive: true })
  writeFileSync(`${root}/${file}`, text)
}

const meminfo =
  'MemTotal:       16000000 kB\nMemFree:         1000000 kB\nMemAvailable:   12000000 kB\nSwapCached: 0 kB\nSwapTotal:       2000000 kB\nSwapFree:        1500000 kB\n'

function wholeMachine(): void {
  put('proc/sys/vm/overcommit_memory', '0\n')
  put('proc/sys/vm/swappiness', '60\n')
  put('proc/sys/net/core/somaxconn', '4096\n')
  put('proc/meminfo', meminfo)
  put('sys/kernel/mm/transparent_hugepage/enabled', '[always] madvise never\n')
  put('run/systemd/timesync/synchronized', '')
}

describe('a machine', () => {
  test('everything that it tells', async () => {
    wholeMachine()
    const swap = { totalBytes: 2_000_000 * 1024, usedBytes: 500_000 * 1024, swappiness: 60 }
    expect(await observeMachine(root)).toEqual({
      overcommit: { ok: true, value: 0 },
      hugePages: { ok: true, value: 'always' },
      swap: { ok: true, value: swap },
      memory: { ok: true, value: { totalBytes: 16_000_000 * 1024, availableBytes: 12_000_000 * 1024 } },
      somaxconn: { ok: true, value: 4096 },
      clock: { ok: true, value: { synchronized: true, by: 'systemd-timesyncd' } },
    })
  })

  test('a container may use less, and has used some', async () => {
    wholeMachine()
    put('sys/fs/cgroup/memory.max', `${2 * 1024 ** 3}\n`)
    put('sys/fs/cgroup/memory.current', `${1024 ** 3}\n`)
    expect((await observeMachine(root)).memory).toEqual({ ok: true, value: { totalBytes: 2 * 1024 ** 3, availableBytes: 1024 ** 3 } })
    put('sys/fs/cgroup/memory.max', 'max\n')
    expect((await observeMachine(root)).memory).toMatchObject({ value: { totalBytes: 16_000_000 * 1024 } })
  })

  test('one that tells nothing, or nonsense: not seen, with the file that is missing', async () => {
    put('proc/sys/vm/overcommit_memory', '\n')
    put('sys/kernel/mm/transparent_hugepage/enabled', 'always madvise never')
    const seen = await observeMachine(root)
    expect([seen.overcommit.ok, seen.hugePages.ok, seen.swap.ok, seen.memory.ok, seen.somaxconn.ok]).toEqual([false, false, false, false, false])
    expect(seen.somaxconn).toMatchObject({ why: expect.stringContaining('somaxconn') })
  })

  test('a process: its limits, what of it is in swap, and whether the kernel gives it huge pages', async () => {
    put(
      'proc/7/limits',
      'Limit                     Soft Limit           Hard Limit           Units\nMax open files            1024                 524288               files\n',
    )
    put('proc/7/status', 'Name:\tredis-server\nVmSwap:\t      12 kB\nTHP_enabled:\t0\n')
    expect(await observeProcess(7, root)).toEqual({ openFiles: 1024, swappedBytes: 12 * 1024, hugePages: false })
    expect(await observeProcess(8, root)).toEqual({ openFiles: null, swappedBytes: null, hugePages: null })
  })

  test('a program that is not there says no version', async () => {
    expect(await versionOf('node')).toMatch(/^v\d+/)
    expect(await versionOf('/nowhere/redis-server')).toBeNull()
  })
})

describe('a disk', () => {
  test('a data directory that is not made yet lies on the disk of the folder above; a backup directory must be there', async () => {
    const below = await observeDisk(`${root}/sessions/data`)
    expect(below).toMatchObject({ ok: true, value: { path: root } })
    expect(await observeDevice(root)).toMatchObject({ ok: true, value: { device: below.ok ? below.value.device : -1 } })
    expect(await observeDevice(`${root}/not-mounted`)).toMatchObject({ ok: false })
  })

  test('measured within its bounds, and nothing is left', async () => {
    const fromMs = performance.now()
    const speed = await measureDisk(root, { bytes: 4 * 1024 ** 2, ms: 500 })
    expect(performance.now() - fromMs).toBeLessThan(5000)
    if (!speed.ok) throw new Error(speed.why)
    expect(speed.value.bytes).toBeGreaterThan(0)
    expect(speed.value.bytes).toBeLessThanOrEqual(4 * 1024 ** 2)
    expect(speed.value.bytesPerS).toBeGreaterThan(0)
    expect(speed.value.fsyncMs.worst).toBeGreaterThanOrEqual(speed.value.fsyncMs.median)
    expect(readdirSync(root)).toEqual([])
  })

  test('never on a disk that has no room for it, and not where nothing may be written', async () => {
    expect(await measureDisk(root, { bytes: 1024 ** 6, ms: 500 })).toMatchObject({ ok: false, why: expect.stringContaining('too full') })
    expect(await measureDisk(`${root}/nowhere`)).toMatchObject({ ok: false })
    expect(readdirSync(root)).toEqual([])
  })
})
