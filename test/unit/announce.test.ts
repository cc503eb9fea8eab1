/** keepalived's word of where the address is now can be lost; the agent says it again, as long as it is true. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { announceAgain } from '../../src/act/address.ts'
import { parseConfig } from '../../src/config/load.ts'
import { group as groupText } from './config-texts.ts'
import { until } from './wire.ts'

const path = process.env['PATH']
let dir = ''
// Once: the shell that runs it has the path of its beginning.
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-announce-'))
  writeFileSync(join(dir, 'arping'), `#!/bin/sh\necho "$@" >> ${dir}/said\n`)
  chmodSync(join(dir, 'arping'), 0o755)
  process.env['PATH'] = `${dir}:${path}`
})
beforeEach(() => rmSync(join(dir, 'said'), { force: true }))
afterAll(() => {
  process.env['PATH'] = path
  rmSync(dir, { recursive: true, force: true })
})

const said = (): readonly string[] => {
  try {
    return readFileSync(join(dir, 'said'), 'utf8').trim().split('\n')
  } catch {
    return []
  }
}

function announce(ip: string, serves: () => boolean): void {
  const { config } = parseConfig(groupText('{ members: [a, b], vip: 10.0.0.100/24 }'), '/x/holdfast.yaml')
  const group = config?.groups['g']
  if (config === undefined || group === undefined) throw new Error('no group')
  announceAgain({ config, group: { ...group, vip: { ip, prefix: 8 } }, member: { host: 'a' } }, serves)
}

test('twice more within a third of a second', async () => {
  const beganMs = performance.now()
  announce('127.0.0.1', () => true)
  await until('both were said', () => said().length === 2)
  expect(performance.now() - beganMs).toBeGreaterThan(295)
  expect(said()).toEqual(Array.from({ length: 2 }, () => '-U -q -c 1 -I eth0 127.0.0.1'))
})

test('not by who does not serve any more, and not where the address is not here', async () => {
  let asked = 0
  announce('127.0.0.1', () => {
    asked += 1
    return asked === 1
  })
  announce('10.255.255.1', () => true)
  await until('it was asked twice', () => asked === 2)
  await until('the first was said', () => said().length === 1)
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect(said()).toHaveLength(1)
})
