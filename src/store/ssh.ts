/**
 * A connection to an SSH server for its files. Talks to nobody whose key is not in the known_hosts file. Must not try twice: whoever calls
 * has words for what went wrong.
 */
import { readFile } from 'node:fs/promises'
import ssh2 from 'ssh2'
import type { ConnectConfig, SFTPWrapper, ServerHostKeyAlgorithm } from 'ssh2'
import type { StoreConfig } from '../model/config.ts'
import type { Observed } from '../model/outcome.ts'
import { fingerprint, hostName, judge, kindOf, knownKinds } from './known-hosts.ts'
import { networkWords } from './network-words.ts'
import { InWords, within, type Patience } from './patience.ts'
import { readSecretFile } from './secret-file.ts'

export type SftpConfig = Extract<StoreConfig, { kind: 'sftp' }>

export interface Login {
  readonly config: SftpConfig
  readonly knownHosts: string
  readonly secret: Pick<ConnectConfig, 'privateKey' | 'password'>
  /** What the server is shown: `the key in /etc/holdfast/backup`. */
  readonly shown: string
}

export interface Connection {
  readonly sftp: SFTPWrapper
  readonly isLost: () => boolean
  /** Waits for nobody. */
  readonly drop: () => void
}

/** Requests go out for as long as nothing comes in; who answers none of them is gone. */
const keepalive = { keepaliveInterval: 15_000, keepaliveCountMax: 4 }

const hostKeyKinds: readonly ServerHostKeyAlgorithm[] = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'rsa-sha2-512',
  'rsa-sha2-256',
]

export function serverOf({ host, port }: SftpConfig): string {
  return port === 22 ? host : `${host}:${port}`
}

/** What the operator's files hold. */
export async function readLogin(config: SftpConfig): Promise<Observed<Login>> {
  const { keyFile, passwordFile, knownHostsFile } = config
  const known = await readKnownHosts(knownHostsFile)
  if (!known.ok) return known
  if (keyFile !== undefined) {
    const key = await readSecretFile(keyFile, 'the SSH key')
    if (!key.ok) return key
    const parsed = ssh2.utils.parseKey(key.value)
    if (parsed instanceof Error) return { ok: false, why: keyWords(keyFile, parsed) }
    return { ok: true, value: { config, knownHosts: known.value, secret: { privateKey: key.value }, shown: `the key in ${keyFile}` } }
  }
  if (passwordFile === undefined)
    return { ok: false, why: `neither a key nor a password for ${config.user}@${serverOf(config)}: sftp.key_file or sftp.password_file` }
  const password = await readSecretFile(passwordFile, 'the password')
  if (!password.ok) return password
  const shown = `the password in ${passwordFile}`
  return { ok: true, value: { config, knownHosts: known.value, secret: { password: password.value.replace(/\r?\n$/, '') }, shown } }
}

function keyWords(file: string, error: Error): string {
  return /passphrase/i.test(error.message)
    ? `the SSH key in ${file} is protected by a passphrase, and nobody is there to type it: use a key without one (ssh-keygen -p -f ${file})`
    : `${file} holds no private SSH key that can be read (${error.message})`
}

async function readKnownHosts(file: string): Promise<Observed<string>> {
  try {
    return { ok: true, value: await readFile(file, 'utf8') }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    return { ok: false, why: code === 'ENOENT' ? `the known_hosts file ${file} is not there` : `the known_hosts file ${file} cannot be read: ${message}` }
  }
}

/** Throws InWords. */
export async function connect(login: Login, { connectMs, silentMs }: Patience): Promise<Connection> {
  const { config, knownHosts, secret } = login
  const client = new ssh2.Client()
  let refusal: string | null = null
  let lost = false
  const opened = new Promise<SFTPWrapper>((resolve, reject) => {
    // One that nobody listens to ends the process, also later, when the connection breaks.
    client.on('error', (error) => {
      lost = true
      reject(error)
    })
    client.on('close', () => {
      lost = true
      reject(new InWords(`${serverOf(config)} closed the connection before it was ready`))
    })
    client.on('ready', () => client.sftp((error, sftp) => (error === undefined ? resolve(sftp) : reject(error))))
    client.on('keyboard-interactive', (_name, _instructions, _language, prompts, answer) => answer(prompts.map(() => String(secret.password ?? ''))))
    client.connect({
      ...{ host: config.host, port: config.port, username: config.user, readyTimeout: connectMs },
      ...secret,
      tryKeyboard: secret.password !== undefined,
      ...keepalive,
      algorithms: { serverHostKey: [...preferred(knownHosts, hostName(config.host, config.port))] },
      hostVerifier: (key: Buffer) => {
        refusal = hostRefusal(login, key)
        return refusal === null
      },
    })
  })
  try {
    const sftp = await within(connectMs + silentMs, undefined, opened)
    sftp.on('error', () => undefined)
    return { sftp, isLost: () => lost, drop: () => void client.destroy() }
  } catch (error) {
    client.destroy()
    throw new InWords(refusal ?? connectWords(error, login, connectMs))
  }
}

/** A server shows one key, of the first kind in this list that it has: it is asked for those that are known. */
function preferred(knownHosts: string, host: string): readonly ServerHostKeyAlgorithm[] {
  const known = knownKinds(knownHosts, host).flatMap((kind) => (kind === 'ssh-rsa' ? ['rsa-sha2-512', 'rsa-sha2-256'] : [kind]))
  return [...hostKeyKinds].sort((a, b) => Number(known.includes(b)) - Number(known.includes(a)))
}

/** null: it is the one that is known. */
function hostRefusal({ config, knownHosts }: Login, key: Buffer): string | null {
  const { host, port, knownHostsFile: file } = config
  const name = hostName(host, port)
  const shows = `${kindOf(key)} ${fingerprint(key)}`
  const add = `ssh-keyscan -p ${port} ${host} >> ${file}`
  switch (judge(knownHosts, { host: name, key })) {
    case 'known':
      return null
    case 'unknown':
      return `the host key of ${serverOf(config)} is not in ${file}. It shows ${shows}: if the server itself says the same (ssh-keygen -lf /etc/ssh/ssh_host_…_key.pub), add it: ${add}`
    case 'changed':
      return `the host key of ${serverOf(config)} is not the one in ${file}. It shows ${shows}: either the server was set up anew, or somebody stands between. If it was set up anew: ssh-keygen -R '${name}' -f ${file}, then: ${add}`
    case 'revoked':
      return `the host key of ${serverOf(config)} (${shows}) is revoked in ${file}`
  }
}

function connectWords(thrown: unknown, { config, shown }: Login, connectMs: number): string {
  const server = serverOf(config)
  const error = thrown as Error & { readonly level?: string }
  if (thrown instanceof InWords) return thrown.message
  if (error.level === 'client-authentication') return `${server} does not accept the user ${config.user} with ${shown}`
  if (error.level === 'client-timeout') return `${server} does not answer: no SSH connection within ${connectMs / 1000} s (a firewall, or no SSH server?)`
  if (error.message.startsWith('Unable to start subsystem')) return `${server} gives ${config.user} no files: its sshd has no Subsystem sftp`
  if (error.message === 'Connection lost before handshake') return `${server} hangs up at once: is it an SSH server, or are there too many connections?`
  return networkWords(error, server) ?? `no SSH connection to ${server}: ${error.message}`
}
