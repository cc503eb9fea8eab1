/** What is dangerous in the old keepalived of the two hosts, its checks and its scripts. PURE. */
import { red, unseen, yellow, type AdoptFinding } from './finding.ts'
import type { Pair, Side } from './pair.ts'
import { deedsOf, notifiesOf } from './scripts.ts'
import type { CheckScript, VrrpInstance } from './vrrp.ts'

/** VRRP version 2 carries no more. */
const authChars = 8
const slowS = 1
const lookYourself = 'look into it: after the take-over nobody calls it, unless something besides keepalived does'

type Held = Side & { readonly instance: VrrpInstance }

export function vrrpFindings(pair: Pair): readonly AdoptFinding[] {
  const sides = [pair.primary, pair.replica]
  const held = sides.filter((side): side is Held => side.instance !== null)
  return [...where(pair), ...sides.flatMap(notRead), ...held.flatMap(ofScripts), ...held.flatMap(ofOne), ...ofBoth(held), ...checks(held), ...others(pair)]
}

/** The address as it is, not as it is configured. */
function where({ primary, replica, vip }: Pair): readonly AdoptFinding[] {
  if (vip === null) return []
  const holders = [primary, replica].filter(({ found }) => found.addresses.some(({ ip }) => ip === vip.ip)).map(({ name }) => name)
  if (holders.length === 1 && holders[0] === primary.name) return []
  const seen = holders.length === 0 ? `${vip.ip} was on neither host` : `${vip.ip} was on ${holders.join(' and ')}, and ${primary.name} is the master`
  return [red('address-elsewhere', seen, { stops: true, fix: 'bring the old pair in order first, and look again on both hosts' })]
}

function notRead({ name: host, found, setup }: Side): readonly AdoptFinding[] {
  const conditional = setup?.conditional ?? 0
  return [
    ...(found.keepalivedConf?.unread ?? []).map((file) =>
      unseen('not-seen', `${file}: what keepalived.conf includes was not read`, { host, fix: 'look again as a user who may read it' }),
    ),
    ...(conditional === 0
      ? []
      : [
          unseen('not-seen', `${conditional} lines of keepalived.conf hold only for some host (@name): they were left out`, {
            host,
            fix: 'check the interface, the address and the virtual_router_id in the proposal',
          }),
        ]),
  ]
}

function ofScripts({ name: host, found, instance }: Held): readonly AdoptFinding[] {
  const deeds = notifiesOf(instance, found)
  const at: AdoptFinding[] = []
  for (const deed of deeds) {
    const what = `${deed.kind} ${deed.command}`
    if (!deed.isRead)
      at.push(unseen('not-seen', `${what}: ${found.scripts.find(({ command }) => command === deed.command)?.why ?? 'not read'}`, { host, fix: lookYourself }))
    if (deed.promotes)
      at.push((deed.compares ? yellow : red)('promotes-always', `${what} says SLAVEOF NO ONE${deed.compares ? ', after a look at replication' : ''}`, { host }))
    if (deed.follows) at.push(red('follows-always', `${what} says SLAVEOF the other`, { host }))
    if (deed.follows && (deed.kind === 'notify_backup' || deed.kind === 'notify'))
      at.push(
        red('follows-at-start', what, { host, fix: 'it runs again if the old keepalived is started on the way back: take it out of keepalived.conf before' }),
      )
    if (deed.startsRedis) at.push(yellow('script-starts-redis', what, { host }))
    if (deed.tellsPassword) at.push(yellow('password-in-script', `${deed.kind} calls redis-cli -a`, { host }))
  }
  // A script that two words call is told once of each kind.
  return at.filter((one, i) => at.findIndex((two) => two.name === one.name && two.found === one.found) === i)
}

function ofOne({ name: host, found, setup, instance }: Held): readonly AdoptFinding[] {
  const at: AdoptFinding[] = []
  if ((instance.authPass?.length ?? 0) > authChars)
    at.push(
      yellow('auth-pass-long', `auth_pass of ${instance.name} has ${instance.authPass?.length ?? 0} characters`, {
        host,
        fix: 'Holdfast uses VRRP 3, which has none: who may send VRRP on this segment is for the network to say',
      }),
    )
  const twins = setup?.instances.filter((one) => one !== instance && one.vrid === instance.vrid && one.interface === instance.interface) ?? []
  if (twins.length > 0)
    at.push(
      red('vrid-twice', `${instance.vrid ?? ''} of ${instance.name} and ${twins.map(({ name }) => name).join(', ')} on ${instance.interface ?? ''}`, {
        host,
        fix: 'another `vrid` in the proposal',
      }),
    )
  if (instance.checks.length === 0) at.push(red('no-check', `${instance.name} has no track_script`, { host }))
  for (const check of instance.checks) {
    const deed = deedsOf(check.command, found.scripts)
    if (!deed.asksRedis && deed.looksForProcess) at.push(yellow('check-blind', check.command, { host }))
    else if (!deed.isRead)
      at.push(
        unseen('not-seen', `track_script ${check.command}: ${found.scripts.find(({ command }) => command === check.command)?.why ?? 'not read'}`, {
          host,
          fix: lookYourself,
        }),
      )
    if (deed.startsRedis) at.push(yellow('script-starts-redis', `track_script ${check.command}`, { host }))
    if (deed.tellsPassword) at.push(yellow('password-in-script', `track_script ${check.name} calls redis-cli -a`, { host }))
  }
  return at
}

function ofBoth(held: readonly Held[]): readonly AdoptFinding[] {
  const [one, two] = held
  if (one === undefined || two === undefined) return []
  const at: AdoptFinding[] = []
  if (one.instance.vrid !== two.instance.vrid)
    at.push(
      red('vrids-differ', `${one.instance.vrid ?? ''} on ${one.name}, ${two.instance.vrid ?? ''} on ${two.name}`, {
        fix: 'the proposal has one of them for both',
      }),
    )
  if (one.instance.state === 'MASTER' && two.instance.state === 'MASTER') at.push(red('both-state-master', 'state MASTER on both'))
  const preempting = held.filter(({ instance }) => !instance.nopreempt || instance.state === 'MASTER')
  if (one.instance.priority === two.instance.priority) at.push(yellow('priorities-equal', `priority ${one.instance.priority} on both`))
  if (preempting.length > 0) {
    const words = preempting.map(
      ({ name, instance }) =>
        `${name}: state ${instance.state ?? 'BACKUP'}${instance.nopreempt ? ', where nopreempt does nothing' : ', no nopreempt'}, priority ${instance.priority}`,
    )
    at.push(red('floats-back', words.join('; ')))
  }
  return at
}

/** How long the old pair takes to notice a redis that has died and to answer elsewhere, by its own figures; null: it never notices. */
export function oldOutageS(held: readonly Held[]): number | null {
  const [first, second] = [...held].sort((one, two) => two.instance.priority - one.instance.priority)
  if (first === undefined || first.instance.checks.length === 0) return null
  const { instance } = first
  const noticeS = Math.min(...instance.checks.map(noticesAfterS))
  const fault = instance.checks.some(({ weight }) => weight === 0)
  // A lower priority must be heard, and the better one must then stop: three adverts and the skew. FAULT says so at once.
  const takeS = fault ? ((256 - (second?.instance.priority ?? 100)) / 256) * instance.advertS : 4 * instance.advertS
  const scripts = second === undefined ? [] : notifiesOf(second.instance, second.found)
  const sleepS = Math.max(0, ...scripts.map(({ sleepsS }) => sleepsS))
  return noticeS + takeS + sleepS
}

function noticesAfterS({ intervalS, fall }: CheckScript): number {
  return intervalS * fall
}

function checks(held: readonly Held[]): readonly AdoptFinding[] {
  const at: AdoptFinding[] = []
  const seconds = oldOutageS(held)
  if (seconds !== null && seconds >= slowS) {
    const words = held.flatMap(({ instance }) => instance.checks.map(({ intervalS, fall }) => `every ${intervalS} s × ${fall}`))
    at.push(yellow('check-slow', `${[...new Set(words)].join(', ')}, advert_int ${held[0]?.instance.advertS ?? 1}: about ${Math.round(seconds * 10) / 10} s`))
  }
  const [high, low] = [...held].sort((one, two) => two.instance.priority - one.instance.priority)
  if (high === undefined || low === undefined) return at
  for (const { name, weight } of high.instance.checks) {
    if (weight === 0) continue
    // A positive weight is there while the check goes well, on both; a negative one counts when it fails.
    const failed = weight > 0 ? high.instance.priority : high.instance.priority + weight
    const other = weight > 0 ? low.instance.priority + (low.instance.checks.some((one) => one.name === name) ? weight : 0) : low.instance.priority
    if (failed >= other) at.push(red('check-weak', `${name}: with weight ${weight} ${high.name} is left with ${failed}, and ${low.name} has ${other}`))
  }
  return at
}

function others({ primary, replica, otherAddresses, vip }: Pair): readonly AdoptFinding[] {
  const virtual = [primary, replica].filter(({ setup }) => (setup?.virtualServers ?? 0) > 0).map(({ name }) => name)
  const words = [
    ...(otherAddresses.length === 0 ? [] : [otherAddresses.map(({ ip }) => ip).join(', ')]),
    ...(virtual.length === 0 ? [] : [`virtual servers on ${virtual.join(' and ')}`]),
  ]
  if (words.length === 0 || (vip === null && virtual.length === 0)) return []
  return [
    yellow('more-addresses', words.join('; '), {
      fix: 'a keepalived.conf for them alone, in force before the take-over (the steps say when); or --reader-vip for the address of reads',
    }),
  ]
}
