/**
 * A running group in Sentinel mode is changed while a client writes: the operator edits one file, and one command brings it to all agents and
 * Sentinels. Nothing acknowledged is lost, no write waits longer than a blink, nobody is promoted, and what stopped half-way goes on.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { hostLines, pairAndWitness, poll, problems, rigFor, threeWithSentinels, type Rig } from './rig.ts'

const hosts = ['red-a', 'red-b', 'red-c'] as const

async function edit(rig: Rig, change: (text: string) => string): Promise<void> {
  const file = rig.file('client', 'holdfast.yaml')
  await writeFile(file, change(await readFile(file, 'utf8')))
}

function sentinelKeys(keys: string): (text: string) => string {
  return (text) => text.replace(/\n {4}sentinel: \{.*\}/, '').replace('mode: sentinel', `mode: sentinel\n    sentinel: { ${keys} }`)
}

/** Of the Sentinel of each host, by its own word. */
async function settings(rig: Rig, name: string): Promise<readonly string[]> {
  return Promise.all(
    hosts.map(async (host) => {
      const words = (await rig.sentinel(host, 'SENTINEL', 'MASTER', 'sessions')).split('\n')
      return words[words.indexOf(name) + 1] ?? ''
    }),
  )
}

function runIds(rig: Rig): Promise<readonly (string | undefined)[]> {
  return Promise.all(hosts.map(async (host) => /run_id:(\w+)/.exec(await rig.redis(host, 'INFO', 'server'))?.[1]))
}

describe.skipIf(problems.length > 0)('a running group is changed', { timeout: 120_000 }, () => {
  const theRig = rigFor('hf-ap-set', threeWithSentinels())

  test('down_after_ms up and down, while a client writes: the lease first where it gets shorter, last where it gets longer', async () => {
    const rig = theRig()
    const { primary, epoch } = await rig.untilOk()
    // Beside those that an agent has for as long as it asks something.
    const pids = (await rig.lab.status())
      .flatMap((h) => h.processes.filter((p) => !['ping', 'ip'].includes(p.name)).map((p) => `${h.name} ${p.name} ${p.pid}`))
      .filter((p) => p.startsWith('red-'))
    const redis = await runIds(rig)
    const writer = await rig.writer()
    for (const [downAfterMs, at] of [
      [2000, 'last'],
      [500, 'first'],
    ] as const) {
      await edit(rig, sentinelKeys(`down_after_ms: ${downAfterMs}`))
      const shown = await rig.cli('apply', '--dry-run')
      expect(shown.stdout).toContain(`sentinel.down_after_ms`)
      expect(shown.stdout).toContain(`the primary's agent ${at}`)
      expect(await settings(rig, 'down-after-milliseconds'), 'a dry run changes nothing').not.toContain(String(downAfterMs))
      await rig.incident(writer, `down_after_ms ${downAfterMs}`, { outageMs: 100, mayBeUnfelt: true }, async () => {
        const applied = await rig.cli('apply', '--yes')
        expect(applied.stderr).toBe('')
        const order = [...applied.stdout.matchAll(/^(\S+): taken up/gm)].map((m) => m[1])
        expect(order).toHaveLength(3)
        expect(order.at(at === 'first' ? 0 : -1)).toBe(primary)
      })
      expect(await settings(rig, 'down-after-milliseconds')).toEqual(hosts.map(() => String(downAfterMs)))
    }
    expect(await rig.untilOk()).toMatchObject({ primary, epoch })
    expect(await runIds(rig), 'no redis was restarted').toEqual(redis)
    const now = (await rig.lab.status()).flatMap((h) => h.processes.map((p) => `${h.name} ${p.name} ${p.pid}`))
    expect(
      pids.filter((p) => !now.includes(p)),
      'no process has ended: whoever looks after the agents sees nothing',
    ).toEqual([])
    expect((await rig.cli('apply', '--yes')).stdout).toContain('every agent runs with this configuration')
    await rig.finishWithin(writer, 150)
    await rig.expectNoBrokenRule()
  })

  test('what a running group cannot be, or what one loss would end, is refused before anybody hears of it', async () => {
    const rig = theRig()
    const before = await readFile(rig.file('client', 'holdfast.yaml'), 'utf8')
    for (const [change, code, refusal] of [
      [sentinelKeys('quorum: 3'), 2, /HF102.*all 3 Sentinels: the loss of one host would end automatic failover/s],
      [(text: string) => text.replace('vip: 192.168.77.9/24', 'vip: 192.168.77.10/24'), 1, /HF801.*vip/s],
      [(text: string) => text.replace('mode: sentinel', 'mode: sentinel\n    port: 6380'), 1, /HF801.*port 6379 → 6380/s],
      [(text: string) => text.replace('  sessions:', '  meetings:'), 1, /HF801.*the group is removed/s],
    ] as const) {
      await edit(rig, change)
      const answer = await rig.cli('apply', '--yes')
      expect([answer.code, answer.stderr]).toEqual([code, expect.stringMatching(refusal)])
      await writeFile(rig.file('client', 'holdfast.yaml'), before)
    }
    expect((await rig.cli('apply', '--yes')).stdout).toContain('every agent runs with this configuration')
  })

  test('a host whose agent is down keeps what it has: status says so, and the same command does the rest later', async () => {
    const rig = theRig()
    const { primary } = await rig.untilOk()
    const away = hosts.find((h) => h !== primary) ?? 'red-a'
    await rig.killAgent(away)
    await edit(rig, sentinelKeys('down_after_ms: 800, failover_timeout_ms: 20000'))
    const writer = await rig.writer()
    const first = await rig.cli('apply', '--yes')
    expect([first.code, first.stdout]).toEqual([0, expect.stringContaining(`${away} does not answer and keeps what it has`)])
    await rig.startAgent(away)
    const seen = await rig.until('status says who differs', 'sessions', (s) => s.because.includes('do not run with the same configuration'))
    expect(seen.health).toBe('degraded')
    const second = await rig.cli('apply', '--yes')
    expect([second.code, second.stderr]).toEqual([0, ''])
    expect([...second.stdout.matchAll(/^(\S+): taken up/gm)].map((m) => m[1])).toEqual([away])
    await rig.untilOk()
    expect(await settings(rig, 'failover-timeout')).toEqual(['20000', '20000', '20000'])
    await rig.finishWithin(writer, 150)
  })

  test('an agent that is killed in the middle comes back with the one or the other, and the command goes on', async () => {
    const rig = theRig()
    const { primary, epoch } = await rig.untilOk()
    await edit(rig, sentinelKeys('down_after_ms: 1200'))
    const writer = await rig.writer()
    const applying = rig.cli('apply', '--yes')
    const struck = await poll(
      async () => {
        for (const host of hosts) {
          const changed = (await readFile(rig.file(host, 'holdfast.yaml'), 'utf8')).includes('1200')
          if (changed) return host
        }
        return undefined
      },
      { withinMs: 10_000, everyMs: 1 },
    )
    expect(struck).toBeDefined()
    await rig.killAgent(struck ?? '')
    await rig.startAgent(struck ?? '')
    await applying
    const again = await rig.cli('apply', '--yes')
    expect([again.code, again.stderr]).toEqual([0, ''])
    expect(await rig.untilOk()).toMatchObject({ primary, epoch })
    expect(await settings(rig, 'down-after-milliseconds')).toEqual(['1200', '1200', '1200'])
    await rig.finishWithin(writer, 150)
    await rig.expectNoBrokenRule()
  })
})

describe.skipIf(problems.length > 0)('a group in mode vip is changed', { timeout: 120_000 }, () => {
  const theRig = rigFor('hf-ap-vip', `${hostLines(3)}\n  red-w: { ip: 192.168.77.8 }\n${pairAndWitness.slice(pairAndWitness.indexOf('groups:'))}`)

  test('host_loss_ms up and down, then a third member: the address stays, and the lease holds by the same rule', async () => {
    const rig = theRig()
    const { primary, epoch } = await rig.untilOk()
    const writer = await rig.writer()
    for (const [hostLossMs, at] of [
      [400, -1],
      [150, 0],
    ] as const) {
      await edit(rig, (text) => text.replace(/\n {4}failover: .*/, '').replace('    witness:', `    failover: { host_loss_ms: ${hostLossMs} }\n    witness:`))
      await rig.incident(writer, `host_loss_ms ${hostLossMs}`, { outageMs: 150, mayBeUnfelt: true }, async () => {
        const applied = await rig.cli('apply', '--yes')
        expect(applied.stderr).toBe('')
        expect([...applied.stdout.matchAll(/^(\S+): taken up/gm)].map((m) => m[1]).at(at)).toBe(primary)
      })
    }
    await edit(rig, (text) => text.replace(/members: .*/, 'members: [red-a, red-b, red-c]'))
    await rig.incident(writer, 'red-c is added', { outageMs: 150, mayBeUnfelt: true, okWithinMs: 30_000 }, async () => {
      expect((await rig.cli('apply', '--yes')).stderr).toBe('')
    })
    expect(await rig.untilOk()).toMatchObject({ primary, epoch, vipHolder: primary })
    await edit(rig, (text) => text.replace(/members: .*/, 'members: [red-a, red-b]'))
    await rig.incident(writer, 'red-c leaves', { outageMs: 150, mayBeUnfelt: true }, async () => {
      expect((await rig.cli('apply', '--yes')).stderr).toBe('')
    })
    expect(await rig.untilOk()).toMatchObject({ primary, epoch })
    await rig.finishWithin(writer, 150)
    await rig.expectNoBrokenRule()
  })
})
