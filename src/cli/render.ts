/**
 * `holdfast render`: the files that the agents would write, for reading before trusting, and a haproxy.cfg, which they never write. Passwords are masked unless asked
 * for, because the output ends up in tickets and chats. Must not write any file.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { Argument, InvalidArgumentError } from '@commander-js/extra-typings'
import type { Command } from '@commander-js/extra-typings'
import { ranges } from '../config/defaults.ts'
import { readPassword, readSecret, readSentinelPassword, readUserRedisConf } from '../config/files.ts'
import { findGroup, findHost, loadConfig } from '../config/load.ts'
import type { Config, GroupConfig, HostConfig } from '../model/config.ts'
import { keepalivedConfFile, nftablesFile, redisConfFile, sentinelConfFile } from '../model/paths.ts'
import { passwordHash, sentinelUserPassword } from '../redis/sentinel-id.ts'
import { renderHaproxy } from '../render/haproxy.ts'
import { renderKeepalived, vrrpGroups } from '../render/keepalived.ts'
import { renderNftables } from '../render/nftables.ts'
import { renderRedisConf } from '../render/redis-conf.ts'
import { renderSentinelConf } from '../render/sentinel-conf.ts'
import { readVersion, type ServerVersion } from '../render/redis-directives.ts'
import { configFileOf } from './check.ts'

const kinds = ['redis', 'sentinel', 'keepalived', 'nftables', 'haproxy'] as const
type Kind = (typeof kinds)[number]

export interface RenderedFile {
  readonly host: string
  readonly kind: Kind
  readonly group?: string
  readonly path: string
  readonly notes: readonly string[]
  readonly text: string
}

interface Wanted {
  readonly kind?: Kind | undefined
  readonly host?: string | undefined
  readonly group?: string | undefined
  readonly version?: ServerVersion | undefined
  readonly writePort?: number | undefined
  readonly readPort?: number | undefined
  readonly withPasswords: boolean
}

const versionDeadlineMs = 5000
const mask = '********'
const haproxyConfFile = '/etc/haproxy/haproxy.cfg'

export function register(program: Command): void {
  program
    .command('render')
    .description('print the files that the agents would write, or a haproxy.cfg for a group')
    .addArgument(new Argument('[what]', 'only this kind of file; haproxy only if it is asked for').choices(kinds))
    .argument('[group]', 'the same as --group')
    .option('--host <host>', 'only the files of this host')
    .option('--group <group>', 'only the files of this group')
    .option('--redis-version <major.minor>', 'render for this redis instead of the one installed here', askedVersion)
    .option('--write-port <port>', 'haproxy: where it listens for writes (default: the port of the group)', askedPort)
    .option('--read-port <port>', 'haproxy: where it listens for reads (default: the next one)', askedPort)
    .option('--with-passwords', 'print passwords instead of stars')
    .option('--json', 'print JSON')
    .action(async (what, named, options, command) => {
      const { config } = await loadConfig(configFileOf(command))
      const files = await renderFiles(config, {
        kind: what,
        host: options.host,
        group: named ?? options.group,
        version: options.redisVersion,
        writePort: options.writePort,
        readPort: options.readPort,
        withPasswords: options.withPasswords === true,
      })
      process.stdout.write(options.json ? `${JSON.stringify(files, null, 2)}\n` : files.map(printed).join('\n'))
    })
}

function printed(file: RenderedFile): string {
  const notes = file.notes.map((note) => `#     note: ${note}\n`).join('')
  return `# === ${file.host}: ${file.path}\n${notes}${file.text}`
}

export async function renderFiles(config: Config, wanted: Wanted): Promise<readonly RenderedFile[]> {
  const hosts = wanted.host === undefined ? Object.values(config.hosts) : [findHost(config, wanted.host)]
  const groups = wanted.group === undefined ? Object.values(config.groups) : [findGroup(config, wanted.group)]
  const want = (kind: Kind): boolean => wanted.kind === undefined || wanted.kind === kind
  const files: RenderedFile[] = []
  if (wanted.kind === 'haproxy') {
    for (const group of groups) files.push(await haproxyFile(config, group, wanted))
    return files
  }
  for (const host of hosts) {
    for (const group of groups) {
      if (want('redis')) files.push(...(await redisFiles(config, group, host, wanted)))
      if (want('sentinel')) files.push(...(await sentinelFiles(config, group, host, wanted)))
      if (want('nftables')) files.push(...nftablesFiles(config, group, host))
    }
    // One file for all groups of a host: --group asks only for those hosts where that group is in it.
    if (want('keepalived') && vrrpGroups(config, host.name).some((group) => groups.includes(group))) {
      files.push({ host: host.name, kind: 'keepalived', path: keepalivedConfFile(config.paths), notes: [], text: renderKeepalived(config, host.name) })
    }
  }
  return files
}

async function redisFiles(config: Config, group: GroupConfig, host: HostConfig, wanted: Wanted): Promise<readonly RenderedFile[]> {
  const member = group.members.find((one) => one.host === host.name)
  if (member === undefined || group.process === 'external') return []
  const hidden = group.passwordFile === undefined ? undefined : mask
  const password = wanted.withPasswords ? await readPassword(group) : hidden
  const { version, note } = await serverVersion(config, wanted.version)
  const userConf = await readUserRedisConf(group)
  const sentinelUser = group.mode === 'sentinel' ? await sentinelUserOf(config, group, wanted) : undefined
  const sentinelKeys = sentinelUser === undefined ? undefined : [sentinelUser === mask ? mask : passwordHash(sentinelUser)]
  const { text, notes } = renderRedisConf({ config, group, member, password, serverVersion: version, userConf, sentinelKeys })
  const path = redisConfFile(config.paths, group.name)
  return [{ host: host.name, kind: 'redis', group: group.name, path, notes: [...note, ...notes], text }]
}

async function sentinelUserOf(config: Config, group: GroupConfig, wanted: Wanted): Promise<string> {
  return wanted.withPasswords ? sentinelUserPassword(await readSecret(config), group.name) : mask
}

/** As it is started for the first time; from then on the file is the Sentinel's own. */
async function sentinelFiles(config: Config, group: GroupConfig, host: HostConfig, wanted: Wanted): Promise<readonly RenderedFile[]> {
  const { sentinel } = group
  if (sentinel === undefined || !sentinel.hosts.includes(host.name)) return []
  const hidden = sentinel.passwordFile === undefined ? undefined : mask
  const password = wanted.withPasswords ? await readSentinelPassword(group) : hidden
  const userPassword = await sentinelUserOf(config, group, wanted)
  const text = renderSentinelConf({ config, group, host: host.name, userPassword, password, watched: null })
  const notes = sentinel.process === 'external' ? ['this Sentinel is external: its file is for whoever starts it to write'] : []
  return [{ host: host.name, kind: 'sentinel', group: group.name, path: sentinelConfFile(config.paths, group.name), notes, text }]
}

function nftablesFiles(config: Config, group: GroupConfig, host: HostConfig): readonly RenderedFile[] {
  const holds = vrrpGroups(config, host.name).includes(group)
  return holds
    ? [
        {
          host: host.name,
          kind: 'nftables',
          group: group.name,
          path: nftablesFile(config.paths, group.name),
          notes: [],
          text: renderNftables(group, host.interface),
        },
      ]
    : []
}

/** Of no host of the configuration: HAProxy runs beside the clients, or in front of them. */
async function haproxyFile(config: Config, group: GroupConfig, wanted: Wanted): Promise<RenderedFile> {
  const password = wanted.withPasswords ? await readPassword(group) : undefined
  const auth = group.passwordFile === undefined ? undefined : password === undefined ? mask : authCommand(password)
  const writePort = wanted.writePort ?? group.port
  const readPort = wanted.readPort ?? writePort + 1
  const text = renderHaproxy({ config, group, auth, writePort, readPort })
  return { host: 'where HAProxy runs', kind: 'haproxy', group: group.name, path: haproxyConfFile, notes: [], text }
}

function authCommand(password: string): string {
  return Buffer.from(`*2\r\n$4\r\nAUTH\r\n$${Buffer.byteLength(password)}\r\n${password}\r\n`).toString('hex')
}

async function serverVersion(config: Config, asked: ServerVersion | undefined): Promise<{ version: ServerVersion; note: readonly string[] }> {
  if (asked !== undefined) return { version: asked, note: [] }
  try {
    const { stdout } = await promisify(execFile)(config.paths.redisServer, ['--version'], { timeout: versionDeadlineMs, maxBuffer: 65_536 })
    const version = readVersion(stdout)
    if (version !== null) return { version, note: [] }
  } catch {
    // Not installed here: the operator may well render on another machine, and the note says what was assumed.
  }
  return { version: { major: 7, minor: 0 }, note: [`${config.paths.redisServer} does not answer here; rendered for redis 7.0`] }
}

function askedVersion(text: string): ServerVersion {
  const version = readVersion(`v=${text}`)
  if (version === null) throw new InvalidArgumentError('Give it as major.minor, such as 7.0.')
  return version
}

function askedPort(text: string): number {
  const port = Number(text)
  if (!Number.isInteger(port) || port < ranges.port.min || port > ranges.port.max) throw new InvalidArgumentError('Give it as a number from 1 to 65535.')
  return port
}
