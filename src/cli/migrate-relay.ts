/**
 * `holdfast migrate relay`: on the old host, new connections to the old redis are handed on to the primary of the group, from the cut-over on and for
 * as long as it runs; and it tells who still comes that way. What is checked before it stands is here, what it does then in migrate-relay-run.ts.
 */
import type { Command } from '@commander-js/extra-typings'
import { InvalidArgumentError } from '@commander-js/extra-typings'
import { readFile } from 'node:fs/promises'
import { addressesOf, isIpv4, parseListen } from '../migrate/relay.ts'
import type { RedirectPlan } from '../migrate/relay-rules.ts'
import type { GroupConfig } from '../model/config.ts'
import { OperatorError } from '../model/error.ts'
import type { SourceAt } from '../model/move.ts'
import { done, failed, type Outcome } from '../model/outcome.ts'
import { openRelay, type Relay } from '../move/relay.ts'
import { claimAddress, openRedirect } from '../move/relay-redirect.ts'
import { ownAddresses } from './adopt-host.ts'
import { groupOf, openSession, statusOf, type Session } from './ask.ts'
import { movingOf } from './migrate-found.ts'
import { runRelay, type Place } from './migrate-relay-run.ts'

interface RelayOptions {
  readonly listen?: SourceAt
  readonly address: readonly string[]
  readonly except: readonly string[]
  readonly relayPort?: number
  readonly local?: true
}

export function registerRelay(migrate: Command): void {
  migrate
    .command('relay')
    .description('on the old host: hand new connections on to the group after the cut-over, and tell who still comes that way')
    .argument('<group>')
    .option('--listen <address:port>', 'listen there, instead of redirecting what is meant for the old redis: where that is gone, or nft is missing', listenAt)
    .option('--address <ip>', 'another address of this host that leads to the old redis; may be repeated', address, [] as readonly string[])
    .option(
      '--except <ip>',
      'leave what this host sends with the old redis (its own replicas are found by themselves); may be repeated',
      address,
      [] as readonly string[],
    )
    .option('--relay-port <port>', 'the port to which connections are redirected (a free one), where a firewall has to know it', portOf)
    .option('--local', 'also what programs on this host send to it')
    .option('--until-drained <seconds>', 'end when nobody has used it for so long', secondsOf)
    .option('--json', 'machine-readable, a line a second')
    .action(async (group, options, command) => {
      const session = await openSession(command.optsWithGlobals() as unknown as { config: string })
      const its = groupOf(session, group)
      refuseMembers(session, its)
      const [status] = await statusOf(session, group)
      const { move, source } = movingOf(status, group)
      const complaints: string[] = []
      const relay = openRelay(() => undefined)
      const place =
        options.listen === undefined ? await redirected(session, its, move.source, relay, options, complaints) : await listening(options.listen, relay)
      const drainedS = options.untilDrained ?? null
      await runRelay({
        session,
        group: its,
        move,
        followers: source?.facts?.followers.map(({ ip }) => ip) ?? [],
        relay,
        place,
        complaints,
        drainedMs: drainedS === null ? null : drainedS * 1000,
        json: options.json === true,
      })
    })
}

/** There it would hand on to itself, and the agent's own rules stand at the same port. */
function refuseMembers(session: Session, group: GroupConfig): void {
  const own = ownAddresses().map(({ ip }) => ip)
  const member = group.members.find(({ host }) => own.includes(session.config.hosts[host]?.ip ?? ''))
  if (member !== undefined)
    throw new OperatorError(
      'HF930',
      `this is ${member.host}, a member of ${group.name}: a relay would hand on to itself`,
      'run it on the host of the old redis',
      2,
    )
}

async function redirected(session: Session, group: GroupConfig, source: SourceAt, relay: Relay, options: RelayOptions, complaints: string[]): Promise<Place> {
  const at = `${source.host}:${source.port}`
  const own = ownAddresses().map(({ ip }) => ip)
  const missing = [source.host, ...options.address].find((ip) => !own.includes(ip))
  if (missing !== undefined)
    throw new OperatorError(
      'HF930',
      `${missing} is no IPv4 address of this host`,
      `run it on the host of ${at}; where that one is gone, --listen ADDRESS:PORT on a host that has its address`,
      2,
    )
  if (process.getuid?.() !== 0) throw new OperatorError('HF201', 'a relay redirects connections by nft, for which it must be root', 'run it as root')
  if (!(await claimAddress(source))) throw new OperatorError('HF931', `another relay stands at ${at} already`, 'one is enough; end that one first')
  const port = await relay.listen('0.0.0.0', options.relayPort ?? 0)
  if (!port.ok) throw new OperatorError('HF931', `the relay cannot listen on port ${options.relayPort}: ${port.why}`, 'name another one: --relay-port PORT')
  const plan: RedirectPlan = {
    group: group.name,
    source,
    addresses: addressesOf(await listeners(), source, options.address),
    stay: [...new Set([...membersOf(session, group), ...options.except])],
    relayPort: port.value,
    local: options.local === true,
  }
  const redirect = openRedirect(plan, (why) => complaints.push(why))
  refuseWithoutNft(await redirect.attempt())
  const which = plan.addresses === null ? `port ${source.port} of every address of this host` : plan.addresses.map((ip) => `${ip}:${source.port}`).join(', ')
  return { words: `${which} (by way of port ${port.value})`, ...redirect }
}

function refuseWithoutNft(tried: Outcome): void {
  if (tried.done) return
  if (/not found$/.test(tried.why))
    throw new OperatorError('HF202', 'not found: nft (Debian package nftables)', 'install it; or --listen ADDRESS:PORT, which needs none')
  throw new OperatorError(
    'HF932',
    `the kernel refuses the rules: ${tried.why}`,
    'nft needs nat, redir and reject (modules nft_redir, nft_reject_ipv4); or --listen ADDRESS:PORT',
  )
}

/** They follow the old redis and lead the way back, from whichever of their addresses. */
function membersOf(session: Session, group: GroupConfig): readonly string[] {
  const hosts = group.members.map(({ host }) => session.config.hosts[host]?.ip ?? '')
  return [...new Set([...hosts, group.vip?.ip ?? '', group.readerVip?.ip ?? ''])].filter(isIpv4)
}

/** Nothing on Linux without /proc: then only the address of the source is known to lead there. */
async function listeners(): Promise<string> {
  const tables = await Promise.all(['/proc/net/tcp', '/proc/net/tcp6'].map((file) => readFile(file, 'utf8').catch(() => '')))
  return tables.join('\n')
}

/** It listens only while it hands on: where a redis is to have that port on the way back, it must be free. */
async function listening({ host, port }: SourceAt, relay: Relay): Promise<Place> {
  const tried = await relay.listen(host, port)
  if (!tried.ok) {
    const elsewhere = /EADDRNOTAVAIL/.test(tried.why)
    const hint = elsewhere ? 'name an address of this host' : 'where the old redis still has it: without --listen'
    throw new OperatorError(elsewhere ? 'HF930' : 'HF931', `the relay cannot listen on ${host}:${port}: ${tried.why}`, hint)
  }
  relay.silence()
  const nothing = (): Promise<Outcome> => Promise.resolve(done)
  return {
    words: `${host}:${port}`,
    ready: nothing,
    clear: nothing,
    // Who follows a redis that is not there any more is not told apart from its clients.
    spare: nothing,
    take: async () => {
      const opened = await relay.listen(host, port)
      return opened.ok ? done : failed(opened.why)
    },
    letGo: () => {
      relay.silence()
      return nothing()
    },
  }
}

function listenAt(text: string): SourceAt {
  const at = parseListen(text)
  if (at === null) throw new InvalidArgumentError('an IPv4 address of this host and a port, e.g. 10.0.0.5:6379')
  return at
}

function address(text: string, before: readonly string[]): readonly string[] {
  if (!isIpv4(text)) throw new InvalidArgumentError('an IPv4 address')
  return [...before, text]
}

function portOf(text: string): number {
  const port = Number(text)
  if (!Number.isInteger(port) || port < 1 || port > 65535) throw new InvalidArgumentError('a port, from 1 to 65535')
  return port
}

function secondsOf(text: string): number {
  const value = Number(text)
  if (!Number.isFinite(value) || value < 1 || value > 604_800) throw new InvalidArgumentError('seconds, from 1 to 604800')
  return value
}
