/** A process beside the agent, with a script in its place: it has the priority that it was given, and is gone when it is to be. */
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { startWorker, type Worker, type WorkerOptions } from '../../src/agent/worker.ts'

/** Says what it has read and which process it is; then it does as it was told. */
const script = `
const say = (line) => process.stdout.write(JSON.stringify(line) + '\\n')
let order
process.stdin.setEncoding('utf8').on('data', (chunk) => {
  order = JSON.parse(chunk)
  say({ pid: process.pid })
  if (order.what === 'fail') { console.error('the reason'); process.exit(3) }
  if (order.what === 'deaf') process.stdin.removeAllListeners('end')
}).on('end', () => process.exit(0))
setInterval(() => { if (order.what === 'talk') say({}) }, 20)
`

let dir = ''
const argv = process.argv[1] ?? ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'holdfast-worker-'))
  await writeFile(join(dir, 'backup.js'), script)
  process.argv[1] = join(dir, 'main.js')
})
afterAll(async () => {
  process.argv[1] = argv
  await rm(dir, { recursive: true })
})

async function begin(what: string, more: Partial<WorkerOptions> = {}): Promise<{ readonly worker: Worker; readonly pid: number }> {
  let pid = 0
  const take = (line: unknown): void => {
    pid = (line as { pid?: number }).pid ?? pid
    more.take?.(line)
  }
  const worker = startWorker({ what }, { nice: 5, idleDisk: false, silentMs: 60_000, ...more, take })
  if (what !== 'fail') await expect.poll(() => pid, { timeout: 5000 }).toBeGreaterThan(0)
  return { worker, pid }
}

/** Field 19 of stat; the name before it may hold anything. */
const niceOf = (pid: number): number => Number(readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ')[16])

test('it is lowered as asked, and the memory is taken from it first', async () => {
  const { worker, pid } = await begin('wait')
  expect(niceOf(pid)).toBe(niceOf(process.pid) + 5)
  expect(readFileSync(`/proc/${pid}/oom_score_adj`, 'latin1').trim()).toBe('500')
  worker.stop('enough')
  expect(await worker.ended).toEqual({ stopped: 'enough', how: 'ended with 0' })
})

test('one that ends by itself says why', async () => {
  const { worker } = await begin('fail')
  expect(await worker.ended).toEqual({ stopped: null, how: 'ended with 3: the reason' })
})

test('one that may do nothing more is gone at once, whatever it was told before', async () => {
  const { worker } = await begin('deaf')
  worker.stop('another archives it')
  const killedMs = performance.now()
  worker.kill('it is promoting')
  expect(await worker.ended).toEqual({ stopped: 'another archives it', how: 'was ended by SIGKILL' })
  expect(performance.now() - killedMs, 'not when its time is up').toBeLessThan(5000)
})

test('silence ends it, and a word now and then does not', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  try {
    const { worker: silent } = await begin('wait', { silentMs: 30_000 })
    let words = 0
    const { worker: talking } = await begin('talk', { silentMs: 30_000, take: () => (words += 1) })
    for (let n = 0; n < 3; n += 1) {
      vi.advanceTimersByTime(20_000)
      const before = words
      await expect.poll(() => words, { timeout: 5000 }).toBeGreaterThan(before)
    }
    expect(await silent.ended).toMatchObject({ stopped: 'it told nothing for 30 s' })
    talking.stop('enough')
    expect(await talking.ended).toMatchObject({ stopped: 'enough' })
  } finally {
    vi.useRealTimers()
  }
})
