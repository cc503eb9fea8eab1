/** An `ip` that stands ready is told its one line; where none does, one is run. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { until } from './wire.ts'

const path = process.env['PATH']
let dir = ''
let readyIp: typeof import('../../src/act/ready-ip.ts').readyIp
let runIp: typeof import('../../src/act/ready-ip.ts').runIp

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-ip-'))
  process.env['PATH'] = `${dir}:${path}`
})
beforeEach(async () => {
  rmSync(join(dir, 'said'), { force: true })
  play('read line; echo "$line"; echo "told $line" >> $SAID; [ "$line" != "addr add twice" ]')
  vi.resetModules()
  ;({ readyIp, runIp } = await import('../../src/act/ready-ip.ts'))
})
afterAll(() => {
  process.env['PATH'] = path
  rmSync(dir, { recursive: true, force: true })
})

/** `-batch -` does what is given; everything else is said to have been run. */
function play(batch: string): void {
  const lines = ['#!/bin/sh', `SAID=${dir}/said`, 'case "$1" in', `-batch) echo begun >> $SAID; ${batch} ;;`, '*) echo "run $*" >> $SAID ;;', 'esac']
  writeFileSync(join(dir, 'ip'), `${lines.join('\n')}\n`)
  chmodSync(join(dir, 'ip'), 0o755)
}

const said = (): readonly string[] => {
  try {
    return readFileSync(join(dir, 'said'), 'utf8').trim().split('\n')
  } catch {
    return []
  }
}

test('it is begun once, waits, and is told one line; the next one is run by the shell', async () => {
  readyIp()
  readyIp()
  await until('it has begun', () => said().length > 0)
  expect(await runIp(['addr', 'add', 'x'], 5000)).toEqual({ code: 0, said: 'addr add x' })
  expect(await runIp(['addr', 'add', 'y'], 5000)).toMatchObject({ code: 0 })
  expect(said()).toEqual(['begun', 'told addr add x', 'run addr add y'])
})

test('what it refuses is told as it says it, and not run once more', async () => {
  readyIp()
  expect(await runIp(['addr', 'add', 'twice'], 5000)).toEqual({ code: 1, said: 'addr add twice' })
  expect(said()).toEqual(['begun', 'told addr add twice'])
})

test('it was killed meanwhile, or while it was told: one is run without it', async () => {
  play('echo $$ > $SAID.pid; read line; kill -9 $$')
  readyIp()
  await until('it has begun', () => said().length > 0)
  expect(await runIp(['addr', 'add', 'x'], 5000)).toMatchObject({ code: 0 })
  expect(said()).toEqual(['begun', 'run addr add x'])
})

test('a program that knows no such lines is not begun again and again', async () => {
  play('exit 255')
  readyIp()
  await until('it has ended', () => {
    readyIp()
    return said().length > 0
  })
  await new Promise((resolve) => setTimeout(resolve, 100))
  readyIp()
  expect(await runIp(['addr', 'add', 'x'], 5000)).toMatchObject({ code: 0 })
  expect(said()).toEqual(['begun', 'run addr add x'])
})

test('one that hangs is ended at its deadline', async () => {
  play('read line; exec sleep 30')
  readyIp()
  expect(await runIp(['addr', 'add', 'x'], 200)).toEqual({ code: null, said: 'not within 200 ms' })
})
