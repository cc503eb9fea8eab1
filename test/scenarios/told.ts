/** What happened in a model world, as text: what was done, the story, and the long tale that stands under a failed test. */
import type { ActionKind, Event } from '../../src/model/action.ts'
import type { World } from './world.ts'

export function actsOf(w: World, kinds: readonly ActionKind[], sinceMs: number): readonly string[] {
  return w.done
    .filter((d) => d.ok && d.atMs >= sinceMs && kinds.includes(d.kind))
    .map((d) => `${d.host} ${d.kind}${d.action.kind === 'vip' ? (d.action.allowed ? ' yes' : ' no') : ''}`)
}

export function storyOf(w: World, sinceMs: number, kinds: readonly Event['kind'][] | undefined): readonly string[] {
  return w.events.filter((e) => e.atMs >= sinceMs && (kinds === undefined || kinds.includes(e.kind))).map((e) => `${e.host} ${e.kind} ${e.epoch}`)
}

export function taleOf(w: World): string {
  const hosts = w.hosts.map((h) => {
    const { phase, epoch, holder } = w.state(h)
    const r = w.redis(h)
    const redis = `redis ${r.running ? r.role : 'down'} ${r.replid} @${r.offset} link ${r.linkUp} ← ${r.upstream?.host ?? '–'}`
    return `${h}: agent ${w.agent(h).up ? 'up' : 'down'}, ${phase} of epoch ${epoch} (${holder ?? '–'}); ${redis}; address ${w.vrrp.hosts.get(h)?.vrrp ?? 'never'}`
  })
  return [...w.notes.slice(-40), ...hosts, ...w.assertions].join('\n')
}
