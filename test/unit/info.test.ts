/** INFO of servers from 3.2 to Valkey 8 in one shape. The texts are cut from real answers. */
import { describe, expect, test } from 'vitest'
import { factsFromInfo, parseInfo } from '../../src/redis/info.ts'

const old32 = `# Server\r\nredis_version:3.2.4\r\nprocess_id:71\r\nrun_id:aa11\r\n# Persistence\r\nloading:0\r\n# Replication\r\nrole:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\nmaster_link_status:up\r\nmaster_last_io_seconds_ago:0\r\nmaster_sync_in_progress:0\r\nslave_repl_offset:4711\r\nslave_priority:100\r\nslave_read_only:1\r\nconnected_slaves:0\r\nmaster_repl_offset:0\r\n# Keyspace\r\ndb0:keys=3,expires=0,avg_ttl=0\r\ndb7:keys=4,expires=1,avg_ttl=9\r\n`

const primary40 = `redis_version:4.0.10\r\nprocess_id:72\r\nrun_id:bb22\r\nloading:0\r\nrole:master\r\nconnected_slaves:4\r\nslave0:ip=10.0.0.2,port=6379,state=online,offset=815,lag=1\r\nslave1:ip=10.0.0.3,port=6380,state=wait_bgsave,offset=0,lag=0\r\nslave2:ip=10.0.0.9,port=65536,state=online,offset=815,lag=1\r\nslave3:ip=10.0.0.9,port=0,state=online,offset=815,lag=1\r\nmaster_replid:c0ffee\r\nmaster_replid2:0000000000000000000000000000000000000000\r\nmaster_repl_offset:820\r\nsecond_repl_offset:-1\r\n`

const syncing62 = `redis_version:6.2.6\r\nprocess_id:73\r\nrun_id:cc33\r\nloading:0\r\nrole:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\nmaster_link_status:down\r\nmaster_sync_in_progress:1\r\nmaster_sync_total_bytes:1000\r\nmaster_sync_read_bytes:250\r\nmaster_sync_left_bytes:750\r\nmaster_sync_perc:25.00\r\nmaster_link_down_since_seconds:4\r\nslave_repl_offset:1\r\nmaster_replid:dead\r\nmaster_replid2:0000000000000000000000000000000000000000\r\nmaster_repl_offset:0\r\nsecond_repl_offset:-1\r\n`

const loading70 = `redis_version:7.0.15\r\nprocess_id:74\r\nrun_id:dd44\r\nloading:1\r\nasync_loading:0\r\nloading_start_time:1700000000\r\nloading_loaded_perc:41.50\r\nrole:slave\r\nmaster_host:127.0.0.1\r\nmaster_port:1\r\nmaster_link_status:down\r\nmaster_link_down_since_seconds:-1\r\nmaster_replid:beef\r\nmaster_replid2:\r\nmaster_repl_offset:5\r\nsecond_repl_offset:-1\r\n`

const promoted8 = `redis_version:8.0.1\r\nprocess_id:75\r\nrun_id:ee55\r\nloading:0\r\nrole:master\r\nconnected_slaves:1\r\nslave0:ip=10.0.0.3,port=6379,state=online,offset=900,lag=0,type=replica\r\nmaster_failover_state:no-failover\r\nmaster_replid:new\r\nmaster_replid2:old\r\nmaster_repl_offset:910\r\nsecond_repl_offset:901\r\nunexpected_error_replies:2\r\ndb0:keys=1000000,expires=0,avg_ttl=0,subexpiry=0\r\n`

const valkey = `# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.1\r\nprocess_id:76\r\nrun_id:ff66\r\nloading:0\r\nrole:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\nmaster_link_status:up\r\nmaster_sync_in_progress:0\r\nslave_repl_offset:33\r\nmaster_replid:v1\r\nmaster_replid2:0000000000000000000000000000000000000000\r\nmaster_repl_offset:33\r\nsecond_repl_offset:-1\r\n`

describe('factsFromInfo', () => {
  test('redis 3.2, a replica: its own offset, no replication id, keys of all databases', () => {
    expect(factsFromInfo(old32)).toMatchObject({
      version: '3.2.4',
      pid: 71,
      role: 'replica',
      linkUp: true,
      replid: '',
      offset: 4711,
      keys: 7,
      counts: '0:3/0 7:4/1',
      upstream: { host: '10.0.0.1', port: 6379 },
      linkDownS: null,
    })
  })

  test('redis 4.0, a primary: followers with their states, without who only reads the stream; forty zeros are no second id', () => {
    expect(factsFromInfo(primary40)).toMatchObject({
      role: 'primary',
      upstream: null,
      linkUp: false,
      linkDownS: null,
      replid: 'c0ffee',
      replid2: '',
      secondOffset: -1,
      offset: 820,
      followers: [
        { ip: '10.0.0.2', port: 6379, online: true, offset: 815, ackAgeS: 1 },
        { ip: '10.0.0.3', port: 6380, online: false },
      ],
    })
  })

  test('redis 6.2, in a full sync', () => {
    expect(factsFromInfo(syncing62)).toMatchObject({ syncing: true, linkUp: false, progress: 0.25, syncLeftBytes: 750, linkDownS: 4 })
  })

  test('redis 7.0, loading', () => {
    expect(factsFromInfo(loading70)).toMatchObject({
      loading: true,
      progress: 0.415,
      syncing: false,
      syncLeftBytes: null,
      upstream: { host: '127.0.0.1', port: 1 },
      replid2: '',
    })
  })

  test('redis 8, promoted: its second id and where its own history begins; replies that should not have been errors', () => {
    expect(factsFromInfo(promoted8)).toMatchObject({ replid: 'new', replid2: 'old', secondOffset: 901, offset: 910, keys: 1_000_000, unexpectedErrors: 2 })
  })

  test('valkey 8 answers in the words of redis 7.2', () => {
    expect(factsFromInfo(valkey)).toMatchObject({ version: '7.2.4', role: 'replica', linkUp: true, replid: 'v1', offset: 33, keys: 0 })
  })

  test.each(['', 'HTTP/1.1 400 Bad Request\r\n\r\n', 'redis_version:7.0.15\r\n', '-NOAUTH'])('not an INFO answer: %j', (text) => {
    expect(factsFromInfo(text)).toBeNull()
  })
})

test.each([
  ['7.0.15', 'rdb_bgsave_in_progress:1', { keepsClients: true }],
  ['6.2.14', 'aof_rewrite_in_progress:1', { keepsClients: true }],
  ['3.0.4', 'rdb_bgsave_in_progress:1', { keepsClients: true }],
  ['7.2.4', 'rdb_bgsave_in_progress:1', { keepsClients: false }],
  ['8.0.0', 'module_fork_in_progress:1', { keepsClients: false }],
  ['7.0.15', 'rdb_bgsave_in_progress:0\r\naof_rewrite_scheduled:1', undefined],
])('%s, %s: does who is sent away know it while a child runs?', (version, field, forked) => {
  expect(factsFromInfo(`redis_version:${version}\r\nrun_id:x\r\nrole:master\r\n${field}\r\n`)?.forked).toEqual(forked)
})

test('numbers that are no numbers do not become NaN', () => {
  const facts = factsFromInfo('redis_version:7.0.15\r\nrun_id:x\r\nrole:master\r\nprocess_id:abc\r\nmaster_repl_offset:\r\ndb0:nonsense\r\nslave0:garbage\r\n')
  expect(facts).toMatchObject({ pid: 0, offset: 0, keys: 0 })
  expect(JSON.stringify(facts)).not.toContain('null,"ackAgeS":null')
})

test('a value may hold colons; comments and empty lines are nothing', () => {
  expect([...parseInfo('# Server\r\n\r\nexecutable:/a:b\r\nlonely\r\n')]).toEqual([['executable', '/a:b']])
  expect([...parseInfo('# a: b\nlonely\n:x\nlast:1')]).toEqual([['last', '1']])
  expect([...parseInfo('')]).toEqual([])
})

describe('what is on its disk', () => {
  const persistence = (uptimeS: number, savedAgoS: number, more = '') =>
    factsFromInfo(
      `redis_version:7.0.15\r\nrun_id:a\r\nserver_time_usec:1700000000500000\r\nuptime_in_seconds:${uptimeS}\r\nrdb_changes_since_last_save:7\r\nrdb_last_save_time:${1_700_000_000 - savedAgoS}\r\nrdb_last_bgsave_status:ok\r\naof_enabled:1\r\naof_last_write_status:ok\r\n${more}`,
    )

  test('a redis that was only started says that it saved then: it has saved nothing', () => {
    expect(persistence(500, 500)?.saves).toEqual({ ok: true, ageS: null, changes: 7 })
    expect(persistence(500, 400)?.saves).toEqual({ ok: true, ageS: 400, changes: 7 })
  })

  test('a save that failed, and an AOF to which it cannot write', () => {
    const failing = persistence(500, 400, 'rdb_last_bgsave_status:err\r\naof_last_write_status:err\r\n')
    expect([failing?.saves?.ok, failing?.aof?.writeOk]).toEqual([false, false])
    expect(persistence(500, 400)?.aof?.writeOk).toBe(true)
  })

  test('by a clock that was set back nothing can be said', () => {
    expect(persistence(500, -3600)?.saves?.ageS).toBeNull()
  })
})
