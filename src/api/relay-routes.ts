/**
 * What a relay at the old address asks (`holdfast migrate relay`): the stage of the move and who serves, told in the moment in which it changes; and
 * the connections that the redis here has from the relay's host.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Hono } from 'hono'
import type { AgentSurface } from '../agent/surface.ts'
import type { RelayWord } from '../model/relay.ts'
import { clientsIn } from './move-routes.ts'

const maxWaitMs = 5000
/** Only while somebody waits: an idle agent is not woken by this. */
const lookMs = 20
/** Between the hold of a cut-over and its end lie some ten milliseconds. */
const urgentLookMs = 4
const askMs = 1000

export function addRelayRoutes(app: Hono, agent: AgentSurface): void {
  app.get('/groups/:group/relay', async (c) => {
    const group = c.req.param('group')
    const waitMs = Math.min(maxWaitMs, Math.max(0, Number(c.req.query('wait') ?? 0) || 0))
    const untilMs = performance.now() + waitMs
    for (;;) {
      const word = wordOf(agent, group)
      if (word === null) return c.json({ error: `no group ${group} on ${agent.host}` }, 404)
      if (word.key !== c.req.query('since') || performance.now() >= untilMs || c.req.raw.signal.aborted) return c.json(word)
      await delay(isCalm(agent, group) ? lookMs : urgentLookMs)
    }
  })
  app.get('/groups/:group/clients', async (c) => {
    const link = agent.redis(c.req.param('group'))
    if (link === null) return c.json({ error: `${agent.host} has no connection to a redis of ${c.req.param('group')}` }, 404)
    const list = await link.call(['CLIENT', 'LIST'], askMs)
    if (!list.ok) return c.json({ error: list.why }, 502)
    const from = `${c.req.query('from') ?? ''}:`
    return c.json({ clients: clientsIn(String(list.value)).filter(({ address }) => address.startsWith(from)) })
  })
}

const calmStages: readonly string[] = ['sync', 'moved', 'aborted', 'done']
const calmPhases: readonly string[] = ['primary', 'replica', 'receiving']

/** In the middle of a turn of the clients: from the hold of their writes until somebody serves. */
function isCalm(agent: AgentSurface, group: string): boolean {
  const { phase, move } = agent.snapshot(group)?.state ?? { phase: 'fresh', move: null }
  return calmPhases.includes(phase) && (move === null || calmStages.includes(move.stage))
}

function wordOf(agent: AgentSurface, group: string): RelayWord | null {
  const snapshot = agent.snapshot(group)
  if (snapshot === null) return null
  const { epoch, phase, move } = snapshot.state
  const serves = (phase === 'primary' || phase === 'handing') && snapshot.statement?.answering === true
  const followers = [...new Set(snapshot.view?.source?.facts?.followers.map(({ ip }) => ip))].sort()
  const key = [epoch, serves ? 1 : 0, move?.epoch, move?.rev, move?.stage, ...followers].join(':')
  return { host: agent.host, epoch, serves, move, followers, key }
}
