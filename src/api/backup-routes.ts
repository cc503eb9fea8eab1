/** Backups over HTTP behind the secret: what this agent knows of them, one now, and no, not that one. Functions, no sockets. */
import type { Hono } from 'hono'
import type { AgentSurface } from '../agent/surface.ts'

const maxReasonChars = 300

export function addBackupRoutes(app: Hono, agent: AgentSurface): void {
  const missing = (group: string) => ({ error: `${agent.host} makes no backups of ${group}` })
  app.get('/groups/:group/backup', (c) => {
    const care = agent.backups(c.req.param('group'))
    return care === null ? c.json(missing(c.req.param('group')), 404) : c.json(care.report())
  })
  app.post('/groups/:group/backup/take', async (c) => {
    const { from = null, reason, by } = (await c.req.json().catch(() => ({}))) as { from?: unknown; reason?: unknown; by?: unknown }
    if ((from !== null && typeof from !== 'string') || typeof reason !== 'string' || reason === '' || typeof by !== 'string')
      return c.json({ error: 'not an order for a backup' }, 400)
    const care = agent.backups(c.req.param('group'))
    if (care === null) return c.json(missing(c.req.param('group')), 404)
    return c.json(care.take({ from, reason: reason.slice(0, maxReasonChars), by: by.slice(0, 100) }))
  })
  app.post('/groups/:group/backup/stop', async (c) => {
    const { id, by } = (await c.req.json().catch(() => ({}))) as { id?: unknown; by?: unknown }
    if (typeof id !== 'string' || typeof by !== 'string') return c.json({ error: 'not the id of a backup' }, 400)
    const care = agent.backups(c.req.param('group'))
    return care === null ? c.json(missing(c.req.param('group')), 404) : c.json({ ok: care.stop(id, `${by.slice(0, 100)} called it off`) })
  })
}
