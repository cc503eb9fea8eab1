/** Carries out what an agent of the model world has decided, one action after the other; the tests may kill it between any two. */
import type { Action } from '../../src/model/action.ts'
import { isOutlived, outlived, perform } from './model-act.ts'
import type { ModelAgent } from './model-agent.ts'

export function stopsAt(agent: ModelAgent, when: 'saved' | 'before' | 'after', action: Action | null): boolean {
  const { stepHook } = agent.world
  if (stepHook === null) return false
  const label = action === null ? when : `${when}:${action.kind === 'source' ? `source-${action.order.do}` : action.kind}`
  if (stepHook(agent.host, `${agent.state.phase}/${label}`) === 'go on') return false
  agent.world.killAgent(agent.host)
  return true
}

export function carryOut(agent: ModelAgent, actions: readonly Action[], index: number, done: (failure: string | null) => void): void {
  const action = actions[index]
  if (action === undefined) {
    done(null)
    return
  }
  if (stopsAt(agent, 'before', action)) return
  const { world, host } = agent
  if (action.kind === 'source' && agent.source !== null) {
    agent.source.order(action.order, (failure) => agent.later(0, () => acted(agent, actions, index, action, failure, done)))
    return
  }
  const late = agent.view !== null && isOutlived(action, agent.ownMs(world.nowMs) - agent.view.nowMs) ? outlived : null
  const failure = late ?? world.failures.get(`${host}/${action.kind}`) ?? perform(world, host, agent, action)
  agent.later(action.kind === 'poke' ? 0 : 1, () => acted(agent, actions, index, action, failure, done))
  told(agent, action, failure)
}

function acted(
  agent: ModelAgent,
  actions: readonly Action[],
  index: number,
  action: Action,
  failure: string | null,
  done: (failure: string | null) => void,
): void {
  if (action.kind === 'source') told(agent, action, failure)
  if (stopsAt(agent, 'after', action)) return
  if (failure !== null) done(failure)
  else carryOut(agent, actions, index + 1, done)
}

function told(agent: ModelAgent, action: Action, failure: string | null): void {
  const { world, host } = agent
  if (world.tells && action.kind !== 'poke') world.done.push({ atMs: world.nowMs, host, kind: action.kind, ok: failure === null, action })
}
