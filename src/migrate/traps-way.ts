/** The traps on the way: who may read, who else watches, whether the source can bear it. PURE. */
import { secondsOf, sizeOf } from '../doctor/say.ts'
import { green, red, trap, unseen, yellow, type Judged, type Trap } from './check.ts'
import type { Instance, Source, Target } from './facts.ts'
import { each, whyNot, words } from './traps-data.ts'
import { capabilitiesOf } from './versions.ts'

/** By more, times to live that travel as durations end visibly too soon or too late. */
const clockMs = 500
/** A fork copies its page tables first, and redis answers nobody meanwhile: some 10 ms for each GiB of its memory, and more on old virtual machines. */
const forkStallUs = 100_000
const backupOldMs = 24 * 3_600_000

export function wayTraps(source: Source, target: Target): readonly Trap[] {
  const from = source.redis
  return [
    trap('P6', 'a replica that is refused at the door never attaches; a client that is refused at the new primary is an outage', access(source, target)),
    trap('P9', 'to give a replica all data the source forks: what is written meanwhile is copied, and a machine without room kills one of the two', fork(from)),
    trap('P11', 'a Sentinel or a cluster that knows the source chooses a primary by its own mind in the middle of the move', topology(from, target)),
    trap('P12', 'before 7.0 times to live travel as durations: by as much as the clocks differ they end elsewhere', clocks(from, target)),
    trap('P13', 'a replica that speaks TLS where nobody does, or does not where it is asked for, never attaches: there is no trying', tls(source, target)),
    trap('P14', 'whoever has a priority of before is promoted by what still runs of the old arrangement', priorities(from)),
    trap('P15', 'without the stream nothing follows the source: keys would have to be listed and copied, and what changes meanwhile is missed', psync(from)),
    trap('P16', 'until it is committed there is a way back; after that a backup is the only one', backup(source)),
  ]
}

function access({ redis: from, hasPassword, user }: Source, target: Target): readonly Judged[] {
  const found: Judged[] = []
  if (hasPassword && !target.hasPassword)
    found.push(
      yellow(
        'the source asks for a password, and the group has none',
        'password_file of the group: the one that the clients have, or they change with the move',
      ),
    )
  if (!hasPassword && target.hasPassword) found.push(yellow('the source asks for no password, and the group does', 'the clients need it before the cut-over'))
  if (target.samePassword === false && user === null)
    found.push(yellow('the group has another password than the source', 'the clients need that one from the cut-over on'))
  if (from.users?.ok === false) found.push(unseen('ACL LIST of the source', from.users.why))
  if (from.users?.ok === true) found.push(...each(target, (to) => doors(from.users?.ok === true ? from.users.value : [], to)))
  return found.length > 0 ? found : [green('the source has no users; the passwords agree')]
}

/** Of each user what opens the door: on or off, and the digests of the passwords. `default` has the password of the configuration. */
function doors(users: readonly string[], to: Instance): readonly Judged[] {
  const named = users.filter((line) => !/^user default /.test(line))
  if (named.length === 0) return [green('no user but default')]
  if (to.users === null)
    return [red(`users ${namesOf(named)} cannot be there: ${to.version.product} ${to.version.text} has no ACL`, 'a target of 6.0 or later')]
  if (!to.users.ok) return [unseen('ACL LIST', to.users.why)]
  const has = new Map(to.users.value.map((line) => [nameIn(line), doorOf(line)]))
  const lacking = named.filter((line) => !has.has(nameIn(line)))
  const other = named.filter((line) => has.has(nameIn(line)) && has.get(nameIn(line)) !== doorOf(line))
  const fix = 'ACL LIST of the source into the aclfile of each member: ACLs are not replicated'
  return [
    ...(lacking.length === 0 ? [] : [yellow(`users ${namesOf(lacking)} are not known to it`, fix)]),
    ...(other.length === 0 ? [] : [yellow(`users ${namesOf(other)} have another password there, or other rights`, fix)]),
    ...(lacking.length + other.length === 0 ? [green(`it knows ${namesOf(named)}`)] : []),
  ]
}

function nameIn(line: string): string {
  return line.split(' ')[1] ?? ''
}

function namesOf(lines: readonly string[]): string {
  return lines.map(nameIn).join(', ')
}

/** Without what versions write of themselves into each line. */
function doorOf(line: string): string {
  const own = new Set(['sanitize-payload', 'skip-sanitize-payload', 'resetchannels', '&*', 'alldbs'])
  return line
    .split(' ')
    .slice(2)
    .filter((word) => !own.has(word))
    .sort()
    .join(' ')
}

function fork(from: Instance): readonly Judged[] {
  const found: Judged[] = []
  if (from.failed.length > 0) found.push(red(`the source says that it failed: ${from.failed.join(', ')}`, 'mend that first: a full sync does the same'))
  if (from.forkUs > forkStallUs) found.push(yellow(`its last fork held it up for ${Math.round(from.forkUs / 1000)} ms`, 'at the hour of the least traffic'))
  if (from.machineBytes === 0) found.push(unseen('the memory of its machine', 'this version does not tell it'))
  else if (from.rssBytes * 1.5 > from.machineBytes)
    found.push(
      yellow(
        `it takes ${sizeOf(from.rssBytes)} of the ${sizeOf(from.machineBytes)} of its machine: half of that again may be copied`,
        'when little is written, with vm.overcommit_memory 1',
      ),
    )
  return found.length > 0
    ? found
    : [
        green(
          `${sizeOf(from.rssBytes)} of ${sizeOf(from.machineBytes)} taken; last fork ${from.forkUs === 0 ? 'none yet' : `${Math.round(from.forkUs / 1000)} ms`}`,
        ),
      ]
}

function topology(from: Instance, target: Target): readonly Judged[] {
  if (from.isCluster) return [red('the source is a node of a cluster', 'a cluster is moved slot by slot, not by its nodes')]
  const found: Judged[] = []
  const members = target.members.flatMap(({ redis }) => (redis.ok ? [redis.value] : []))
  const isMember = members.some(({ runId }) => runId === from.runId)
  if (target.externalSentinels)
    found.push(
      red(
        'the Sentinels of the group are external: they would take it for down while it follows another redis, and cannot be had to look away',
        'copy: holdfast migrate copy',
      ),
    )
  if (from.loading) found.push(red('the source is loading its data', 'wait until it serves'))
  if (isMember) found.push(red('the source is itself a member of the group', 'name the redis that is to be moved here'))
  if (from.role === 'replica' && from.upstream?.port === 1)
    // Named as an address it would lead nowhere; made a primary although another serves its data, there would be two.
    found.push(
      ...(isMember
        ? []
        : [
            red(
              'the source is a replica of nobody: Holdfast made it refuse writes, as after a move that is final',
              'where its data were moved already, nothing is to be moved; where nobody else serves them: REPLICAOF NO ONE there',
            ),
          ]),
    )
  else if (from.role === 'replica') {
    const { host, port } = from.upstream ?? { host: '?', port: 0 }
    const circle = members.some((to) => to.host === host && to.port === port)
    found.push(
      circle
        ? red(`the source follows ${host}:${port}, which is where it is to go`, 'that was moved already, or a circle')
        : red(`the source is a replica of ${host}:${port}`, `name its primary: redis://${host}:${port}`),
    )
  }
  if (!from.watchedBySentinels.ok) found.push(unseen('whether Sentinels watch the source', from.watchedBySentinels.why))
  else if (from.watchedBySentinels.value)
    found.push(
      yellow(
        'Sentinels watch the source',
        'the new members come with replica-priority 0, so none of them is chosen; SENTINEL REMOVE it at the cut-over, or they fail over what has moved',
      ),
    )
  if (from.replicas.length > 0)
    found.push(
      green(`it has ${from.replicas.length} replicas of its own, which stay with it (${from.replicas.map(({ ip, port }) => `${ip}:${port}`).join(', ')})`),
    )
  return found.length > 0 ? found : [green('a primary of its own, watched by nobody')]
}

function clocks(from: Instance, target: Target): readonly Judged[] {
  const matters = !capabilitiesOf(from.version).absoluteTtl
  if (!from.clock.ok) return [unseen('the clock of the source', from.clock.why)]
  const { aheadMs: sourceMs, withinMs } = from.clock.value
  return each(target, (to) => {
    if (!to.clock.ok) return [unseen('its clock', to.clock.why)]
    const differMs = Math.abs(sourceMs - to.clock.value.aheadMs)
    const text = `its clock and that of the source differ by ${Math.round(differMs)} ms (known to ${Math.max(1, Math.round(withinMs + to.clock.value.withinMs))})`
    const sureMs = withinMs + to.clock.value.withinMs
    if (differMs <= clockMs && differMs + sureMs > clockMs && matters) return [unseen('the difference of the clocks', text)]
    if (differMs <= clockMs) return [green(text)]
    return [matters ? red(text, 'synchronize both (chrony)') : yellow(`${text}; from 7.0 on times to live are points in time`, 'synchronize both (chrony)')]
  })
}

/** `tls-replication` is one switch for both sides of a redis: it stays off in the group, and the agent of whoever follows carries the link over TLS. */
function tls(source: Source, target: Target): readonly Judged[] {
  return each(target, (to) => {
    if (!to.settings.ok) return [unseen('tls-replication', whyNot(to))]
    const has = words(to, 'tls-replication') === 'yes'
    const off = 'tls-replication off for the time of the move'
    if (!has) return [green(source.tls ? 'over TLS by its agent; its redis speaks to that one alone' : 'without TLS on both sides')]
    if (source.tls) return [red('tls-replication is on, and its redis would speak TLS to its own agent, which does that for it', off)]
    return [red('tls-replication is on, and the source is reached without TLS', off)]
  })
}

function priorities(from: Instance): readonly Judged[] {
  const has = words(from, 'replica-priority', 'slave-priority')
  const text = has === null ? '' : `; that of the source is ${has}`
  return [green(`the new members come with priority 0 and get their own at the cut-over${text}`)]
}

function psync({ psync: { may, why } }: Instance): readonly Judged[] {
  if (may === true) return [green('the stream may be read')]
  if (may === null) return [unseen('whether the stream may be read', `${why} (a user who may be asked: +acl|whoami +acl|dryrun)`)]
  return [
    red(
      `the stream may not be read: ${why}`,
      'a user who may: +psync +replconf +ping, and +info +config|get +command +acl for this plan; where a cloud refuses it there is no replica',
    ),
  ]
}

function backup({ backup: youngest }: Source): readonly Judged[] {
  if (youngest === null) return [yellow('no backup of the source is known here', 'redis-cli --rdb, loaded once in a redis aside; or accept it')]
  const text = `${youngest.id}, ${secondsOf(youngest.ageMs / 1000)} old, was restored in a test`
  return [youngest.ageMs > backupOldMs ? yellow(text, 'a younger one: holdfast backup take') : green(text)]
}
