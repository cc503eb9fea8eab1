/** What a restore would do, and what it did, for people and for programs. */
import pc from 'picocolors'
import type { Backup } from '../backup/catalog.ts'
import { total } from '../backup/counts.ts'
import type { Restored } from '../dump/restore.ts'
import type { Moment } from '../dump/moment.ts'
import { isoWords } from '../dump/moment-words.ts'
import { momentWords, sizeWords, tookWords } from './backup-words.ts'
import { expectedMs, momentJson, momentRows } from './restore-moment.ts'

export interface Plan {
  readonly backup: Backup
  /** null: the backup is what is wanted. */
  readonly moment: Moment | null
  readonly key: Buffer | null
  readonly dir: string
  readonly conf: string
  /** Of what writes the files, if nothing is to stay. */
  readonly redisServer: string
  readonly password: string | undefined
  /** null: only the files are written. */
  readonly start: {
    readonly redisServer: string
    readonly version: string
    readonly host: string
    readonly port: number
    readonly password: string | undefined
  } | null
  /** What its operator should know. */
  readonly notes: readonly string[]
}

type Row = readonly [name: string, text: string]

export function drawPlan(plan: Plan): string {
  const { backup, moment, dir, start, notes } = plan
  const { manifest, tested } = backup
  const expected = moment === null ? (tested?.ok === true ? tested.loadMs : null) : expectedMs(moment)
  const counted = manifest.seen.after ?? manifest.seen.before
  const keys = tested?.ok === true ? `${tested.keys} keys` : counted === null ? 'how many keys is not known' : `about ${total(counted.databases)} keys`
  const rows: Row[] = [
    [
      'backup',
      `${manifest.id}, ${backup.state}: ${manifest.group} as of ${momentWords(manifest.atWallMs)}, epoch ${manifest.position.epoch}, offset ${manifest.position.offset}`,
    ],
    [
      'holds',
      `${moment === null ? '' : 'the base: '}${keys}, ${sizeWords(manifest.rdb.bytes)} of RDB (${sizeWords(manifest.stored.bytes)} in the store), by redis ${manifest.server.version}`,
    ],
    ...(moment === null ? [] : momentRows(moment)),
    ['files', `${dir}: dump.rdb, redis.conf`],
    ['starts', start === null ? 'nothing (--no-start)' : `${start.redisServer} ${start.version} at ${start.host}:${start.port}, ${passwordWords(plan)}`],
    [
      'takes',
      expected === null
        ? 'how long is not known: it has not been tested'
        : `about ${tookWords(expected)}${moment === null ? ', as in its test' : ': its test, and the stream at the rate of an idle machine'}`,
    ],
    ...notes.map((note): Row => ['note', pc.yellow(note)]),
  ]
  return `${drawRows(rows)}nothing was done (--dry-run)\n`
}

export function drawRestored(plan: Plan, { served, tookMs, servedMs }: Restored): string {
  const { backup, moment, dir, start, notes } = plan
  const { manifest } = backup
  const title = pc.bold(`${manifest.group} as of ${moment === null ? momentWords(manifest.atWallMs) : isoWords(moment.atWallMs)}`)
  // Of a moment they are what it began at: a title with the bytes of the one and the keys of the other would say that most is missing.
  const size = sizeWords(manifest.rdb.bytes)
  const replayed = moment === null ? [] : [['base', `the backup ${manifest.id}, ${size} of RDB`] as const, ...momentRows(moment)]
  const held = moment === null ? size : 'backup and stream'
  if (served === null || start === null)
    return `${title}: ${held} in ${tookWords(tookMs)}\n${drawRows([
      ...replayed,
      ['files', `${dir}: dump.rdb, redis.conf`],
      ['start', `redis-server ${dir}/redis.conf`],
      ...notes.map((note): Row => ['note', pc.yellow(note)]),
    ])}`
  const cli = `redis-cli -h ${start.host} -p ${start.port}${start.password === undefined ? '' : ' --askpass'}`
  return `${title}: ${served.keys} keys, ${held} in ${tookWords(servedMs ?? tookMs)} (on the disk, and open to writes, after ${tookWords(tookMs)})\n${drawRows([
    ...replayed,
    ['at', `${start.host}:${start.port}, ${passwordWords(plan)}`],
    ['files', `${dir}: dump.rdb, redis.conf, redis.log; process ${served.pid}`],
    ['counted', moment === null ? served.counts.words : `the base, before the stream: ${served.counts.words}`],
    ['look', cli],
    ['stop', `${cli} shutdown nosave; rm -r ${dir}`],
    [
      'keep',
      `it runs until this machine stops, and nobody looks after it; redis-server ${dir}/redis.conf starts it again. For an AOF: config set appendonly yes, config rewrite`,
    ],
    ...notes.map((note): Row => ['note', pc.yellow(note)]),
  ])}`
}

function passwordWords({ start }: Plan): string {
  return start?.password === undefined ? 'without a password' : 'with the password of the group'
}

function drawRows(rows: readonly Row[]): string {
  return rows.map(([name, text]) => `  ${name.padEnd(8)} ${text}\n`).join('')
}

export function planJson(plan: Plan): string {
  const { backup, moment, dir, start, notes } = plan
  const { manifest, tested } = backup
  return json({
    dryRun: true,
    ...whichJson(backup),
    storedBytes: manifest.stored.bytes,
    keys: tested?.ok === true ? tested.keys : null,
    expectedMs: moment === null ? (tested?.ok === true ? tested.loadMs : null) : expectedMs(moment),
    moment: moment === null ? null : momentJson(moment),
    dir,
    address: start === null ? null : { host: start.host, port: start.port },
    notes,
  })
}

function whichJson({ manifest, state }: Plan['backup']) {
  const { group, id, atWallMs, position, rdb } = manifest
  return { group, backup: id, state, asOfWallMs: atWallMs, position, rdbBytes: rdb.bytes }
}

export function restoredJson(plan: Plan, { served, tookMs, servedMs, fetchMs, replayMs }: Restored): string {
  const { backup, moment, dir, start, notes } = plan
  return json({
    ...whichJson(backup),
    tookMs: Math.round(tookMs),
    fetchMs: Math.round(fetchMs),
    servedMs: servedMs === null ? null : Math.round(servedMs),
    replayMs: replayMs === null ? null : Math.round(replayMs),
    moment: moment === null ? null : momentJson(moment),
    dir,
    address: start === null ? null : { host: start.host, port: start.port },
    pid: served?.pid ?? null,
    keys: served?.keys ?? null,
    databases: served?.databases ?? null,
    counts: served?.counts ?? null,
    notes,
  })
}

function json(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`
}
