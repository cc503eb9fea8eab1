/** The drill against a rig of which every answer is made up: what it waits for, what it undoes, what it calls a failure. */
import { describe, expect, test } from 'vitest'
import { createAckLog } from '../../src/lab/ack-log.ts'
import type { DrillFault, DrillRig } from '../../src/lab/drill-rig.ts'
import { labRig, realRig } from '../../src/lab/drill-rig.ts'
import { formatReport } from '../../src/lab/drill-report.ts'
import { runDrill } from '../../src/lab/drill.ts'
import type { Lab } from '../../src/lab/lab.ts'
import type { VerifyReport } from '../../src/lab/read-back.ts'
import type { WriterHandle } from '../../src/lab/writer.ts'
import { failed } from '../../src/model/outcome.ts'
import type { Outcome } from '../../src/model/outcome.ts'

interface World {
  primary: string
  epoch: number
  health: 'ok' | 'degraded' | 'down'
  paused: boolean
  lost: number
  complete: boolean
  /** What the fault does to the group. */
  onFault: (world: World, client: Client) => void
  onUndo: (world: World) => void
  refused: Outcome | null
}

interface Client {
  readonly log: ReturnType<typeof createAckLog>
  tick: (count: number) => void
  pass: (ms: number) => void
  stalled: boolean
}

function world(changes: Partial<World> = {}): { rig: DrillRig; calls: string[]; world: World } {
  const calls: string[] = []
  const state: World = {
    primary: 'a',
    epoch: 4,
    health: 'ok',
    paused: false,
    lost: 0,
    complete: true,
    refused: null,
    onFault: (now, client) => {
      client.log.error('ECONNRESET', 0)
      client.pass(40)
      now.primary = now.primary === 'a' ? 'b' : 'a'
      now.epoch += 1
      now.health = 'degraded'
    },
    onUndo: (now) => {
      now.health = 'ok'
    },
    ...changes,
  }
  let clock = 0
  const log = createAckLog(0, 20)
  const client: Client = {
    log,
    stalled: false,
    tick: (count) => {
      for (let index = 0; index < count; index += 1) {
        clock += 1
        log.settle(log.send(clock) ?? 0, 'acked', clock)
      }
    },
    pass: (ms) => {
      clock += ms
    },
  }
  const writer: WriterHandle = {
    prefix: 'p',
    pid: 1,
    mark: async (label) => {
      log.mark(label, clock)
      return { atMs: clock }
    },
    stats: async () => {
      if (!client.stalled) client.tick(20)
      return { nowMs: clock, sent: log.sent(), acked: log.ackedCount(), errors: log.errorCount(), streak: log.streak(), lastAckMs: log.lastAckMs() }
    },
    steady: async () => {
      client.tick(10)
      return !client.stalled
    },
    stop: async () => log.report(clock),
    verify: async (): Promise<VerifyReport> => ({
      complete: state.complete,
      why: state.complete ? null : 'nobody answers',
      acked: log.ackedCount(),
      checked: log.ackedCount(),
      lost: state.lost,
      firstLost: null,
      lastLost: null,
      lostRuns: [],
      lostByMark: state.lost > 0 ? { 0: state.lost } : {},
      indeterminate: { count: 0, present: 0 },
      rejectedPresent: 0,
    }),
    history: async () => [],
    cleanup: async () => {
      calls.push('cleanup')
      return { deleted: 0, why: null }
    },
    close: async () => {
      calls.push('close')
    },
  }
  const rig: DrillRig = {
    place: 'a made-up place',
    limits: { healthyWithinMs: 100, recoverWithinMs: 200, redundantWithinMs: 100, steadyAcks: 30, verifyWithinMs: 100, pollEveryMs: 5, quietMs: 0 },
    startWriter: async () => {
      calls.push('writer')
      return writer
    },
    cli: async ([command]) => {
      const { primary, epoch, health, paused } = state
      const groups = [{ group: 'g', primary, epoch, health, because: 'so', paused, vipHolder: null, members: [] }]
      const failovers = [3, 4, 5, 6]
        .filter((found) => found <= epoch)
        .map((found) => ({
          epoch: found,
          kind: 'failover',
          from: 'a',
          to: 'b',
          why: 'its socket closed',
          startedAtMs: 0,
          timeline: { detectedMs: 0, promotedMs: 9 },
          notReplicatedBytes: 0,
        }))
      return { code: 0, stderr: '', stdout: JSON.stringify(command === 'status' ? { groups } : { group: 'g', failovers }) }
    },
    inject: async (fault, primary) => {
      calls.push(`inject ${fault} ${primary}`)
      if (state.refused !== null) return state.refused
      state.onFault(state, client)
      return { done: true }
    },
    undo: async (fault, primary) => {
      calls.push(`undo ${fault} ${primary}`)
      state.onUndo(state)
      return { done: true }
    },
  }
  return { rig, calls, world: state }
}

function drill(rig: DrillRig, fault: DrillFault = 'crash', rounds = 1, signal?: AbortSignal) {
  return runDrill(rig, { group: 'g', fault, rounds, progress: () => undefined, ...(signal === undefined ? {} : { signal }) })
}

describe('a drill', () => {
  test('reports outage, errors and decisions of each round, and passes', async () => {
    const { rig, calls } = world()
    const report = await drill(rig, 'crash', 2)
    expect(report).toMatchObject({ passed: true, problems: [], lost: 0, warnings: [] })
    expect(report.rounds.map((round) => [round.primaryBefore, round.primaryAfter, round.outageMs])).toEqual([
      ['a', 'b', 41],
      ['b', 'a', 41],
    ])
    expect(report.rounds[0]?.decisions.map((decision) => decision.epoch)).toEqual([5])
    expect(report.rounds[1]?.decisions.map((decision) => decision.epoch)).toEqual([6])
    expect(report.rounds[0]?.errors).toMatchObject([{ kind: 'ECONNRESET', count: 1 }])
    expect(calls).toEqual(['writer', 'inject crash a', 'undo crash a', 'inject crash b', 'undo crash b', 'cleanup', 'close'])
    const text = formatReport(report)
    expect(text).toContain('outage        41 ms')
    expect(text).toContain('its socket closed')
    expect(text).toMatch(/passed$/)
  })

  test('a lost write fails a switchover; in a crash it is told, and doubted when all was replicated', async () => {
    const switched = await drill(world({ lost: 3 }).rig, 'switchover')
    expect(switched).toMatchObject({ passed: false, lost: 3, problems: ['3 acknowledged writes are lost'] })
    const crashed = await drill(world({ lost: 3 }).rig, 'crash')
    expect(crashed).toMatchObject({ passed: true, lost: 3 })
    expect(crashed.rounds[0]?.lost).toBe(3)
    expect(crashed.warnings[0]).toContain('the agents say that every byte was replicated')
  })

  test('no recovery is a failure, ends the rounds, and is undone all the same', async () => {
    const { rig, calls } = world({
      onFault: (now, client) => {
        client.log.error('timeout', 0)
        client.stalled = true
        now.health = 'down'
      },
    })
    const report = await drill(rig, 'host-loss', 3)
    expect(report.passed).toBe(false)
    expect(report.problems[0]).toContain('no recovery within 200 ms')
    expect(report.rounds).toHaveLength(1)
    expect(calls).toContain('undo host-loss a')
    expect(calls.slice(-2)).toEqual(['cleanup', 'close'])
  })

  test('writes that simply go on are not a recovery: the fault must have been felt', async () => {
    const report = await drill(world({ onFault: () => undefined }).rig)
    expect(report.problems[0]).toContain('no recovery')
  })

  test('recovered but not redundant again is a failure', async () => {
    const report = await drill(world({ onUndo: () => undefined }).rig)
    expect(report.problems).toEqual(['round 1: not redundant again within 100 ms: degraded: so'])
  })

  test('what could not be read back, or was refused, is a failure', async () => {
    expect((await drill(world({ complete: false }).rig)).problems[0]).toContain('not every write could be read back: nobody answers')
    const refused = await drill(world({ refused: failed('no fit replica') }).rig, 'switchover')
    expect(refused.problems).toEqual(['round 1: switchover was refused: no fit replica'])
  })

  test('a group that is not well, or paused, is not hurt', async () => {
    const sick = world({ health: 'degraded' })
    await expect(drill(sick.rig)).rejects.toMatchObject({ code: 'HF505', message: expect.stringContaining('degraded: so') })
    const paused = world({ paused: true })
    await expect(drill(paused.rig)).rejects.toMatchObject({ code: 'HF505' })
    expect([...sick.calls, ...paused.calls]).toEqual([])
  })

  test('Ctrl-C in the last moment before the fault: nothing is broken', async () => {
    const interrupt = new AbortController()
    const { rig, calls } = world()
    const told = runDrill(rig, { group: 'g', fault: 'crash', rounds: 1, progress: () => interrupt.abort(), signal: interrupt.signal })
    await expect(told).rejects.toThrow(/interrupted/)
    expect(calls.filter((call) => call.startsWith('inject'))).toEqual([])
  })

  test('Ctrl-C in the middle undoes, cleans up and ends the writer', async () => {
    const interrupt = new AbortController()
    const { rig, calls } = world({ onFault: () => interrupt.abort() })
    await expect(drill(rig, 'host-loss', 1, interrupt.signal)).rejects.toThrow(/interrupted/)
    expect(calls).toEqual(['writer', 'inject host-loss a', 'undo host-loss a', 'cleanup', 'close'])
  })
})

describe('rigs', () => {
  test('name a group that does not exist, or has no address', () => {
    const record = { name: 'x', groups: [{ name: 'g', vip: null, port: 1, passwordFile: null }] }
    expect(() => labRig({ record } as unknown as Lab, 'h')).toThrow(/there is no group h/)
    expect(() => labRig({ record } as unknown as Lab, 'g')).toThrow(/has no vip/)
    const config = { file: '/x', groups: { g: { name: 'g', port: 1 } } }
    expect(() => realRig(config as never, 'h', () => undefined)).toThrow(/there is no group h/)
  })
})
