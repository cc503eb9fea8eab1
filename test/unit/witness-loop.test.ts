/** The loop of a witness on a real disk: what it cannot remember it does not say, and when the disk is well again it votes. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { monotonicMs, stallMeter } from '../../src/agent/clock.ts'
import { startWitness } from '../../src/agent/witness.ts'
import type { Config } from '../../src/model/config.ts'
import { groupStateDir } from '../../src/model/paths.ts'
import { freshState } from '../../src/model/state.ts'
import type { Statement } from '../../src/model/view.ts'
import { entry, groupConfig, word } from './builders.ts'
import { freePort, until } from './wire.ts'

test('its disk takes nothing: no vote is told; later it takes a write again: the vote is given', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'hf-witness-'))
  const port = await freePort()
  const group = groupConfig(['a', 'b'], { witness: 'w', port })
  const config: Config = {
    file: '/nowhere',
    api: { port: 1, secretFile: '/nowhere' },
    paths: { state: dir, run: dir, redisServer: '', redisSentinel: '', keepalived: '' },
    hosts: Object.fromEntries(['a', 'b', 'w'].map((name) => [name, { name, ip: '127.0.0.1' }])),
    groups: { sessions: group },
  }
  const said: Statement[] = []
  const troubles: string[] = []
  const stall = stallMeter(50)
  const loop = startWitness({
    config,
    group,
    host: 'w',
    state: { ...freshState('sessions', 'w'), epoch: 1, holder: 'a', lineage: [entry(1, 'a', 0)] },
    stall,
    startedMs: monotonicMs() - 60_000,
    silentMs: (host) => (host === 'a' ? 1000 : 10),
    everyMs: () => 50,
    isRefused: () => false,
    hasHungUp: () => false,
    contactMs: () => 10,
    sentinels: null,
    say: (_to, statement) => said.push(statement),
    log: (_level, text) => troubles.push(text),
  })
  const beat = setInterval(() => {
    stall.tick()
    loop.heard(word('b', { gone: 1, seesHolder: 'gone', vote: { epoch: 2, to: 'b' } }))
  }, 50)
  try {
    await until('it says that it cannot remember', () => troubles.some((text) => text.includes('cannot remember')))
    expect(said.filter((statement) => statement.vote !== null)).toEqual([])
    await mkdir(groupStateDir(config.paths, 'sessions'), { recursive: true })
    await until('it votes', () => said.some((statement) => statement.vote?.to === 'b'), 5000)
  } finally {
    clearInterval(beat)
    await loop.stop()
    await rm(dir, { recursive: true, force: true })
  }
})
