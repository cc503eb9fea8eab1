/** Wrong secrets, taken ports, full disks, damaged files, strangers at the door: a clear word or a safe state, and nothing lost. */
import { readFile, rm, writeFile } from 'node:fs/promises'
import { spawn } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { nodeOf } from '../../src/lab/faults.ts'
import type { RunResult } from '../../src/lab/run.ts'
import type { Rig } from './rig.ts'
import { entry, poll, problems, rigFor, run, twoHosts } from './rig.ts'

const unseenMs = 150

describe.skipIf(problems.length > 0)('bad luck in a running group', { timeout: 60_000 }, () => {
  const theRig = rigFor('luck', twoHosts())

  test('a second agent for one host is turned away (HF203), the first goes on', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const writer = await rig.writer()
    const after = await rig.incident(writer, 'a second agent', { outageMs: unseenMs, mayBeUnfelt: true }, async () => {
      expectRefusal(await agentOnce(rig, before.primary), 1, /HF203.*another agent \(pid \d+\)/)
    })
    await rig.finishWithin(writer, unseenMs)
    expect(after).toMatchObject({ primary: before.primary, epoch: before.epoch })
  })

  test('a damaged state file: the agent refuses to guess (HF206), the services go on, and the mended file is taken', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const file = rig.file(before.primary, 'state', 'sessions', 'state.json')
    const writer = await rig.writer()
    const after = await rig.incident(writer, 'the state file is damaged', { outageMs: unseenMs, mayBeUnfelt: true }, async () => {
      await rig.killAgent(before.primary)
      const sound = await readFile(file, 'utf8')
      for (const damage of [
        '',
        'garbage',
        '{}',
        sound.slice(0, sound.length / 2),
        sound.replace('"format":1', '"format":2'),
        sound.replaceAll(before.primary, 'red-x'),
      ]) {
        await writeFile(file, damage)
        expectRefusal(await agentOnce(rig, before.primary), 1, /HF206/)
        expect(await readFile(file, 'utf8'), 'left as it was found').toBe(damage)
      }
      await writeFile(file, sound)
      await rig.startAgent(before.primary)
    })
    await rig.finishWithin(writer, unseenMs)
    expect(after).toMatchObject({ primary: before.primary, epoch: before.epoch })
  })

  test('a program is missing (HF202), a config is wrong (exit 2): nothing is touched', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const own = await readFile(rig.file(before.primary, 'holdfast.yaml'), 'utf8')
    const writer = await rig.writer()
    await rig.incident(writer, 'three agents that must not start', { outageMs: unseenMs, mayBeUnfelt: true }, async () => {
      await rig.killAgent(before.primary)
      const state = await readFile(rig.file(before.primary, 'state', 'sessions', 'state.json'), 'utf8')
      const variant = async (text: string): Promise<RunResult> => {
        const file = rig.file(before.primary, 'variant.yaml')
        await writeFile(file, text)
        return agentOnce(rig, before.primary, file)
      }
      expectRefusal(await variant(own.replace('paths:', 'paths:\n  keepalived: /nowhere/keepalived')), 1, /HF202.*\/nowhere\/keepalived/)
      expectRefusal(await variant(own.replace('paths:', 'paths:\n  redis_server: /nowhere/redis')), 1, /HF202.*\/nowhere\/redis/)
      const wrong = await variant(`${own.replace('192.168.77.9/24', '10.1.1.9/24')}\nnonsense: true\n`)
      expectRefusal(wrong, 2, /HF102/)
      expect(wrong.stderr, 'every problem at once').toMatch(/nonsense[\s\S]*10\.1\.1\.9|10\.1\.1\.9[\s\S]*nonsense/)
      expectRefusal(await agentOnce(rig, before.primary, '/nowhere/holdfast.yaml'), 2, /HF101/)
      expect(await readFile(rig.file(before.primary, 'state', 'sessions', 'state.json'), 'utf8')).toBe(state)
      await rig.startAgent(before.primary)
    })
    await rig.finishWithin(writer, unseenMs)
  })

  test('a command with another secret is refused (HF302); a host that is none is named (HF104)', async () => {
    const rig = theRig()
    await rig.untilOk()
    const secret = rig.file('client', 'other.secret')
    await writeFile(secret, 'another secret, long enough\n')
    const config = rig.file('client', 'other.yaml')
    const own = await readFile(rig.file('client', 'holdfast.yaml'), 'utf8')
    await writeFile(config, own.replace(/secret_file: .*/, `secret_file: ${secret}`))
    const ask = (...argv: string[]) => rig.lab.exec('client', [...entry, '--config', config, ...argv])
    expectRefusal(await ask('status'), 1, /HF302/)
    expectRefusal(await ask('switchover', 'sessions'), 1, /HF302/)
    expectRefusal(await rig.cli('status', 'nobody'), 2, /HF104[\s\S]*sessions/)
  })

  test("strangers at the agents' port: garbage, half requests, floods; the agents go on, and fail over as ever", async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const ip = before.primary === 'red-a' ? '192.168.77.1' : '192.168.77.2'
    const writer = await rig.writer()
    await rig.incident(writer, 'garbage', { outageMs: unseenMs, mayBeUnfelt: true }, async () => {
      expect(await rig.lab.exec('client2', [process.execPath, '--input-type=module', '-e', strangers, ip, '8420'], { deadlineMs: 20_000 })).toMatchObject({
        code: 0,
        stdout: expect.stringContaining('no secret was told') as unknown,
      })
      await rig.untilOk()
    })
    const after = await rig.incident(writer, 'kill -9 right after', { outageMs: 1000 }, () => rig.lab.kill(before.primary, 'redis'))
    await rig.finishWithin(writer, 1000)
    expect(after?.epoch).toBe(before.epoch + 1)
    const memory = Number(/VmHWM:\s+(\d+)/.exec(await readFile(`/proc/${(await agentPid(rig, before.primary)) ?? 0}/status`, 'utf8'))?.[1])
    expect(memory, 'kB at most, floods included').toBeLessThan(250_000)
  })
})

describe.skipIf(problems.length > 0)('bad luck at the start', { timeout: 60_000 }, () => {
  const theRig = rigFor('luck2', twoHosts(['password_file: a.password']), { agents: false, files: { 'a.password': 'the-right-password\n' } })

  test("redis' port is taken on one host: it says so, nobody is promoted on a guess; free again, the group begins", async () => {
    const rig = theRig()
    const thief = spawn('ip', [
      'netns',
      'exec',
      nodeOf(rig.lab.record, 'red-b').netns,
      process.execPath,
      '-e',
      "require('net').createServer((s) => { s.on('error', () => 0); s.write('220 mail ready\\r\\n') }).listen(6379)",
    ])
    try {
      for (const host of ['red-a', 'red-b']) await rig.startAgent(host)
      const waits = await rig.until('waits for red-b', 'sessions', (s) => s.health === 'down' && /red-b/.test(s.because), 8000)
      expect(waits.primary).toBeNull()
      expect(await poll(async () => (/not redis.*HF204/.test(await rig.agentLog('red-b')) ? true : undefined), { withinMs: 5000 }), 'red-b says why').toBe(true)
    } finally {
      thief.kill('SIGKILL')
    }
    expect(await rig.untilOk('sessions', 20_000)).toMatchObject({ primary: 'red-a', epoch: 1 })
    const writer = await rig.writer()
    await rig.finishWithin(writer, 1000)
  })

  test("the agent's port is taken: HF204, and nothing was started", async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    await rig.killAgent('red-b')
    const thief = spawn(
      'ip',
      ['netns', 'exec', nodeOf(rig.lab.record, 'red-b').netns, process.execPath, '-e', "require('net').createServer().listen(8420, () => console.log('up'))"],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    try {
      await new Promise((resolve) => thief.stdout.once('data', resolve))
      expectRefusal(await agentOnce(rig, 'red-b'), 1, /HF204.*8420/)
    } finally {
      thief.kill('SIGKILL')
    }
    const started = await poll(
      () =>
        rig.startAgent('red-b').then(
          () => true,
          () => undefined,
        ),
      { withinMs: 5000, everyMs: 100 },
    )
    expect(started).toBe(true)
    expect(await rig.untilOk()).toMatchObject({ primary: before.primary, epoch: before.epoch })
  })

  test('an agent with a wrong password for its redis: it says so, touches nothing, and the right one repairs it', async () => {
    const rig = theRig()
    const before = await rig.untilOk()
    const writer = await rig.writer()
    const after = await rig.incident(writer, 'the wrong password', { outageMs: unseenMs, mayBeUnfelt: true }, async () => {
      for (const host of ['red-a', 'red-b']) {
        await rig.killAgent(host)
        const file = rig.file(host, 'holdfast.yaml')
        const own = await readFile(file, 'utf8')
        await writeFile(rig.file(host, 'wrong.password'), 'not-the-password\n')
        await writeFile(file, own.replace(/password_file: .*/, `password_file: ${rig.file(host, 'wrong.password')}`))
        await rig.startAgent(host)
        expect(
          await poll(async () => (/password is refused.*HF401/.test(await rig.agentLog(host)) ? true : undefined), { withinMs: 5000 }),
          `${host} says so`,
        ).toBe(true)
        await rig.killAgent(host)
        await writeFile(file, own)
        await rig.startAgent(host)
        await rig.untilOk()
      }
    })
    await rig.finishWithin(writer, unseenMs)
    expect(after).toMatchObject({ primary: before.primary, epoch: before.epoch })
    await rig.expectNoBrokenRule()
  })

  for (const where of ['replica', 'primary'] as const) {
    test(`the disk of the ${where} is full when redis crashes there: it says so, one writer at most, nothing lost, well again with space`, async () => {
      const rig = theRig()
      const before = await rig.untilOk()
      const host = where === 'primary' ? before.primary : before.primary === 'red-a' ? 'red-b' : 'red-a'
      const dir = rig.file(host, 'state')
      await rig.killAgent(host)
      await rig.lab.kill(host, 'redis')
      await run(['cp', '-a', dir, `${dir}.copy`])
      expect(await run(['mount', '-t', 'tmpfs', '-o', 'size=24m', 'holdfast-test', dir])).toMatchObject({ code: 0 })
      try {
        await run(['sh', '-c', `cp -a ${dir}.copy/. ${dir}/`])
        await rig.startAgent(host)
        let now = await rig.untilOk()
        if ((now.primary === host) !== (where === 'primary')) {
          expect(await rig.cli('switchover', 'sessions')).toMatchObject({ code: 0 })
          now = await rig.untilOk()
        }
        const writer = await rig.writer()
        await rig.incident(writer, 'the disk fills up, redis crashes', { outageMs: 8000, okWithinMs: null, mayBeUnfelt: true }, async () => {
          await run(['dd', 'if=/dev/zero', `of=${dir}/filler`, 'bs=4k', 'conv=fsync'])
          await rig.lab.kill(host, 'redis')
          expect(
            await poll(async () => (/cannot write|No space|ENOSPC/.test(await rig.agentLog(host)) ? true : undefined), { withinMs: 5000 }),
            'it says so',
          ).toBe(true)
        })
        expect((await rig.writable()).length).toBe(1)
        await rm(`${dir}/filler`)
        await rig.untilOk('sessions', 20_000)
        await rig.finishWithin(writer, 8000)
        await rig.expectNoBrokenRule()
      } finally {
        await unmount(rig, host, dir)
      }
      await rig.untilOk('sessions', 20_000)
    })
  }
})

/** The disk goes away with everything on it; the host starts anew with what was copied before. */
async function unmount(rig: Rig, host: string, dir: string): Promise<void> {
  await rig.lab.power(host, 'off')
  await poll(async () => ((await run(['umount', dir])).code === 0 ? true : undefined), { withinMs: 5000, everyMs: 100 })
  await rig.lab.power(host, 'on')
  await rig.startAgent(host)
}

async function agentPid(rig: Rig, host: string): Promise<number | undefined> {
  const { pid } = JSON.parse(await readFile(rig.file(host, 'agent.pid.json'), 'utf8')) as { pid: number }
  return pid
}

/** An agent that is expected to end by itself. */
function agentOnce(rig: Rig, host: string, config = rig.file(host, 'holdfast.yaml')): Promise<RunResult> {
  return rig.lab.exec(host, [...entry, '--config', config, 'agent', '--host', host], { deadlineMs: 8000 })
}

function expectRefusal(result: RunResult, code: number, says: RegExp): void {
  expect(result.stderr).toMatch(says)
  expect(result.code).toBe(code)
}

/** What a port on a network meets: random bytes, a TLS hello without the key, endless headers, connections that say nothing. */
const strangers = `
import { connect } from 'node:net'
import { connect as tls } from 'node:tls'
import { randomBytes } from 'node:crypto'
const [ip, port] = process.argv.slice(1)
const open = (write) => new Promise((resolve) => {
  const socket = connect({ host: ip, port: Number(port) }, () => write?.(socket))
  let heard = ''
  const end = () => { socket.destroy(); resolve(heard) }
  socket.on('data', (chunk) => { heard += chunk.toString('latin1') })
  socket.on('error', end).on('close', end)
  setTimeout(end, 3000)
})
const quiet = Array.from({ length: 300 }, () => open())
const answers = await Promise.all([
  ...Array.from({ length: 20 }, () => open((s) => s.write(randomBytes(4096)))),
  ...Array.from({ length: 10 }, () => open((s) => { s.write(Buffer.concat([Buffer.from([0x16, 3, 1]), randomBytes(2000)])) })),
  open((s) => s.write('GET /status HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')),
  open((s) => s.write('POST /groups/sessions/requests HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 60\\r\\n\\r\\n{"id":"x","kind":"switchover","to":null,"by":"me","dryRun":false}')),
  open((s) => s.write('GET /peer HTTP/1.1\\r\\nHost: x\\r\\nConnection: Upgrade\\r\\nUpgrade: holdfast-peer\\r\\nX-Holdfast-Host: red-b\\r\\n\\r\\n{"t":"poke","group":"sessions"}\\n')),
  open((s) => { s.write('GET / HTTP/1.1\\r\\n'); for (let i = 0; i < 5000; i += 1) s.write('X-' + i + ': ' + 'y'.repeat(500) + '\\r\\n') }),
])
await new Promise((resolve) => tls({ host: ip, port: Number(port), rejectUnauthorized: false }).on('error', resolve).on('secureConnect', () => { console.log('TLS without the key was accepted'); process.exit(1) }))
await Promise.all(quiet)
const told = answers.filter((text) => /"groups"|"state"|"ok":true|101 Switching/.test(text))
if (told.length > 0) { console.log('told: ' + told[0].slice(0, 200)); process.exit(1) }
console.log('no secret was told')
process.exit(0)
`
