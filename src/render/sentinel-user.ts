/**
 * The ACL user as whom Sentinels come to a redis of the group (redis 6.2 and later). PURE. It may all that a Sentinel does but to read and
 * write data; the one thing that is opened and closed is the order to become a primary or a replica: THE VALVE (ADR 20).
 */

/** MULTI, SLAVEOF, CONFIG REWRITE, CLIENT KILL come as one transaction: with SLAVEOF refused, redis carries out nothing of it. */
const always: readonly string[] = [
  'resetchannels',
  '&__sentinel__:hello',
  '-@all',
  ...['+ping', '+info', '+role', '+auth', '+hello', '+multi', '+exec', '+publish', '+subscribe', '+psubscribe'],
  ...['+config|rewrite', '+client|setname', '+client|kill', '+script|kill'],
]

/** `keys`: the SHA-256 of each of its passwords, in hex. The rules are whole: whatever the user was allowed before, afterwards it is this. */
export function sentinelUserRules(keys: readonly string[], orders: boolean): readonly string[] {
  return ['on', 'resetpass', ...keys.map((key) => `#${key}`), 'resetkeys', ...always, ...(orders ? ['+slaveof', '+replicaof'] : [])]
}
