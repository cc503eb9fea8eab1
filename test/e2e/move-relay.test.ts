/**
 * Clients that know only the old address, through a whole move: `holdfast migrate relay` on the old host hands their connections on to the group.
 * Nothing acknowledged is lost, never do two accept writes, and whoever still comes that way is named.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { expect, describe, test } from 'vitest'
import { judge } from '../../src/lab/double-writer.ts'
import { nodeConfigFile } from '../../src/lab/record.ts'
import { OldRedis } from './moving.ts'
import { entry, hostLines, poll, problems, rigFor, type Rig } from './rig.ts'

interface Look {
  readonly atWallMs: number
  readonly event?: string
  readonly stage: string
  readonly takes: boolean
  readonly to: { readonly host: string } | null
  readonly ended?: string
  readonly nobodyS: number | null
  readonly silentS: number
  readonly connections: readonly { readonly client: string; readonly name: string; readonly command: string; readonly bytesIn: number }[]
}

/** The command, as the operator has it running on the old host. */
class RelayProcess {
  readonly lines: Look[] = []
  readonly ended: Promise<{ readonly code: number | null; readonly stderr: string }>
  readonly #child: ChildProcess
  #rest = ''

  constructor(rig: Rig, host: string, ...argv: readonly string[]) {
    const { record } = rig.lab
    const netns = record.plan.nodes.find((node) => node.name === host)?.netns ?? ''
    const words = ['netns', 'exec', netns, ...entry, '--config', nodeConfigFile(record, 'client'), 'migrate', 'relay', ...argv, '--json']
    this.#child = spawn('ip', words, { stdio: ['ignore', 'pipe', 'pipe'] })
    let stderr = ''
    this.#child.stderr?.on('data', (data: Buffer) => (stderr += data.toString()))
    this.#child.stdout?.on('data', (data: Buffer) => {
      const lines = `${this.#rest}${data.toString()}`.split('\n')
      this.#rest = lines.pop() ?? ''
      for (const line of lines) this.lines.push(JSON.parse(line) as Look)
    })
    this.ended = new Promise((resolve) => this.#child.once('close', (code) => resolve({ code, stderr })))
  }

  async until(what: string, holds: (look: Look) => boolean, withinMs = 10_000): Promise<Look> {
    const found = await poll(async () => this.lines.findLast(holds), { withinMs, everyMs: 20 })
    if (found === undefined)
      throw new Error(
        `the relay does not tell: ${what}; ${this.lines
          .slice(-8)
          .map((l) => JSON.stringify(l))
          .join('\n')}`,
      )
    return found
  }

  events(): readonly string[] {
    return this.lines.flatMap(({ event, atWallMs }) => (event === undefined ? [] : [`${new Date(atWallMs).toISOString().slice(17, 23)} ${event}`]))
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }
}

/** red-c is no member: there the old redis has a replica of its own. */
const yaml = `${hostLines(3)}
groups:
  sessions:
    members: [red-a, red-b]
    vip: 192.168.77.9/24
    migration: { awaits: true, hook: ./hook }
`

async function tables(rig: Rig): Promise<string> {
  return (await rig.lab.exec('client2', ['nft', 'list', 'ruleset'])).stdout
}

describe.skipIf(problems.length > 0)('a relay at the old address', { timeout: 180_000 }, () => {
  const theRig = rigFor('rly-move', yaml)

  test('before, the cut-over, a failover, the way back, killed, drained', async () => {
    const rig = theRig()
    const old = new OldRedis(rig)
    await old.start()
    const writer = await rig.writer({ host: old.ip, port: 6379, identify: true })
    const early = new RelayProcess(rig, 'client2', 'sessions')
    expect(await early.ended, 'nothing is being moved').toMatchObject({ code: 1, stderr: expect.stringContaining('HF905') as unknown })
    const ofTheOld = ['--port', '6379', '--save', '', '--protected-mode', 'no', '--daemonize', 'yes', '--replicaof', old.ip, '6379']
    expect((await rig.lab.exec('red-c', ['redis-server', ...ofTheOld, '--dir', rig.base, '--dbfilename', 'old-replica.rdb'])).code).toBe(0)
    await old.startMove('--accept', 'P11')

    let relay = new RelayProcess(rig, 'client2', 'sessions')
    await relay.until('it stands by', (l) => l.stage === 'sync' && !l.takes)
    expect(await tables(rig), 'before the cut-over it changes nothing').not.toContain('holdfast_relay')
    for (const [host, argv, code] of [
      ['red-a', ['sessions'], 'HF930'],
      ['client', ['sessions'], 'HF930'],
      ['client', ['sessions', '--listen', '192.168.77.77:6379'], 'HF930'],
      ['client2', ['sessions', '--listen', `${old.ip}:6379`], 'HF931'],
      ['client2', ['nobody'], 'HF104'],
    ] as const) {
      const refused = await new RelayProcess(rig, host, ...argv).ended
      expect([refused.code === 0, refused.stderr], `${host} ${argv.join(' ')}`).toEqual([false, expect.stringContaining(code)])
    }
    const second = new RelayProcess(rig, 'client2', 'sessions')
    expect(await second.ended).toMatchObject({ code: 1, stderr: expect.stringContaining('HF931') as unknown })
    await old.ok('verify', old.url, 'sessions', '--pace', 'full')
    await rig.incident(writer, 'cut-over', { outageMs: 1500, okWithinMs: 15_000 }, () => old.ok('cutover', 'sessions'))
    const { primary: first } = await rig.untilOk()
    expect(await old.writers()).toEqual([first])
    await relay.until('it hands on', (l) => l.takes && l.to?.host === first && l.connections.length === 1)
    const { heldMs } = (await old.shown()).move
    await rig.lab.exec('red-c', ['redis-cli', 'CLIENT', 'KILL', 'TYPE', 'master'])
    await expect.poll(() => rig.redis('red-c', 'INFO', 'replication'), { timeout: 5000 }).toMatch(/master_link_status:up/)
    expect(
      (await relay.until('a look', (l) => l.connections !== undefined)).connections.map((c) => c.command),
      'its own replica stays with the old redis',
    ).not.toContain('psync')
    expect(await rig.redisAt('client2', '127.0.0.1', 'INFO', 'replication')).toMatch(/connected_slaves:1/)
    await old.untilStage(['DRAINED'])
    console.info(relay.events().join('\n'))

    const other = first === 'red-a' ? 'red-b' : 'red-a'
    await rig.incident(writer, 'failover', { outageMs: 5000, okWithinMs: 20_000 }, () => rig.lab.kill(first, 'redis'))
    await rig.incident(writer, 'switchover', { outageMs: 2000, okWithinMs: 20_000, mayBeUnfelt: true }, () => rig.cli('switchover', 'sessions'))
    const serving = (await rig.untilOk()).primary
    await relay.until('it hands on to the other', (l) => l.to?.host === serving && l.connections.length === 1)

    const slow = spawn('ip', ['netns', 'exec', rig.lab.record.plan.nodes.find((n) => n.name === 'client')?.netns ?? '', 'redis-cli', '-h', old.ip], {
      stdio: ['pipe', 'ignore', 'ignore'],
    })
    slow.stdin.write('CLIENT SETNAME straggler\nGET some:key\n')
    const named = await relay.until('the straggler', (l) => l.connections?.some((c) => c.name === 'straggler' && c.command === 'get') === true)
    expect(named.connections.find((c) => c.name === 'straggler')?.client).toMatch(/^192\.168\.77\.\d+:\d+$/)
    slow.stdin.end()

    // Without a single agent it goes on with what it knew.
    for (const host of ['red-a', 'red-b']) await rig.killAgent(host)
    await relay.until('nobody is heard', (l) => l.silentS >= 3 && l.takes && l.to?.host === serving)
    expect(await rig.redisAt('client', old.ip, 'SET', 'probe:silent', '1')).toBe('OK')
    for (const host of ['red-a', 'red-b']) await rig.startAgent(host)
    await rig.untilOk()
    await relay.until('they are heard again', (l) => l.silentS < 3 && l.to?.host === serving)

    // Killed, nothing is left that leads connections anywhere: the old redis answers them, and refuses writes.
    await writer.mark('relay killed')
    // An outage belongs to every mark that it touches: without a write in between it would count for the switchover as well.
    expect(await writer.steady({ acks: 20, withinMs: 5000 })).toBe(true)
    relay.kill('SIGKILL')
    await relay.ended
    await expect.poll(() => rig.redisAt('client', old.ip, 'SET', 'probe:killed', '1').catch(() => ''), { timeout: 8000 }).toContain('READONLY')
    expect(await old.writers()).toEqual([serving])
    relay = new RelayProcess(rig, 'client2', 'sessions')
    await relay.until('it hands on again', (l) => l.takes && l.connections?.length === 1)
    expect(await writer.steady({ acks: 200, withinMs: 5000 }), 'the writer is led to the group again').toBe(true)
    // A firewall that is loaded anew takes its table away.
    await rig.lab.exec('client2', ['nft', 'flush', 'ruleset'])
    await expect.poll(() => tables(rig), { timeout: 3000 }).toContain('holdfast_relay_sessions_6379')

    await rig.incident(writer, 'way back', { outageMs: 1500, okWithinMs: null }, () => old.ok('rollback', 'sessions'))
    expect(await old.writers()).toEqual(['old'])
    await relay.until('it stands by again', (l) => !l.takes && l.stage === 'sync')
    expect(await tables(rig)).not.toContain('holdfast_relay')
    console.info(relay.events().join('\n'))

    await old.untilStage(['ROLLED_BACK'])
    const later = new Promise((resolve) => setTimeout(resolve, 3500))
    expect(await old.startMove('--accept', 'P11'), 'asked again after a way back, it does not wait for another').toContain('in sync after')
    await later
    await expect.poll(async () => (await rig.cli('migrate', 'cutover', 'sessions', '--unverified', '--dry-run')).code, { timeout: 10_000 }).toBe(0)
    await rig.incident(writer, 'cut-over again', { outageMs: 1500, okWithinMs: 15_000 }, () => old.ok('cutover', 'sessions', '--unverified'))
    console.info(relay.events().join('\n'), writer.prefix)
    await old.ok('commit', 'sessions')
    expect(await writer.steady({ acks: 200, withinMs: 5000 }), 'after commit it goes on').toBe(true)
    await writer.mark('relay ended')
    relay.kill('SIGTERM')
    expect(await relay.ended).toMatchObject({ code: 0 })
    expect(await tables(rig), 'told to end, it leaves nothing').not.toContain('holdfast_relay')

    relay = new RelayProcess(rig, 'client2', 'sessions', '--until-drained', '2')
    await relay.until('the writer is there', (l) => l.connections?.length === 1)
    const acks = await writer.history()
    const report = await rig.finish(writer)
    expect(report.lost).toBe(0)
    expect(await relay.ended).toMatchObject({ code: 0 })
    expect(relay.lines.at(-1)?.ended).toContain('nobody has used it')
    const verdict = judge([{ client: 'writer', prefix: writer.prefix, acks, lostRuns: [] }], new Set())
    expect(verdict.overlaps, 'never two writers').toEqual([])
    console.info(`${other} ${verdict.terms.length} terms`)
    const outage = (label: string): number => report.marks.find((m) => m.label === label)?.longestOutage.lengthMs ?? 0
    console.info(`writes were held for ${heldMs} ms; with the relay the client's gap was ${Math.round(outage('cut-over'))} ms`)
    for (const label of ['cut-over', 'switchover', 'way back', 'cut-over again']) expect(outage(label), label).toBeLessThanOrEqual(1500)
    expect(outage('failover')).toBeLessThanOrEqual(5000)
    await rig.lab.exec('red-c', ['redis-cli', 'SHUTDOWN', 'NOSAVE'])
    await rig.expectNoBrokenRule()
    await old.stop()

    // The old redis is gone: the relay listens in its place.
    relay = new RelayProcess(rig, 'client2', 'sessions', '--listen', `${old.ip}:6379`)
    await relay.until('it listens', (l) => l.takes)
    expect(await rig.redisAt('client', old.ip, 'SET', 'probe:listen', '1')).toBe('OK')
    expect(await tables(rig)).not.toContain('holdfast_relay')
    relay.kill('SIGINT')
    expect(await relay.ended).toMatchObject({ code: 0 })
    await whatMayBeSaid(rig, old.ip)
  })
})

/**
 * The old redis listens at some addresses of its host only, another has the same port at a third, and a firewall lets in nothing but that port and the relay's.
 * Who answers is told by what it has.
 */
async function whatMayBeSaid(rig: Rig, ip: string): Promise<void> {
  const [also, another] = ['192.168.77.101', '192.168.77.102']
  const on = (...argv: readonly string[]) => rig.lab.exec('client2', argv)
  for (const [name, ...addresses] of [
    ['old', ip, also, '127.0.0.1'],
    ['another', another],
  ] as const) {
    for (const address of addresses) if (address !== ip && address !== '127.0.0.1') await on('ip', 'addr', 'add', `${address}/24`, 'dev', 'eth0')
    const conf = ['--port', '6379', '--bind', ...addresses, '--save', '', '--protected-mode', 'no', '--daemonize', 'yes', '--pidfile', '', '--dir', rig.base]
    expect((await on('redis-server', ...conf)).code).toBe(0)
    await expect.poll(() => rig.redisAt('client2', addresses[0], 'SET', 'who', name)).toBe('OK')
  }
  const { primary } = await rig.untilOk()
  expect(await rig.redis(primary, 'SET', 'who', 'group')).toBe('OK')
  const wall = 'type filter hook input priority 0; policy drop; iifname "lo" accept; ct state established,related accept; tcp dport { 6379, 7777 } accept;'
  expect((await on('nft', `add table inet wall { chain input { ${wall} }; }`)).code).toBe(0)
  const whoAnswers = (from: string, at: string) => rig.redisAt(from, at, 'GET', 'who')
  const stands = async (words: readonly string[], look: () => Promise<void>): Promise<void> => {
    const relay = new RelayProcess(rig, 'client2', 'sessions', '--relay-port', '7777', ...words)
    await relay.until('it hands on', (l) => l.takes && l.to?.host === primary)
    await look()
    relay.kill('SIGTERM')
    expect(await relay.ended).toMatchObject({ code: 0 })
    expect([await whoAnswers('client', ip), await whoAnswers('client2', '127.0.0.1')], 'ended').toEqual(['old', 'old'])
  }
  const taken = await new RelayProcess(rig, 'client2', 'sessions', '--relay-port', '6379').ended
  expect(taken).toMatchObject({ code: 1, stderr: expect.stringContaining('HF931') as unknown })

  await stands(['--address', also], async () => {
    expect([await whoAnswers('client', ip), await whoAnswers('client', also), await whoAnswers('client', another)]).toEqual(['group', 'group', 'another'])
    expect([await whoAnswers('client2', ip), await whoAnswers('client2', '127.0.0.1')], 'of this host').toEqual(['old', 'old'])
    const direct = await rig.lab.exec('client', ['redis-cli', '-h', ip, '-p', '7777', 'GET', 'who'])
    expect(`${direct.stdout}${direct.stderr}`, 'the port of the relay is nobody else’s').toContain('refused')
  })
  const netns = rig.lab.record.plan.nodes.find((node) => node.name === 'client2')?.netns ?? ''
  const before = spawn('ip', ['netns', 'exec', netns, 'redis-cli', '-h', '127.0.0.1'], { stdio: ['pipe', 'pipe', 'ignore'] })
  const said: string[] = []
  before.stdout.on('data', (data: Buffer) => said.push(data.toString().trim()))
  before.stdin.write('GET who\n')
  await expect.poll(() => said).toEqual(['old'])
  await stands(['--local', '--address', '127.0.0.1'], async () => {
    // It connects anew for the second.
    before.stdin.end('GET who\nGET who\n')
    await expect.poll(() => said, { message: 'a connection that was there before is ended' }).toEqual(['old', 'group'])
    expect([await whoAnswers('client', ip), await whoAnswers('client', also)]).toEqual(['group', 'old'])
    const local = [ip, '127.0.0.1', also, another].map((at) => whoAnswers('client2', at))
    expect(await Promise.all(local), 'of this host').toEqual(['group', 'group', 'old', 'another'])
  })
  await stands(['--local', '--address', '127.0.0.1', '--except', '127.0.0.1'], async () => {
    expect([await whoAnswers('client2', ip), await whoAnswers('client2', '127.0.0.1')], 'what is excepted stays also here').toEqual(['group', 'old'])
  })
  await on('nft', 'delete', 'table', 'inet', 'wall')
  for (const address of [ip, another]) await on('redis-cli', '-h', address, 'SHUTDOWN', 'NOSAVE')
}
