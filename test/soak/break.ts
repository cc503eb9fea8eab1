/** One fault of a plan, done to a real lab, and everything undone. What cannot be done now (nothing runs there) is said, not an error. */
import { rm } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import type { Target } from '../../src/lab/hosts.ts'
import { poll, run } from '../../src/lab/run.ts'
import { OperatorError } from '../../src/model/error.ts'
import { group, sentinelClient, witnessHost, type Ground } from './ground.ts'
import type { Fault, SentinelFaultKind } from './schedule.ts'
import { closePort, forgets, openPort, ordered, someOf } from './sentinels.ts'

const operatorWithinMs = 40_000

/** Roles when the round began. */
export interface Cast {
  readonly primary: string
  readonly replicas: readonly string[]
}

export interface Broken {
  /** Hosts whose redis was killed by it. */
  readonly killed: readonly string[]
  /** Ends it, where it does not end by itself. */
  readonly end: (() => Promise<unknown>) | null
  readonly said: string
  /** What an operator was told, when it comes: a command waits for agents that may be gone, and faults go on meanwhile. */
  readonly answer: Promise<string> | null
}

const done = (said: string, end: Broken['end'] = null, killed: readonly string[] = []): Broken => ({ said, end, killed, answer: null })

export function hostOf(cast: Cast, fault: Fault): string {
  if (fault.who === 'witness') return witnessHost
  if (fault.who === 'primary') return cast.primary
  return (fault.who === 'other' ? cast.replicas.at(-1) : cast.replicas[0]) ?? cast.primary
}

export async function breakIt(ground: Ground, cast: Cast, fault: Fault): Promise<Broken> {
  const { lab } = ground
  const host = hostOf(cast, fault)
  switch (fault.kind) {
    case 'redis-killed':
      await lab.kill(host, 'redis')
      return done(`redis on ${host}: kill -9`, null, [host])
    case 'redis-back-empty':
      return emptied(ground, host)
    case 'redis-stopped':
      await lab.freeze(host, 'redis')
      // Its agent may kill it for that, and rightly.
      return done(`redis on ${host}: SIGSTOP`, () => thawed(ground, host, 'redis'), [host])
    case 'agent-killed':
      await lab.kill(host, 'agent')
      return done(`agent on ${host}: kill -9`, () => lab.start(host, 'agent'))
    case 'agent-stopped':
      await lab.freeze(host, 'agent')
      return done(`agent on ${host}: SIGSTOP`, () => thawed(ground, host, 'agent'))
    case 'keepalived-killed':
      await lab.kill(host, 'keepalived')
      return done(`keepalived on ${host}: kill -9`)
    case 'host-cut':
      await lab.cut(host)
      return done(`${host} is cut off`, () => lab.heal(host))
    case 'split':
      await lab.partition(sides(ground, host, fault.size))
      return done(`${host} and client2 are cut from the rest`, () => lab.heal())
    case 'one-way':
      await lab.partition([[host], ground.hosts.filter((other) => other !== host)], { oneWay: true })
      return done(`what ${host} says to the other hosts does not arrive`, () => lab.heal(host))
    case 'lossy':
      await lab.lossy(host, 5 + (fault.size % 30))
      return done(`${host} loses ${5 + (fault.size % 30)} % of its packets`, () => lab.heal(host))
    case 'flapping':
      return flapping(ground, host, fault.size)
    case 'power-cut':
      await lab.power(host, 'off')
      return done(`${host}: power off`, () => poweredOn(ground, [host]), [host])
    case 'power-cut-of-all':
      return allDark(ground, fault.size)
    case 'disk-full':
      await run(['dd', 'if=/dev/zero', `of=${ground.file(host, 'state', 'filler')}`, 'bs=64k'], { deadlineMs: 20_000 })
      return done(`the disk of ${host} is full`, () => rm(ground.file(host, 'state', 'filler'), { force: true }))
    case 'switchover':
      return asked(ground, 'switchover', group, '--to', host)
    case 'paused':
      return { ...asked(ground, 'pause', group), end: () => lab.cli(['resume', group], { deadlineMs: 10_000 }) }
    case 'reinit':
      return asked(ground, 'reinit', group, host)
    default:
      return breakSentinels(ground, host, cast, fault.kind, fault.size)
  }
}

async function breakSentinels(ground: Ground, host: string, cast: Cast, kind: SentinelFaultKind, size: number): Promise<Broken> {
  const { lab } = ground
  const all = async (hosts: readonly string[], act: (host: string) => Promise<unknown>): Promise<unknown> => Promise.all(hosts.map(act))
  switch (kind) {
    case 'late':
      await late(ground, host, 50 + (size % 400))
      return done(`what ${host} sends waits up to ${50 + (size % 400)} ms`, () => inTime(ground, host))
    case 'sentinel-killed':
      await lab.kill(host, 'sentinel')
      return done(`Sentinel on ${host}: kill -9`)
    case 'sentinel-stopped':
      await lab.freeze(host, 'sentinel')
      return done(`Sentinel on ${host}: SIGSTOP`, () => thawed(ground, host, 'sentinel'))
    case 'sentinels-killed':
      await all(someOf(ground, size), (each) => lab.kill(each, 'sentinel'))
      return done(`Sentinels on ${someOf(ground, size).join(', ')}: kill -9`)
    case 'sentinels-stopped':
      await all(someOf(ground, size), (each) => lab.freeze(each, 'sentinel'))
      return done(`Sentinels on ${someOf(ground, size).join(', ')}: SIGSTOP`, () => all(someOf(ground, size), (each) => thawed(ground, each, 'sentinel')))
    case 'sentinel-port-cut':
      await closePort(ground, host)
      return done(`the Sentinel of ${host} hears no other host`, () => openPort(ground, host))
    case 'sentinel-failover':
      return done(await ordered(ground, host, 'SENTINEL', 'FAILOVER', group))
    case 'sentinel-reset':
      return done(await ordered(ground, host, 'SENTINEL', 'RESET', group))
    case 'sentinel-misled':
      return done(await forgets(ground, host, cast.replicas[size % cast.replicas.length] ?? ''))
    case 'config-rewrite':
      return done(`CONFIG REWRITE on ${host}: ${await ground.redis(host, 'CONFIG', 'REWRITE')}`)
  }
}

/** The client that asks the Sentinels is on either side, or hears both. */
function sides(ground: Ground, host: string, size: number): readonly (readonly string[])[] {
  const [asking = ''] = ground.shape.sentinel ? [sentinelClient] : []
  const [inside, outside] = [size % 3 === 0 ? [asking] : [], size % 3 === 1 ? [asking] : []]
  return [
    [host, 'client2', ...inside],
    [...ground.hosts.filter((other) => other !== host), 'client', ...outside],
  ].map((side) => side.filter((name) => name !== ''))
}

/** A wire too narrow for what is sent: it waits in a queue, and what finds the queue full is lost. */
async function late(ground: Ground, host: string, upToMs: number): Promise<void> {
  const narrow = ['tc', 'qdisc', 'replace', 'dev', 'eth0', 'root', 'tbf', 'rate', '1mbit', 'burst', '4kb', 'latency', `${upToMs}ms`]
  const result = await ground.lab.exec(host, narrow)
  if (result.code !== 0) throw new OperatorError('HF503', `tc on ${host}: ${result.stderr.trim()}`, 'This kernel may have no sch_tbf.')
}

async function inTime(ground: Ground, host: string): Promise<void> {
  await ground.lab.exec(host, ['tc', 'qdisc', 'del', 'dev', 'eth0', 'root'])
}

/** Of a fault that could not be done, because there was nothing to do it to. Everything else is the soak's own failure. */
export function whyNot(error: unknown): string {
  if (error instanceof OperatorError && (error.code === 'HF503' || error.code === 'HF104')) return error.message.split('\n')[0] ?? ''
  throw error
}

/** Everything that any fault may have left, on every host. */
export async function mendAll(ground: Ground): Promise<void> {
  const { lab } = ground
  await lab.heal()
  const off = (await lab.status()).filter((node) => node.power === 'off').map((node) => node.name)
  await poweredOn(ground, off)
  for (const host of ground.hosts) {
    await rm(ground.file(host, 'state', 'filler'), { force: true })
    for (const what of ['redis', 'agent', 'keepalived'] as const) await thawed(ground, host, what)
    if (ground.sentinelHosts.includes(host)) {
      await thawed(ground, host, 'sentinel')
      await openPort(ground, host)
      await inTime(ground, host)
    }
    await ground.boot(host)
  }
  const paused = await poll(async () => (await ground.status()) ?? undefined, { withinMs: 10_000, everyMs: 200 })
  if (paused?.paused === true) await lab.cli(['resume', group])
}

async function emptied(ground: Ground, host: string): Promise<Broken> {
  if (!ground.shape.external) {
    // The agent restarts redis within milliseconds, so the disk must be empty before.
    await ground.lab.freeze(host, 'redis')
    const data = ground.file(host, 'state', group, 'data')
    await run(['sh', '-c', `rm -rf -- "${data}"/*`])
  }
  await ground.lab.kill(host, 'redis')
  return done(`redis on ${host}: kill -9, and its disk is empty`, null, [host])
}

async function thawed(ground: Ground, host: string, what: Target): Promise<void> {
  await ground.lab.thaw(host, what).catch(whyNot)
}

async function flapping(ground: Ground, host: string, size: number): Promise<Broken> {
  const cuts = 3 + (size % 5)
  for (let cut = 0; cut < cuts; cut += 1) {
    await ground.lab.cut(host)
    await delay(20 + ((size * (cut + 7)) % 300))
    await ground.lab.heal(host)
    await delay(50 + ((size * (cut + 3)) % 300))
  }
  return done(`the link of ${host} went up and down ${cuts} times`)
}

async function allDark(ground: Ground, size: number): Promise<Broken> {
  await Promise.all(ground.hosts.map((host) => ground.lab.power(host, 'off')))
  const order = ground.hosts.map((_, index, all) => all[(index + size) % all.length] ?? '')
  return done(`power cut of everything; back in the order ${order.join(', ')}`, () => poweredOn(ground, order, size), ground.members)
}

/** One after the other, with a pause that is longer than an agent needs to come up. */
async function poweredOn(ground: Ground, hosts: readonly string[], pauseMs = 0): Promise<void> {
  for (const host of hosts) {
    await ground.lab.power(host, 'on')
    await ground.boot(host)
    await delay(pauseMs)
  }
}

function asked(ground: Ground, ...argv: readonly string[]): Broken {
  const what = argv.join(' ')
  return { ...done(`asked: ${what}`), answer: ground.lab.cli(argv, { deadlineMs: operatorWithinMs }).then((result) => `${what}: ${said(result)}`) }
}

function said(result: { readonly code: number; readonly stdout: string; readonly stderr: string }): string {
  return result.code === 0 ? 'done' : `refused (${result.stderr.trim().split('\n')[0]?.slice(0, 160) ?? ''})`
}
