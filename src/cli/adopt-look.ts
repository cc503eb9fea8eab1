/** `holdfast adopt look`: what is there on one host of an old pair, into a file for `propose`. It reads and asks; it changes nothing. */
import type { Command } from '@commander-js/extra-typings'
import { chmod, readFile, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { foundFormat, type HostFound, type RedisLine } from '../adopt/found.ts'
import { failureOf } from '../config/files.ts'
import { OperatorError } from '../model/error.ts'
import { lookAtRunning, type Looked } from '../move/running.ts'
import { modernName } from '../render/redis-directives.ts'
import { keepalivedConfOf, redisConfOf, scriptsOf } from './adopt-files.ts'
import { cronLines, ownAddresses, supervisorOf } from './adopt-host.ts'

const usualKeepalived = '/etc/keepalived/keepalived.conf'
const usualPort = 6379
const secrets = new Set(['requirepass', 'masterauth', 'user'])

export function registerLook(adopt: Command): void {
  adopt
    .command('look')
    .description('on each host of the pair: its redis.conf, its keepalived.conf and the redis that runs; reads only')
    .requiredOption('--out <file>', 'what is found, for `propose`; holds the password of redis, mode 0600')
    .option('--redis <host:port>', 'the redis of this host', `127.0.0.1:${usualPort}`)
    .option('--password-file <file>', 'of redis; otherwise requirepass of its redis.conf')
    .option('--redis-conf <file>', 'otherwise the one that redis says it was started from')
    .option('--keepalived-conf <file>', 'the one that keepalived runs with', usualKeepalived)
    .option('--no-keepalived', 'the pair has no address')
    .option('--name <host>', 'of this host in the configuration', hostname())
    .action(async (options) => {
      const found = await lookHere(options)
      await writeFile(options.out, `${JSON.stringify(found, null, 1)}\n`, { mode: 0o600 }).catch((error: unknown) => {
        throw new OperatorError('HF910', `${options.out} ${failureOf(error)}`, '--out FILE in a folder that is there')
      })
      // The mode counts only for a file that was not there.
      await chmod(options.out, 0o600)
      process.stdout.write(brief(found, options.out))
    })
}

interface LookOptions {
  readonly redis: string
  readonly passwordFile?: string | undefined
  readonly redisConf?: string | undefined
  readonly keepalivedConf: string
  readonly keepalived: boolean
  readonly name: string
}

async function lookHere(options: LookOptions): Promise<HostFound> {
  const keepalivedConf = options.keepalived ? await keepalivedConfOf(options.keepalivedConf) : null
  const named = options.redisConf === undefined ? null : await redisConfOf(options.redisConf)
  const given = options.passwordFile === undefined ? null : await passwordIn(options.passwordFile)
  const target = targetOf(options.redis)
  // Its own file has the password, and which file that is only redis says: asked without one, it may say so all the same.
  const password = given ?? lastOf(named?.lines ?? [], 'requirepass')
  const looked = await ask(target, password, named === null && given === null)
  const conf = named ?? (await confOf(looked))
  return {
    format: foundFormat,
    host: options.name,
    addresses: ownAddresses(),
    redisConf: { ...conf, lines: conf.lines.map(withoutSecret) },
    keepalivedConf,
    scripts: keepalivedConf === null ? [] : await scriptsOf(keepalivedConf.nodes),
    redis: looked.redis,
    supervisor: await supervisorOf(looked.redis.pid),
    cron: await cronLines(),
    passwords: {
      own: (looked.requirepass ?? password ?? '') || null,
      masterauth: (looked.masterauth ?? lastOf(conf.lines, 'masterauth') ?? '') || null,
    },
  }
}

function targetOf(text: string): { readonly host: string; readonly port: number } {
  const parts = /^(?:([^:]+):)?(\d{1,5})$/.exec(text) ?? /^([^:]+)$/.exec(text)
  const port = Number(parts?.[2] ?? usualPort)
  if (parts === null || port < 1 || port > 65535) throw new OperatorError('HF911', `${text} is no address of a redis`, '--redis HOST:PORT', 2)
  return { host: parts[1] ?? '127.0.0.1', port }
}

async function ask(target: { readonly host: string; readonly port: number }, password: string | null, usualConf: boolean): Promise<Looked> {
  const looked = await lookAtRunning({ ...target, ...(password === null ? {} : { password }) })
  if (looked.ok) return looked.value
  const refused = /WRONGPASS|NOAUTH|invalid password|Client sent AUTH|without any password/i.test(looked.why)
  const at = `${target.host}:${target.port}`
  if (!refused)
    throw new OperatorError('HF911', `${at}: ${looked.why}`, 'is that the redis of this host? redis-cli -h HOST -p PORT PING; --redis HOST:PORT names another')
  const hint = usualConf
    ? 'name the file that has it: --redis-conf FILE (ps shows with which redis was started), or --password-file FILE'
    : '--password-file FILE with the one that redis has now'
  throw new OperatorError('HF912', `${at}: ${looked.why}`, hint)
}

async function confOf({ redis }: Looked): Promise<HostFound['redisConf']> {
  return redis.configFile === '' ? { file: null, lines: [], unread: [] } : redisConfOf(redis.configFile)
}

async function passwordIn(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new OperatorError('HF910', `${file} ${failureOf(error)}`, '--password-file FILE with the password on one line')
  })
  return text.replace(/\r?\n$/, '')
}

function lastOf(lines: readonly RedisLine[], name: string): string | null {
  return lines.findLast(([directive]) => modernName(directive) === name)?.[1] ?? null
}

function withoutSecret(line: RedisLine): RedisLine {
  return secrets.has(modernName(line[0])) ? [line[0], '…'] : line
}

function brief({ host, redis, redisConf, keepalivedConf }: HostFound, out: string): string {
  const role =
    redis.role === 'primary' ? `master with ${redis.replicas.length} replicas` : `replica of ${redis.upstream?.host ?? ''}:${redis.upstream?.port ?? 0}`
  return [
    `${host}  ${redis.product} ${redis.version} at ${redis.at}, ${role}, ${redis.keys} keys`,
    `        ${redisConf.file ?? 'no redis.conf'}, ${keepalivedConf?.file ?? 'no keepalived'}`,
    `written to ${out} (mode 0600, it holds passwords); with the file of the other host: holdfast adopt propose FILE FILE --name GROUP`,
    '',
  ].join('\n')
}
