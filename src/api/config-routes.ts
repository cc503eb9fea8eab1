/** The agent's configuration, over HTTP behind the secret: what it runs with, and the offer of another. Functions, no sockets. */
import type { Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import type { AgentSurface } from '../agent/surface.ts'
import type { ConfigOffer } from '../model/own-config.ts'

/** The largest file that is read (config/defaults.ts), and its quoting. */
const maxBodyBytes = 2 * 1_048_576 + 1024

export function addConfigRoutes(app: Hono, agent: AgentSurface): void {
  const limit = bodyLimit({ maxSize: maxBodyBytes, onError: (c) => c.json({ error: `the body is above ${maxBodyBytes} bytes` }, 413) })
  app.get('/config', (c) => c.json({ host: agent.host, ...agent.config.running() }))
  app.post('/config', limit, async (c) => {
    const offer = parseOffer(await c.req.json().catch(() => null))
    return offer === null ? c.json({ error: 'not a configuration' }, 400) : c.json(await agent.config.offer(offer))
  })
}

function parseOffer(body: unknown): ConfigOffer | null {
  if (typeof body !== 'object' || body === null) return null
  const { text, from, dryRun } = body as Record<string, unknown>
  // Whoever meant a dry run must not get the real thing for a slip in its spelling.
  if (typeof text !== 'string' || typeof from !== 'string' || typeof dryRun !== 'boolean') return null
  return { text, from, dryRun }
}
