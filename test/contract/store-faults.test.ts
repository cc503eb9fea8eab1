/** What goes wrong between Holdfast and a store: said in words that tell what to do, and never waited for without end. */
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import type { StoreConfig } from '../../src/model/config.ts'
import { openStore } from '../../src/store/open.ts'
import { freePort } from '../unit/wire.ts'
import { hasSshd, hasSwift, startServers, type S3Server, type SshServer, type StoreServers } from './store-servers.ts'

const never = new AbortController().signal
const calm = { connectMs: 10_000, silentMs: 10_000 }
/** Only where nobody will answer: a real server may take longer. */
const hasty = { connectMs: 200, silentMs: 200 }
const mib = 1024 * 1024

let dir = ''
let s3: S3Server
let ssh: SshServer
let servers: StoreServers
beforeAll(async () => {
  servers = await startServers('holdfast-faults-')
  ;({ dir, s3, ssh } = servers)
})
afterAll(() => servers.stop())
const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

async function* bytes(count: number): AsyncGenerator<Buffer> {
  for (let left = count; left > 0; left -= mib) yield Buffer.alloc(Math.min(left, mib), 'x')
}

/** What each order is answered; once, where all say the same. */
async function said(config: StoreConfig, patience = calm): Promise<readonly string[]> {
  const store = await openStore(config, patience)
  if (!store.ok) return [store.why]
  const answers = [
    await store.value.list(''),
    await store.value.put('cache/one/dataset', bytes(1000), never),
    await store.value.get('cache/one/dataset', never),
    await store.value.remove('cache/one/dataset'),
  ]
  await store.value.close()
  return [...new Set(answers.map((answer) => (answer.ok ? 'no error' : answer.why)))]
}

/** Accepts, and does that with whoever comes. */
async function strange(greeting: string | null): Promise<number> {
  const server: Server = createServer((socket) => {
    socket.on('error', () => undefined)
    closers.push(() => socket.destroy())
    if (greeting !== null) socket.end(greeting)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closers.push(() => server.close())
  return (server.address() as AddressInfo).port
}

describe.skipIf(!hasSwift)('S3', () => {
  const here = (): string => `127.0.0.1:${s3.port}`

  test('the bucket is missing', async () => {
    expect(await said({ ...s3.config, bucket: 'no-such-bucket' })).toEqual([`there is no bucket no-such-bucket on ${here()}: it is not made by Holdfast`])
  })

  test('the secret key is wrong; the access key is nobody’s', async () => {
    for (const [key, secret] of [
      ['test:admin', 'wrong'],
      ['test:nobody', 'admin-secret'],
    ] as const) {
      const file = s3.credentials(key, secret)
      const why = `${here()} does not accept the access key in ${file}, or not with this secret key (SignatureDoesNotMatch)`
      expect(await said({ ...s3.config, credentialsFile: file })).toEqual([why])
    }
  })

  test('the key is right, and may not touch this bucket', async () => {
    const file = s3.credentials('test:stranger', 'stranger-secret')
    expect(await said({ ...s3.config, credentialsFile: file })).toEqual([
      `${here()} denies access to the bucket backups: whoever has the access key in ${file} needs to list, read, write and delete in it (Access Denied.)`,
    ])
  })

  test('the clock of this machine is an hour ahead: said every time, not only the first', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 3_600_000 })
    try {
      expect(await said(s3.config)).toEqual([`the clock of this machine and that of ${here()} differ by too much: set the clock right`])
    } finally {
      vi.useRealTimers()
    }
  })

  test('its certificate is of nobody whom this machine trusts; https where http is spoken', async () => {
    expect(await said({ ...s3.config, endpoint: `https://127.0.0.1:${s3.tlsPort}` })).toEqual([
      expect.stringMatching(/^the certificate of 127.0.0.1:\d+ is of nobody whom this machine trusts .*NODE_EXTRA_CA_CERTS/),
    ])
    expect(await said({ ...s3.config, endpoint: `https://${here()}` })).toEqual([
      `${here()} does not speak TLS as this machine does (EPROTO): is it http, not https?`,
    ])
  })

  test('what is said of a certificate helps', () => {
    const config = JSON.stringify({ ...s3.config, endpoint: `https://127.0.0.1:${s3.tlsPort}` })
    const open = join(import.meta.dirname, '../../src/store/open.ts')
    const script = `const { openStore } = await import('${open}'); const store = await openStore(${config}); console.log(JSON.stringify(await store.value.list('')))`
    const env = { ...process.env, NODE_EXTRA_CA_CERTS: s3.certificate }
    const said = execFileSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], { encoding: 'utf8', env })
    expect(JSON.parse(said)).toMatchObject({ ok: true })
  })

  test('another region', async () => {
    expect(await said({ ...s3.config, region: 'eu-west-1' })).toEqual([
      expect.stringMatching(/^the bucket backups is not in the region eu-west-1 .*expecting 'us-east-1'/),
    ])
  })

  test('nobody there; no such name; who accepts and says nothing; who speaks no S3', async () => {
    const at = (place: string, patience = calm): Promise<readonly string[]> => said({ ...s3.config, endpoint: `http://${place}` }, patience)
    const closed = await freePort()
    expect(await at(`127.0.0.1:${closed}`)).toEqual([`127.0.0.1:${closed} refuses connections: does it run, and is the port right?`])
    expect(await at('store.invalid')).toEqual([expect.stringMatching(/^the name of store.invalid cannot be resolved/)])
    const silent = await strange(null)
    expect(await at(`127.0.0.1:${silent}`, hasty)).toEqual([`127.0.0.1:${silent} hangs: it has said nothing for 0.2 s`])
    const web = await strange('HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\nconnection: close\r\n\r\nnot here\n')
    expect(await at(`127.0.0.1:${web}`)).toEqual([
      expect.stringMatching(new RegExp(`^127.0.0.1:${web} answers with HTTP 404, and not as S3 does .*is the endpoint right`)),
    ])
  })

  /** A server of S3 that is made up: `answer` says status and XML, or null for an empty list. */
  async function madeUp(
    answer: (request: string) => readonly [status: number, xml: string] | null,
  ): Promise<{ readonly config: StoreConfig; readonly asked: string[] }> {
    const asked: string[] = []
    const server = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.once('data', (data) => {
        const request = String(data).split(' HTTP/')[0] ?? ''
        asked.push(request)
        const [status, xml] = answer(request) ?? [200, '<ListBucketResult></ListBucketResult>']
        socket.end(`HTTP/1.1 ${status} x\r\ncontent-type: application/xml\r\ncontent-length: ${xml.length}\r\nconnection: close\r\n\r\n${xml}`)
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    closers.push(() => server.close())
    return { config: { ...s3.config, endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }, asked }
  }

  test.each([
    [500, 'InternalError', 1],
    [503, 'SlowDown', 5],
    [507, 'InsufficientStorage', 1],
  ])('%i %s: asked %i times at the most', async (status, code, times) => {
    const { config, asked } = await madeUp(() => [status, `<Error><Code>${code}</Code><Message>please</Message></Error>`])
    const store = await openStore(config, calm)
    if (!store.ok) throw new Error(store.why)
    closers.push(() => store.value.close())
    const answer = await store.value.list('', AbortSignal.timeout(1000))
    expect(answer).toMatchObject({ ok: false })
    expect(asked.length > 1).toBe(times > 1)
    expect(asked.length).toBeLessThanOrEqual(times)
    if (status === 507) expect(answer).toMatchObject({ why: expect.stringMatching(/^no space is left in the bucket backups on 127/) as string })
  })

  test('what a killed writer has left is removed by whoever lists a week later, and not sooner', async () => {
    const upload = (key: string, ageDays: number): string =>
      `<Upload><Key>${key}</Key><UploadId>of-${key}</UploadId><Initiated>${new Date(Date.now() - ageDays * 86_400_000).toISOString()}</Initiated></Upload>`
    const uploads = [upload('of/redis/old', 8), upload('of/redis/young', 6), upload('of/redis/no name of ours', 8)].join('')
    const list = `<ListMultipartUploadsResult>${uploads}</ListMultipartUploadsResult>`
    const { config, asked } = await madeUp((request) => (request.includes('uploads') ? [200, list] : request.startsWith('DELETE') ? [204, ''] : null))
    const store = await openStore(config, calm)
    if (!store.ok) throw new Error(store.why)
    closers.push(() => store.value.close())
    expect(await store.value.list('')).toEqual({ ok: true, value: [] })
    expect(await store.value.list('')).toEqual({ ok: true, value: [] })
    expect(asked.filter((request) => request.includes('uploads'))).toEqual([expect.stringContaining('prefix=of%2Fredis%2F')])
    expect(asked.filter((request) => request.startsWith('DELETE'))).toEqual([
      expect.stringMatching(/^DELETE \/backups\/of\/redis\/old\?.*uploadId=of-of%2Fredis%2Fold/),
    ])
  })

  test('no credentials, anywhere', async () => {
    vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true')
    vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', '/nowhere')
    vi.stubEnv('AWS_CONFIG_FILE', '/nowhere')
    closers.push(() => vi.unstubAllEnvs())
    const { credentialsFile: _, ...config } = s3.config
    expect(await said(config)).toEqual([
      expect.stringMatching(/^no credentials for 127.0.0.1:\d+: none in the environment of this machine .*s3.credentials_file names/),
    ])
  })

  test('an endpoint that is none', async () => {
    for (const endpoint of ['s3.example.net', 'ftp://s3.example.net']) {
      expect(await said({ ...s3.config, endpoint })).toEqual([`the endpoint ${endpoint} is no address such as https://s3.example.net`])
    }
  })

  test('the file with the credentials: missing, open to others, of another form', async () => {
    const file = join(dir, 'credentials')
    const why = async (): Promise<readonly string[]> => said({ ...s3.config, credentialsFile: file })
    expect(await why()).toEqual([`${file}, which is to hold the credentials for S3, is not there`])
    writeFileSync(file, 'aws_access_key_id = a\n', { mode: 0o640 })
    expect(await why()).toEqual([`others may read the credentials for S3 in ${file} (its mode is 640): chmod 600 ${file}`])
    chmodSync(file, 0o600)
    expect(await why()).toEqual([expect.stringContaining(`${file} has no aws_secret_access_key in its profile [default]; its form is:`)])
  })
})

describe.skipIf(!hasSshd)('SFTP', () => {
  const here = (): string => `127.0.0.1:${ssh.config.port}`
  const key = (name: string, ...more: readonly string[]): string => {
    const file = join(dir, name)
    if (!existsSync(file)) execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', file, ...more])
    return file
  }
  const known = (text: string): string => {
    const file = join(dir, 'known_hosts')
    writeFileSync(file, text)
    return file
  }

  test('its host key is not known: its fingerprint, and how to add it', async () => {
    const fingerprint = /SHA256:\S+/.exec(execFileSync('ssh-keygen', ['-lf', join(dir, 'ssh', 'host-key.pub')], { encoding: 'utf8' }))?.[0]
    const knownHostsFile = known('# nobody\n')
    const [why, ...more] = await said({ ...ssh.config, knownHostsFile })
    expect(more).toEqual([])
    expect(why).toContain(`the host key of ${here()} is not in ${knownHostsFile}. It shows ssh-ed25519 ${fingerprint}: `)
    expect(why).toContain(`ssh-keyscan -p ${ssh.config.port} 127.0.0.1 >> ${knownHostsFile}`)
    // And what it says to do helps.
    writeFileSync(knownHostsFile, execFileSync('ssh-keyscan', ['-p', String(ssh.config.port), '127.0.0.1'], { stdio: ['ignore', 'pipe', 'ignore'] }))
    expect(await said({ ...ssh.config, knownHostsFile })).toEqual(['no error'])
    // Hashed, as Debian's ssh writes them.
    execFileSync('ssh-keygen', ['-q', '-H', '-f', knownHostsFile], { stdio: 'ignore' })
    expect(readFileSync(knownHostsFile, 'utf8')).not.toContain('127.0.0.1')
    expect(await said({ ...ssh.config, knownHostsFile })).toEqual(['no error'])
  })

  test('of its two host keys only the one is known that nobody would ask for first', async () => {
    const ecdsa = readFileSync(join(dir, 'ssh', 'host-key-ecdsa.pub'), 'utf8')
    expect(await said({ ...ssh.config, knownHostsFile: known(`[127.0.0.1]:${ssh.config.port} ${ecdsa}`) })).toEqual(['no error'])
  })

  test('its host key has changed', async () => {
    const other = readFileSync(`${key('other')}.pub`, 'utf8')
    const knownHostsFile = known(`[127.0.0.1]:${ssh.config.port} ${other}`)
    const [why] = await said({ ...ssh.config, knownHostsFile })
    expect(why).toContain(`the host key of ${here()} is not the one in ${knownHostsFile}.`)
    expect(why).toContain(`ssh-keygen -R '[127.0.0.1]:${ssh.config.port}' -f ${knownHostsFile}`)
    expect(readdirSync(ssh.config.path)).toEqual([])
  })

  test('the key is not that of the user; it is protected by a passphrase; others may read it; it is none', async () => {
    const why = async (keyFile: string): Promise<readonly string[]> => said({ ...ssh.config, keyFile })
    expect(await why(key('other'))).toEqual([`${here()} does not accept the user ${userInfo().username} with the key in ${key('other')}`])
    const locked = join(dir, 'locked')
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', 'passphrase', '-f', locked])
    expect(await why(locked)).toEqual([expect.stringContaining(`the SSH key in ${locked} is protected by a passphrase`)])
    chmodSync(locked, 0o644)
    expect(await why(locked)).toEqual([`others may read the SSH key in ${locked} (its mode is 644): chmod 600 ${locked}`])
    const none = join(dir, 'none')
    writeFileSync(none, 'x', { mode: 0o600 })
    expect(await why(none)).toEqual([expect.stringContaining(`${none} holds no private SSH key that can be read`)])
  })

  test('the folder is missing, and is not made', async () => {
    const path = join(dir, 'not-mounted')
    expect(await said({ ...ssh.config, path })).toEqual([`there is no directory ${path} on ${here()} (a disk that is not mounted there?)`])
    expect(existsSync(path)).toBe(false)
  })

  test('nobody there; no such name; who accepts and says nothing; who speaks no SSH', async () => {
    const at = (host: string, port: number, patience = calm): Promise<readonly string[]> => said({ ...ssh.config, host, port }, patience)
    const closed = await freePort()
    expect(await at('127.0.0.1', closed)).toEqual([`127.0.0.1:${closed} refuses connections: does it run, and is the port right?`])
    expect(await at('store.invalid', 22)).toEqual([expect.stringMatching(/^the name of store.invalid cannot be resolved/)])
    const silent = await strange(null)
    expect(await at('127.0.0.1', silent, hasty)).toEqual([
      `127.0.0.1:${silent} does not answer: no SSH connection within 0.2 s (a firewall, or no SSH server?)`,
    ])
    const web = await strange('HTTP/1.1 400 Bad Request\r\n\r\n')
    expect(await at('127.0.0.1', web)).toEqual([expect.stringMatching(new RegExp(`^127.0.0.1:${web} hangs up at once: is it an SSH server`))])
  })

  test('its disk is full: said so, and what was written is given back', async (context) => {
    if (ssh.small === null) return context.skip()
    for (const config of [
      { ...ssh.config, path: ssh.small.path },
      { kind: 'directory', path: ssh.small.seenHere },
    ] as const) {
      const store = await openStore(config, calm)
      if (!store.ok) throw new Error(store.why)
      const place = config.kind === 'sftp' ? `${config.path} on the server` : config.path
      expect(await store.value.put('cache/one/dataset', bytes(8 * mib), never)).toEqual({ ok: false, why: `no space is left in ${place}` })
      expect(await store.value.list('')).toEqual({ ok: true, value: [] })
      expect(await store.value.put('cache/one/dataset', bytes(2 * mib), never), 'there is room again').toEqual({ ok: true, value: null })
      await store.value.remove('cache/one/dataset')
      await store.value.close()
    }
  })
})

test('a disk that never answers: said, and not waited for', async () => {
  const path = join(dir, 'hangs')
  mkdirSync(path)
  // Whoever opens it waits until somebody opens its other end.
  execFileSync('mkfifo', [join(path, 'dataset')])
  const store = await openStore({ kind: 'directory', path }, hasty)
  if (!store.ok) throw new Error(store.why)
  expect(await store.value.get('dataset', never)).toEqual({ ok: false, why: `the disk or network share of ${path} hangs: it has said nothing for 0.2 s` })
  const abort = new AbortController()
  setTimeout(() => abort.abort(new Error('called off')), 10)
  expect(await store.value.get('dataset', abort.signal)).toEqual({ ok: false, why: 'called off' })
  for (let waiting = 0; waiting < 2; waiting++) execFileSync('sh', ['-c', `: > ${join(path, 'dataset')}`])
})
