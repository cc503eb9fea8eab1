/**
 * A master and its replica that somebody has set up with keepalived and the usual scripts, and a client that writes through their address: looked at,
 * taken over as they run, given back, taken over again; then the primary dies. What each turn costs the client is measured and told.
 */
import { chmod, mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { withOwnKeys } from '../../src/config/identity.ts'
import { nodeConfigFile } from '../../src/lab/record.ts'
import type { RunResult } from '../../src/lab/run.ts'
import { poll, problems, rigFor, twoHosts, vip, type Rig } from './rig.ts'

const hosts = ['red-a', 'red-b'] as const
type Host = (typeof hosts)[number]
const ips: Readonly<Record<Host, string>> = { 'red-a': '192.168.77.1', 'red-b': '192.168.77.2' }
const password = 'of the old pair'

describe.skipIf(problems.length > 0)('an old pair is adopted in place', { timeout: 90_000 }, () => {
  const theRig = rigFor('adopt', twoHosts(['process: external', 'password_file: old.password']), { agents: false, files: { 'old.password': `${password}\n` } })

  test('what is no redis, a password that is refused, a file that is not there or not understood: said with a code, and nothing is written', async () => {
    const rig = theRig()
    for (const host of hosts) await oldRedis(rig, host)
    const look = (...words: readonly string[]) => adopt(rig, 'red-a', 'look', '--out', join(rig.base, 'no.json'), ...words)
    const conf = ['--redis-conf', rig.file('red-a', 'old', 'redis.conf')]
    const wrong = join(rig.base, 'wrong')
    await writeFile(wrong, 'wrong\n')
    await writeFile(join(rig.base, 'open.conf'), 'vrrp_instance VI_1 {\n  state MASTER\n')
    await writeFile(join(rig.base, 'none.conf'), 'global_defs {\n}\n')
    expect(await look('--no-keepalived')).toMatchObject({ code: 1, stderr: expect.stringMatching(/^HF912 .*NOAUTH/) })
    expect(await look('--no-keepalived', '--password-file', wrong)).toMatchObject({ code: 1, stderr: expect.stringMatching(/^HF912 .*WRONGPASS/) })
    expect(await look('--no-keepalived', ...conf, '--redis', '127.0.0.1:6399')).toMatchObject({ code: 1, stderr: expect.stringMatching(/^HF911 /) })
    expect(await look('--no-keepalived', '--redis-conf', '/nowhere')).toMatchObject({ code: 1, stderr: expect.stringMatching(/^HF910 .*does not exist/) })
    expect(await look(...conf, '--keepalived-conf', join(rig.base, 'open.conf'))).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^HF913 .*line 1: the brace of `vrrp_instance VI_1` is never closed/),
    })
    expect(await look(...conf, '--keepalived-conf', join(rig.base, 'none.conf'))).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^HF913 .*no vrrp_instance/),
    })
    expect(await adopt(rig, 'red-a', 'propose', wrong, wrong, '--name', 'sessions')).toMatchObject({ code: 2, stderr: expect.stringMatching(/^HF910 /) })
    await expect(stat(join(rig.base, 'no.json'))).rejects.toThrow()
  })

  test('looked at, taken over, given back, taken over again: redis is never restarted, nothing that was acknowledged is lost; then the primary dies', async () => {
    const rig = theRig()
    // One after the other: two that become MASTER in one moment call their scripts in any order, and then both redises may be masters.
    await oldKeepalived(rig, 'red-a')
    await becomesMaster(rig, 'red-a')
    await oldKeepalived(rig, 'red-b')
    const isOld = async () =>
      (await sh(rig, 'red-a', 'ip addr')).includes(`${vip}/`) && (await oldRole(rig, 'red-a')) === 'master' && (await linkOf(rig, 'red-b')) === 'up'
    expect(await poll(async () => ((await isOld()) ? true : undefined), { withinMs: 20_000 }), 'the old pair serves').toBe(true)
    const runIds = await Promise.all(hosts.map((host) => runId(rig, host)))
    const proposed = await propose(rig)
    await configure(rig, proposed)

    const writer = await rig.writer()
    await writer.mark('old keepalived ended')
    for (const host of ['red-b', 'red-a'] as const) await killOld(rig, host)
    expect(await writer.steady({ acks: 300, withinMs: 5000 })).toBe(true)
    await writer.mark('agent of the primary alone')
    await rig.startAgent('red-a')
    // It is left alone: until the other is heard nobody may say who is the primary, and clients are served as before.
    expect(await writer.steady({ acks: 1000, withinMs: 10_000 })).toBe(true)
    await writer.mark('taken over')
    await rig.startAgent('red-b')
    expect(await rig.untilOk()).toMatchObject({ primary: 'red-a', vipHolder: 'red-a' })
    expect(await writer.steady({ acks: 1000, withinMs: 10_000 })).toBe(true)
    expect(await Promise.all(hosts.map((host) => runId(rig, host)))).toEqual(runIds)

    await writer.mark('given back')
    for (const host of hosts) await rig.killAgent(host, 'SIGTERM')
    await killOurs(rig, 'red-b')
    await oldKeepalived(rig, 'red-a', { calm: true })
    await becomesMaster(rig, 'red-a')
    await killOurs(rig, 'red-a')
    await oldKeepalived(rig, 'red-b', { calm: true })
    expect(await writer.steady({ acks: 1000, withinMs: 10_000 })).toBe(true)
    expect(await sh(rig, 'red-a', 'ip addr')).toContain(`${vip}/`)

    await writer.mark('taken over again')
    for (const host of hosts) await rename(rig.file(host, 'state', 'sessions'), rig.file(host, 'state', 'before'))
    for (const host of ['red-b', 'red-a'] as const) await killOld(rig, host)
    for (const host of ['red-b', 'red-a'] as const) await rig.startAgent(host)
    await rig.untilOk()
    expect(await writer.steady({ acks: 500, withinMs: 10_000 })).toBe(true)
    expect(await Promise.all(hosts.map((host) => runId(rig, host))), 'the same processes').toEqual(runIds)

    await writer.mark('the primary dies')
    await rig.lab.kill('red-a', 'redis')
    await rig.until('the replica serves', 'sessions', (s) => s.primary === 'red-b' && s.vipHolder === 'red-b')
    expect(await writer.steady({ acks: 200, withinMs: 10_000 })).toBe(true)
    const { marks, lost } = await rig.finish(writer)
    expect(lost).toBe(0)
    const outage = (label: string) => marks.find((mark) => mark.label === label)?.longestOutage.lengthMs ?? Number.NaN
    for (const label of ['old keepalived ended', 'agent of the primary alone']) expect(outage(label), label).toBeLessThan(100)
    // A keepalived that is started takes the address off and puts it back: a reset and a reconnect; or an answer of redis is due just then, and TCP sends it again after 200 ms.
    for (const label of ['taken over', 'taken over again', 'given back']) expect(outage(label), label).toBeLessThan(450)
    for (const { label, errors } of marks.slice(0, -1))
      expect(
        errors.map(({ kind }) => kind),
        `${label}: never at the replica`,
      ).not.toContain('READONLY')
    expect(outage('the primary dies')).toBeLessThan(500)
    await rig.expectNoBrokenRule()
  })

  test('later, host by host: redis is started by Holdfast from then on, and nothing is lost', async () => {
    const rig = theRig()
    const writer = await rig.writer()
    for (const host of ['red-a', 'red-b'] as const) {
      await writer.mark(`${host} is direct`)
      const status = await rig.status()
      const other = host === 'red-a' ? 'red-b' : 'red-a'
      if (status?.primary === host) expect(await rig.cli('switchover', 'sessions', '--to', other)).toMatchObject({ code: 0 })
      await rig.killAgent(host, 'SIGTERM')
      await rig.redis(host, 'SHUTDOWN', 'NOSAVE')
      for (const node of host === 'red-b' ? [host, 'client'] : [host]) {
        const file = nodeConfigFile(rig.lab.record, node)
        await writeFile(file, (await readFile(file, 'utf8')).replace('process: external', 'process: direct'))
      }
      await rig.startAgent(host)
      await rig.until(
        `${host} follows`,
        'sessions',
        (s) => s.primary === other && s.members.length === 2 && s.members.every(({ role, fit }) => role === 'primary' || fit),
        20_000,
      )
      expect(await rig.redis(host, 'CONFIG', 'GET', 'dir')).toContain(rig.file(host, 'state'))
    }
    await rig.untilOk()
    expect((await rig.finish(writer)).lost).toBe(0)
    await rig.expectNoBrokenRule()
  })
})

/** The command on a host itself. */
function adopt(rig: Rig, host: Host, ...words: readonly string[]): Promise<RunResult> {
  return rig.lab.exec(host, [...rig.lab.record.entry, 'adopt', ...words])
}

async function propose(rig: Rig): Promise<string> {
  const files: string[] = []
  for (const host of hosts) {
    const out = join(rig.base, `${host}.found.json`)
    const [redisConf, keepalivedConf] = [rig.file(host, 'old', 'redis.conf'), rig.file(host, 'old', 'keepalived.conf')]
    const looked = await adopt(rig, host, 'look', '--redis-conf', redisConf, '--keepalived-conf', keepalivedConf, '--name', host, '--out', out)
    expect(looked.code, looked.stderr).toBe(0)
    expect((await stat(out)).mode & 0o777, 'it holds the password').toBe(0o600)
    files.push(out)
  }
  const dir = join(rig.base, 'proposed')
  const told = await adopt(rig, 'red-a', 'propose', ...files, '--name', 'sessions', '--out-dir', dir)
  expect([told.code, told.stdout], told.stderr).toEqual([
    0,
    expect.stringMatching(/red +restarts-empty +red-a: [^]*red +promotes-always [^]*The take-over, in this order[^]*The way back/),
  ])
  expect(told.stdout).not.toContain(password)
  const again = await adopt(rig, 'red-a', 'propose', ...files, '--name', 'sessions', '--out-dir', dir)
  expect(again, 'what is there is not written over').toMatchObject({ code: 1, stderr: expect.stringMatching(/^HF917 /) })
  expect(await readFile(join(dir, 'sessions.password'), 'utf8')).toBe(`${password}\n`)
  expect((await stat(join(dir, 'sessions.password'))).mode & 0o777).toBe(0o600)
  return (await readFile(join(dir, 'holdfast.yaml'), 'utf8')).replaceAll('/etc/holdfast/', `${dir}/`)
}

/** What was proposed, on every host: with the folders and the secret that each host of the lab has of its own. */
async function configure(rig: Rig, proposed: string): Promise<void> {
  for (const node of [...hosts, 'client']) {
    const file = nodeConfigFile(rig.lab.record, node)
    await writeFile(file, withOwnKeys(proposed, await readFile(file, 'utf8')))
  }
  const checked = await rig.cli('check')
  expect(checked.code, checked.stderr).toBe(0)
}

async function oldRedis(rig: Rig, host: Host): Promise<void> {
  const dir = rig.file(host, 'old')
  await mkdir(dir, { recursive: true })
  const lines = ['port 6379', 'bind 0.0.0.0', `dir ${dir}`, `logfile ${dir}/redis.log`, 'save ""', 'appendonly no', 'repl-diskless-sync-delay 0']
  const role = host === 'red-b' ? [`slaveof ${ips['red-a']} 6379`] : []
  await writeFile(`${dir}/redis.conf`, [...lines, `requirepass "${password}"`, `masterauth "${password}"`, 'slave-read-only yes', ...role, ''].join('\n'))
  await sh(rig, host, `redis-server ${dir}/redis.conf >/dev/null 2>&1 &`)
  expect(await poll(async () => ((await rig.redis(host, 'PING')) === 'PONG' ? true : undefined), { withinMs: 5000 })).toBe(true)
}

/** As the recipes have it. `calm`: without notify_backup, as the way back asks for. */
async function oldKeepalived(rig: Rig, host: Host, { calm = false } = {}): Promise<void> {
  const dir = rig.file(host, 'old')
  const other = ips[host === 'red-a' ? 'red-b' : 'red-a']
  const script = async (name: string, text: string): Promise<string> => {
    await writeFile(`${dir}/${name}`, `#!/bin/sh\n${text}\n`)
    await chmod(`${dir}/${name}`, 0o755)
    return `${dir}/${name}`
  }
  const cli = `redis-cli -a "${password}" --no-auth-warning`
  const [check, promote, follow] = [
    await script('check.sh', `[ "$(${cli} PING)" = PONG ]`),
    await script('master.sh', `${cli} SLAVEOF NO ONE`),
    await script('backup.sh', `${cli} SLAVEOF ${other} 6379`),
  ]
  await writeFile(
    `${dir}/keepalived.conf`,
    `global_defs {
  script_user root
}
vrrp_script chk_redis { script "${check}"
  interval 1
  fall 3
}
vrrp_instance VI_1 {
  state ${host === 'red-a' ? 'MASTER' : 'BACKUP'}
  interface eth0
  virtual_router_id 51
  priority ${host === 'red-a' ? 101 : 100}
  advert_int 1
  authentication {
    auth_type PASS
    auth_pass 1111
  }
  virtual_ipaddress {
    ${vip}/24
  }
  track_script { chk_redis }
  notify_master ${promote}
  ${calm ? '' : `notify_backup ${follow}`}
}
`,
  )
  await sh(rig, host, `keepalived -n -l -P -f ${dir}/keepalived.conf -p ${dir}/k.pid -r ${dir}/v.pid >${dir}/keepalived.log 2>&1 &`)
}

async function becomesMaster(rig: Rig, host: Host): Promise<void> {
  const log = rig.file(host, 'old', 'keepalived.log')
  expect(await poll(async () => ((await readFile(log, 'utf8')).includes('Entering MASTER') ? true : undefined), { withinMs: 15_000 })).toBe(true)
}

/** Stopped first: the one of the two that still lives would take the address off when the other dies. */
function killOld(rig: Rig, host: Host): Promise<string> {
  const dir = rig.file(host, 'old')
  return sh(rig, host, `p="$(cat ${dir}/k.pid) $(cat ${dir}/v.pid)"; kill -STOP $p; kill -KILL $p; rm ${dir}/k.pid ${dir}/v.pid`)
}

function killOurs(rig: Rig, host: Host): Promise<string> {
  const dir = rig.file(host, 'run')
  return sh(
    rig,
    host,
    `p="$(cat ${dir}/keepalived.pid) $(cat ${dir}/keepalived-vrrp.pid)"; kill -STOP $p; kill -KILL $p; nft delete table ip holdfast_sessions`,
  )
}

async function sh(rig: Rig, host: Host, text: string): Promise<string> {
  const { stdout, stderr } = await rig.lab.exec(host, ['sh', '-c', text])
  return `${stdout}${stderr}`.trim()
}

async function oldRole(rig: Rig, host: Host): Promise<string> {
  return /role:(\w+)/.exec(await rig.redis(host, 'INFO', 'replication'))?.[1] ?? ''
}

async function linkOf(rig: Rig, host: Host): Promise<string> {
  return /master_link_status:(\w+)/.exec(await rig.redis(host, 'INFO', 'replication'))?.[1] ?? ''
}

async function runId(rig: Rig, host: Host): Promise<string> {
  return /run_id:(\w+)/.exec(await rig.redis(host, 'INFO', 'server'))?.[1] ?? ''
}
