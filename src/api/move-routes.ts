/**
 * A move of another redis to a group, over HTTP behind the secret: each member is given how the source is entered; what is asked of the move goes
 * the way of every request. Functions, no sockets.
 */
import type { Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import type { AgentSurface } from '../agent/surface.ts'
import { isWindow, type SyncTerms } from '../model/sync-terms.ts'
import type { Armed, AskedOrder, MoveOrder, SourceRecord, SourceTls } from '../model/move.ts'
import type { ListedClient } from '../model/relay.ts'

const maxTextBytes = 4096
/** A bundle of all authorities that a distribution trusts has some 250 KB. */
const maxPemBytes = 1_048_576
const maxBodyBytes = 2 * maxPemBytes
const maxRaises = 16
const askMs = 1000
const mostP99Ms = 60_000
/** What is later is no date, and telling it would fail in every cycle of whoever was asked. */
const latestWallMs = 8.64e15

/** With certificates it is larger than anything else that is asked. */
export function addSourceRoute(app: Hono, agent: AgentSurface): void {
  const limit = bodyLimit({ maxSize: maxBodyBytes, onError: (c) => c.json({ error: `the body is above ${maxBodyBytes} bytes` }, 413) })
  app.post('/groups/:group/source', limit, async (c) => {
    const record = parseRecord(await c.req.json().catch(() => null))
    if (record === null) return c.json({ error: 'that says not how a redis is entered' }, 400)
    const source = agent.source(c.req.param('group'))
    if (source === null) return c.json({ error: `no data of ${c.req.param('group')} on ${agent.host}` }, 404)
    const known = source.access.record()
    // What was changed there is put back by what this host remembers of it, not by what a command has seen since.
    const same = known !== null && known.host === record.host && known.port === record.port
    const isChanged = same && (known.raised || known.hold !== null || known.guard != null || known.ownTimeout != null)
    const { raises, raised, hold, guard, ownTimeout } = isChanged ? known : record
    const changed = {
      raises: isChanged && !raised ? record.raises : raises,
      raised,
      hold,
      ...(guard == null ? {} : { guard }),
      ...(ownTimeout == null ? {} : { ownTimeout }),
    }
    // Read while it follows it would be what it was set to.
    const worth = same && known.priority !== undefined ? { priority: known.priority } : {}
    const way = same && known.wayPort !== undefined ? { wayPort: known.wayPort } : {}
    const kept = await source.access.keep({ ...record, ...changed, ...worth, ...way })
    if (!kept.done) return c.json({ ok: false, why: kept.why })
    const look = await source.look(record)
    return c.json(look.ok ? { ok: true } : { ok: false, why: look.why })
  })
}

export function addMoveRoutes(app: Hono, agent: AgentSurface): void {
  app.get('/groups/:group/source/clients', async (c) => {
    const link = agent.source(c.req.param('group'))?.access.link() ?? null
    if (link === null) return c.json({ error: `${agent.host} has no connection to a source of ${c.req.param('group')}` }, 404)
    const [own, list] = await Promise.all([link.call(['CLIENT', 'ID'], askMs), link.call(['CLIENT', 'LIST'], askMs)])
    if (!list.ok) return c.json({ error: list.why }, 502)
    const text = String(list.value)
    const others = own.ok ? text.split('\n').filter((line) => !line.startsWith(`id=${String(own.value)} `)) : text.split('\n')
    const watched = agent.snapshot(c.req.param('group'))?.policy.sentinel != null
    return c.json({ clients: clientsIn(others.join('\n')).filter(({ name }) => !watched || !ofSentinel.test(name)) })
  })
}

/** As Sentinels name their connections. Those of a group take a former primary for a replica of whoever serves. */
const ofSentinel = /^sentinel-[0-9a-f]{8}-(cmd|pubsub)$/

/** Who is connected there and is not ours: a line of CLIENT LIST has replicas, this agent and clients. */
export function clientsIn(list: string): readonly ListedClient[] {
  return list
    .split('\n')
    .map(
      (line) =>
        new Map(
          line
            .trim()
            .split(' ')
            .map((word) => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)] as const),
        ),
    )
    .filter((client) => client.has('addr') && !/[SM]/.test(client.get('flags') ?? ''))
    .map((client) => ({
      address: client.get('addr') ?? '',
      name: client.get('name') ?? '',
      command: client.get('cmd') ?? '',
      idleS: Number(client.get('idle') ?? 0),
    }))
}

/** A start is looked at by the agent that is to follow: what it cannot see it does not begin. */
export async function withLook(agent: AgentSurface, group: string, order: AskedOrder): Promise<{ readonly order: MoveOrder } | { readonly why: string }> {
  if (order.verb !== 'start') return { order }
  const source = agent.source(group)
  const record = source?.access.record() ?? null
  if (source === null || record === null || record.host !== order.source.host || record.port !== order.source.port)
    return { why: `how ${order.source.host}:${order.source.port} is entered is not known to ${agent.host}` }
  const seen = await source.look(record)
  const at = { host: record.host, port: record.port, ...(record.tls === undefined ? {} : { tls: true as const }) }
  return seen.ok ? { order: { ...order, source: at, seen: seen.value } } : { why: `${agent.host} cannot ask ${record.host}:${record.port}: ${seen.why}` }
}

export function parseOrder(value: unknown): AskedOrder | null {
  if (typeof value !== 'object' || value === null) return null
  const { verb, source, overwrite, keys, armed, unverified, terms, plainWayBack, acceptLoss } = value as Record<string, unknown>
  const skips = typeof unverified === 'boolean' ? unverified : null
  switch (verb) {
    case 'start': {
      const at = parseAt(source)
      const asked = parseTerms(terms)
      const plain = plainWayBack === true ? { plainWayBack: true as const } : {}
      return at === null || asked === null || (overwrite !== null && typeof overwrite !== 'string')
        ? null
        : { verb, source: at, overwrite, terms: asked, ...plain }
    }
    case 'verified':
      return Number.isInteger(keys) && (keys as number) >= 0 ? { verb, keys: keys as number } : null
    case 'arm': {
      const parsed = armed === null ? null : parseArmed(armed)
      return parsed === undefined || skips === null ? null : { verb, armed: parsed, unverified: skips }
    }
    case 'cutover':
      return skips === null ? null : { verb, unverified: skips }
    case 'rollback':
      return acceptLoss === undefined || typeof acceptLoss === 'boolean' ? { verb, acceptLoss: acceptLoss === true } : null
    case 'commit':
    case 'abort':
      return { verb }
    default:
      return null
  }
}

/** What is not named stays as it is. null: that says nothing. */
function parseTerms(value: unknown): Partial<SyncTerms> | null {
  if (value === undefined) return {}
  const { window, maxP99Ms } = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>
  if (window !== undefined && window !== null && !isWindow(window)) return null
  if (maxP99Ms !== undefined && maxP99Ms !== null && !(typeof maxP99Ms === 'number' && maxP99Ms > 0 && maxP99Ms <= mostP99Ms)) return null
  return { ...(window === undefined ? {} : { window }), ...(maxP99Ms === undefined ? {} : { maxP99Ms }) }
}

function parseArmed(value: unknown): Armed | undefined {
  const { fromWallMs, onFile, untilWallMs } = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>
  const isTime = (it: unknown): it is number | null => it === null || (Number.isFinite(it) && Math.abs(it as number) <= latestWallMs)
  if (!isTime(fromWallMs) || !isTime(untilWallMs) || typeof onFile !== 'boolean' || onFile === (fromWallMs !== null)) return undefined
  return { fromWallMs, onFile, untilWallMs }
}

function parseAt(value: unknown): { readonly host: string; readonly port: number } | null {
  const { host, port } = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>
  return isText(host) && host !== '' && isPort(port) ? { host, port } : null
}

function parseRecord(value: unknown): SourceRecord | null {
  const at = parseAt(value)
  const { user, password, raises, priority, tls } = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>
  const fits = (user === null || isText(user)) && (password === null || isText(password)) && Array.isArray(raises) && raises.length <= maxRaises
  if (at === null || !fits || !raises.every(isRaise) || !(priority === undefined || isPriority(priority))) return null
  const secured = tls === undefined ? {} : parseTls(tls)
  return secured === null ? null : { ...at, user, password, raises, raised: false, hold: null, ...(priority === undefined ? {} : { priority }), ...secured }
}

/** null: what is not understood must not be taken for "without TLS". */
function parseTls(value: unknown): { readonly tls: SourceTls } | null {
  if (typeof value !== 'object' || value === null) return null
  const { name, ca, cert, key } = value as Record<string, unknown>
  const fits = [name, ca, cert, key].every((text) => text === undefined || (typeof text === 'string' && text.length <= maxPemBytes))
  return fits ? { tls: { name, ca, cert, key } as SourceTls } : null
}

function isRaise(value: unknown): value is SourceRecord['raises'][number] {
  const { name, from, to } = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>
  return isText(name) && isText(from) && isText(to) && /^(repl-|client-output-buffer-limit$)/.test(name)
}

function isPriority(value: unknown): value is NonNullable<SourceRecord['priority']> {
  const { name, value: worth } = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>
  return (name === 'replica-priority' || name === 'slave-priority') && isText(worth) && /^[0-9]+$/.test(worth)
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length <= maxTextBytes
}

function isPort(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) > 0 && (value as number) < 65536
}
