/** Three old redises on one machine, one with a password and one that speaks TLS only, become three groups: synced two at a time, proven, cut over one after the other. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { makeCertificates } from '../unit/certificates.ts'
import { hostLines, problems, rigFor } from './rig.ts'

const ports = [6401, 6402, 6403] as const
const groups = ports.map((_, i) => `g${i + 1}`)
const yaml = `${hostLines(2)}
groups:
${groups.map((name, i) => `  ${name}:\n    members: [red-a, red-b]\n    port: ${6381 + i}\n    failover: { max_pause_ms: 1000 }`).join('\n')}
`

describe.skipIf(problems.length > 0)('a list of moves', { timeout: 120_000 }, () => {
  const theRig = rigFor('movem', yaml, { files: { 'two.password': 'of-two\n' } })

  test('what cannot begin begins for none; then all of them, with one table; the same command again does what is left', async () => {
    const rig = theRig()
    for (const group of groups) await rig.untilOk(group)
    const ip = rig.lab.record.plan.nodes.find((node) => node.name === 'client2')?.ip ?? ''
    const its = await makeCertificates(rig.base, [`IP:${ip}`])
    const login: Readonly<Record<number, readonly string[]>> = {
      6402: ['-a', 'of-two', '--no-auth-warning'],
      6403: ['--tls', '-h', ip, '--cacert', its.ca, '--cert', its.client.cert, '--key', its.client.key],
    }
    const old = (port: number, ...words: readonly string[]) => rig.lab.exec('client2', ['redis-cli', '-p', String(port), ...(login[port] ?? []), ...words])
    const opens: Readonly<Record<number, string>> = {
      6401: '--port 6401',
      6402: '--port 6402 --requirepass of-two',
      6403: `--port 0 --tls-port 6403 --tls-cert-file ${its.server.cert} --tls-key-file ${its.server.key} --tls-ca-cert-file ${its.ca}`,
    }
    for (const port of ports) {
      const command = `redis-server ${opens[port]} --save "" --protected-mode no --daemonize yes --dir ${rig.base} --pidfile "" > /dev/null`
      expect((await rig.lab.exec('client2', ['sh', '-c', command])).code).toBe(0)
      await expect.poll(async () => (await old(port, 'PING')).stdout.trim()).toBe('PONG')
      await old(port, 'EVAL', `for i = 1, 1000 do redis.call('SET', '${port}:' .. i, i) end`, '0')
    }
    const list = join(rig.base, 'list')
    const many = (...more: readonly string[]) =>
      rig.cli('migrate', 'many', list, '--seconds', '0.2', ...['P6', 'P8', 'P9', 'P16'].flatMap((id) => ['--accept', id]), ...more)

    await writeFile(list, `redis://${ip}:6401 g1\nredis://${ip}:6402 g2\nredis://${ip}:6409 g3\n`)
    const refused = await many()
    expect([refused.code, refused.stderr], refused.stdout).toEqual([1, expect.stringContaining('HF904')])
    expect(refused.stdout).toMatch(/g2[^]*HF902[^]*g3[^]*HF901/)
    for (const group of groups) expect((await rig.status(group))?.move, 'none has begun').toBe(null)
    await writeFile(list, `redis://${ip}:6401 g1\nredis://${ip}:6402 g1\n`)
    expect(await many()).toMatchObject({ code: 2, stderr: expect.stringContaining('line 2: g1 stands in line 1 already') as unknown })

    await writeFile(list, `redis://${ip}:6403 g1\nrediss://${ip}:6403 g3\n`)
    expect((await many()).stdout, 'no TLS where it is asked for, no authority').toMatch(/g1[^]*HF901[^]*g3[^]*HF933/)
    const ofTls = `rediss://${ip}:6403 g3 tls-ca=ca.pem tls-cert=client.pem tls-key=client.key`
    await writeFile(list, `redis://${ip}:6401 g1\nredis://${ip}:6402 g2 two.password\n${ofTls}\n`)
    const synced = await many('--verify', '--pace', 'full')
    expect(synced.code, synced.stderr).toBe(0)
    expect(synced.stderr, 'no terminal, and not silent').toMatch(/^g3 {2}PLAN$/m)
    expect(synced.stderr.match(/^g.: .*$/gm)).toEqual([
      expect.stringMatching(/^g3: after the cut-over there is no way back without loss: [^\n]*--plain-way-back/),
    ])
    expect(synced.stdout.match(/VERIFIED/g)).toHaveLength(3)
    const moved = await many('--cutover', '--json')
    expect(moved.code, `${moved.stdout}${moved.stderr}`).toBe(0)
    const last = JSON.parse(moved.stdout.trim().split('\n').at(-1) ?? '') as { moves: readonly { stage: string; failed: boolean }[] }
    expect(last.moves.map(({ stage, failed }) => [stage, failed])).toEqual(groups.map(() => ['MOVED', false]))
    for (const [i, group] of groups.entries()) {
      const { primary } = await rig.untilOk(group)
      const asked = await rig.lab.exec(primary, ['redis-cli', '-p', String(6381 + i), 'DBSIZE'])
      expect(asked.stdout.trim()).toBe('1000')
      expect((await old(ports[i] ?? 0, 'SET', 'a', 'b')).stdout).toContain('READONLY')
      expect((await rig.cli('migrate', 'commit', group)).code).toBe(0)
    }
    for (const port of ports) await old(port, 'SHUTDOWN', 'NOSAVE')
  })
})
