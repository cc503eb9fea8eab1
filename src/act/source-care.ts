/**
 * What is changed at the source for the sake of a sync, beside what its plan raised: a larger buffer, a longer patience at both ends, and that a save
 * which fails does not stop its writes. On disk here BEFORE it is changed there, and put back with the rest. Decides nothing.
 */
import { bufferIn } from '../model/replica-buffer.ts'
import type { SourceRecord } from '../model/move.ts'
import { done, failed, type Outcome } from '../model/outcome.ts'
import { failedIn, parseInfo } from '../redis/info.ts'
import { command, setting, type Linked } from './redis.ts'
import type { SourceAccess } from './source.ts'

const askMs = 1000
const guardName = 'stop-writes-on-bgsave-error'

export async function raiseBuffer(source: SourceAccess, record: SourceRecord, bytes: number): Promise<Outcome> {
  const name = 'client-output-buffer-limit'
  const has = bufferIn(await setting(source, name, askMs))
  // `slave` is the name that every version takes; `replica` is refused before 5.0.
  return has === null
    ? failed(`${name} there cannot be read`)
    : raiseOne(source, record, { name, from: `slave ${has.hardBytes} ${has.softBytes} ${has.softS}`, to: `slave ${bytes} ${bytes} 0` })
}

/** A timeout that one end alone has ends it nevertheless. */
export async function raiseTimeout(own: Linked, source: SourceAccess, record: SourceRecord, seconds: number): Promise<Outcome> {
  const name = 'repl-timeout'
  const from = await setting(source, name, askMs)
  if (from === '') return failed(`${name} there cannot be read`)
  const raised = await raiseOne(source, record, { name, from, to: String(seconds) })
  return raised.done ? patientAsSource(own, source) : raised
}

/** The own redis waits as long as the source does. */
export async function patientAsSource(own: Linked, source: SourceAccess): Promise<Outcome> {
  const record = source.record()
  const to = record?.raises.find(({ name }) => name === 'repl-timeout')?.to
  if (record == null || to === undefined) return done
  const from = await setting(own, 'repl-timeout', askMs)
  if (from === '' || Number(from) >= Number(to)) return done
  const kept = await source.keep({ ...record, ownTimeout: record.ownTimeout ?? from })
  return kept.done ? command(own, 'CONFIG', 'SET', 'repl-timeout', to) : kept
}

/** Its own redis only: of another member it is not known, and it is that of its file again when it is started. */
export async function impatientAgain(own: Linked, source: SourceAccess): Promise<Outcome> {
  const record = source.record()
  if (record?.ownTimeout == null) return done
  const set = await command(own, 'CONFIG', 'SET', 'repl-timeout', record.ownTimeout)
  return set.done ? source.keep({ ...record, ownTimeout: null }) : set
}

async function raiseOne(source: SourceAccess, record: SourceRecord, raise: SourceRecord['raises'][number]): Promise<Outcome> {
  const known = record.raises.find(({ name }) => name === raise.name)
  // What it was is what it was before the first time.
  const raises = [...record.raises.filter(({ name }) => name !== raise.name), { ...raise, from: known?.from ?? raise.from }]
  const kept = await source.keep({ ...record, raises, raised: true })
  return kept.done ? command(source, 'CONFIG', 'SET', raise.name, raise.to) : kept
}

/** Where a sync is sent from disk, a save for it that fails would make the source refuse writes from then on. */
export async function guardSaves(source: SourceAccess): Promise<Outcome> {
  const record = source.record()
  if (record === null || record.guard != null) return done
  const [stops, diskless, points] = await Promise.all([guardName, 'repl-diskless-sync', 'save'].map((name) => setting(source, name, askMs)))
  if (stops !== 'yes' || diskless === 'yes' || points === '' || (await savesFail(source))) return done
  const kept = await source.keep({ ...record, guard: 'yes' })
  if (!kept.done) return kept
  const set = await command(source, 'CONFIG', 'SET', guardName, 'no')
  // It may not be: then it is followed as it is, and given up at the first sign.
  return set.done ? done : source.keep({ ...record, guard: null })
}

/** Not while its last save has failed: it would refuse writes at once. */
export async function unguardSaves(source: SourceAccess): Promise<Outcome> {
  const record = source.record()
  if (record?.guard == null || (await savesFail(source))) return done
  const set = await command(source, 'CONFIG', 'SET', guardName, record.guard)
  return set.done ? source.keep({ ...record, guard: null }) : set
}

async function savesFail(source: SourceAccess): Promise<boolean> {
  const answer = await source.link()?.call(['INFO', 'persistence'], askMs)
  return answer?.ok !== true || failedIn(parseInfo(String(answer.value))).includes('save')
}
