/**
 * Digests made on the server, by scripts that only read: hardly anything but keys travels. Must not make a call that fails: each would stand in the statistics that
 * people watch.
 */
import { createHash } from 'node:crypto'
import { RawError, type RawRedis, type RawReply } from '../redis/raw.ts'
import { largeBytes, largeElements, largeUsageBytes, listOf, textOf, type Bucket, type Digester, type DigesterOptions } from './digest.ts'

/**
 * Lua of every redis since 2.6. No call that fails is made: each would stand in the statistics that people watch (errorstats, 6.2). `tonumber` of a score:
 * versions write one number in more than one way. Sorted as each server's locale has it, so two that differ by it are still compared piece by piece.
 */
const library = ({ hasMemoryUsage, noDump }: Pick<Told, 'hasMemoryUsage' | 'noDump'>): string => `
local large = 0
local function joined(parts) for i = 1, #parts do parts[i] = #parts[i] .. ':' .. parts[i] end return table.concat(parts) end
local function pairsOf(flat) local out = {} for i = 1, #flat, 2 do out[#out + 1] = #flat[i] .. ':' .. flat[i] .. #flat[i + 1] .. ':' .. flat[i + 1] end table.sort(out) return table.concat(out) end
local function deep(v) if type(v) == 'table' then if v.ok then return v.ok end local out = {} for i = 1, #v do out[i] = deep(v[i]) end return '(' .. joined(out) .. ')' end return tostring(v) end
local sizers = { list = 'LLEN', hash = 'HLEN', set = 'SCARD', zset = 'ZCARD', stream = 'XLEN' }
local function isLarge(key)
  ${
    hasMemoryUsage
      ? `return (redis.call('MEMORY', 'USAGE', key, 'SAMPLES', 0) or 0) > ${largeUsageBytes}`
      : `local e = redis.call('OBJECT', 'ENCODING', key) return e ~= 'ziplist' and e ~= 'intset'`
  }
end
local function valueOf(key)
  local t = redis.call('TYPE', key).ok
  if t == 'none' then return false end
  if t == 'string' then
    local v = redis.call('GETRANGE', key, 0, ${largeBytes})
    if #v > ${largeBytes} then return nil end
    return 's' .. v, true
  end
  if sizers[t] and (redis.call(sizers[t], key) > ${largeElements} or isLarge(key)) then return nil end
  if t == 'hash' then return 'h' .. pairsOf(redis.call('HGETALL', key)) end
  if t == 'set' then local m = redis.call('SMEMBERS', key) table.sort(m) return 'e' .. joined(m) end
  if t == 'list' then return 'l' .. joined(redis.call('LRANGE', key, 0, -1)) end
  if t == 'zset' then
    local z = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    for i = 2, #z, 2 do z[i] = string.format('%.17g', tonumber(z[i])) end
    return 'z' .. pairsOf(z)
  end
  if t == 'stream' then
    local groups = redis.call('XINFO', 'GROUPS', key)
    for i = 1, #groups do groups[i] = groups[i][2] end
    table.sort(groups)
    return 'x' .. deep(redis.call('XRANGE', key, '-', '+')) .. joined(groups)
  end
  if ${noDump === true} or isLarge(key) then return nil end
  local d = redis.call('DUMP', key)
  return d and ('m' .. string.sub(d, 1, #d - 10)) or false
end
`

const expiry = {
  /** Points in time travel as such: equal or not. */
  absolute: `local function expires(key) return redis.call('PEXPIRETIME', key) end`,
  relative: `local now = redis.call('TIME') now = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
local function expires(key) local left = redis.call('PTTL', key) if left >= 0 then return now + left end return left end`,
} as const

interface Told {
  readonly how: keyof typeof expiry
  /** `MEMORY USAGE` (4.0). */
  readonly hasMemoryUsage: boolean
  readonly noDump?: true
}

/** `strings`: those that the other side has as small strings, told as s or o of each: all of them are had in one call. */
const bucketOf = `
local function bucket(keys, strings, withEnds)
  local parts, ends, kinds, values = {}, {}, {}, {}
  if strings then
    local some, at = {}, {}
    for i = 1, #keys do if string.byte(strings, i) == 115 then some[#some + 1] = keys[i] at[#at + 1] = i end end
    local got = #some > 0 and redis.call('MGET', unpack(some)) or {}
    for j = 1, #at do values[at[j]] = got[j] end
  end
  for i = 1, #keys do
    local v, isString
    if values[i] then v = 's' .. values[i] else v, isString = valueOf(keys[i]) end
    kinds[i] = isString and 's' or 'o'
    if v == nil then large = large + 1 parts[i] = 'L' elseif v then parts[i] = #v .. ':' .. v else parts[i] = 'N' end
    if withEnds then ends[i] = expires(keys[i]) end
  end
  return { redis.sha1hex(table.concat(parts, '|')), large, ends }, table.concat(kinds)
end
`

const scanScript = (told: Told): string => `${library(told)}${expiry[told.how]}${bucketOf}
local page = redis.call('SCAN', ARGV[1], 'COUNT', ARGV[2])
local found, kinds = bucket(page[2], nil, ARGV[3] == '1')
return { page[1], page[2], found, kinds }`

const bucketScript = (told: Told): string => `${library(told)}${expiry[told.how]}${bucketOf}
local found = bucket(KEYS, ARGV[1], ARGV[2] == '1')
return found`

const eachScript = (told: Told): string => `${library(told)}${expiry[told.how]}
local out = {}
for i = 1, #KEYS do
  local v = valueOf(KEYS[i])
  local what = 'missing'
  if v == nil then what = 'large' elseif v then what = redis.sha1hex(v) end
  out[i] = { what, expires(KEYS[i]) }
end
return out`

/** `ro`: as a command that also runs while writes are paused (7.0). */
export function scriptDigester(redis: RawRedis, ro: boolean, options: DigesterOptions): Digester {
  const [whole, bySha] = ro ? ['EVAL_RO', 'EVALSHA_RO'] : ['EVAL', 'EVALSHA']
  const run = (script: string): ((keys: readonly Buffer[], ...args: readonly string[]) => Promise<RawReply>) => {
    const sha = createHash('sha1').update(script).digest('hex')
    let isLoaded = false
    return async (keys, ...args) => {
      const words = [String(keys.length), ...keys, ...args]
      const answer = isLoaded ? await redis.call(bySha, sha, ...words) : new RawError('NOSCRIPT')
      // Somebody has flushed the scripts, or it is the first time.
      const reply = answer instanceof RawError && answer.text.startsWith('NOSCRIPT') ? await redis.call(whole, script, ...words) : answer
      isLoaded = true
      if (reply instanceof RawError) throw new Error(reply.text)
      return reply
    }
  }
  const { absolute, hasMemoryUsage, noDump } = options
  const told: Told = { how: absolute ? 'absolute' : 'relative', hasMemoryUsage, ...(noDump ? { noDump } : {}) }
  const [scan, some, each] = [run(scanScript(told)), run(bucketScript(told)), run(eachScript(told))]
  return {
    way: ro ? 'eval-ro' : 'eval',
    page: async (cursor, count, withEnds) => {
      const [next, keys, bucket, strings] = listOf(await scan([], cursor, String(count), withEnds ? '1' : '0'))
      return { cursor: textOf(next), keys: listOf(keys) as readonly Buffer[], bucket: bucketIn(bucket), strings: textOf(strings) }
    },
    bucket: async (keys, strings, withEnds) => bucketIn(await some(keys, strings, withEnds ? '1' : '0')),
    each: async (keys) =>
      listOf(await each(keys)).map((one) => {
        const [what, expiresMs] = listOf(one)
        const text = textOf(what)
        return { digest: text === 'missing' || text === 'large' ? { kind: text } : { kind: 'value', sha1: text }, expiresMs: Number(expiresMs) }
      }),
  }
}

function bucketIn(reply: RawReply | undefined): Bucket {
  const [sha1, large, ends] = listOf(reply)
  return { sha1: textOf(sha1), large: Number(large), expiresMs: listOf(ends) as readonly number[] }
}
