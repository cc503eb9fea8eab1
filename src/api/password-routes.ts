/** The password of a group while it is changed, over HTTP behind the secret. Functions, no sockets. */
import type { Hono } from 'hono'
import type { AgentSurface } from '../agent/surface.ts'
import type { PasswordRequest } from '../model/password.ts'

const steps = ['offer', 'use', 'finish'] as const
const maxPasswordBytes = 4096

export function addPasswordRoutes(app: Hono, agent: AgentSurface): void {
  const missing = (group: string) => ({ error: `no group ${group} on ${agent.host}` })
  app.get('/groups/:group/password', async (c) => {
    const keeper = agent.passwords(c.req.param('group'))
    return keeper === null ? c.json(missing(c.req.param('group')), 404) : c.json({ host: agent.host, word: await keeper.word() })
  })
  app.post('/groups/:group/password', async (c) => {
    const request = parseRequest(await c.req.json().catch(() => null))
    if (request === null) return c.json({ error: 'not a step of a change of password' }, 400)
    const keeper = agent.passwords(c.req.param('group'))
    return keeper === null ? c.json(missing(c.req.param('group')), 404) : c.json(await keeper.step(request))
  })
}

function parseRequest(body: unknown): PasswordRequest | null {
  if (typeof body !== 'object' || body === null) return null
  const { step, password } = body as Record<string, unknown>
  const known = steps.find((s) => s === step)
  return known === undefined || typeof password !== 'string' || password.length > maxPasswordBytes ? null : { step: known, password }
}
