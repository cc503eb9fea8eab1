/** What is kept, over HTTP behind the secret: list, content in pages, seen, the journal of a replay. Functions, no sockets. */
import type { Hono } from 'hono'
import type { ReplayLine } from '../model/kept.ts'
import type { AgentSurface } from '../agent/surface.ts'

const maxPageBytes = 1024 * 1024
const maxItems = 200

export function addKeptRoutes(app: Hono, agent: AgentSurface): void {
  const missing = (id: string) => ({ error: `${agent.host} keeps nothing called ${id}` })
  app.get('/groups/:group/kept', async (c) => {
    const kept = agent.kept(c.req.param('group'))
    return kept === null ? c.json({ error: `no group ${c.req.param('group')} on ${agent.host}` }, 404) : c.json({ host: agent.host, kept: await kept.list() })
  })
  app.get('/groups/:group/kept/:id/content', async (c) => {
    const offset = Math.max(0, Math.floor(Number(c.req.query('offset') ?? 0)) || 0)
    const limit = Math.min(maxPageBytes, Math.max(1, Math.floor(Number(c.req.query('limit') ?? maxPageBytes)) || maxPageBytes))
    const page = await agent.kept(c.req.param('group'))?.page(c.req.param('id'), offset, limit)
    return page == null ? c.json(missing(c.req.param('id')), 404) : c.json(page)
  })
  app.post('/groups/:group/kept/:id/seen', async (c) => {
    const { by, atWallMs } = (await c.req.json().catch(() => ({}))) as { by?: unknown; atWallMs?: unknown }
    const seen = await agent
      .kept(c.req.param('group'))
      ?.seen(c.req.param('id'), typeof by === 'string' ? by.slice(0, 100) : 'unknown', typeof atWallMs === 'number' ? atWallMs : 0)
    return seen === true ? c.json({ ok: true }) : c.json(missing(c.req.param('id')), 404)
  })
  app.get('/groups/:group/kept/:id/journal', async (c) => {
    const lines = await agent.kept(c.req.param('group'))?.journal(c.req.param('id'))
    return lines == null ? c.json(missing(c.req.param('id')), 404) : c.json({ lines })
  })
  app.post('/groups/:group/kept/:id/journal', async (c) => {
    const body = (await c.req.json().catch(() => null)) as { line?: unknown; expectLines?: unknown } | null
    const line = parseLine(body?.line)
    if (line === null || typeof body?.expectLines !== 'number') return c.json({ error: 'not a line of a journal' }, 400)
    const lines = await agent.kept(c.req.param('group'))?.append(c.req.param('id'), line, body.expectLines)
    return lines === undefined || lines === 'missing' ? c.json(missing(c.req.param('id')), 404) : c.json({ lines: lines === 'overtaken' ? null : lines })
  })
}

function parseLine(value: unknown): ReplayLine | null {
  if (typeof value !== 'object' || value === null) return null
  const { atWallMs, by, run, what, items, before, text } = value as Record<string, unknown>
  const kinds = ['begin', 'intent', 'applied', 'not-applied', 'end'] as const
  const kind = kinds.find((k) => k === what)
  const words = (list: unknown): list is string[] =>
    Array.isArray(list) && list.length <= maxItems && list.every((i) => typeof i === 'string' && i.length <= 64)
  if (kind === undefined || typeof atWallMs !== 'number' || typeof by !== 'string' || typeof run !== 'string' || typeof text !== 'string') return null
  if (!words(items) || (before !== undefined && !words(before))) return null
  return { atWallMs, by: by.slice(0, 100), run: run.slice(0, 64), what: kind, items, text: text.slice(0, 300), ...(before === undefined ? {} : { before }) }
}
