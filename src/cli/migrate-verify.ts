/** `holdfast migrate verify`: proof that two redises hold the same, while the first is written to. Reads both; changes nothing. */
import type { Command } from '@commander-js/extra-typings'
import { InvalidArgumentError } from '@commander-js/extra-typings'
import { open as openFile, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import pc from 'picocolors'
import { readPassword } from '../config/files.ts'
import { follows } from '../migrate/follows.ts'
import type { Instance } from '../migrate/facts.ts'
import { isAtLeast, nameOf } from '../migrate/versions.ts'
import { OperatorError } from '../model/error.ts'
import { digester, waysOf, type Ways } from '../move/digester.ts'
import { governed, type WantedPace } from '../move/governor.ts'
import { lookAt } from '../move/look.ts'
import { startProbe, type Probe } from '../move/probe.ts'
import type { Sides } from '../move/settle.ts'
import { verify, type Difference, type Verified } from '../move/verify.ts'
import { sealReport } from '../move/report-seal.ts'
import { momentOf, type VerifyReport } from '../move/verify-report.ts'
import { openRaw, type RawRedis } from '../redis/raw.ts'
import { shown } from '../redis/words.ts'
import { groupOf, openSession, refusal, send, statusOf, type Session } from './ask.ts'
import { tookWords } from './backup-words.ts'
import { addressOf, nameSource, withoutPassword, type Endpoint } from './migrate-source.ts'
import { tellOfReport } from './migrate-report.ts'
import { unreached } from './migrate-unreached.ts'
import { stepLine } from './restore-over-draw.ts'
import { version } from './version.ts'

const deadlineMs = 30_000
const shownMost = 20

export function registerVerify(migrate: Command): void {
  migrate
    .command('verify')
    .description('prove that a member holds what the source holds: values and times to live, both directions, while it is written to')
    .argument('[from]', 'redis://[USER@]HOST:PORT, rediss://…, or a group')
    .argument('[group]', 'whose member is compared')
    .option('--member <host>', 'this one (default: the primary of the group)')
    .option('--source-password-file <file>', 'of the source')
    .option('--tls-ca <file>', 'who has signed the certificate of a rediss:// source')
    .option('--tls-cert <file>', 'our own certificate, where the source asks for one')
    .option('--tls-key <file>', 'its key')
    .option('--pace <pace>', "auto: by the source's 99th percentile, measured beside it; full; or so many keys a second", paceOf, 'auto' as WantedPace)
    .option('--report <file>', 'all of it, as JSON, sealed with the secret of the agents')
    .option('--check-report <file>', 'compare nothing: say whether this report is as it was written')
    .option('--json', 'machine-readable')
    .action(async (from, group, options, command) => {
      const session = await openSession(command.optsWithGlobals() as unknown as { config: string })
      if (options.checkReport !== undefined) return tellOfReport(session.secret, options.checkReport)
      if (from === undefined || group === undefined) return command.error(`error: missing required argument '${from === undefined ? 'from' : 'group'}'`)
      groupOf(session, group)
      const source = (await nameSource(session, from, options)).endpoint
      const target = await memberOf(session, group, options.member)
      if (options.report !== undefined) await mayBeWritten(options.report, 'HF903')
      const stop = new AbortController()
      const broken = (): void => stop.abort(new Error('broken off'))
      process.once('SIGINT', broken)
      const line = options.json === true ? null : stepLine()
      try {
        const progress = (done: number, of: number): void => line?.tell({ what: 'comparing', done, of: Math.max(done, of) })
        const report = await compared(source, target, { pace: options.pace, signal: stop.signal, progress }).finally(() => line?.end())
        const text = `${JSON.stringify(sealReport({ ...headOf(report, from, group, options.member), ...report }, session.secret), null, 2)}\n`
        if (options.report !== undefined) await writeFile(options.report, text)
        process.stdout.write(options.json === true ? text : draw(report))
        if (resultOf(report) !== 'no difference') process.exitCode = 1
        else if (options.member === undefined) await noteVerified(session, group, source, report.keys)
      } catch (error) {
        if (stop.signal.aborted) throw new OperatorError('HF903', 'broken off: nothing is proven', 'run it again; nothing was changed')
        if (error instanceof OperatorError) throw error
        throw unproven(error as Error)
      } finally {
        process.off('SIGINT', broken)
      }
    })
}

function headOf(report: Report, from: string, group: string, member: string | undefined) {
  return {
    what: 'holdfast migrate verify',
    result: resultOf(report),
    holdfast: version,
    ranOn: hostname(),
    from: withoutPassword(from),
    group,
    member: member ?? null,
  } as const
}

function resultOf({ differ, unsettled }: Verified): VerifyReport['result'] {
  return differ > 0 ? 'differences' : unsettled.length > 0 ? 'not all could be compared' : 'no difference'
}

/** The user of the group may all that is asked: what is refused is refused by the source. */
export function unproven({ message }: Error): OperatorError {
  const hint = message.startsWith('NOPERM')
    ? 'a user of the source who may: ~* +@read +select +watch +unwatch +multi +exec, and +eval_ro +evalsha_ro'
    : 'holdfast migrate plan tells what the two are'
  return new OperatorError('HF903', message, `nothing is proven, and nothing was changed; ${hint}`)
}

/** Found out at the end, it would cost the whole comparison. What a former one has left there stays until then. */
export async function mayBeWritten(file: string, code: 'HF903' | 'HF923'): Promise<void> {
  try {
    await (await openFile(file, 'a')).close()
  } catch (error) {
    throw new OperatorError(code, `the report cannot be written: ${(error as Error).message}`, 'name another file: --report FILE', 2)
  }
}

/** The same for a list of moves: is it proven, and in words what was found. */
export async function prove(
  session: Session,
  group: string,
  source: Endpoint,
  how: Omit<How, 'isShown'>,
): Promise<{ readonly proven: boolean; readonly words: string }> {
  const { keys, differ, unsettled } = await compared(source, await memberOf(session, group, undefined), how)
  const proven = differ === 0 && unsettled.length === 0
  if (proven) await noteVerified(session, group, source, keys)
  return { proven, words: proven ? `${keys} keys, no difference` : `${differ} differ, ${unsettled.length} could not be compared` }
}

/** Where this source is being moved to this group, the move may go on: it is proven. */
async function noteVerified(session: Session, group: string, { host, port }: Endpoint, keys: number): Promise<void> {
  const [status] = await statusOf(session, group)
  const move = status?.move ?? null
  const at = await addressOf(host)
  if (move?.move.stage !== 'sync' || move.holder === null || move.move.source.host !== at || move.move.source.port !== port) return
  const noted = await send(session, move.holder, group, { kind: 'move', to: null, dryRun: false, move: { verb: 'verified', keys } })
  if (!noted.ok) throw refusal(noted, group)
}

export function paceOf(text: string): WantedPace {
  if (text === 'auto' || text === 'full') return text
  const value = Number(text)
  if (!Number.isFinite(value) || value < 1) throw new InvalidArgumentError('auto, full, or so many keys a second')
  return value
}

async function memberOf(session: Session, name: string, host: string | undefined): Promise<Endpoint> {
  const group = groupOf(session, name)
  const [status] = host === undefined ? await statusOf(session, name) : []
  // During a move the group has no primary: who follows the source is compared with it.
  const wanted = host ?? status?.primary ?? status?.move?.holder
  const member = group.members.find((one) => one.host === wanted)
  if (member === undefined)
    throw new OperatorError(
      'HF104',
      host === undefined ? `${name} has no primary, and nothing is being moved to it` : `${host} is no member of ${name}`,
      `${host === undefined ? `holdfast migrate start FROM ${name} first; or one that you name yourself: ` : ''}--member ${group.members.map((one) => one.host).join(' or ')}`,
      2,
    )
  return { host: session.config.hosts[member.host]?.ip ?? '', port: member.port, password: await readPassword(group) }
}

interface Report extends Verified, Pick<VerifyReport, 'source' | 'target' | 'begin' | 'end'> {
  readonly follows: boolean
  readonly way: string
  readonly pace: WantedPace
  /** Of the source, while nothing was read and while it was; null: not measured. */
  readonly p99Ms: { readonly idle: number; readonly worst: number } | null
}

interface How {
  readonly pace: WantedPace
  readonly signal: AbortSignal
  /** Called after each page, in keys. */
  readonly progress?: (done: number, of: number) => void
}

async function compared(from: Endpoint, to: Endpoint, { pace, signal, progress }: How): Promise<Report> {
  const [a, b] = await Promise.all([from, to].map(async (end) => look(end, signal)))
  if (a === undefined || b === undefined) throw new Error('two are compared')
  if (a.runId === b.runId) throw new OperatorError('HF903', `${a.at} and ${b.at} are the same redis`, 'name two: --member HOST', 2)
  const doesFollow = follows(b, a, from)
  const [source, target] = [await open(from), await open(to)]
  const probe = pace === 'auto' ? await probeOf(from) : null
  try {
    const [mine, theirs] = [await ways(source, a), await ways(target, b)]
    const plain = [mine.way, theirs.way].includes('plain')
    const absolute = isAtLeast(a.version, 7, 0) && isAtLeast(b.version, 7, 0)
    const side = (redis: RawRedis, of: Instance, { way, ...its }: Ways): Sides['source'] => ({
      redis,
      digests: digester(redis, plain ? 'plain' : way, { absolute, ...its }),
      aheadMs: of.clock.ok ? of.clock.value.aheadMs : 0,
    })
    const sides: Sides = { source: side(source, a, mine), target: side(target, b, theirs), absolute, follows: doesFollow, signal }
    const governor = await governed(pace, probe, signal)
    try {
      const begin = await momentOf(source, target)
      const found = await verify({
        sides,
        pageKeys: governor.pageKeys,
        took: governor.took,
        ahead: pace === 'full' ? 1 : 0,
        pause: governor.pause,
        progress: (done, of) => progress?.(done, of),
      })
      return {
        source: `${a.at} ${nameOf(a.version)}`,
        target: `${b.at} ${nameOf(b.version)}`,
        follows: doesFollow,
        way: plain ? 'plain' : 'scripts',
        pace,
        p99Ms: governor.p99Ms(),
        begin,
        end: await momentOf(source, target),
        ...found,
      }
    } finally {
      governor.end()
    }
  } finally {
    probe?.close()
    source.close()
    target.close()
  }
}

export async function look(end: Endpoint, signal: AbortSignal): Promise<Instance> {
  const found = await lookAt(end, { overMs: 1, signal })
  if (found.ok) return found.value
  throw unreached(end, found.why)
}

export async function open(end: Endpoint): Promise<RawRedis> {
  const opened = await openRaw(end, deadlineMs)
  if (opened.ok) return opened.value
  throw unreached(end, opened.why)
}

export async function probeOf(end: Endpoint): Promise<Probe> {
  const started = await startProbe(end)
  if (started.ok) return started.value
  throw new OperatorError('HF901', `${end.host}:${end.port}: ${started.why}`, 'one connection more is needed to measure it; --pace full does without')
}

export function ways(redis: RawRedis, { version }: Instance): Promise<Ways> {
  return waysOf(redis, { evalRo: isAtLeast(version, 7, 0), memoryUsage: isAtLeast(version, 4, 0) })
}

function draw(report: Report): string {
  const { source, target, keys, same, differ, differences, unsettled, asked, tookMs, follows, p99Ms } = report
  const rate = Math.round((keys * 1000) / Math.max(1, tookMs))
  const head = [
    `${source}  ↔  ${target}`,
    ...(follows ? [] : [pc.yellow('it does not follow the source: compared as they stand, and what is written to one of them meanwhile is told as different')]),
    `${keys} keys of the member compared with the source, ${asked} of the source looked for at the member, in ${tookWords(tookMs)} (${rate}/s)${p99Ms === null ? '' : `; p99 of the source ${p99Ms.idle.toFixed(2)} ms before, ${p99Ms.worst.toFixed(2)} ms at the worst`}`,
  ]
  const lines = differences.slice(0, shownMost).map((one) => `  ${one.what.padEnd(12)} ${named(one)}`)
  const more =
    differ > shownMost
      ? [
          `  and ${differ - shownMost} more${differ > differences.length ? `, of which ${differences.length - shownMost} are in the report` : ''} (--report FILE)`,
        ]
      : []
  const open =
    unsettled.length === 0
      ? []
      : [
          pc.yellow(
            `${unsettled.length} could not be compared (written to so often that no moment was found, or of a type that only a module reads), ${named(unsettled[0])} for one`,
          ),
        ]
  const verdict = differ === 0 ? (unsettled.length === 0 ? pc.green('no difference') : 'no difference in the others') : pc.red(`${differ} differ`)
  return `${[...head, ...lines, ...more, ...open, `${verdict}; ${same} are the same`].join('\n')}\n`
}

function named(one: Omit<Difference, 'what'> | undefined): string {
  return one === undefined ? '' : `${shown([one.key])}${one.database === 0 ? '' : ` in database ${one.database}`}`
}
