/** What an agent does at a source for the sake of a sync, and what it reads of it: over connections that are only played here. */
import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { guardSaves, impatientAgain, raiseBuffer, raiseTimeout, unguardSaves } from '../../src/act/source-care.ts'
import { followSource, orderSource, type SourceAccess } from '../../src/act/source.ts'
import type { SourceRecord } from '../../src/model/move.ts'
import { done } from '../../src/model/outcome.ts'
import { observeCare } from '../../src/observe/source-care.ts'
import { followLog } from '../../src/observe/redis-log.ts'
import type { RedisLink } from '../../src/redis/link.ts'

const record: SourceRecord = { host: '10.0.0.9', port: 6379, user: null, password: null, raises: [], raised: false, hold: null }

/** A redis of so many settings. */
function played(
  settings: Record<string, string>,
  info: () => string = () => '',
): { readonly link: RedisLink; readonly settings: Record<string, string>; readonly log: string[] } {
  const log: string[] = []
  const answer = ([verb = '', sub = '', name = '', value = '']: readonly string[]) => {
    if (verb === 'INFO') return info()
    if (verb === 'CLIENT') return 'id=4 addr=10.0.0.1:1 omem=77\nid=5 addr=10.0.0.2:1 omem=5'
    if (sub === 'GET') return settings[name] === undefined ? [] : [name, settings[name]]
    log.push(`${name}=${value}`)
    settings[name] = value
    return 'OK'
  }
  const link: RedisLink = {
    call: async (args) => ({ ok: true, value: answer(args) }),
    callAll: async (commands) => ({ ok: true, value: commands.map((args) => ({ ok: true, value: answer(args) })) }),
    isOpen: () => true,
    close: () => {},
  }
  return { link, settings, log }
}

/** What is kept is written down in the order in which all is done. */
function access(link: RedisLink, log: string[], first: SourceRecord = record): SourceAccess & { readonly now: () => SourceRecord } {
  let now = first
  return {
    link: () => link,
    record: () => now,
    now: () => now,
    entrance: () => ({ ok: true, value: { host: now.host, port: now.port } }),
    keep: async (next) => {
      log.push('kept')
      now = next
      return done
    },
    serves: () => false,
    pausedForMs: () => {},
    changed: () => {},
  }
}

test('a buffer is raised once it is on disk what it was, and what it was first stays what it was', async () => {
  const there = played({ 'client-output-buffer-limit': 'normal 0 0 0 slave 1000 500 60 pubsub 1 1 1' })
  const source = access(there.link, there.log)
  expect(await raiseBuffer(source, record, 4000)).toEqual(done)
  there.settings['client-output-buffer-limit'] = 'normal 0 0 0 slave 4000 4000 0 pubsub 1 1 1'
  expect(await raiseBuffer(source, source.now(), 9000)).toEqual(done)
  expect(there.log).toEqual(['kept', 'client-output-buffer-limit=slave 4000 4000 0', 'kept', 'client-output-buffer-limit=slave 9000 9000 0'])
  expect(source.now()).toMatchObject({ raised: true, raises: [{ name: 'client-output-buffer-limit', from: 'slave 1000 500 60', to: 'slave 9000 9000 0' }] })
})

test('a timeout is raised at both ends, and the own one is put back', async () => {
  const there = played({ 'repl-timeout': '60' })
  const here = played({ 'repl-timeout': '30' })
  const source = access(there.link, there.log)
  const own = { link: () => here.link }
  expect(await raiseTimeout(own, source, record, 120)).toEqual(done)
  expect([there.settings['repl-timeout'], here.settings['repl-timeout'], source.now().ownTimeout]).toEqual(['120', '120', '30'])
  expect(await impatientAgain(own, source)).toEqual(done)
  expect([here.settings['repl-timeout'], source.now().ownTimeout]).toEqual(['30', null])
})

test('a save that fails does not stop its writes during a sync from its disk, and does again after one that has arrived', async () => {
  let saves = 'ok'
  const there = played({ 'stop-writes-on-bgsave-error': 'yes', 'repl-diskless-sync': 'no', save: '3600 1' }, () => `rdb_last_bgsave_status:${saves}\n`)
  const source = access(there.link, there.log)
  expect(await guardSaves(source)).toEqual(done)
  expect([there.log, source.now().guard]).toEqual([['kept', 'stop-writes-on-bgsave-error=no'], 'yes'])
  saves = 'err'
  expect(await unguardSaves(source)).toEqual(done)
  expect(there.settings['stop-writes-on-bgsave-error'], 'it would refuse writes at once').toBe('no')
  saves = 'ok'
  expect(await unguardSaves(source)).toEqual(done)
  expect([there.settings['stop-writes-on-bgsave-error'], source.now().guard]).toEqual(['yes', null])
})

test.each([
  ['it sends without its disk', { 'repl-diskless-sync': 'yes' }, 'ok'],
  ['it saves nothing by itself', { save: '' }, 'ok'],
  ['it is off already', { 'stop-writes-on-bgsave-error': 'no' }, 'ok'],
  ['its saves fail already, and that is its own word', {}, 'err'],
])('%s: nothing of that is changed there', async (_why, other, saves) => {
  const there = played(
    { 'stop-writes-on-bgsave-error': 'yes', 'repl-diskless-sync': 'no', save: '3600 1', ...other },
    () => `rdb_last_bgsave_status:${saves}\n`,
  )
  expect(await guardSaves(access(there.link, there.log))).toEqual(done)
  expect(there.log).toEqual([])
})

test('before it is followed both ends wait as long as its plan asks for, and its writes are safe from our sync; afterwards all is as it was', async () => {
  const before = { 'repl-timeout': '60', 'stop-writes-on-bgsave-error': 'yes', 'repl-diskless-sync': 'no', save: '3600 1' }
  const there = played({ ...before }, () => 'rdb_last_bgsave_status:ok\n')
  const here = played({ 'repl-timeout': '60' })
  const source = access(there.link, there.log, { ...record, raises: [{ name: 'repl-timeout', from: '60', to: '200' }] })
  const hands = { password: undefined, link: () => here.link, source } as unknown as Parameters<typeof followSource>[0]
  expect(await followSource(hands, record.host, record.port)).toEqual(done)
  expect([here.settings['repl-timeout'], there.settings['repl-timeout'], there.settings['stop-writes-on-bgsave-error']]).toEqual(['200', '200', 'no'])
  expect(await orderSource(hands, { do: 'settle' })).toEqual(done)
  expect([here.settings['repl-timeout'], there.settings]).toEqual(['60', expect.objectContaining(before)])
})

test('a log is read from where it is now, and goes on when it was begun anew', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'holdfast-log-'))
  try {
    const file = join(dir, 'redis.log')
    await writeFile(file, '1:S # Timeout receiving bulk data from MASTER...\n')
    const log = followLog(file)
    await log.look()
    expect(log.said(), 'of before').toMatchObject({ format: null, timeouts: 0 })
    await appendFile(file, '1:S # Timeout receiving bulk data from MASTER... If the problem persists\n1:S # PRIMARY timeout: no data nor PING received...\n')
    await log.look()
    await log.look()
    expect(log.said()).toMatchObject({ format: null, timeouts: 2 })
    await writeFile(file, "1:S # Can't handle RDB format version 12\n")
    await log.look()
    expect(log.said()).toMatchObject({ format: "Can't handle RDB format version 12", timeouts: 2 })
    const none = followLog(join(dir, 'none'))
    await none.look()
    expect(none.said()).toMatchObject({ format: null, timeouts: 0 })
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
})

test.each([
  ["1:S # MASTER aborted replication with an error: NOPERM this user has no permissions to run the 'sync' command", /^NOPERM .*'sync' command$/],
  ['1:S # PRIMARY aborted replication with an error: NOAUTH Authentication required.', /^NOAUTH Authentication required\.$/],
  ['1:S # Unable to AUTH to MASTER: -WRONGPASS invalid username-password pair or user is disabled.', /^WRONGPASS invalid/],
  ["1:S # Error reply to PING from master: '-NOAUTH Authentication required.'", /^NOAUTH Authentication required\.$/],
  ['1:S # MASTER aborted replication with an error: ERR unknown command `SYNC`, with args beginning with: ', /^ERR unknown command `SYNC`/],
  ["1:S # MASTER aborted replication with an error: NOMASTERLINK Can't SYNC while not connected with my master", null],
  ["1:S # Unexpected reply to PSYNC from master: -ERR unknown command 'PSYNC'", null],
])('who is turned away at the door is told so in the log: %s', async (line, words) => {
  const dir = await mkdtemp(join(tmpdir(), 'holdfast-log-'))
  try {
    const file = join(dir, 'redis.log')
    await writeFile(file, '')
    const log = followLog(file)
    await log.look()
    await appendFile(file, `${line}\n${line}\n`)
    await log.look()
    expect(log.said().refused).toEqual(words === null ? { times: 0, last: null } : { times: 2, last: expect.stringMatching(words) as string })
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
})

test('what a source tells of a sync; what was changed there is asked anew', async () => {
  const there = played({ 'client-output-buffer-limit': 'normal 0 0 0 slave 9000 500 60 pubsub 1 1 1', 'repl-timeout': '60' }, () =>
    ['latest_fork_usec:1500', 'repl_backlog_size:800', 'total_system_memory:5000', 'used_memory_rss:2000'].join('\n'),
  )
  let nowMs = 1000
  const care = observeCare({ host: '127.0.0.1', port: 1, password: undefined }, { link: () => there.link, logFile: null, clock: () => nowMs })
  try {
    expect(care.probe(false)).toMatchObject({ buffer: null, p99Ms: null })
    await expect.poll(() => care.probe(true).buffer).toEqual({ limitBytes: 800, usedBytes: 77, roomBytes: 3000 })
    expect(care.probe(true)).toMatchObject({ forkMs: 1.5, timeoutS: 60, overflows: null, said: { format: null, timeouts: 0 } })
    care.changed()
    nowMs += 1
    expect(care.probe(true)).toMatchObject({ buffer: null, timeoutS: null })
  } finally {
    care.close()
  }
})
