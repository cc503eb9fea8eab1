/** What an agent does with the Sentinel of its own host during a move, as src/agent/sentinel.ts: whom it is to watch, or nobody. */
import { watchedOf } from '../../src/decide/sentinels.ts'
import { sourceHost } from './model-source.ts'
import type { World } from './world.ts'

/** It looks so often whether that has changed, and needs a moment to tell it. */
const keepMs = 60

/** As long as that life of the agent lasts. */
export function keepWatch(world: World, agent: string, life: () => boolean): void {
  if (world.moved === null || world.sentinels === null || !life()) return
  const sentinel = world.sentinels.has(agent) ? world.sentinels.get(agent) : null
  if (sentinel?.turns() === true && world.nowMs >= world.agent(agent).standsUntilMs) {
    const watched = watchedOf(world.state(agent), world.policy)
    if (watched === 'nobody' && sentinel.watches) sentinel.unwatch()
    else if (watched !== null && watched !== 'nobody') {
      // As SENTINEL REMOVE and MONITOR: a former primary is forgotten with all the rest.
      if (watched.former !== undefined && sentinel.watches && sentinel.replicas.has(sourceHost)) sentinel.unwatch()
      sentinel.watch(watched.host)
    }
  }
  world.after(keepMs, () => keepWatch(world, agent, life))
}
