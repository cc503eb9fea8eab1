/** A redis that is to be adopted as it runs: what `adopt/` must know of it. Reads only, and tells no password. Must not judge: that is adopt/. */
import type { RunningRedis } from '../adopt/found.ts'
import type { Observed } from '../model/outcome.ts'
import { factsFromFields, parseInfo } from '../redis/info.ts'
import { openRaw, RawError, type RawRedis, type RawReply, type RawTarget } from '../redis/raw.ts'

const deadlineMs = 5000
/** What the agent calls, by the names that every version has. One of the last two. */
const needed = ['config', 'client', 'info', 'ping', 'psync', 'replconf'] as const
const roleCommands = ['replicaof', 'slaveof'] as const
const secret = /pass|auth|user/i

export interface Looked {
  readonly redis: RunningRedis
  /** As it runs; undefined: it may not be asked. */
  readonly requirepass: string | undefined
  readonly masterauth: string | undefined
}

export async function lookAtRunning(target: RawTarget & { readonly host: string; readonly port: number }): Promise<Observed<Looked>> {
  const opened = await openRaw(target, deadlineMs)
  if (!opened.ok) return opened
  const redis = opened.value
  try {
    return await look(redis, target)
  } catch (error) {
    return { ok: false, why: (error as Error).message }
  } finally {
    redis.close()
  }
}

async function look(redis: RawRedis, { host, port }: { readonly host: string; readonly port: number }): Promise<Observed<Looked>> {
  const info = await redis.call('INFO')
  const fields = info instanceof RawError ? null : parseInfo(textOf(info))
  const facts = fields === null ? null : factsFromFields(fields)
  if (fields === null || facts === null) return { ok: false, why: info instanceof RawError ? info.text : 'what answers there is no redis' }
  const settings = pairsIn(await redis.call('CONFIG', 'GET', '*'))
  const clients = await redis.call('CLIENT', 'LIST')
  const valkey = fields.get('valkey_version')
  const told = settings === null ? null : [...settings].filter(([name]) => !secret.test(name) || name === 'masteruser')
  return {
    ok: true,
    value: {
      redis: {
        at: `${host}:${port}`,
        port,
        product: valkey === undefined ? 'redis' : 'valkey',
        version: valkey ?? facts.version,
        runId: facts.runId,
        pid: facts.pid,
        configFile: facts.configFile,
        role: facts.role,
        upstream: facts.upstream,
        linkUp: facts.linkUp,
        syncing: facts.syncing || facts.loading,
        replid: facts.replid,
        offset: facts.offset,
        keys: facts.keys,
        isCluster: fields.get('cluster_enabled') === '1',
        replicas: facts.followers.map(({ ip, port: its }) => ({ ip, port: its })),
        watchedBySentinels: clients instanceof RawError ? null : / name=sentinel-[0-9a-f]{8}-(cmd|pubsub) /.test(textOf(clients)),
        lacking: await lackingIn(redis),
        settings: told === null ? null : Object.fromEntries(told),
      },
      requirepass: settings?.get('requirepass'),
      masterauth: settings?.get('masterauth') ?? settings?.get('primaryauth'),
    },
  }
}

/** Those that do not answer to their own name: renamed, or taken away. Not told: none is known to be. */
async function lackingIn(redis: RawRedis): Promise<readonly string[]> {
  const names = [...needed, ...roleCommands]
  const answer = await redis.call('COMMAND', 'INFO', ...names)
  if (!Array.isArray(answer)) return []
  const known = new Set(names.filter((_, i) => Array.isArray((answer as readonly RawReply[])[i])))
  const role = roleCommands.some((name) => known.has(name)) ? [] : [roleCommands[0]]
  return [...needed.filter((name) => !known.has(name)), ...role].map((name) => name.toUpperCase())
}

function pairsIn(reply: RawReply): ReadonlyMap<string, string> | null {
  if (!Array.isArray(reply)) return null
  const all = (reply as readonly RawReply[]).map(textOf)
  return new Map(all.flatMap((name, i) => (i % 2 === 0 ? [[name, all[i + 1] ?? ''] as const] : [])))
}

function textOf(reply: RawReply): string {
  if (reply instanceof RawError) return reply.text
  return Buffer.isBuffer(reply) ? reply.toString() : String(reply)
}
