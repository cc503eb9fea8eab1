/** The response to a redis that does not run: what its disk has decides whether, and from which file, it is started. PURE. */
import type { Action, Event } from '../model/action.ts'
import { busyTickMs, tickMs } from '../model/policy.ts'
import { judgeDisk } from './disk.ts'
import { holdStill, type Context, type Draft } from './draft.ts'

/** Judged before it is started: what cannot be read is not tried, and nothing is begun over it (INV-6, INV-8). */
export function startRedis(ctx: Context): Draft {
  const { state, view, situation } = ctx
  if (ctx.policy.external) return holdStill(ctx, `redis is down; its own supervisor is to start it (process: external)${seenOfExternal(ctx)}`, busyTickMs)
  const vip = situation.claim === 'theirs' ? { vip: false } : {}
  const { disk } = view.redis
  if (disk == null) return { ...holdStill(ctx, 'redis is down; it is started as a replica of nobody', busyTickMs), actions: [{ kind: 'start-redis' }], ...vip }
  const verdict = judgeDisk(disk, state.lineage, view.nowWallMs)
  if (verdict.waits !== null) {
    const text = `redis is not started: ${verdict.waits}`
    return { ...holdStill(ctx, text, busyTickMs), events: [{ kind: 'alarm', epoch: state.epoch, text }], ...vip }
  }
  if (verdict.mend !== null)
    return {
      ...holdStill(ctx, `redis is down; ${verdict.text}; the end is cut off a copy, and what is cut is kept`, 0),
      actions: [{ kind: 'mend-aof', end: verdict.mend }],
      ...vip,
    }
  if (verdict.unreadable === null) {
    const aside: readonly Action[] = verdict.spoilt === null ? [] : [{ kind: 'set-aside', ...verdict.spoilt }]
    const text = `redis is down; ${verdict.text}; it is started as a replica of nobody`
    const load = verdict.load === null || (verdict.load === 'aof') === disk.wantsAof ? {} : { load: verdict.load }
    const lost: readonly Event[] = verdict.load === null && disk.note?.onDisk === true ? [{ kind: 'alarm', epoch: state.epoch, text: verdict.text }] : []
    const events: readonly Event[] = [{ kind: 'started', epoch: state.epoch, text: `redis is started as a replica of nobody: ${verdict.text}` }]
    return { ...holdStill(ctx, text, busyTickMs), actions: [...aside, { kind: 'start-redis', ...load }], events: [...lost, ...events], ...vip }
  }
  const { load } = verdict
  // Only where somebody serves: as long as nobody does, it may be the best that is left, and a person can mend it.
  if (situation.claim === 'theirs' && situation.holder === 'serves' && load !== null)
    return {
      ...holdStill(ctx, `${verdict.text}; it is kept aside, and the data are fetched anew from ${state.holder ?? ''}`, 0),
      actions: [{ kind: 'set-aside', file: load, why: verdict.unreadable }],
      ...vip,
    }
  const text = `redis is not started: ${verdict.text}. Nothing is begun over it; mend it (redis-check-rdb, redis-check-aof), or move it away. As soon as another member serves, it is kept aside and the data are fetched anew`
  return { ...holdStill(ctx, text, tickMs), events: [{ kind: 'alarm', epoch: state.epoch, text }], ...vip }
}

/** What its supervisor will start it from, where that is known. */
function seenOfExternal({ view, state }: Context): string {
  const { disk } = view.redis
  if (disk == null) return ''
  const { text, mend } = judgeDisk(disk, state.lineage, view.nowWallMs)
  return `; ${text}${mend === null ? '' : '; redis cuts that off by itself, without a copy, unless its redis.conf says `aof-load-truncated no`'}`
}
