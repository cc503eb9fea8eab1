/**
 * A redis that is reached over TLS, by whoever has a certificate, is moved to a group that speaks none: the agent of the member that follows is its way there.
 * That way is gone whenever the agent is: nothing is promoted, and redis goes on where it was.
 */
import { readFile, stat } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { makeCertificates } from '../unit/certificates.ts'
import { OldRedis } from './moving.ts'
import { problems, rigFor, twoHosts, type Rig } from './rig.ts'

/** So long a full sync takes at least. */
const slowKeys = 300
const slowUs = 10_000

interface Kept {
  readonly wayPort?: number
  readonly tls?: object
}

describe.skipIf(problems.length > 0)('a source with TLS', { timeout: 120_000 }, () => {
  const theRig = rigFor('movetls', twoHosts(['migration: { awaits: true, hook: ./hook }']))

  test('wrong certificates change nothing; a whole move, its agent killed in the sync; a failover after it; commit', async () => {
    const rig = theRig()
    const old = new OldRedis(rig)
    const its = await old.startWithTls({ lines: ['repl-diskless-sync yes', 'repl-diskless-sync-delay 0', 'enable-debug-command yes'] })
    const other = await makeCertificates(rig.base, ['IP:10.9.9.9'], { prefix: 'other-' })
    const refused = async (code: string, ...words: readonly string[]) => {
      const result = await rig.cli('migrate', 'start', old.url, 'sessions', '--seconds', '0.3', ...words)
      expect([result.code, result.stderr]).toEqual([1, expect.stringContaining(code)])
    }
    await refused('HF933', '--tls-ca', other.ca)
    await refused('HF933')
    await refused('HF934', '--tls-ca', its.ca)
    await refused('HF934', '--tls-ca', its.ca, '--tls-cert', other.client.cert, '--tls-key', other.client.key)
    expect(await Promise.all(['red-a', 'red-b'].map(async (host) => keptOf(rig, host))), 'no host was told').toEqual([null, null])

    const writer = await rig.writer()
    await old.ask('DEBUG', 'POPULATE', String(slowKeys), 'slow')
    await old.ask('CONFIG', 'SET', 'rdb-key-save-delay', String(slowUs))
    const started = await old.startMove('--no-wait')
    expect(started).toContain('--plain-way-back')
    expect(started).toContain('is being moved')
    const holder = (await old.shown()).holder
    await expect.poll(() => rig.redis(holder, 'INFO', 'replication'), { timeout: 10_000, interval: 20 }).toContain('master_sync_in_progress:1')
    const wayPort = (await keptOf(rig, holder))?.wayPort
    expect(wayPort, 'a port that only root may take').toBeLessThan(1024)
    await rig.killAgent(holder)
    await expect.poll(() => rig.redis(holder, 'INFO', 'replication'), { timeout: 5000 }).toContain('master_link_status:down')
    expect(await old.writers(), 'nothing is promoted').toEqual(['old'])
    await old.ask('CONFIG', 'SET', 'rdb-key-save-delay', '0')
    await rig.startAgent(holder)
    await old.untilStage(['IN_SYNC'], 30_000)
    expect((await keptOf(rig, holder))?.wayPort, 'where redis calls').toBe(wayPort)
    expect(await rig.redis(holder, 'INFO', 'replication')).toContain(`master_port:${wayPort}`)
    expect((await old.shown()).move.source).toEqual({ host: old.ip, port: 6390, tls: true })

    const fullSyncs = async (): Promise<string | undefined> => /sync_full:(\d+)/.exec(await old.ask('INFO', 'stats'))?.[1]
    const [before, files] = [await fullSyncs(), await openFiles(rig, holder)]
    for (let round = 0; round < 3; round += 1) {
      await old.ask('CLIENT', 'KILL', 'TYPE', 'replica')
      await expect.poll(() => rig.redis(holder, 'INFO', 'replication'), { timeout: 5000 }).toContain('master_link_status:up')
    }
    await rig.killAgent(holder)
    await rig.startAgent(holder)
    await old.untilStage(['IN_SYNC'], 20_000)
    expect(await fullSyncs(), 'each link goes on where the one before ended').toBe(before)
    expect(await openFiles(rig, holder), 'none is left over').toBeLessThanOrEqual(files + 3)

    expect(await old.ok('verify', old.url, 'sessions', '--pace', 'full', ...old.certificateWords)).toContain('no difference')
    await expect.poll(async () => (await rig.cli('migrate', 'cutover', 'sessions', '--dry-run')).code, { timeout: 10_000 }).toBe(0)
    await rig.incident(writer, 'cut-over', { outageMs: 1500, okWithinMs: 10_000, mayBeUnfelt: true }, () => old.ok('cutover', 'sessions'))
    const { primary } = await rig.untilOk()
    expect(await old.writers()).toEqual([primary])
    await expect.poll(() => listens(rig, primary, wayPort ?? 0), { message: 'nobody needs it any more' }).toBe(false)
    const back = await rig.cli('migrate', 'rollback', 'sessions')
    expect(back, 'it does not follow without TLS').toMatchObject({ code: 1, stderr: expect.stringContaining('keeps what it had at the cut-over') as unknown })
    expect(await old.ask('INFO', 'replication')).toContain('master_port:1\r')

    await rig.incident(writer, 'failover', { outageMs: 1500, okWithinMs: 15_000 }, () => rig.lab.kill(primary, 'redis', { signal: 'SIGKILL' }))
    const heir = (await rig.untilOk()).primary
    expect(heir).not.toBe(primary)
    await expect.poll(async () => (await old.shown()).source?.trouble, { timeout: 5000 }).toBe(null)
    expect((await old.shown()).holder).toBe(heir)
    await old.ok('commit', 'sessions')
    await rig.finishWithin(writer, 1500)
    await expect.poll(() => keptOf(rig, heir), { message: 'the key is forgotten' }).toBe(null)
    expect(await old.writers()).toEqual([heir])
    await rig.expectNoBrokenRule()
    await old.stop()
  })
})

async function keptOf(rig: Rig, host: string): Promise<Kept | null> {
  const file = rig.file(host, 'state', 'sessions', 'source.json')
  const text = await readFile(file, 'utf8').catch(() => null)
  if (text !== null) expect((await stat(file)).mode & 0o777).toBe(0o600)
  return text === null ? null : (JSON.parse(text) as Kept)
}

async function openFiles(rig: Rig, host: string): Promise<number> {
  const { pid } = JSON.parse(await readFile(rig.file(host, 'state', 'agent.lock'), 'utf8')) as { readonly pid: number }
  return Number((await rig.lab.exec(host, ['sh', '-c', `ls /proc/${pid}/fd | wc -l`])).stdout.trim())
}

async function listens(rig: Rig, host: string, port: number): Promise<boolean> {
  const { stdout } = await rig.lab.exec(host, ['cat', '/proc/net/tcp'])
  return stdout.includes(`0100007F:${port.toString(16).toUpperCase().padStart(4, '0')} 00000000:0000 0A`)
}
