/**
 * What a running redis writes to its disk is set as its role asks for, without a restart; and the file of its next start says what there is. Decides nothing: that
 * is decide/persist.ts.
 */
import { rm } from 'node:fs/promises'
import type { Action } from '../model/action.ts'
import { done, type Outcome } from '../model/outcome.ts'
import { aofDirName, aofToDropFile, oldAofName, redisDataDir } from '../model/paths.ts'
import { savesAsText } from '../model/persistence.ts'
import { parseInfo } from '../redis/info.ts'
import { removeDurably, writeDurably } from './durable.ts'
import { command, setting, type RedisHands } from './redis.ts'
import { writeRedisConf } from './start.ts'

const persistDeadlineMs = 500
const refusedAtMs = new WeakMap<RedisHands, number>()
const refusedForMs = 60_000

/**
 * What the role asks for, without a restart; and the file of the next start says what there is then. A redis that refuses is asked again after a minute: whoever
 * waits for the actions after this one must not wait for it.
 */
export async function persist(hands: RedisHands, { role, save, aof, drop }: Extract<Action, { kind: 'persist' }>): Promise<Outcome> {
  const before = await setting(hands, 'appendonly', persistDeadlineMs)
  const { persistence } = hands.group
  const orders: [string, string][] = [['save', savesAsText(save)]]
  if (aof !== 'off') orders.push(['appendfsync', aof])
  if (persistence !== undefined) {
    orders.push(['auto-aof-rewrite-percentage', String(persistence.rewritePercentage)], ['auto-aof-rewrite-min-size', String(persistence.rewriteMinBytes)])
  }
  const wanted = aof === 'off' ? 'no' : 'yes'
  if (before !== wanted) orders.push(['appendonly', wanted])
  const isDue = drop && aof === 'off'
  const marked = await mark(hands, isDue, before === 'yes' || aof !== 'off')
  if (marked !== null) return putOff(hands, role, marked)
  for (const [name, value] of orders) {
    const set = await command(hands, 'CONFIG', 'SET', name, value)
    if (!set.done) return putOff(hands, role, `CONFIG SET ${name} ${value || '""'} was refused (${set.why})`)
  }
  if (before !== wanted) hands.note(`as ${role}, AOF is turned ${aof === 'off' ? 'off' : `on (${aof}): redis rewrites it in the background`}`)
  // In this order: with the file still saying yes and no AOF there, a redis started by hand would begin an empty one over a good RDB.
  const isThere = before === wanted && aof !== 'off' && (await isRewritten(hands))
  const written = await writeRedisConf(hands, undefined, { save, aof: isThere ? aof : 'off' })
  if (!written.done) return putOff(hands, role, written.why)
  const left = isDue ? await dropAof(hands) : null
  hands.settingsChanged()
  hands.diskChanged()
  return left === null ? done : putOff(hands, role, left)
}

/**
 * On disk before the AOF is turned off: afterwards nothing tells one that is to go from one that is to stay, and an agent that fails or ends in between would leave
 * it for good. null: done, else why not.
 */
async function mark(hands: RedisHands, isDue: boolean, isAnother: boolean): Promise<string | null> {
  const file = aofToDropFile(hands.config.paths, hands.group.name)
  try {
    if (isDue) await writeDurably(file, '')
    else if (isAnother) await removeDurably(file)
    return null
  } catch (error) {
    return `${file}: ${(error as Error).message}`
  }
}

function putOff(hands: RedisHands, role: string, why: string): Outcome {
  refusedAtMs.set(hands, performance.now())
  hands.note(`persistence as ${role}: ${why}; tried again in a minute`)
  return done
}

/** false: asked a moment ago, and it refused. */
export function mayPersist(hands: RedisHands): boolean {
  return performance.now() - (refusedAtMs.get(hands) ?? Number.NEGATIVE_INFINITY) >= refusedForMs
}

async function isRewritten(hands: RedisHands): Promise<boolean> {
  const info = await hands.link()?.call(['INFO', 'persistence'], persistDeadlineMs)
  if (info?.ok !== true) return false
  const fields = parseInfo(String(info.value))
  const is = (name: string, value: string): boolean => fields.get(name) === value
  return is('aof_enabled', '1') && is('aof_rewrite_in_progress', '0') && is('aof_rewrite_scheduled', '0') && is('aof_last_bgrewrite_status', 'ok')
}

/** Of the time before: read at the next start, it would be data of unknown history, and stand in the way of those that have more. */
async function dropAof(hands: RedisHands): Promise<string | null> {
  const { paths } = hands.config
  const dir = redisDataDir(paths, hands.group.name)
  try {
    for (const name of [aofDirName, oldAofName]) await rm(`${dir}/${name}`, { recursive: true, force: true })
    await removeDurably(aofToDropFile(paths, hands.group.name))
    return null
  } catch (error) {
    return `the AOF that was turned off could not be removed (${(error as Error).message})`
  }
}
