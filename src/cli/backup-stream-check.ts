/**
 * `holdfast backup verify --stream`: every segment of the archived stream read and proven, and that nothing is missing between them. It TELLS, and writes nothing
 * down: what is damaged is damaged at the next look too, and a restore proves all that it needs before it begins.
 */
import pc from 'picocolors'
import { baseOf } from '../backup/catalog.ts'
import { coverageOf, type Gap } from '../backup/coverage.ts'
import type { StoredSegment } from '../backup/stream.ts'
import { codeOf, FetchFailed } from '../dump/fetch.ts'
import { readSegment } from '../dump/segment.ts'
import { OperatorError } from '../model/error.ts'
import { catalogIn, streamIn, type Vault } from './backup-open.ts'
import { counted, momentWords, progressLine, sizeWords, tookWords } from './backup-words.ts'

interface Damaged {
  readonly name: string
  readonly why: string
}

interface Verified {
  readonly good: number
  readonly bytes: number
  readonly open: number
  readonly damaged: readonly Damaged[]
  readonly unknown: readonly (Damaged & { readonly about: FetchFailed['about'] })[]
}

const workers = 4

export async function verifyStream(vault: Vault, since: string | undefined, json: boolean): Promise<void> {
  const sinceWallMs = since === undefined ? 0 : sinceOf(since, Date.now())
  const stream = await streamIn(vault)
  const wanted = stream.segments.filter(({ lastWallMs }) => lastWallMs >= sinceWallMs)
  if (wanted.length === 0 && stream.broken.length === 0)
    throw new OperatorError(
      'HF836',
      `nothing is archived of the stream of ${vault.group.name}${since === undefined ? '' : ` since ${momentWords(sinceWallMs)}`}`,
      `holdfast backup stream ${vault.group.name}`,
    )
  const startedMs = performance.now()
  const found = await proven(vault, wanted)
  const { gaps, endsRestorable } = coverageOf(stream, (await catalogIn(vault)).backups.map(baseOf))
  const holes = gaps.filter(({ toWallMs }) => toWallMs >= sinceWallMs)
  const broken = stream.broken.filter(({ newer }) => !newer)
  const say = (text: string): void => void (json ? process.stderr : process.stdout).write(text)
  for (const { name, why } of [...found.damaged, ...broken]) say(`${name}  ${pc.red('BAD')}  ${why}\n`)
  for (const [why, names] of byReason(found.unknown))
    say(`${names[0]}${names.length > 1 ? ` and ${names.length - 1} more` : ''}  ${pc.yellow('not known')}  ${why}\n`)
  for (const gap of holes) say(`${pc.red('gap')}  ${gapWords(gap)}\n`)
  const tookMs = performance.now() - startedMs
  if (found.open > 0 && vault.key !== null) say(`${found.open} not encrypted: whoever can write to the store could have made them\n`)
  say(
    `${found.good} good, ${found.damaged.length + broken.length} bad${found.unknown.length > 0 ? `, ${found.unknown.length} not known` : ''}, ${holes.length === 0 ? 'no gap' : counted(holes.length, 'gap')}; ${sizeWords(found.bytes)} in ${tookWords(tookMs)}\n`,
  )
  if (json)
    process.stdout.write(
      `${JSON.stringify({ group: vault.group.name, ...found, broken: stream.broken, gaps: holes, interrupted: vault.signal.aborted }, null, 2)}\n`,
    )
  refuse(vault, found, { broken: broken.length, wanted: wanted.length, gaps: holes.length, endsRestorable })
}

function gapWords({ replid, bytes, fromWallMs, toWallMs, againWallMs }: Gap): string {
  const history = replid.slice(0, 8)
  const size = bytes === null ? `another history begins, ${history}` : `${bytes.to - bytes.from + 1} bytes, offsets ${bytes.from} to ${bytes.to} of ${history}`
  const again = againWallMs === null ? 'no good backup lies behind it' : `restorable again from ${momentWords(againWallMs)}`
  return `${size}, ${momentWords(fromWallMs)} to ${momentWords(toWallMs)}; ${again}`
}

/** One wrong key is the reason of thousands. */
function byReason(unknown: Verified['unknown']): ReadonlyMap<string, readonly string[]> {
  const all = new Map<string, string[]>()
  for (const { why, name } of unknown) {
    const names = all.get(why)
    if (names === undefined) all.set(why, [name])
    else names.push(name)
  }
  return all
}

interface Looked {
  readonly broken: number
  readonly wanted: number
  readonly gaps: number
  /** Does a good backup lie behind the last one? */
  readonly endsRestorable: boolean
}

function refuse({ signal, group }: Vault, { good, damaged, unknown }: Verified, { broken, wanted, gaps, endsRestorable }: Looked): void {
  if (signal.aborted) throw new OperatorError('HF814', `broken off: ${wanted - good - damaged.length - unknown.length} are left`, 'run it again')
  if (damaged.length + broken > 0)
    throw new OperatorError(
      'HF835',
      `${damaged.length + broken} of ${wanted + broken} bad: ${[...damaged.map(({ name }) => name), 'see above'].slice(0, 2).join(', ')}`,
      `take a backup, so that what comes can be restored from it: holdfast backup take ${group.name}`,
    )
  const [first] = unknown
  if (first !== undefined) {
    const { code, hint } = codeOf(first)
    throw new OperatorError(code, `${unknown.length} could not be looked at: ${first.why}`, hint ?? 'mend that, and run it again')
  }
  if (gaps > 0)
    throw new OperatorError(
      'HF835',
      `${counted(gaps, 'gap')}: no moment within can be restored`,
      endsRestorable
        ? `holdfast backup stream ${group.name} shows what can be; a gap stays until retention removes it, and --since 1d looks at no more than the last day`
        : `take a backup now, for without one nothing behind the last gap can be restored: holdfast backup take ${group.name}`,
    )
}

async function proven({ store, group, key, signal }: Vault, wanted: readonly StoredSegment[]): Promise<Verified> {
  const all = wanted.reduce((sum, { bytes }) => sum + bytes, 0)
  const line = progressLine(`${wanted.length} segments`, all)
  const left = [...wanted]
  const [damaged, unknown]: [Damaged[], Verified['unknown'][number][]] = [[], []]
  let [good, bytes, open] = [0, 0, 0]
  const work = async (): Promise<void> => {
    for (let one = left.shift(); one !== undefined && !signal.aborted; one = left.shift()) {
      try {
        const { byKey } = await readSegment(store, group.name, one, key, signal)
        good += 1
        open += byKey ? 0 : 1
      } catch (error) {
        if (signal.aborted) return
        if (!(error instanceof FetchFailed)) throw error
        if (error.about === 'data') damaged.push({ name: one.name, why: error.message })
        else if (!(await isGone(store, one, signal))) unknown.push({ name: one.name, why: error.message, about: error.about })
      }
      bytes += one.bytes
      line.tell(bytes)
    }
  }
  await Promise.all(Array.from({ length: workers }, work))
  line.end()
  const byName = (a: Damaged, b: Damaged): number => (a.name < b.name ? -1 : 1)
  return { good, bytes, open, damaged: damaged.sort(byName), unknown: unknown.sort(byName) }
}

/** Small ones are put together while this reads, and then they are away: that is no damage. */
async function isGone(store: Vault['store'], { name }: StoredSegment, signal: AbortSignal): Promise<boolean> {
  const now = await store.list(name.slice(0, name.lastIndexOf('/')), signal)
  return now.ok && !now.value.some((object) => object.name === name)
}

const unitMs: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 24 * 3_600_000 }

/** `30m`, `2h`, `7d`, or a moment in UTC. */
function sinceOf(text: string, nowWallMs: number): number {
  const ago = /^(\d{1,5})([mhd])$/.exec(text)
  if (ago !== null) return nowWallMs - Number(ago[1]) * (unitMs[ago[2] ?? ''] ?? 0)
  const atWallMs = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?Z)?$/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(atWallMs)) throw new OperatorError('HF836', `--since takes 30m, 2h, 7d or a moment such as 2026-11-21T17:00Z, not ${text}`, '', 2)
  return atWallMs
}
