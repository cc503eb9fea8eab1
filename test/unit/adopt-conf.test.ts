/** The files of an old pair: the language of keepalived.conf, what scripts do, includes, and what cannot be understood. */
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { parseKeepalived } from '../../src/adopt/keepalived-conf.ts'
import { deedsOf } from '../../src/adopt/scripts.ts'
import { vrrpSetupOf } from '../../src/adopt/vrrp.ts'
import { keepalivedConfOf, redisConfOf, scriptsOf } from '../../src/cli/adopt-files.ts'
import { debianMaster, debianScripts, notifyScript, twoVips } from './old-pairs.ts'

const setupOf = (text: string) => vrrpSetupOf(parseKeepalived(text).nodes)

describe('keepalived.conf', () => {
  test('the much copied one: address, ids, check and scripts, with the defaults of keepalived', () => {
    const [instance] = setupOf(debianMaster).instances
    expect(instance).toMatchObject({
      name: 'VI_REDIS',
      state: 'MASTER',
      interface: 'eth0',
      vrid: 51,
      priority: 101,
      advertS: 3,
      authPass: 'all_redis_pass',
      nopreempt: false,
      addresses: [{ ip: '192.168.100.123', prefix: 32, device: null }],
      checks: [{ name: 'chk_redis', intervalS: 2, timeoutS: 2, fall: 3, rise: 1, weight: 0 }],
    })
    expect(instance?.notifies.map(({ kind }) => kind)).toEqual(['notify_master', 'notify_backup', 'notify_fault', 'notify_stop'])
  })

  test('a brace on its own line, one that closes on the line of its last word, a label, unicast', () => {
    const [write, read] = setupOf(twoVips).instances
    expect(write).toMatchObject({
      priority: 150,
      nopreempt: true,
      unicastSource: '10.1.0.11',
      unicastPeers: ['10.1.0.12'],
      addresses: [{ ip: '10.1.0.20', prefix: 24, device: 'ens192' }],
      checks: [{ command: 'killall -0 redis-server', weight: -20 }],
    })
    expect(read).toMatchObject({ vrid: 61, nopreempt: false, notifies: [] })
  })

  test('definitions, a weight where the check is named, a sync group with the scripts, comments in both ways', () => {
    const { instances, virtualServers, conditional } = setupOf(`
$VIP=10.0.0.9/24
$IF=bond0   # of both
vrrp_script chk {
  script "/x/check.sh"
}
vrrp_sync_group G { group { one
  two }
  notify_master "/x/master.sh" root
}
vrrp_instance one {
  interface \${IF}   ! not eth0
  virtual_router_id 7
  virtual_ipaddress {
    $VIP
    fe80::1/64
  }
  track_script {
    chk weight -30
  }
  @redis-b state MASTER
}
virtual_server 10.0.0.1 80 {
}
`)
    expect(instances[0]).toMatchObject({
      interface: 'bond0',
      state: null,
      priority: 100,
      addresses: [{ ip: '10.0.0.9', prefix: 24 }],
      checks: [{ weight: -30 }],
    })
    expect(instances[0]?.notifies).toEqual([{ kind: 'notify_master', command: '/x/master.sh root' }])
    expect([virtualServers, conditional]).toEqual([1, 1])
  })

  test.each([
    ['vrrp_instance VI_1 {\n  state MASTER\n', /line 1: the brace of `vrrp_instance VI_1` is never closed/],
    ['vrrp_instance VI_1 {\n  virtual_ipaddress {\n 10.0.0.1\n}\n', /line 1: the brace of `vrrp_instance VI_1`/],
    ['}\n', /line 1: a closing brace without/],
    ['vrrp_script c {\n script "/x\n}\n', /line 2: the quotes are not balanced/],
  ])('not understood: %j', (text, why) => {
    expect(parseKeepalived(text).problems.join('\n')).toMatch(why)
  })

  test('an empty file is no problem of its language', () => {
    expect(parseKeepalived('\uFEFF# nothing\r\n\r\n')).toEqual({ nodes: [], problems: [] })
  })
})

describe('scripts', () => {
  const deeds = (command: string, text: string | null = null) => deedsOf(command, text === null ? [] : [{ command, text, why: '' }])

  test('the recipe: its master script follows, sleeps and promotes; its check tells the password', () => {
    const found = Object.entries(debianScripts).map(([command, text]) => ({ command, text, why: '' }))
    const [check, promote, follow, fault] = found.map(({ command }) => deedsOf(command, found))
    expect(check).toMatchObject({ asksRedis: true, tellsPassword: true, promotes: false })
    expect(promote).toMatchObject({ promotes: true, follows: true, compares: false, sleepsS: 10 })
    expect(follow).toMatchObject({ promotes: false, follows: true, sleepsS: 15 })
    expect(fault).toMatchObject({ promotes: false, follows: false, isRead: true })
  })

  test.each([
    ['redis-cli slaveof no one', { promotes: true, follows: false, isRead: true }],
    ['/usr/bin/redis-cli -p 6379 REPLICAOF NO ONE', { promotes: true, isRead: true }],
    ['redis-cli replicaof node1 6379', { promotes: false, follows: true }],
    ['killall -0 redis-server', { asksRedis: false, looksForProcess: true, isRead: true }],
    ['/opt/unknown.sh', { isRead: false, promotes: false }],
  ])('%s', (command, expected) => {
    expect(deeds(command)).toMatchObject(expected)
  })

  test('one script for all words; a line that is commented out does nothing; one that looks at the data first is told apart', () => {
    expect(deeds('/n.sh', notifyScript)).toMatchObject({ promotes: true, follows: true, compares: false })
    expect(deeds('/n.sh', '# redis-cli slaveof no one\nexit 0')).toMatchObject({ promotes: false })
    expect(deeds('/n.sh', 'redis-cli info | grep master_link_status:up && redis-cli slaveof no one')).toMatchObject({ promotes: true, compares: true })
    expect(deeds('/n.sh', 'systemctl restart redis-server')).toMatchObject({ startsRedis: true })
    expect(deeds('/n.sh', 'service redis start')).toMatchObject({ startsRedis: true })
  })
})

describe('files', () => {
  const dirs: string[] = []
  afterEach(async () => {
    for (const dir of dirs.splice(0)) await rm(dir, { recursive: true, force: true })
  })
  async function folder(files: Readonly<Record<string, string>>): Promise<string> {
    const dir = await mkdtemp(join(tmpdir(), 'hf-adopt-'))
    dirs.push(dir)
    await mkdir(join(dir, 'conf.d'))
    for (const [name, text] of Object.entries(files)) await writeFile(join(dir, name), text)
    return dir
  }

  test('redis.conf: what it includes stands in its place, so that the last line rules; quotes and old names stay as redis reads them', async () => {
    const dir = await folder({
      'redis.conf': 'slaveof 10.0.0.1 6379\ninclude conf.d/*.conf\nrequirepass "a # b"\n',
      'conf.d/10-a.conf': 'appendonly yes\n',
      'conf.d/20-b.conf': 'appendonly no\nsave ""\n',
      'conf.d/other.txt': 'appendonly yes\n',
    })
    const { lines, unread } = await redisConfOf(join(dir, 'redis.conf'))
    expect(lines).toEqual([
      ['slaveof', '10.0.0.1', '6379'],
      ['appendonly', 'yes'],
      ['appendonly', 'no'],
      ['save', ''],
      ['requirepass', 'a # b'],
    ])
    expect(unread).toEqual([])
  })

  test('an include that is not there is said; one that includes itself ends', async () => {
    const dir = await folder({ 'redis.conf': 'include gone.conf\nport 1\n', 'self.conf': 'include self.conf\nport 2\n' })
    expect(await redisConfOf(join(dir, 'redis.conf'))).toMatchObject({ lines: [['port', '1']], unread: [join(dir, 'gone.conf')] })
    expect((await redisConfOf(join(dir, 'self.conf'))).unread).toHaveLength(1)
  })

  test('keepalived.conf with its instances in other files, and the scripts that they name', async () => {
    const dir = await folder({ 'keepalived.conf': 'global_defs {\n}\ninclude conf.d/*.conf\n', 'check.sh': '#!/bin/sh\nredis-cli ping\n', program: 'ELF\0\0' })
    await writeFile(
      join(dir, 'conf.d/redis.conf'),
      `vrrp_script c {\n script "/bin/sh ${dir}/check.sh 6379"\n}\nvrrp_instance r {\n track_script {\n c\n }\n notify_master ${dir}/program\n notify_backup ${dir}/gone.sh\n notify_fault "redis-cli ping"\n}\n`,
    )
    const { nodes } = await keepalivedConfOf(join(dir, 'keepalived.conf'))
    const scripts = new Map((await scriptsOf(nodes)).map(({ command, text, why }) => [command, text ?? why]))
    expect(scripts.get(`/bin/sh ${dir}/check.sh 6379`)).toContain('redis-cli ping')
    expect(scripts.get(`${dir}/program`)).toBe(`${dir}/program is no script`)
    expect(scripts.get(`${dir}/gone.sh`)).toBe(`${dir}/gone.sh does not exist`)
    expect(scripts.get('redis-cli ping')).toBe('it names no file')
  })

  test('what cannot be read or understood has a code, and says where', async () => {
    const dir = await folder({
      'open.conf': 'vrrp_instance a {\n',
      'none.conf': 'global_defs {\n}\n',
      'quotes.conf': 'port 1\nrequirepass "a\n',
      large: 'x'.repeat(1024 * 1024 + 1),
    })
    await expect(keepalivedConfOf(join(dir, 'open.conf'))).rejects.toMatchObject({ code: 'HF913', message: expect.stringContaining('never closed') })
    await expect(keepalivedConfOf(join(dir, 'none.conf'))).rejects.toMatchObject({ code: 'HF913', message: expect.stringContaining('no vrrp_instance') })
    await expect(redisConfOf(join(dir, 'quotes.conf'))).rejects.toMatchObject({ code: 'HF913', message: expect.stringContaining('quotes.conf:2') })
    await expect(redisConfOf(join(dir, 'gone'))).rejects.toMatchObject({ code: 'HF910', message: expect.stringContaining('does not exist') })
    await expect(redisConfOf(join(dir, 'large'))).rejects.toMatchObject({ code: 'HF910' })
    await expect(redisConfOf(dir)).rejects.toMatchObject({ code: 'HF910', message: expect.stringContaining('is a directory') })
    await chmod(join(dir, 'none.conf'), 0)
    if (process.getuid?.() !== 0) await expect(keepalivedConfOf(join(dir, 'none.conf'))).rejects.toMatchObject({ code: 'HF910' })
  })
})
