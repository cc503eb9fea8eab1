/** An old redis behind an address that somebody put up by hand, on a machine that is no member, and the words in which a move of it is told. */
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'vitest'
import type { MoveStatus } from '../../src/cli/migrate-found.ts'
import { makeCertificates, type Certificates } from '../unit/certificates.ts'
import { vip } from './ground.ts'
import type { Rig } from './rig.ts'

const oldHost = 'client2'
const oldPort = 6379
const tlsPort = 6390

export interface Shown {
  readonly stage: string
  readonly holder: string
  readonly move: MoveStatus['move']
  readonly source: MoveStatus['source']
  readonly clientsLeft: readonly { readonly address: string; readonly name: string }[] | null
}

export class OldRedis {
  readonly rig: Rig
  /** What redis-cli needs to be let in there. */
  readonly #login: readonly string[]
  #certificates: Certificates | null = null

  constructor(rig: Rig, login: readonly string[] = []) {
    this.rig = rig
    this.#login = login
  }

  get ip(): string {
    return this.rig.lab.record.plan.nodes.find((node) => node.name === oldHost)?.ip ?? ''
  }

  get url(): string {
    return this.#certificates === null ? `redis://${this.ip}:${oldPort}` : `rediss://${this.ip}:${tlsPort}`
  }

  /** Where it is reached over TLS. */
  get certificateWords(): readonly string[] {
    const its = this.#certificates
    return its === null ? [] : ['--tls-ca', its.ca, '--tls-cert', its.client.cert, '--tls-key', its.client.key]
  }

  /** Over TLS too, for whoever has a certificate: what is moved is that one; its clients are those of before. */
  async startWithTls({ lines = [] }: { readonly lines?: readonly string[] } = {}): Promise<Certificates> {
    const its = await makeCertificates(this.rig.base, [`IP:${this.ip}`])
    this.#certificates = its
    const { cert, key } = its.server
    await this.start({ lines: [`tls-port ${tlsPort}`, `tls-cert-file ${cert}`, `tls-key-file ${key}`, `tls-ca-cert-file ${its.ca}`, ...lines] })
    return its
  }

  async ask(...words: readonly string[]): Promise<string> {
    const { stdout, stderr } = await this.rig.lab.exec(oldHost, ['redis-cli', '-p', String(oldPort), ...this.#login, ...words])
    return `${stdout}${stderr}`.trim()
  }

  /** With a supervisor that has it back after a moment, when `supervised`. */
  async start({
    lines = [],
    program = 'redis-server',
    supervised = false,
  }: {
    readonly lines?: readonly string[]
    readonly program?: string
    readonly supervised?: boolean
  } = {}): Promise<void> {
    const { rig } = this
    const conf = join(rig.base, 'old.conf')
    const fixed = [`port ${oldPort}`, 'save ""', 'protected-mode no', `dir ${rig.base}`, 'pidfile ""', `logfile ${rig.base}/old.log`]
    await writeFile(conf, `${[...fixed, ...lines, ...(supervised ? [] : ['daemonize yes'])].join('\n')}\n`)
    const loop = `setsid sh -c 'while [ ! -e ${rig.base}/old.stop ]; do ${program} ${conf} > /dev/null 2>&1; sleep 0.2; done' > /dev/null 2>&1 < /dev/null &`
    const started = await rig.lab.exec(oldHost, supervised ? ['sh', '-c', loop] : [program, conf])
    expect(started.code, started.stderr).toBe(0)
    await expect.poll(() => this.ask('PING'), { timeout: 5000 }).toBe('PONG')
    await rig.lab.exec(oldHost, ['ip', 'addr', 'add', `${vip}/24`, 'dev', 'eth0'])
    await this.layHook()
  }

  /** Where the old hosts have a keepalived of their own, it is told to let go and to take again; here the address is put up by hand. */
  private async layHook(): Promise<void> {
    const netns = this.rig.lab.record.plan.nodes.find((node) => node.name === oldHost)?.netns ?? ''
    const hook = join(this.rig.base, 'hook')
    const there = `ip netns exec ${netns}`
    await writeFile(
      hook,
      `#!/bin/sh
case "$1" in
to-group) ${there} ip addr del "$3/24" dev eth0 ;;
to-source) ${there} ip addr add "$3/24" dev eth0; ${there} arping -U -q -c 3 -I eth0 "$3" ;;
esac
exit 0
`,
    )
    await chmod(hook, 0o755)
  }

  async isWritable(): Promise<boolean> {
    return (await this.ask('SET', 'probe:old', '1')) === 'OK'
  }

  /** Everybody who takes writes at this moment, members and the old one. */
  async writers(): Promise<readonly string[]> {
    const members = await this.rig.writable()
    return (await this.isWritable()) ? [...members, 'old'] : members
  }

  async leaveAddress(): Promise<void> {
    await this.rig.lab.exec(oldHost, ['ip', 'addr', 'del', `${vip}/24`, 'dev', 'eth0'])
  }

  async kill(pid: string): Promise<void> {
    await this.rig.lab.exec(oldHost, ['kill', '-9', pid])
  }

  async stop(): Promise<void> {
    await writeFile(join(this.rig.base, 'old.stop'), '')
    await this.ask('SHUTDOWN', 'NOSAVE')
  }

  async shown(): Promise<Shown> {
    const result = await this.rig.cli('migrate', 'status', 'sessions', '--json')
    expect(result.code, result.stderr).toBe(0)
    return JSON.parse(result.stdout) as Shown
  }

  async untilStage(stages: readonly string[], withinMs = 15_000): Promise<string> {
    let last = ''
    await expect
      .poll(
        async () => {
          last = (await this.shown()).stage
          return stages.includes(last) ? 'there' : last
        },
        { timeout: withinMs, interval: 100, message: `the move is ${stages.join(' or ')}` },
      )
      .toBe('there')
    return last
  }

  async ok(...argv: readonly string[]): Promise<string> {
    const result = await this.rig.cli('migrate', ...argv)
    expect([result.code, result.stderr], result.stdout).toEqual([0, expect.anything()])
    return `${result.stdout}${result.stderr}`
  }

  /** As an operator types it, with what such a lab has against any move. */
  startWords(...more: readonly string[]): readonly string[] {
    const accept = ['P6', 'P7', 'P8', 'P9', 'P16'].flatMap((id) => ['--accept', id])
    return ['start', this.url, 'sessions', '--seconds', '0.3', ...this.certificateWords, ...accept, ...more]
  }

  async startMove(...more: readonly string[]): Promise<string> {
    return this.ok(...this.startWords(...more))
  }
}
