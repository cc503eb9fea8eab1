/**
 * Real servers for the stores, on loopback, below one folder of their own: OpenStack Swift as an S3 server (python3-swift), and an sshd with
 * its own configuration and keys. Ended by pid, gone with the test. And a gate that stands before either, to cut it off or to let it hang.
 */
import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { CreateBucketCommand, ListMultipartUploadsCommand, S3Client } from '@aws-sdk/client-s3'
import type { StoreConfig } from '../../src/model/config.ts'
import { poll } from '../../src/lab/run.ts'
import { freePort } from '../unit/wire.ts'

process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] = 'true'

/** Not whatever python3 comes first in the path: the one that Debian's packages are for. */
const python = '/usr/bin/python3'
const sshd = '/usr/sbin/sshd'

export const hasSwift = spawnSync(python, ['-c', 'import swift.proxy.server, swift.common.middleware.s3api.s3api'], { stdio: 'ignore' }).status === 0
export const hasSshd = existsSync(sshd) && spawnSync('ssh-keygen', ['-?'], { stdio: 'ignore' }).error === undefined

for (const [there, what] of [
  [hasSwift, 'S3: no OpenStack Swift here (apt-get install python3-swift)'],
  [hasSshd, 'SFTP: no sshd here (apt-get install openssh-server)'],
] as const) {
  if (!there) console.warn(`skipped: ${what}`)
}

type Of<K extends StoreConfig['kind']> = Extract<StoreConfig, { kind: K }>

async function ended(child: ChildProcess): Promise<void> {
  const gone = new Promise((resolve) => child.once('exit', resolve))
  if (child.exitCode === null && child.signalCode === null && child.kill('SIGKILL')) await gone
}

export interface S3Server {
  readonly config: Of<'s3'>
  readonly port: number
  readonly tlsPort: number
  /** Whose certificate is its own issuer. */
  readonly certificate: string
  /** A file with these. */
  readonly credentials: (key: string, secret: string) => string
  /** Keys of what was begun in parts and not ended. */
  readonly unfinished: () => Promise<readonly string[]>
  readonly stop: () => Promise<void>
}

export async function startS3(dir: string): Promise<S3Server> {
  mkdirSync(dir)
  const child = spawn(python, [join(import.meta.dirname, 's3-server.py'), dir], { stdio: ['pipe', 'pipe', 'pipe'] })
  let [said, complaints] = ['', '']
  child.stdout.on('data', (text) => (said += String(text)))
  child.stderr.on('data', (text) => (complaints += String(text)))
  const ports = await poll(() => Promise.resolve(/http (\d+)\nhttps (\d+)\n/.exec(said) ?? (child.exitCode === null ? undefined : null)), {
    withinMs: 20_000,
    everyMs: 10,
  })
  if (ports === undefined || ports === null) throw new Error(`Swift did not start: ${complaints}`)
  const [port, tlsPort] = [Number(ports[1]), Number(ports[2])]
  const credentials = (id: string, secret: string): string => {
    const file = join(dir, `credentials-${id.replace(':', '-')}-${secret}`)
    writeFileSync(file, `[default]\naws_access_key_id = ${id}\naws_secret_access_key = ${secret}\n`, { mode: 0o600 })
    return file
  }
  const endpoint = `http://127.0.0.1:${port}`
  const [accessKeyId, secretAccessKey] = ['test:admin', 'admin-secret']
  const client = new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials: { accessKeyId, secretAccessKey } })
  const Bucket = 'backups'
  await client.send(new CreateBucketCommand({ Bucket }))
  return {
    ...{ port, tlsPort, certificate: join(dir, 'certificate.pem'), credentials },
    config: { kind: 's3', bucket: Bucket, prefix: 'of/redis', endpoint, region: 'us-east-1', credentialsFile: credentials(accessKeyId, secretAccessKey) },
    unfinished: async () => ((await client.send(new ListMultipartUploadsCommand({ Bucket }))).Uploads ?? []).map(({ Key }) => Key ?? ''),
    stop: async () => {
      client.destroy()
      await ended(child)
    },
  }
}

export interface SshServer {
  readonly config: Of<'sftp'>
  /** A known_hosts file that knows it at that port. */
  readonly knownAt: (port: number) => { readonly knownHostsFile: string }
  /** A folder on a disk of 4 MiB, as the server sees it and as this process does. null where nobody may mount one. */
  readonly small: { readonly path: string; readonly seenHere: string } | null
  readonly stop: () => Promise<void>
}

/** As root in a mount namespace of its own, so that a small disk is there for it, and gone with it. */
export async function startSsh(dir: string): Promise<SshServer> {
  mkdirSync(dir)
  const [backups, small] = [join(dir, 'backups'), join(dir, 'small')]
  for (const folder of [backups, small]) mkdirSync(folder)
  const keys = { host: join(dir, 'host-key'), other: join(dir, 'host-key-ecdsa'), user: join(dir, 'user-key') }
  for (const file of Object.values(keys)) execFileSync('ssh-keygen', ['-q', '-t', file === keys.other ? 'ecdsa' : 'ed25519', '-N', '', '-C', '', '-f', file])
  const port = await freePort()
  const lines = [
    ...[
      `Port ${port}`,
      'ListenAddress 127.0.0.1',
      `HostKey ${keys.host}`,
      `HostKey ${keys.other}`,
      `AuthorizedKeysFile ${keys.user}.pub`,
      `PidFile ${join(dir, 'pid')}`,
    ],
    ...['StrictModes no', 'UsePAM no', 'PasswordAuthentication no', 'UseDNS no', 'MaxStartups 100', 'Subsystem sftp internal-sftp'],
  ]
  writeFileSync(join(dir, 'sshd_config'), `${lines.join('\n')}\n`)
  const isRoot = userInfo().uid === 0
  // Where Debian's sshd insists on it: its service would make it.
  if (isRoot) mkdirSync('/run/sshd', { recursive: true })
  const run = [sshd, '-D', '-e', '-f', join(dir, 'sshd_config')]
  const mounted = ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs -o size=4m tmpfs "$0" && exec "$@"', small, ...run]
  const [program = '', ...args] = isRoot ? mounted : run
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  let complaints = ''
  child.stderr.on('data', (text) => (complaints += String(text)))
  const listens = await poll(() => Promise.resolve(complaints.includes('Server listening') || (child.exitCode === null ? undefined : false)), {
    withinMs: 10_000,
    everyMs: 10,
  })
  if (listens !== true) throw new Error(`sshd did not start: ${complaints}`)
  const knownAt = (its: number): { knownHostsFile: string } => {
    const knownHostsFile = join(dir, `known_hosts-${its}`)
    writeFileSync(knownHostsFile, `[127.0.0.1]:${its} ${readFileSync(`${keys.host}.pub`, 'utf8')}`)
    return { knownHostsFile }
  }
  return {
    config: { kind: 'sftp', host: '127.0.0.1', port, user: userInfo().username, path: backups, keyFile: keys.user, ...knownAt(port) },
    knownAt,
    small: isRoot ? { path: small, seenHere: `/proc/${child.pid}/root${small}` } : null,
    stop: () => ended(child),
  }
}

/** A way to a port on loopback. `stop`: it passes nothing on any more, and says nothing. */
export interface Gate {
  readonly port: number
  /** After so many bytes in one direction from now on. */
  readonly stopAfter: (direction: 'in' | 'out', bytes: number) => void
  readonly cutAfter: (direction: 'in' | 'out', bytes: number) => void
  /** As at the beginning. */
  readonly mend: () => void
  readonly close: () => Promise<void>
}

export async function gateTo(port: number): Promise<Gate> {
  const sockets = new Set<Socket>()
  let rule: { readonly direction: 'in' | 'out'; readonly then: 'stop' | 'cut'; left: number } | null = null
  const pass = (direction: 'in' | 'out', chunk: Buffer, onto: Socket): void => {
    if (rule !== null && rule.direction === direction) rule.left -= chunk.length
    if (rule === null || rule.left > 0) return void onto.write(chunk)
    if (rule.then === 'cut') hangUp()
  }
  const server = createServer((client) => {
    const target = connect(port, '127.0.0.1')
    for (const socket of [client, target]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => (socket === client ? target : client).destroy())
    }
    client.on('data', (chunk) => pass('in', chunk, target))
    target.on('data', (chunk) => pass('out', chunk, client))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const hangUp = (): void => {
    for (const socket of sockets) socket.destroy()
    sockets.clear()
  }
  const set =
    (then: 'stop' | 'cut') =>
    (direction: 'in' | 'out', left: number): void => {
      rule = { direction, then, left }
    }
  return {
    port: (server.address() as AddressInfo).port,
    stopAfter: set('stop'),
    cutAfter: set('cut'),
    mend: () => {
      if (rule?.then === 'stop') hangUp()
      rule = null
    },
    close: async () => {
      hangUp()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

export interface StoreServers {
  readonly dir: string
  readonly s3: S3Server
  readonly ssh: SshServer
  readonly stop: () => Promise<void>
}

/** Those whose programs are here; whoever asks for another has a test that is skipped. */
export async function startServers(prefix: string): Promise<StoreServers> {
  const dir = mkdtempSync(join(tmpdir(), prefix))
  const s3 = hasSwift ? await startS3(join(dir, 's3')) : undefined
  const ssh = hasSshd ? await startSsh(join(dir, 'ssh')) : undefined
  return {
    dir,
    s3: s3 as S3Server,
    ssh: ssh as SshServer,
    stop: async () => {
      await s3?.stop()
      await ssh?.stop()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
