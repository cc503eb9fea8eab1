/**
 * The Sentinels of a group over HTTP behind the secret: a full look, and one repair at a time. The agents know the Sentinels' password and
 * reach their ports; whoever asks here may do neither. Functions, no sockets.
 */
import type { Hono } from 'hono'
import type { SentinelRepair } from '../model/sentinel-look.ts'
import type { AgentSurface } from '../agent/surface.ts'

export function addSentinelRoutes(app: Hono, agent: AgentSurface): void {
  const missing = (group: string) => ({ error: `no Sentinels of ${group} are known to ${agent.host}` })
  app.get('/groups/:group/sentinels', async (c) => {
    const care = agent.sentinels(c.req.param('group'))
    return care === null ? c.json(missing(c.req.param('group')), 404) : c.json(await care.look())
  })
  app.post('/groups/:group/sentinels/repair', async (c) => {
    const repair = parseRepair(await c.req.json().catch(() => null))
    if (repair === null) return c.json({ error: 'not a repair' }, 400)
    const care = agent.sentinels(c.req.param('group'))
    return care === null ? c.json(missing(c.req.param('group')), 404) : c.json(await care.repair(repair))
  })
}

/** Whether it is called for is judged where it is made; here, only that it is one. */
function parseRepair(body: unknown): SentinelRepair | null {
  if (typeof body !== 'object' || body === null) return null
  const { kind, host, group, at } = body as Record<string, unknown>
  const isName = (value: unknown): value is string => typeof value === 'string' && value !== '' && value.length <= 256
  if (kind === 'forget') {
    const { ip, port } = (at ?? {}) as Record<string, unknown>
    return isName(group) && isName(ip) && typeof port === 'number' && Number.isInteger(port) ? { kind, at: { ip, port }, group } : null
  }
  if (!isName(host)) return null
  if (kind === 'remove') return isName(group) ? { kind, host, group } : null
  const known = (['set', 'renew-id', 'introduce', 'reset'] as const).find((k) => k === kind)
  return known === undefined ? null : { kind: known, host }
}
