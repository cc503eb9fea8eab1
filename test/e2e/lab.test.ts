/** Labs for real: fresh namespaces, plain redis-servers started by hand in them, every fault looked at from both sides. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { labProblems } from '../../src/lab/capability.ts'
import type { Lab } from '../../src/lab/lab.ts'
import { listLabs, openLab, raiseLab, takeDown } from '../../src/lab/lab.ts'
import { ownedDir } from '../../src/lab/leftovers.ts'
import { namespaces } from '../../src/lab/net.ts'
import { namespaceProcesses, type ProcessId } from '../../src/lab/processes.ts'
import { poll, run } from '../../src/lab/run.ts'
import { startWriter } from '../../src/lab/writer.ts'

const problems = labProblems()
/** As much of the command line as a lab needs; written as a file, because a lab runs its own command again. */
const entrySource = `import { createServer } from 'node:net'
import { Command } from ${JSON.stringify(import.meta.resolve('@commander-js/extra-typings'))}
import { register } from ${JSON.stringify(new URL('../../src/cli/lab.ts', import.meta.url).href)}
const program = new Command('holdfast').option('--config <file>')
register(program)
// In place of the real agent: something that stays and listens on the API's port.
program.command('agent').option('--host <host>').action(() => {
  createServer().listen(8420, () => console.log('a made-up agent is up'))
})
await program.parseAsync()
`
const yaml = `# a comment that stays
api: { secret_file: ./no-such-secret }
hosts:
  red-a: { ip: 192.168.77.1, interface: eth0 }
  red-b: { ip: 192.168.77.2, interface: ens18 }
groups:
  sessions:
    members: [red-a, red-b]
    vip: 192.168.77.9/24
    password_file: missing.password
`
const redisPort = 6379

let base = ''
let owner: ProcessId = { pid: 0, startTicks: 0 }
let configFile = ''
let entry: readonly string[] = []

beforeAll(async () => {
  if (problems.length > 0) console.warn(`skipped: labs cannot run here: ${problems.join('; ')}`)
  const owned = await ownedDir('hf-labs-')
  base = owned.dir
  owner = owned.owner
  configFile = join(base, 'holdfast.yaml')
  await writeFile(configFile, yaml)
  const script = join(base, 'entry.mjs')
  await writeFile(script, entrySource)
  entry = [process.execPath, '--import', import.meta.resolve('tsx'), script]
})
afterEach(async () => {
  for (const { name } of await listLabs(base)) await takeDown(name, { baseDir: base })
})
afterAll(async () => {
  await rm(base, { recursive: true, force: true })
})

function raise(name: string, clients = 1): Promise<Lab> {
  return raiseLab({ name: `t-${name}`, configFile, startAgents: false, baseDir: base, entry, clients, owner })
}

async function startRedis(lab: Lab, host: string): Promise<void> {
  const dir = join(lab.record.dir, host)
  const started = await lab.exec(host, [
    'redis-server',
    '--port',
    String(redisPort),
    '--bind',
    '0.0.0.0',
    '--protected-mode',
    'no',
    '--dir',
    dir,
    '--save',
    '',
    '--daemonize',
    'yes',
    '--logfile',
    join(dir, 'redis.log'),
  ])
  expect(started.code).toBe(0)
  expect(await poll(async () => ((await ping(lab, host, '127.0.0.1')) === 'PONG' ? true : undefined), { withinMs: 5000 })).toBe(true)
}

async function ping(lab: Lab, from: string, ip: string, deadlineMs = 1000): Promise<string> {
  const result = await lab.exec(from, ['redis-cli', '-h', ip, '-p', String(redisPort), 'ping'], { deadlineMs })
  return result.code === 124 ? 'silent' : result.stdout.trim() || result.stderr.trim()
}

async function linkState(lab: Lab, host: string, name: string): Promise<string> {
  const shown = await lab.exec(host, ['ip', '-j', 'link', 'show', name])
  return (JSON.parse(shown.stdout) as { operstate: string }[])[0]?.operstate ?? ''
}

const [a, b] = ['192.168.77.1', '192.168.77.2']

describe.skipIf(problems.length > 0)('a lab', { timeout: 60_000 }, () => {
  test('has hosts and a client that reach each other, and its own copies of the configuration', async () => {
    const lab = await raise('up')
    await startRedis(lab, 'red-b')
    expect(await ping(lab, 'red-a', b)).toBe('PONG')
    expect(await ping(lab, 'client', b)).toBe('PONG')
    expect(await ping(lab, 'client', a)).toMatch(/refused/)
    const copy = await readFile(join(base, 't-up', 'red-a', 'holdfast.yaml'), 'utf8')
    expect(copy).toContain('# a comment that stays')
    expect(copy).toContain(`state: ${join(base, 't-up', 'red-a', 'state')}`)
    expect(copy).toContain(join(base, 't-up', 'sessions.password'))
    expect((await readFile(join(base, 't-up', 'api.secret'), 'utf8')).trim()).toHaveLength(48)
    expect(await readFile(configFile, 'utf8')).toBe(yaml)
    expect((await lab.status()).map(({ name, ip, power }) => [name, ip, power])).toEqual([
      ['red-a', a, 'on'],
      ['red-b', b, 'on'],
      ['client', '192.168.77.254', 'on'],
    ])
    await expect(raise('up')).rejects.toMatchObject({ code: 'HF502' })
    expect(await ping(await openLab('t-up', base), 'red-a', b)).toBe('PONG')
  })

  test('cut: silent both ways and for open connections, and the interface stays up', async () => {
    const lab = await raise('cut')
    await startRedis(lab, 'red-a')
    await startRedis(lab, 'red-b')
    const writer = await startWriter({ kind: 'lab', lab }, { host: b, port: redisPort, commandTimeoutMs: 700 })
    try {
      expect(await writer.steady({ acks: 100, withinMs: 5000 })).toBe(true)
      await writer.mark('cut')
      await lab.cut('red-b')
      expect(await ping(lab, 'red-a', b)).toBe('silent')
      expect(await ping(lab, 'red-b', a)).toBe('silent')
      expect(await linkState(lab, 'red-b', 'ens18')).toBe('UP')
      expect(await lab.faults()).toEqual({ cut: ['h1'], pairs: [], lossyPercent: {} })
      await lab.cut('red-b')
      await lab.heal('red-b')
      await lab.heal('red-b')
      expect(await writer.steady({ acks: 100, withinMs: 8000 })).toBe(true)
      const report = await writer.stop()
      expect(report.errors[0]?.kind).toBe('timeout')
      expect(report.marks[0]?.longestOutage.lengthMs).toBeGreaterThan(700)
      expect(await writer.verify()).toMatchObject({ complete: true, lost: 0 })
    } finally {
      await writer.close()
    }
    expect(await ping(lab, 'red-b', a)).toBe('PONG')
  })

  test('isolate: two hosts only, or one direction only', async () => {
    const lab = await raise('isolate', 2)
    await startRedis(lab, 'red-a')
    await startRedis(lab, 'red-b')
    await lab.isolate('red-a', 'red-b')
    expect(await ping(lab, 'red-a', b)).toBe('silent')
    expect(await ping(lab, 'red-b', a)).toBe('silent')
    expect(await ping(lab, 'client', a)).toBe('PONG')
    expect(await ping(lab, 'client2', b)).toBe('PONG')
    await lab.heal('red-a')
    // The kernel asked for b's MAC while it was cut off, and asks again only once a second.
    expect(await poll(async () => ((await ping(lab, 'red-a', b)) === 'PONG' ? true : undefined), { withinMs: 5000 })).toBe(true)
    // TCP needs both ways, so one direction is told apart with datagrams.
    await lab.isolate('red-a', 'red-b', { oneWay: true })
    expect(await datagram(lab, 'red-a', 'red-b', b)).toBe('')
    expect(await datagram(lab, 'red-b', 'red-a', a)).toBe('hello')
    await lab.heal()
    expect(await datagram(lab, 'red-a', 'red-b', b)).toBe('hello')
  })

  test('lossy: some packets, and TCP gets through', async () => {
    const lab = await raise('lossy')
    await startRedis(lab, 'red-b')
    await lab.lossy('red-b', 100)
    expect(await ping(lab, 'red-a', b)).toBe('silent')
    await lab.lossy('red-b', 20)
    expect((await lab.faults()).lossyPercent).toEqual({ h1: 20 })
    // Long enough for TCP to send each packet four times: that all are lost, thrice in a row, is one run in a hundred thousand.
    const through = await poll(async () => ((await ping(lab, 'red-a', b, 10_000)) === 'PONG' ? true : undefined), { withinMs: 30_000 })
    expect(through).toBe(true)
    await expect(lab.lossy('red-b', 0)).rejects.toMatchObject({ code: 'HF503' })
  })

  test('kill, freeze and thaw reach the redis of that host and nothing else', async () => {
    const lab = await raise('kill')
    await startRedis(lab, 'red-a')
    await startRedis(lab, 'red-b')
    await lab.freeze('red-a', 'redis', { group: 'sessions' })
    expect(await ping(lab, 'client', a)).toBe('silent')
    await lab.thaw('red-a', 'redis')
    expect(await ping(lab, 'client', a)).toBe('PONG')
    const { pids } = await lab.kill('red-a', 'redis')
    expect(pids).toHaveLength(1)
    expect(await poll(async () => (/refused/.test(await ping(lab, 'client', a)) ? true : undefined), { withinMs: 3000 })).toBe(true)
    expect(await ping(lab, 'client', b)).toBe('PONG')
    await expect(lab.kill('red-a', 'redis')).rejects.toMatchObject({ code: 'HF503' })
    await expect(lab.kill('red-a', 'agent')).rejects.toMatchObject({ code: 'HF503' })
    await expect(lab.kill('nobody', 'redis')).rejects.toMatchObject({ code: 'HF104' })
  })

  test('power off: no FIN and no RST escapes; power on: the same machine, with nothing running', async () => {
    const lab = await raise('power')
    await startRedis(lab, 'red-b')
    const macOf = async (): Promise<string> => (await lab.exec('red-b', ['cat', '/sys/class/net/ens18/address'])).stdout.trim()
    const mac = await macOf()
    const writer = await startWriter({ kind: 'lab', lab }, { host: b, port: redisPort, commandTimeoutMs: 600, connectTimeoutMs: 600 })
    try {
      expect(await writer.steady({ acks: 100, withinMs: 5000 })).toBe(true)
      await lab.power('red-b', 'off')
      expect(await namespaces()).not.toContain('hf-t-power-red-b')
      expect((await lab.status()).find((host) => host.name === 'red-b')?.power).toBe('off')
      await expect(lab.exec('red-b', ['true'])).rejects.toMatchObject({ code: 'HF503' })
      const seen = await poll(async () => ((await writer.stats()).errors > 0 ? true : undefined), { withinMs: 5000 })
      expect(seen).toBe(true)
      expect((await writer.stop()).errors[0]?.kind).toBe('timeout')
    } finally {
      await writer.close()
    }
    await lab.power('red-b', 'on')
    expect(await macOf()).toBe(mac)
    expect(await ping(lab, 'client', b)).toMatch(/refused/)
    await startRedis(lab, 'red-b')
    expect(await ping(lab, 'client', b)).toBe('PONG')
  })

  test('two side by side with the same addresses do not meet', async () => {
    const [one, two] = await Promise.all([raise('one'), raise('one-b')])
    await startRedis(one, 'red-b')
    expect(await ping(one, 'client', b)).toBe('PONG')
    expect(await ping(two, 'client', b)).toMatch(/refused/)
    expect((await listLabs(base)).map((found) => found.name)).toEqual(['t-one', 't-one-b'])
    await one.down()
    expect((await namespaces()).filter((name) => name.startsWith('hf-t-one'))).toHaveLength(4)
    expect(await ping(two, 'client', b)).toMatch(/refused/)
  })

  test('down leaves nothing, also of a stubborn process; twice is fine; without its directory too', async () => {
    const lab = await raise('down')
    await startRedis(lab, 'red-a')
    await lab.freeze('red-a', 'redis')
    const stubborn = await lab.exec('red-b', ['sh', '-c', 'trap "" TERM; (while :; do sleep 1; done) >/dev/null 2>&1 & echo $!'])
    expect(await namespaceProcesses('hf-t-down-red-b')).not.toHaveLength(0)
    await lab.down()
    await lab.down()
    await expectNothingLeft('t-down')
    expect(existsSync(`/proc/${stubborn.stdout.trim()}/stat`) && (await readFile(`/proc/${stubborn.stdout.trim()}/stat`, 'utf8')).includes(' (sh) S')).toBe(
      false,
    )
    await raise('down')
    await rm(join(base, 't-down'), { recursive: true })
    await takeDown('t-down', { baseDir: base })
    await expectNothingLeft('t-down')
  })

  test('down without a grace waits for nobody to end in good order', async () => {
    const lab = await raise('atonce')
    await lab.exec('red-a', ['sh', '-c', 'trap "" TERM; (while :; do sleep 1; done) >/dev/null 2>&1 & echo $!'])
    const fromMs = performance.now()
    await lab.down({ graceMs: 0 })
    expect(performance.now() - fromMs).toBeLessThan(2500)
    await expectNothingLeft('t-atonce')
  })

  test('agents are started, killed by their own pid, and come back with the power', async () => {
    const lab = await raiseLab({ name: 't-agent', configFile, startAgents: true, baseDir: base, entry })
    const agents = async (): Promise<string[]> => (await lab.status()).filter((host) => host.kind === 'host').map((host) => host.agent)
    expect(await agents()).toEqual(['up', 'up'])
    expect(await readFile(join(base, 't-agent', 'red-a', 'agent.log'), 'utf8')).toBe('a made-up agent is up\n')
    const first = await lab.start('red-a', 'agent')
    expect(await lab.start('red-a', 'agent')).toEqual(first)
    expect((await lab.kill('red-a', 'agent')).pids).toEqual([first.pid])
    expect(await poll(async () => ((await agents())[0] === 'down' ? true : undefined), { withinMs: 3000 })).toBe(true)
    expect((await lab.start('red-a', 'agent')).pid).not.toBe(first.pid)
    await lab.power('red-b', 'off')
    expect(await agents()).toEqual(['up', 'down'])
    await lab.power('red-b', 'on')
    expect(await agents()).toEqual(['up', 'up'])
  })

  test('the command line does what it says', async () => {
    const lab = await raise('cli')
    await startRedis(lab, 'red-a')
    const cli = async (...args: string[]) => {
      const [verb = '', ...rest] = args
      return run([...entry, 'lab', verb, '--name', 't-cli', ...rest], { env: { HOLDFAST_LAB_DIR: base } })
    }
    expect((await cli('cut', 'red-b')).stdout).toBe('red-b is cut off\n')
    expect((await cli('isolate', 'red-a', 'red-b', '--one-way')).stdout).toBe('red-b hears nothing from red-a\n')
    expect((await cli('lossy', 'red-a', '5')).code).toBe(0)
    const shown = JSON.parse((await cli('status', '--json')).stdout) as { faults: unknown; hosts: { processes: { name: string }[] }[] }
    expect(shown.faults).toEqual({ cut: ['red-b'], isolated: [['red-a', 'red-b']], lossy: { 'red-a': 5 } })
    expect(shown.hosts[0]?.processes.map((found) => found.name)).toEqual(['redis-server'])
    expect((await cli('heal')).code).toBe(0)
    const exec = await cli('exec', 'client', '--', 'redis-cli', '-h', a, 'ping')
    expect(exec).toMatchObject({ code: 0, stdout: 'PONG\n' })
    expect((await cli('exec', 'client', '--', 'sh', '-c', 'exit 7')).code).toBe(7)
    expect((await cli('logs', 'red-a')).stdout).toContain('Ready to accept connections')
    expect((await cli('kill', 'red-a', '--signal', 'term')).stdout).toMatch(/^SIGTERM sent on red-a to pid \d+\n$/)
    expect((await cli('kill', 'red-a', 'mysql')).stderr).toContain('is nothing that runs on a host')
    expect((await cli('down')).stdout).toBe('t-cli: down\n')
    expect((await cli('down')).stdout).toBe('t-cli: there is no such lab\n')
    await expectNothingLeft('t-cli')
  })

  test('kept logs do not block the name', async () => {
    const lab = await raise('logs')
    const kept = await lab.down({ keepLogs: true })
    expect(existsSync(join(kept ?? '', 'red-a', 'holdfast.yaml'))).toBe(true)
    await (await raise('logs')).down()
    await expectNothingLeft('t-logs')
  })

  test('a failing step takes down what stands', async () => {
    const broken = join(base, 'broken.yaml')
    await writeFile(broken, yaml.replace('red-b: { ip: 192.168.77.2', 'red-b: { ip: 192.168.77.1'))
    await expect(raiseLab({ name: 't-broken', configFile: broken, startAgents: false, baseDir: base, entry })).rejects.toThrow()
    const noAgent = raiseLab({
      name: 't-broken',
      configFile,
      startAgents: true,
      baseDir: base,
      entry: [process.execPath, '-e', 'console.log("I cannot"); process.exit(1)', '--'],
    })
    await expect(noAgent).rejects.toThrow(/ended at once:\nI cannot/)
    await expectNothingLeft('t-broken')
  })

  test.each([
    ['SIGINT', 'making the bridge'],
    ['SIGINT', 'plugging in red-b'],
    ['SIGKILL', 'plugging in red-b'],
  ] as const)('%s at "%s" leaves nothing that lab down cannot remove', async (signal, step) => {
    const child = spawn(entry[0] ?? '', [...entry.slice(1), '--config', configFile, 'lab', 'up', '--no-agents', '--name', 't-stop'], {
      env: { ...process.env, HOLDFAST_LAB_DIR: base },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => {
      const before = output.includes(step)
      output += chunk.toString()
      if (!before && output.includes(step)) child.kill(signal)
    })
    await new Promise((resolve) => child.once('close', resolve))
    expect(output).toContain(step)
    if (signal === 'SIGKILL') {
      await expect(openLab('t-stop', base)).rejects.toMatchObject({ code: 'HF502' })
      await takeDown('t-stop', { baseDir: base })
    }
    await expectNothingLeft('t-stop')
  })
})

async function expectNothingLeft(name: string): Promise<void> {
  expect((await namespaces()).filter((found) => found.startsWith(`hf-${name}-`))).toEqual([])
  expect(existsSync(join(base, name))).toBe(false)
}

/** What `to` hears of a datagram that `from` sends. */
async function datagram(lab: Lab, from: string, to: string, ip: string): Promise<string> {
  const script = `const s = require('dgram').createSocket('udp4')
    s.on('message', (m) => { process.stdout.write(m); process.exit() })
    s.bind(9999, '0.0.0.0'); setTimeout(() => process.exit(), 1200)`
  const heard = lab.exec(to, [process.execPath, '-e', script])
  const send = `const s = require('dgram').createSocket('udp4')
    const t = setInterval(() => s.send('hello', 9999, '${ip}'), 50); setTimeout(() => { clearInterval(t); s.close() }, 1000)`
  await lab.exec(from, [process.execPath, '-e', send])
  return (await heard).stdout
}
