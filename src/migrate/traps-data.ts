/** The traps that cost data: what the target cannot read, has no room for, does not know. PURE. Each is told of every member of the group, for each of them is to hold it all. */
import { sizeOf } from '../doctor/say.ts'
import { green, red, trap, unseen, yellow, type Judged, type Trap } from './check.ts'
import type { Instance, Source, Target } from './facts.ts'
import { capabilitiesOf, nameOf, rdbFormatOf, readsFormat } from './versions.ts'

/** A fork's copies, what fragments, and what is written while it is copied. */
const memoryFactor = 1.2

/** Whether a dataset goes over at all, and what stands there already. */
export function dataTraps(source: Source, target: Target, overwrite: string | null): readonly Trap[] {
  const from = source.redis
  return [
    trap(
      'P1',
      'a replica that cannot read the format of the RDB that it is sent has been emptied already, and tries again for ever',
      each(target, (to) => format(from, to)),
    ),
    trap(
      'P2',
      'a replica with fewer databases puts what belongs into a higher one into the wrong one, with its link up, or ends itself',
      each(target, (to) => databases(from, to)),
    ),
    trap(
      'P3',
      'a replica with less memory than its primary drops keys, or is killed by the kernel, as soon as it is primary itself',
      each(target, (to) => memory(from, to)),
    ),
    trap(
      'P4',
      'a replica that does not know a command of the stream leaves it out, and says so in its log only',
      each(target, (to) => commands(from, to)),
    ),
    trap(
      'P5',
      'what a module has written only a redis with that module can read',
      each(target, (to) => modules(from, to)),
    ),
    trap('P17', 'whatever the target has is gone with the first sync', occupied(from, target, overwrite)),
  ]
}

/** Each member that was reached, by its name. */
export function each(target: Target, judge: (to: Instance) => readonly Judged[]): readonly Judged[] {
  return target.members.flatMap(({ host, redis }) =>
    redis.ok ? judge(redis.value).map((one) => ({ ...one, measured: `${host}: ${one.measured}` })) : [unseen(host, redis.why)],
  )
}

function format(from: Instance, to: Instance): readonly Judged[] {
  const known = from.rdbFormat.ok ? from.rdbFormat.value : rdbFormatOf(from.version)
  const own = rdbFormatOf(to.version)
  const between = `${nameOf(from.version)} → ${nameOf(to.version)}`
  if (known === null || own === null)
    return [
      unseen(`which format of the RDB ${known === null ? nameOf(from.version) : nameOf(to.version)} has`, 'that version is not in the table of this Holdfast'),
    ]
  if (readsFormat(to.version, own, known)) return [green(`${between}: format ${known}, and it reads up to ${own}`)]
  return [red(`${between}: format ${known}, and it reads up to ${own}`, `install a version that reads format ${known}: what follows is wiped otherwise`)]
}

function databases(from: Instance, to: Instance): readonly Judged[] {
  const [has, wanted] = [setting(to, 'databases'), setting(from, 'databases')]
  if (has === null) return [unseen('`databases` of the target', whyNot(to))]
  const highest = from.highestDb + 1
  const least = Math.max(highest, wanted ?? 0)
  if (has >= least && wanted === null) return [unseen('`databases` of the source', `${whyNot(from)}; it uses ${used(from.highestDb)}, and may use more`)]
  if (has >= least) return [green(`${has} databases; the source has ${wanted} and uses ${used(from.highestDb)}`)]
  const fix = `redis: { databases: ${least} } of the group, and a restart`
  if (has < highest) return [red(`${has} databases, and the source has keys in database ${from.highestDb}`, fix)]
  return [red(`${has} databases, and the source may use ${wanted ?? 0}: one SELECT above is enough`, fix)]
}

function used(highest: number): string {
  return highest <= 0 ? 'database 0 only' : `those up to ${highest}`
}

function memory(from: Instance, to: Instance): readonly Judged[] {
  const needs = Math.ceil(from.usedBytes * memoryFactor)
  const [limit, theirs] = [setting(to, 'maxmemory'), setting(from, 'maxmemory')]
  const found: Judged[] = []
  const text = `${sizeOf(from.usedBytes)} are to go over, which needs ${sizeOf(needs)}`
  if (limit === null) found.push(unseen('`maxmemory` of the target', whyNot(to)))
  else if (limit > 0 && limit < needs) found.push(red(`${text}; maxmemory is ${sizeOf(limit)}`, 'raise maxmemory of the group before'))
  else if (limit > 0 && theirs === null) found.push(unseen('`maxmemory` of the source', whyNot(from)))
  else if (limit > 0 && (theirs === 0 || (theirs ?? 0) > limit))
    found.push(
      yellow(
        `maxmemory is ${sizeOf(limit)}, that of the source ${theirs === 0 ? 'not limited' : sizeOf(theirs ?? 0)}: what it grows to may not fit`,
        'as much as the source may have',
      ),
    )
  if (to.machineBytes === 0) found.push(unseen('the memory of its machine', 'this version does not tell it'))
  else if (to.machineBytes < needs) found.push(red(`${text}; its machine has ${sizeOf(to.machineBytes)}`, 'a machine with more memory'))
  const [policy, theirPolicy] = [words(to, 'maxmemory-policy'), words(from, 'maxmemory-policy')]
  if (limit !== 0 && policy !== 'noeviction' && theirPolicy === null) found.push(unseen('`maxmemory-policy` of the source', whyNot(from)))
  if (policy !== null && theirPolicy !== null && policy !== theirPolicy)
    found.push(
      yellow(
        `maxmemory-policy is ${policy}, that of the source ${theirPolicy}`,
        `redis: { maxmemory-policy: ${theirPolicy} } of the group, if it is to go on as before`,
      ),
    )
  return found.length === 0 ? [green(text)] : found
}

/** What an operator alone sends, and the words of HTTP that redis before 7.0 lists as commands to shut its door on them: in no stream. */
const neverReplicated = new Set([
  'host:',
  'post',
  'debug',
  'config',
  'info',
  'client',
  'monitor',
  'slaveof',
  'replicaof',
  'psync',
  'sync',
  'replconf',
  'shutdown',
  'bgsave',
  'save',
  'bgrewriteaof',
])

/** Also where no client sends them: expiry, eviction and what scripts do come as these. */
const redisItself = ['del', 'unlink', 'multi', 'exec', 'select', 'set', 'pexpireat', 'expire', 'srem', 'hset', 'zadd', 'lpush', 'rpush']

function commands(from: Instance, to: Instance): readonly Judged[] {
  if (!to.commands.ok) return [unseen('COMMAND of the target', to.commands.why)]
  const has = to.commands.value
  const called = from.calls.ok ? new Set([...from.calls.value.keys()].map((name) => name.split('|')[0] ?? name)) : null
  const inStream = (name: string): boolean => !neverReplicated.has(name) && (called?.has(name) === true || redisItself.includes(name))
  const fix = 'take back the rename-command, or load the module: a command that the replica does not know is left out there'
  const found: Judged[] = []
  const known = from.commands.ok ? [...from.commands.value] : [...(called ?? [])]
  const lost = [...new Set([...known, ...(called ?? [])])].filter((name) => !has.has(name) && inStream(name))
  if (lost.length > 0) found.push(red(`it does not know ${listed(lost)}, which the stream of the source has or may have at any time`, fix))
  const sent = from.renamed.filter((name) => inStream(name))
  if (sent.length > 0) found.push(red(`the source has renamed ${listed(sent)}: what it sends under the other name it does not know`, fix))
  if (!from.commands.ok) return [...found, unseen('COMMAND of the source', from.commands.why)]
  if (called === null) found.push(unseen('what the source is asked for', from.calls.ok ? '' : from.calls.why))
  const rest = [...new Set([...known.filter((name) => !has.has(name)), ...from.renamed])].filter((name) => !neverReplicated.has(name) && !inStream(name))
  if (rest.length > 0)
    found.push(
      yellow(
        `it and the source do not agree on ${listed(rest)}${called === null ? '' : ', which INFO commandstats of the source has no call of'}`,
        'know that nobody uses them',
      ),
    )
  return found.length > 0 ? found : [green(`it knows all ${from.commands.value.size} commands of the source`)]
}

function listed(names: readonly string[]): string {
  const shown = [...new Set(names)].sort()
  return shown.length <= 8 ? shown.join(', ') : `${shown.slice(0, 8).join(', ')} and ${shown.length - 8} more`
}

function modules(from: Instance, to: Instance): readonly Judged[] {
  if (!from.modules.ok) return [unseen('MODULE LIST of the source', from.modules.why)]
  if (from.modules.value.length === 0) return [green('the source has none')]
  if (!to.modules.ok) return [unseen('MODULE LIST of the target', to.modules.why)]
  const has = to.modules.value
  const missing = from.modules.value.filter((name) => !has.includes(name))
  return missing.length === 0
    ? [green(`it has ${from.modules.value.join(', ')}`)]
    : [red(`it lacks ${missing.join(', ')}`, 'load the same modules, of the same version or later')]
}

function occupied(from: Instance, target: Target, overwrite: string | null): readonly Judged[] {
  const found = target.unwell === null ? [] : [red(`${target.group}: ${target.unwell}`, `holdfast status ${target.group}; it must be well before`)]
  const members = target.members.flatMap(({ host, redis }): readonly Judged[] => {
    if (!redis.ok) return [red(`${host}: ${redis.why}`, 'each member must be there')]
    const { keys, runId, replid, role } = redis.value
    if (keys === 0) return [green(`${host} is empty`)]
    if (host !== target.first) return []
    // Of a move that was called off, or is under way: the agent that is to follow looks again whether the source goes on with it.
    if (role === 'replica' && replid !== '' && replid === (from.replid === '' ? from.runId : from.replid))
      return [green(`${host} has ${keys} keys, which it received from the source`)]
    if (overwrite === runId) return [green(`${host} has ${keys} keys, which may go`)]
    return [red(`${host} has ${keys} keys`, `choose an empty group; or let them go: --overwrite ${runId}`)]
  })
  return [...found, ...members]
}

/** Scripts and functions. */
export function scriptTrap(source: Source, target: Target): Trap {
  const from = source.redis
  const why = 'loaded scripts are in no RDB since 7.0: whoever calls EVALSHA and does not fall back to EVAL gets NOSCRIPT from the new primary'
  const calls = from.calls.ok ? (from.calls.value.get('evalsha') ?? 0) + (from.calls.value.get('evalsha_ro') ?? 0) : null
  const scripts = ((): Judged => {
    if (calls === null) return unseen('whether scripts are called by their hash', from.calls.ok ? '' : from.calls.why)
    if (calls === 0) return green('the source was never called by EVALSHA since it runs')
    const stays =
      capabilitiesOf(from.version).replicatesScripts && target.members.every(({ redis }) => redis.ok && capabilitiesOf(redis.value.version).replicatesScripts)
    return stays
      ? green(`${calls} calls by EVALSHA; these versions hand scripts to replicas`)
      : yellow(
          `${calls} calls by EVALSHA (those of migrate verify among them)`,
          'know that the clients fall back to EVAL; or SCRIPT LOAD them on every member before the cut-over (a restart of its redis forgets them), and accept it',
        )
  })()
  const without = target.members.filter(({ redis }) => redis.ok && !capabilitiesOf(redis.value.version).functions).map(({ host }) => host)
  const functions = ((): readonly Judged[] => {
    if (from.functions === null || without.length === 0) return []
    if (!from.functions.ok) return [unseen('whether the source has functions', from.functions.why)]
    const { value } = from.functions
    return value === 0 ? [] : [red(`${value} libraries of functions, and ${without.join(', ')} know none`, 'a target of 7.0 or later')]
  })()
  return trap('P7', why, [scripts, ...functions])
}

export function setting({ settings }: Instance, name: string): number | null {
  if (!settings.ok) return null
  const text = settings.value.get(name)
  const value = text === undefined || text === '' ? Number.NaN : Number(text)
  return Number.isFinite(value) ? value : null
}

export function words({ settings }: Instance, ...names: readonly string[]): string | null {
  if (!settings.ok) return null
  for (const name of names) {
    const text = settings.value.get(name)
    if (text !== undefined) return text
  }
  return null
}

export function whyNot({ settings }: Instance): string {
  return settings.ok ? 'this version does not tell it' : settings.why
}
