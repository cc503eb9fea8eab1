/** What a step of a story does to a move: an operator's word, the source, and the ways to it. */
import { nothing } from '../scenarios/model-redis.ts'
import { sourceHost } from '../scenarios/model-source.ts'
import type { World } from '../scenarios/world.ts'
import type { SourceFault, Step } from './story.ts'

/** For a little less an agent trusts its last look before it follows: one that nobody sees die is not back sooner. */
const unseenMs = 600

/** false: it is a step of another kind. */
export function onMove(w: World, s: Step): boolean {
  switch (s.kind) {
    case 'move':
      if (w.moved !== null) ask(w, s.order)
      return true
    case 'source':
      if (w.moved !== null) onSource(w, s.fault)
      return true
    case 'isolate-source':
    case 'deafen-source':
    case 'deafen-to-source':
    case 'slow-source': {
      const host = w.hosts[s.host % w.hosts.length] ?? 'a'
      if (w.moved === null) return true
      if (s.kind === 'slow-source') w.slow(host, sourceHost, s.ms)
      else if (s.kind === 'isolate-source') w.isolate(host, sourceHost)
      else {
        const [from, to] = s.kind === 'deafen-source' ? [host, sourceHost] : [sourceHost, host]
        w.network.block(from, to, ['redis'])
        w.changed()
      }
      return true
    }
    default:
      return false
  }
}

function ask(w: World, order: Extract<Step, { kind: 'move' }>['order']): void {
  const epoch = Math.max(...w.hosts.map((h) => w.state(h).epoch))
  const holder = w.hosts.find((h) => w.agent(h).up && w.state(h).holder === h && w.state(h).epoch === epoch)
  if (holder === undefined) return
  if (order === 'arm')
    w.move(holder, { verb: 'arm', armed: { fromWallMs: 1_700_000_000_000 + w.nowMs + 200, onFile: false, untilWallMs: null }, unverified: true })
  else if (order === 'cutover') w.move(holder, { verb: 'cutover', unverified: true })
  else if (order === 'verified') w.move(holder, { verb: 'verified', keys: 1 })
  else w.move(holder, { verb: order })
}

function onSource(w: World, fault: SourceFault): void {
  const redis = w.redis(sourceHost)
  if (fault === 'crash') w.crash(sourceHost)
  else if (fault === 'save') redis.save()
  else if (fault === 'freeze') w.freeze(sourceHost)
  else if (fault === 'thaw') w.thaw(sourceHost)
  else if (fault === 'cut') w.cut(sourceHost)
  else if (fault === 'power-off') w.powerOff(sourceHost)
  else if (fault === 'power-on') start(w, 'old')
  else start(w, fault === 'start-empty' ? 'empty' : 'old')
}

/**
 * By its supervisor, as its file says. One that comes back with other data in the moment in which nobody can let go of it is beyond what can be kept
 * safe, as that of any redis without an agent (ARCHITECTURE).
 */
function start(w: World, disk: 'old' | 'empty'): void {
  const redis = w.redis(sourceHost)
  const awake = (h: string) => w.agent(h).up && w.nowMs >= w.agent(h).standsUntilMs && !w.redis(h).frozen && w.network.connected(h, sourceHost, 'redis')
  const followed = () => w.hosts.filter((h) => w.redis(h).upstream?.host === `ip-${sourceHost}`)
  if (redis.running) {
    if (!followed().every(awake) || redis.frozen) return
    const isSeen = w.hosts.every((h) => w.network.connected(h, sourceHost, 'redis'))
    w.crash(sourceHost)
    w.run(isSeen ? 50 : unseenMs)
  } else w.run(unseenMs)
  if (disk === 'empty') redis.disk = nothing
  if (followed().length > 0) return
  if (w.network.isOff(sourceHost)) w.network.power(sourceHost, true)
  w.supervisorStarts(sourceHost, 'old')
}
