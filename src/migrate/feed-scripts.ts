/**
 * What an older redis has no command for, and can do nevertheless: as scripts, which it runs as they come in the stream of its primary. They read and write only
 * the keys that they are given, so each replica does the same. PURE: words only.
 */

/** LMOVE (6.2). KEYS: from, to. ARGV: the command that takes, the one that puts. */
export const moveElement = 'local v=redis.call(ARGV[1],KEYS[1]) if v then redis.call(ARGV[2],KEYS[2],v) end'

/** COPY (6.2). KEYS: from, to. ARGV: the database, or nothing. A time to live of 0 would mean none. */
export const copyKey = `local d=redis.call('DUMP',KEYS[1]) local t=redis.call('PTTL',KEYS[1])
if t==-1 then t=0 elseif t<1 then t=1 end
if ARGV[1]~='' then redis.call('SELECT',ARGV[1]) end
if d then redis.call('RESTORE',KEYS[2],t,d,'REPLACE') end`

/** ZADD GT or LT (6.2) of more than one member. ARGV: GT or LT, XX or nothing, scores and members. */
export const addBeyond = `local i=3 while ARGV[i] do
local s=redis.call('ZSCORE',KEYS[1],ARGV[i+1]) local n=tonumber(ARGV[i]) local beyond=false
if s then s=tonumber(s) if ARGV[1]=='GT' then beyond=n>s else beyond=n<s end else beyond=ARGV[2]~='XX' end
if beyond then redis.call('ZADD',KEYS[1],ARGV[i],ARGV[i+1]) end
i=i+2 end`

/** ZRANGESTORE (6.2). KEYS: to, from. ARGV: the command that reads the range, and its words behind the key. */
export const storeRange = `local m=redis.call(ARGV[1],KEYS[2],unpack(ARGV,2)) local s={}
for i,v in ipairs(m) do s[i]=redis.call('ZSCORE',KEYS[2],v) end
redis.call('DEL',KEYS[1])
for i,v in ipairs(m) do redis.call('ZADD',KEYS[1],s[i],v) end`

/** ZDIFFSTORE (6.2). KEYS: to, the first one, those that are taken away. Sets count as well. */
export const storeDifference = `local function all(k) local r={} local t=redis.call('TYPE',k).ok
if t=='set' then for _,m in ipairs(redis.call('SMEMBERS',k)) do r[m]='1' end
elseif t=='zset' then local f=redis.call('ZRANGE',k,0,-1,'WITHSCORES') for i=1,#f,2 do r[f[i]]=f[i+1] end end
return r end
local a=all(KEYS[2]) for i=3,#KEYS do for m in pairs(all(KEYS[i])) do a[m]=nil end end
redis.call('DEL',KEYS[1]) for m,s in pairs(a) do redis.call('ZADD',KEYS[1],s,m) end`

/** XADD and XTRIM with MINID (6.2). ARGV: the last id that goes. */
export const trimUpTo = `while true do local r=redis.call('XRANGE',KEYS[1],'-',ARGV[1],'COUNT',100)
if #r==0 then break end
for _,e in ipairs(r) do redis.call('XDEL',KEYS[1],e[1]) end end`
