/** The passwords of a group, and the secret itself, while they are changed, over HTTP behind the secret. Functions, no sockets. */
import type { Hono } from 'hono'
import type { AgentSurface } from '../agent/surface.ts'
import { passwordKinds, type PasswordRequest } from '../model/password.ts'

const steps = ['offer', 'use', 'finish'] as const
const maxPasswordBytes = 4096

export function addPasswordRoutes(app: Hono, agent: AgentSurface): void {
  app.get('/secret', async (c) => c.json({ host: agent.host, word: await agent.secret.word() }))
  app.post('/secret', async (c) => {
    const request = parseRequest(await c.req.json().catch(() => null))
    return request === null ? c.json({ error: 'not a step of a change of secret' }, 400) : c.json(await agent.secret.step(request))
  })
  for (const of of passwordKinds) {
    const path = `/groups/:group/passwords/${of}` as const
    const missing = (group: string) => ({ error: `no password of ${of} of ${group} is known to ${agent.host}` })
    app.get(path, async (c) => {
      const keeper = agent.passwords(c.req.param('group'), of)
      return keeper === null ? c.json(missing(c.req.param('group')), 404) : c.json({ host: agent.host, word: await keeper.word() })
    })
    app.post(path, async (c) => {
      const request = parseRequest(await c.req.json().catch(() => null))
      if (request === null) return c.json({ error: 'not a step of a change of password' }, 400)
      const keeper = agent.passwords(c.req.param('group'), of)
      return keeper === null ? c.json(missing(c.req.param('group')), 404) : c.json(await keeper.step(request))
    })
  }
}

function parseRequest(body: unknown): PasswordRequest | null {
  if (typeof body !== 'object' || body === null) return null
  const { step, password } = body as Record<string, unknown>
  const known = steps.find((s) => s === step)
  return known === undefined || typeof password !== 'string' || password.length > maxPasswordBytes ? null : { step: known, password }
}
