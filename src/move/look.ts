/**
 * A redis of any version as a migration must know it: what it is, has, does and may be asked. Reads only; what is refused is a fact. Must not judge: that
 * is migrate/.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Instance } from '../migrate/facts.ts'
import { mayReadStream } from '../migrate/acl.ts'
import { capabilitiesOf, versionFrom } from '../migrate/versions.ts'
import type { Observed } from '../model/outcome.ts'
import { failedIn, factsFromFields, parseInfo, type InfoFields } from '../redis/info.ts'
import { formatOfDump } from '../redis/dump-footer.ts'
import { openRaw, RawError, type RawRedis, type RawReply, type RawTarget, type Word } from '../redis/raw.ts'

const deadlineMs = 5000
const clockRounds = 5
/** A key of this size costs nobody anything. */
const smallBytes = 4096
const dumpTries = 10
/** A connection that is silent for longer is closed where `timeout` says so; and the busiest second is what buffers must hold. */
const lookAgainMs = 1000
const namesAtOnce = 100

export interface LookOptions {
  /** Between the two looks at its offset: a second at least tells a rate. */
  readonly overMs: number
  readonly signal: AbortSignal
}

/** Not ok: it cannot be reached or is no redis. Throws only the reason of `signal`. */
export async function lookAt(
  target: RawTarget & { readonly host: string; readonly port: number },
  { overMs, signal }: LookOptions,
): Promise<Observed<Instance>> {
  const opened = await openRaw(target, deadlineMs)
  if (!opened.ok) return opened
  const redis = opened.value
  try {
    return await look(redis, target, overMs, signal)
  } catch (error) {
    signal.throwIfAborted()
    return { ok: false, why: (error as Error).message }
  } finally {
    redis.close()
  }
}

async function look(
  redis: RawRedis,
  { host, port }: { readonly host: string; readonly port: number },
  overMs: number,
  signal: AbortSignal,
): Promise<Observed<Instance>> {
  const fields = await info(redis)
  const version = versionFrom(fields)
  const was = factsFromFields(fields)
  if (version === null || was === null) return { ok: false, why: 'what answers there tells no version of redis' }
  const can = capabilitiesOf(version)
  const [clock, settings, commands, modules, users, names, functions] = [
    await clockOf(redis),
    pairs(await redis.call('CONFIG', 'GET', '*')),
    await commandsOf(redis),
    moduleNames(await redis.call('MODULE', 'LIST')),
    can.acl ? lines(await redis.call('ACL', 'LIST')) : null,
    lines(await redis.call('CLIENT', 'LIST')),
    can.functions ? counted(await redis.call('FUNCTION', 'LIST')) : null,
  ]
  const rdbFormat = await formatOf(redis)
  const psync = await mayPsync(redis, can.acl)
  const { now, bytesPerS, overS, uncounted } = await watched(redis, overMs, signal)
  const facts = factsFromFields(now) ?? was
  const num = (name: string): number => Number(now.get(name) ?? 0) || 0
  return {
    ok: true,
    value: {
      at: `${host}:${port}`,
      host,
      port,
      version,
      runId: facts.runId,
      role: facts.role,
      upstream: facts.upstream,
      replid: facts.replid,
      offset: facts.offset,
      bytesPerS,
      overS,
      ...(uncounted ? { uncounted } : {}),
      usedBytes: num('used_memory'),
      rssBytes: num('used_memory_rss'),
      machineBytes: num('total_system_memory'),
      keys: facts.keys,
      highestDb: facts.highestDb ?? -1,
      isCluster: now.get('cluster_enabled') === '1',
      loading: facts.loading,
      forkUs: num('latest_fork_usec'),
      clients: num('connected_clients'),
      failed: failedIn(now),
      watchedBySentinels: names.ok ? { ok: true, value: names.value.some((line) => / name=sentinel-[0-9a-f]{8}-(cmd|pubsub) /.test(`${line} `)) } : names,
      replicas: facts.followers.map(({ ip, port: its }) => ({ ip, port: its })),
      clock,
      settings,
      commands: commands.known,
      renamed: commands.renamed,
      calls: callsIn(now),
      modules,
      users,
      psync,
      rdbFormat,
      functions,
    },
  }
}

async function info(redis: RawRedis): Promise<InfoFields> {
  const all = await redis.call('INFO', 'all')
  if (all instanceof RawError) throw new Error(all.text)
  return parseInfo(textOf(all))
}

/** Its stream for so long: the busiest second. */
async function watched(
  redis: RawRedis,
  overMs: number,
  signal: AbortSignal,
): Promise<{ readonly now: InfoFields; readonly bytesPerS: number; readonly overS: number; readonly uncounted: boolean }> {
  const beganMs = performance.now()
  let [now, atMs, bytesPerS] = [await info(redis), performance.now(), 0]
  do {
    await delay(Math.max(0, Math.min(lookAgainMs, beganMs + overMs - performance.now())), undefined, { signal })
    const [next, nextMs] = [await info(redis), performance.now()]
    const [was, is] = [factsFromFields(now), factsFromFields(next)]
    if (was !== null && is !== null && was.runId === is.runId && was.replid === is.replid)
      bytesPerS = Math.max(
        bytesPerS,
        (writtenBetween({ fields: now, offset: was.offset }, { fields: next, offset: is.offset }) * 1000) / Math.max(1, nextMs - atMs),
      )
    ;[now, atMs] = [next, nextMs]
  } while (performance.now() - beganMs < overMs)
  const uncounted = now.get('repl_backlog_active') === '0'
  return { now, bytesPerS: Math.round(bytesPerS), overS: Math.max(0.001, (performance.now() - beganMs) / 1000), uncounted }
}

interface Written {
  readonly fields: InfoFields
  readonly offset: number
}

/** A redis that has never had a replica counts nothing of its stream: what came in is more than what was written, and the most that can be told. */
export function writtenBetween(was: Written, is: Written): number {
  if (is.fields.get('repl_backlog_active') !== '0') return is.offset - was.offset
  const cameIn = ({ fields }: Written): number => Number(fields.get('total_net_input_bytes') ?? 0)
  return Math.max(is.offset - was.offset, cameIn(is) - cameIn(was))
}

/** Of several answers the quickest: the clock was read somewhere between question and answer. */
async function clockOf(redis: RawRedis): Promise<Instance['clock']> {
  let best: { readonly aheadMs: number; readonly withinMs: number } | null = null
  for (let round = 0; round < clockRounds; round += 1) {
    const [beforeMs, startedMs] = [Date.now(), performance.now()]
    const answer = await redis.call('TIME')
    const tookMs = performance.now() - startedMs
    if (!Array.isArray(answer)) return { ok: false, why: answer instanceof RawError ? answer.text : 'TIME is not answered' }
    const [seconds, micros] = (answer as readonly RawReply[]).map((one) => Number(textOf(one)))
    const theirsMs = (seconds ?? 0) * 1000 + (micros ?? 0) / 1000
    if (best === null || tookMs / 2 < best.withinMs) best = { aheadMs: theirsMs - (beforeMs + tookMs / 2), withinMs: tookMs / 2 }
  }
  return best === null ? { ok: false, why: 'TIME is not answered' } : { ok: true, value: best }
}

function pairs(reply: RawReply): Observed<ReadonlyMap<string, string>> {
  if (!isList(reply)) return refused(reply)
  const found = new Map<string, string>()
  for (let i = 0; i + 1 < reply.length; i += 2) found.set(textOf(reply[i] ?? ''), textOf(reply[i + 1] ?? ''))
  return { ok: true, value: found }
}

/** COMMAND tells each by the name that it was born with, also where it has another one here: each is asked for by name. */
async function commandsOf(redis: RawRedis): Promise<{ readonly known: Instance['commands']; readonly renamed: readonly string[] }> {
  const all = await redis.call('COMMAND')
  if (!isList(all)) return { known: refused(all), renamed: [] }
  const names = [...new Set(all.flatMap((one) => (isList(one) && one[0] !== undefined ? [textOf(one[0]).toLowerCase()] : [])))]
  const known = new Set<string>()
  for (let at = 0; at < names.length; at += namesAtOnce) {
    const some = names.slice(at, at + namesAtOnce)
    const answers = await redis.call('COMMAND', 'INFO', ...some)
    if (!isList(answers)) return { known: refused(answers), renamed: [] }
    for (const [i, name] of some.entries()) if (isList(answers[i] ?? null)) known.add(name)
  }
  return { known: { ok: true, value: known }, renamed: names.filter((name) => !known.has(name)) }
}

/** Before 4.0 there were none: no such command is no module. */
function moduleNames(reply: RawReply): Observed<readonly string[]> {
  if (reply instanceof RawError && /unknown command/i.test(reply.text)) return { ok: true, value: [] }
  if (!isList(reply)) return refused(reply)
  return {
    ok: true,
    value: reply.flatMap((one) => {
      if (!isList(one)) return []
      const at = one.findIndex((word) => textOf(word) === 'name')
      return at < 0 ? [] : [textOf(one[at + 1] ?? '')]
    }),
  }
}

function lines(reply: RawReply): Observed<readonly string[]> {
  if (reply instanceof RawError || reply === null) return refused(reply)
  const all = isList(reply) ? reply.map(textOf) : textOf(reply).split('\n')
  return { ok: true, value: all.filter((line) => line !== '') }
}

function counted(reply: RawReply): Observed<number> {
  return isList(reply) ? { ok: true, value: reply.length } : refused(reply)
}

/** `cmdstat_get:calls=3,…`; from 7.0 on with subcommands, `cmdstat_config|get`. */
function callsIn(fields: InfoFields): Instance['calls'] {
  const found = new Map<string, number>()
  for (const [name, value] of fields) {
    const calls = name.startsWith('cmdstat_') ? /calls=(\d+)/.exec(value)?.[1] : undefined
    if (calls !== undefined) found.set(name.slice('cmdstat_'.length).toLowerCase(), Number(calls))
  }
  // Whoever answers INFO was asked for it.
  return found.size === 0 ? { ok: false, why: 'INFO commandstats tells nothing' } : { ok: true, value: found }
}

/** What the server itself writes: no table knows every version. */
async function formatOf(redis: RawRedis): Promise<Instance['rdbFormat']> {
  for (let tries = 0; tries < dumpTries; tries += 1) {
    const key = await redis.call('RANDOMKEY')
    if (key instanceof RawError) return refused(key)
    if (!Buffer.isBuffer(key)) return { ok: false, why: 'database 0 has no key' }
    // No call that fails: it would stand in errorstats.
    if ((await redis.call('TYPE', key)) !== 'string') continue
    const bytes = await redis.call('STRLEN', key)
    if (typeof bytes !== 'number' || bytes > smallBytes) continue
    const dump = await redis.call('DUMP', key)
    if (dump instanceof RawError) return refused(dump)
    const format = Buffer.isBuffer(dump) ? formatOfDump(dump) : null
    if (format !== null) return { ok: true, value: format }
  }
  return { ok: false, why: 'no small string was found' }
}

/** Without words PSYNC is only wrong: nothing is begun. Who may not call it is told by the ACL, if that may be asked. */
async function mayPsync(redis: RawRedis, hasAcl: boolean): Promise<Instance['psync']> {
  const bare = await redis.call('PSYNC')
  if (bare instanceof RawError && !/wrong number of arguments/i.test(bare.text)) return { may: false, why: bare.text }
  if (!hasAcl) return { may: true, why: '' }
  const me = await redis.call('ACL', 'WHOAMI')
  if (me instanceof RawError || me === null) return { may: null, why: `who we are is not told: ${me === null ? '' : me.text}` }
  const dry = await redis.call('ACL', 'DRYRUN', wordOf(me), 'PSYNC', '?', '-1')
  if (!(dry instanceof RawError)) return textOf(dry) === 'OK' ? { may: true, why: '' } : { may: false, why: textOf(dry) }
  // Before 7.0.
  const user = await redis.call('ACL', 'GETUSER', wordOf(me))
  if (!isList(user)) return { may: null, why: `the ACL of ${textOf(me)} may not be read: ${user instanceof RawError ? user.text : ''}` }
  const at = user.findIndex((word) => textOf(word) === 'commands')
  const rules = at < 0 ? '' : textOf(user[at + 1] ?? '')
  return mayReadStream(rules) ? { may: true, why: '' } : { may: false, why: `the ACL of ${textOf(me)} (${rules}) does not allow it` }
}

function wordOf(reply: RawReply): Word {
  return Buffer.isBuffer(reply) ? reply : textOf(reply)
}

function isList(reply: RawReply): reply is readonly RawReply[] {
  return Array.isArray(reply)
}

function textOf(reply: RawReply): string {
  if (reply instanceof RawError) return reply.text
  return Buffer.isBuffer(reply) ? reply.toString() : String(reply)
}

function refused(reply: RawReply): Observed<never> {
  return { ok: false, why: reply instanceof RawError ? reply.text : 'it answers something else' }
}
