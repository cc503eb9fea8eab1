/** The short programs of a failover: run by a shell that waits, and without it where it has died. */
import { execFileSync, spawn } from 'node:child_process'
import { expect, test } from 'vitest'
import { runBeside, runShort } from '../../src/act/shell.ts'
import { until } from './wire.ts'

const shells = (): readonly number[] =>
  execFileSync('ps', ['-o', 'pid=,comm=', '--ppid', String(process.pid)], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => /\bsh$/.test(line))
    .map((line) => Number(line.trim().split(' ')[0]))

test('what it wrote on either stream, and how it ended; words stay words', async () => {
  expect(await runShort(['echo', `it's $HOME; "one" word`, '*'], 5000)).toMatchObject({ code: 0, said: `it's $HOME; "one" word *` })
  expect(await runShort(['ls', '/no such place'], 5000)).toMatchObject({ code: 2, said: expect.stringContaining('No such file') as unknown })
  expect(await runShort(['no-such-program'], 5000)).toMatchObject({ code: 127 })
  expect(await runShort(['printf', 'no end of line'], 5000)).toEqual({ code: 0, said: 'no end of line' })
})

test('several at once: each has its own answer, in their order', async () => {
  const answers = await Promise.all(['a', 'b', 'c'].map((word) => runShort(['echo', word], 5000)))
  expect(answers.map(({ said }) => said)).toEqual(['a', 'b', 'c'])
  expect(shells()).toHaveLength(1)
})

test('a program that hangs is ended at its deadline, and the next one runs', async () => {
  const [hung, next] = await Promise.all([runShort(['sleep', '30'], 200), runShort(['echo', 'next'], 5000)])
  expect(hung).toEqual({ code: null, said: 'not within 200 ms' })
  expect(next).toMatchObject({ code: 0, said: 'next' })
  expect(await runShort(['echo', 'and on'], 5000)).toMatchObject({ said: expect.stringContaining('and on') as unknown })
})

test('the shell is killed: the program is run without it, and another waits for the next', async () => {
  await runShort(['true'], 5000)
  const [pid = 0] = shells()
  const answer = runShort(['sh', '-c', 'sleep 0.2; echo here'], 5000)
  process.kill(pid, 'SIGKILL')
  expect(await answer).toMatchObject({ code: 0, said: 'here' })
  expect(await runShort(['echo', 'again'], 5000)).toMatchObject({ code: 0 })
  expect(shells()).not.toContain(pid)
})

test('nobody waits for what runs beside', async () => {
  const beganMs = performance.now()
  runBeside(['sleep', '0.5'])
  expect(await runShort(['echo', 'now'], 5000)).toMatchObject({ code: 0 })
  expect(performance.now() - beganMs).toBeLessThan(400)
})

test('it ends with whoever had it, also by kill -9', async () => {
  const program = `import('${new URL('../../src/act/shell.ts', import.meta.url).href}').then(async ({ runShort }) => {
    console.log((await runShort(['sh', '-c', 'echo $PPID'], 5000)).said)
    setInterval(() => {}, 1000)
  })`
  const owner = spawn(process.execPath, ['--import', 'tsx', '-e', program], { stdio: ['ignore', 'pipe', 'ignore'] })
  const pid = await new Promise<number>((resolve) => owner.stdout.on('data', (said: Buffer) => resolve(Number(said.toString().trim()))))
  expect(pid).toBeGreaterThan(1)
  owner.kill('SIGKILL')
  await until('it has ended', () => {
    try {
      process.kill(pid, 0)
      return false
    } catch {
      return true
    }
  })
})
