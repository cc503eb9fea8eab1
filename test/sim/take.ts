/** What a step of a story does to the model world. Decides nothing else: a step that does not fit at the moment does nothing. */
import { nothing } from '../scenarios/model-redis.ts'
import { onMove } from './take-move.ts'
import type { World } from '../scenarios/world.ts'
import type { Step, Story } from './story.ts'

const burstBytes = 100_000

/** Kills the agent of a host at the nth step of its loop from now. */
export class Snipers {
  private readonly left = new Map<string, number>()

  aim(w: World, host: string, nth: number): void {
    this.left.set(host, nth)
    w.stepHook = (at) => {
      const left = this.left.get(at)
      if (left === undefined) return 'go on'
      this.left.set(at, left - 1)
      if (left > 1) return 'go on'
      this.left.delete(at)
      return 'die'
    }
  }

  aimsAt(host: string): boolean {
    return this.left.has(host)
  }

  leave(w: World): void {
    this.left.clear()
    w.stepHook = null
  }
}

export function nameOf(w: World, index: number): string {
  return w.voters[index % w.voters.length] ?? 'a'
}

export function take(w: World, story: Story, snipers: Snipers, s: Step): void {
  switch (s.kind) {
    case 'wait':
      w.run(s.ms)
      return
    case 'write':
      w.writes(s.count)
      return
    case 'burst':
      w.write(undefined, burstBytes)
      w.run(1)
      return
    case 'heal':
      w.heal()
      return
    case 'split':
      for (const [i, a] of w.voters.entries()) for (const [j, b] of w.voters.entries()) if (i < j && bit(s.mask, i) !== bit(s.mask, j)) w.isolate(a, b)
      return
  }
  if (onMove(w, s)) return
  if (!('host' in s)) return
  const host = nameOf(w, s.host)
  if ('other' in s) {
    between(w, host, nameOf(w, s.other), s)
    return
  }
  if (s.kind === 'forget') {
    // Members have data that belong to what they remember; a witness has nothing else.
    if (!w.hasData(host) && !w.network.isOff(host)) w.forget(host)
    return
  }
  const agent = w.agent(host)
  switch (s.kind) {
    case 'write-beside':
      writeBeside(w, host, s.count)
      return
    case 'die-at':
      snipers.aim(w, host, s.nth)
      return
    case 'stall':
      w.stall(host, s.ms)
      return
    case 'suspend':
      if (!w.network.isOff(host)) w.suspend(host, s.ms)
      return
    case 'halt':
      if (!w.network.isOff(host)) w.suspend(host, s.ms, 'stops')
      return
    case 'slow-disk':
      agent.slowSavesMs.push(s.ms)
      return
    case 'clock':
      agent.wallOffMs += s.ms
      return
    case 'kill-agent':
      w.killAgent(host)
      return
    case 'start-agent':
      w.startAgent(host)
      return
    case 'cut':
      w.cut(host)
      return
    case 'power-off':
      w.powerOff(host)
      return
    case 'power-on':
      w.powerOn(host)
      return
    case 'disk-full':
    case 'disk-free':
      agent.diskFull = s.kind === 'disk-full'
      return
    case 'kill-keepalived':
      w.killKeepalived(host)
      return
  }
  if (onSentinel(w, host, s.kind) || !w.hasData(host)) return
  switch (s.kind) {
    case 'pause':
    case 'resume':
    case 'failover':
    case 'accept':
    case 'reinit':
      w.ask(host, s.kind)
      return
    case 'switchover':
      w.ask(host, 'switchover', s.to === null ? {} : { to: nameOf(w, s.to) })
      return
    default:
      onRedis(w, story, snipers, host, s.kind)
      return
  }
}

function onSentinel(w: World, host: string, kind: Step['kind']): boolean {
  if (w.sentinels?.has(host) !== true) return false
  if (kind === 'kill-sentinel') w.killSentinel(host)
  else if (kind === 'start-sentinel') w.startSentinel(host)
  else if (kind === 'freeze-sentinel') w.freezeSentinel(host)
  else if (kind === 'thaw-sentinel') w.thawSentinel(host)
  else if (kind === 'sentinel-failover') w.sentinelFailover(host)
  else if (kind === 'sentinel-reset') w.sentinelReset(host)
  else return false
  return true
}

function onRedis(w: World, story: Story, snipers: Snipers, host: string, kind: Step['kind']): void {
  const redis = w.redis(host)
  if (kind === 'crash') w.crash(host)
  else if (kind === 'save') redis.save()
  else if (kind === 'freeze') w.freeze(host)
  else if (kind === 'thaw') w.thaw(host)
  else if (kind === 'lag' || kind === 'catch-up') redis.lagging = kind === 'lag'
  // Once for each process: where a new link has not helped, an operator is asked.
  else if (kind === 'swallow') redis.swallowed ||= redis.linkUp && w.state(host).linkCycled?.runId !== redis.runId
  else if (kind === 'long-load') redis.readMs = redis.readMs > 10 ? 10 : 600
  else if (kind === 'long-sync') redis.transferMs = redis.transferMs > 20 ? 20 : 900
  else if (kind === 'restart-old' || kind === 'restart-empty') restart(w, story, snipers, host, kind === 'restart-empty')
}

/**
 * A process that dies and comes back. Of an external redis: by its supervisor, which leaves the agents the time to let go of it. One
 * that races with the failover, or has no living agent beside it, is beyond what can be kept safe (`explain` warns of it).
 */
function restart(w: World, story: Story, snipers: Snipers, host: string, empty: boolean): void {
  w.crash(host)
  if (w.network.isOff(host)) return
  if (!story.external) {
    if (empty) w.redis(host).disk = nothing
    return
  }
  w.run(50)
  if (snipers.aimsAt(host) || !w.hosts.every((h) => isWatched(w, h, host))) return
  w.supervisorStarts(host, empty ? 'empty' : 'old')
  w.run(30 + story.latenessMs)
}

/** Its own agent, and those of whoever follows what answers there: each can let go, at once. And all that it speaks to hear at once who serves. */
function isWatched(w: World, h: string, host: string): boolean {
  if (h !== host && !w.network.speaksPromptly(h, host)) return false
  if (h !== host && w.redis(h).upstream?.host !== `ip-${host}`) return true
  const agent = w.agent(h)
  return agent.up && w.nowMs >= agent.standsUntilMs && agent.slowSavesMs.length === 0 && !agent.waitsForDisk() && !w.redis(h).frozen
}

function between(w: World, host: string, other: string, s: Extract<Step, { other: number }>): void {
  if (host === other) return
  if (s.kind === 'isolate') w.isolate(host, other, s.layers)
  else if (s.kind === 'deafen') w.deafen(host, other)
  else if (s.kind === 'tear') w.tear(host, other)
  else if (s.kind === 'slow') w.slow(host, other, s.ms)
}

/** A client on the same switch as the host: of all who hold the address, those that the host can reach answer it. */
function writeBeside(w: World, host: string, count: number): void {
  for (let i = 0; i < count; i += 1) {
    const near = w.addressOn().find((h) => w.network.connected(host, h, 'redis'))
    if (near !== undefined) w.writeAt(near)
    w.run(1)
  }
}

export function bit(mask: number, index: number): boolean {
  return (mask & (1 << index)) !== 0
}
