/**
 * HTTP as a function: Request → Response, no sockets here, so tests need none. Two faces: `publicRoutes` are the health
 * checks that load balancers ask without a secret (a status code and nothing else) and the metrics; `agentRoutes` are behind the secret.
 */
import { Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import type { AskedOrder } from '../model/move.ts'
import { passwordKinds } from '../model/password.ts'
import type { Request as OperatorRequest } from '../model/view.ts'
import type { GroupSnapshot } from '../agent/group.ts'
import type { AgentSurface } from '../agent/surface.ts'
import { addBackupRoutes } from './backup-routes.ts'
import { addConfigRoutes } from './config-routes.ts'
import { addKeptRoutes } from './kept-routes.ts'
import { addMoveRoutes, addSourceRoute, parseOrder, withLook } from './move-routes.ts'
import { addPasswordRoutes } from './password-routes.ts'
import { metricsText } from './metrics.ts'
import { addRelayRoutes } from './relay-routes.ts'
import { addSentinelRoutes } from './sentinel-routes.ts'
import { explainGroup, writesRefused } from '../decide/explain.ts'
import { redisAnswers } from '../decide/situation.ts'

const maxBodyBytes = 16_384
const requestDeadlineMs = 20_000
const kinds = ['switchover', 'failover', 'pause', 'resume', 'reinit', 'accept', 'move'] as const

export function publicRoutes(agent: AgentSurface): Hono {
  const app = new Hono()
  const answer = (good: boolean) => new Response(null, { status: good ? 200 : 503 })
  app.get('/liveness', () => answer(true))
  app.get('/readiness', () => answer(agent.groups().every((g) => agent.snapshot(g)?.view != null)))
  app.get('/metrics', (c) => c.text(metricsText(agent), 200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }))
  app.get('/:group/:check', (c) => {
    const snapshot = agent.snapshot(c.req.param('group'))
    if (snapshot === null) return new Response(null, { status: 404 })
    const lag = c.req.query('lag')
    const good = healthCheck(snapshot, c.req.param('check'), lag === undefined ? null : Number(lag))
    return good === null ? new Response(null, { status: 404 }) : answer(good)
  })
  app.notFound(() => new Response(null, { status: 404 }))
  return app
}

/** Patroni's names. null: no such check. `lagBytes`: a replica further behind is not good. */
export function healthCheck(snapshot: GroupSnapshot, check: string, lagBytes: number | null): boolean | null {
  const { state, view } = snapshot
  const answers = view !== null && redisAnswers(view)
  // One that holds writes back may have been replaced: a load balancer that goes on sending it clients would have two primaries.
  const primary = answers && state.phase === 'primary' && state.writesHeldSinceMs === null && view.redis.facts?.role === 'primary'
  const follower = answers && state.phase === 'replica' && view.redis.facts?.linkUp === true && snapshot.statement?.trueCopy !== false
  const replica = follower && (lagBytes === null || (lagOf(snapshot) ?? Number.MAX_SAFE_INTEGER) <= lagBytes)
  if (check === 'primary' || check === 'read-write') return primary
  if (check === 'replica') return replica
  if (check === 'read-only') return primary || replica
  if (check === 'health') return answers
  return null
}

function refusalOf(snapshot: GroupSnapshot | null): string | null {
  return snapshot?.view == null ? null : writesRefused(snapshot.state, snapshot.view, snapshot.policy)
}

function lagOf(snapshot: GroupSnapshot): number | null {
  const { state, view } = snapshot
  const holder = view?.peers.find((p) => p.host === state.holder)?.statement?.redis
  const own = view?.redis.facts
  return holder == null || own == null ? null : Math.max(0, holder.offset - own.offset)
}

export function agentRoutes(agent: AgentSurface): Hono {
  const app = new Hono()
  // Before the limit that is for all others.
  addConfigRoutes(app, agent)
  addSourceRoute(app, agent)
  app.use(bodyLimit({ maxSize: maxBodyBytes, onError: (c) => c.json({ error: `the body is above ${maxBodyBytes} bytes` }, 413) }))
  app.get('/status', (c) =>
    c.json({
      host: agent.host,
      version: agent.version,
      config: hashes(agent),
      secretChanging: agent.secret.isChanging,
      groups: agent.groups().map((group) => {
        const snapshot = agent.snapshot(group)
        return {
          group,
          state: snapshot?.state,
          statement: snapshot?.statement,
          decision: brief(snapshot),
          refuses: refusalOf(snapshot),
          view: snapshot?.view,
          address: snapshot?.address,
          passwordsChanging: passwordKinds.filter((of) => agent.passwords(group, of)?.isChanging === true),
          cannotStart: agent.cannotStart(group),
          backup: agent.backups(group)?.report() ?? null,
        }
      }),
    }),
  )
  app.get('/groups/:group/explain', (c) => {
    const snapshot = agent.snapshot(c.req.param('group'))
    if (snapshot?.view == null) return c.json({ error: 'this agent knows nothing of that group yet' }, 404)
    return c.json(explainGroup(snapshot.state, snapshot.view, snapshot.policy))
  })
  app.get('/groups/:group/events', async (c) => {
    const limit = Math.min(10_000, Math.max(1, Number(c.req.query('limit') ?? 1000) || 1000))
    const group = c.req.param('group')
    if (!agent.groups().includes(group)) return c.json({ error: `no group ${group} on ${agent.host}` }, 404)
    return c.json({ host: agent.host, events: await agent.events(group, limit) })
  })
  addBackupRoutes(app, agent)
  addKeptRoutes(app, agent)
  addMoveRoutes(app, agent)
  addPasswordRoutes(app, agent)
  addRelayRoutes(app, agent)
  addSentinelRoutes(app, agent)
  app.post('/groups/:group/requests', async (c) => {
    const request = parseRequest(await c.req.json().catch(() => null))
    if (request === null) return c.json({ error: 'not a request' }, 400)
    const group = c.req.param('group')
    if (agent.snapshot(group) === null) return c.json({ error: `no group ${group} on ${agent.host}` }, 404)
    const { asked, ...rest } = request
    if (asked === undefined) return c.json(await agent.request(group, rest, requestDeadlineMs))
    const looked = await withLook(agent, group, asked)
    return c.json(
      'why' in looked ? { id: rest.id, ok: false, message: looked.why } : await agent.request(group, { ...rest, move: looked.order }, requestDeadlineMs),
    )
  })
  app.post('/groups/:group/fault/:kind', async (c) => {
    const kind = c.req.param('kind')
    if (kind !== 'crash' && kind !== 'hang') return c.json({ error: 'crash or hang' }, 400)
    return c.json(await agent.fault(c.req.param('group'), kind))
  })
  app.notFound((c) => c.json({ error: 'no such route' }, 404))
  app.onError((error, c) => c.json({ error: error.message }, 500))
  return app
}

function hashes(agent: AgentSurface): object {
  const { hash, groups, problem } = agent.config.running()
  return { hash, groups, problem }
}

function brief(snapshot: GroupSnapshot | null): object | null {
  const decision = snapshot?.decision
  return decision == null ? null : { diagnosis: decision.diagnosis, rule: decision.rule, because: decision.because }
}

type AskedRequest = OperatorRequest & { readonly asked?: AskedOrder }

function parseRequest(body: unknown): AskedRequest | null {
  if (typeof body !== 'object' || body === null) return null
  const { id, kind, to, by, dryRun, reason, move } = body as Record<string, unknown>
  const known = kinds.find((k) => k === kind)
  if (typeof id !== 'string' || id.length > 64 || known === undefined) return null
  if (to !== null && to !== undefined && typeof to !== 'string') return null
  // Whoever meant a dry run must not get the real thing for a slip in its spelling.
  if (dryRun !== undefined && typeof dryRun !== 'boolean') return null
  // What an operator decides against the rules must say why, for whoever reads the lineage later.
  if (known === 'accept' && (typeof reason !== 'string' || reason.trim() === '')) return null
  const asked = known === 'move' ? parseOrder(move) : undefined
  if (asked === null) return null
  return {
    id,
    kind: known,
    to: to ?? null,
    by: typeof by === 'string' ? by.slice(0, 100) : 'unknown',
    dryRun: dryRun === true,
    ...(typeof reason === 'string' ? { reason: reason.slice(0, 300) } : {}),
    ...(asked === undefined ? {} : { asked }),
  }
}
