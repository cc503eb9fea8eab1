/**
 * Without a privilege: three hosts that are loopback addresses, each with its agent, redis and Sentinel, behind a real HAProxy. Where the tests run as
 * root, all of it runs as an ordinary user.
 */
import { spawn, spawnSync } from 'node:child_process'
import { chown, mkdir, readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, onTestFailed, test } from 'vitest'
import type { GroupStatus } from '../../src/cli/ask.ts'
import { ownedDir } from '../../src/lab/leftovers.ts'
import { layTrial, openTrial, type Trial, trialHosts, trialIp, trialProblems } from '../../src/lab/loopback.ts'
import { endProcesses, processesIn } from '../../src/lab/processes.ts'
import { must, poll } from '../../src/lab/run.ts'
import { startWriter, type WriterHandle } from '../../src/lab/writer.ts'
import { entry } from './ground.ts'

const nobody = 65534
const isRoot = process.getuid?.() === 0
const asUser = isRoot ? ['setpriv', `--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups', '--no-new-privs', '--bounding-set=-all'] : []
const demo = fileURLToPath(new URL('../../dist/demo.js', import.meta.url))

function problemsHere(): readonly string[] {
  const problems = trialProblems()
  const [program = '', ...args] = [...asUser, ...entry, '--version']
  const tried = spawnSync(program, args, { encoding: 'utf8' })
  if (tried.status !== 0) problems.push(`an ordinary user cannot run dist/main.js: ${tried.error?.message ?? tried.stderr.trim().split('\n').at(-1)}`)
  return problems
}
const problems = problemsHere()

/** Two of HAProxy's questions, and what a new connection needs. */
const noticedMs = 800

interface Stage {
  readonly trial: Trial
  readonly dir: string
}

/** A folder of the user's own, with everything in it. */
async function ownFolder(prefix: string): Promise<string> {
  const { dir } = await ownedDir(prefix)
  if (isRoot) await chown(dir, nobody, nobody)
  return dir
}

async function raise(): Promise<Stage> {
  const dir = await ownFolder('hf-e2e-loop-')
  const plan = await layTrial(dir)
  if (isRoot) await must(['chown', '-R', `${nobody}:${nobody}`, dir], 'the folder of the trial')
  const trial = openTrial(plan, { entry, as: asUser })
  const stage = { trial, dir }
  try {
    await Promise.all(trialHosts.map(({ name }) => trial.startAgent(name)))
    await untilOk(trial)
    await trial.startBalancer()
    return stage
  } catch (error) {
    await clear(stage)
    throw error
  }
}

async function clear({ trial, dir }: Stage): Promise<void> {
  expect(await trial.end(), 'everything could be ended').toEqual([])
  await rm(dir, { recursive: true, force: true })
}

async function untilOk(trial: Trial): Promise<GroupStatus & { readonly primary: string }> {
  let last = ''
  const found = await poll(
    async () => {
      const shown = await trial.cli(['status', '--json'])
      last = shown.stdout || shown.stderr
      const status = (JSON.parse(shown.stdout || '{}') as { groups?: GroupStatus[] }).groups?.[0]
      return status?.health === 'ok' && status.primary !== null ? { ...status, primary: status.primary } : undefined
    },
    { withinMs: 20_000, everyMs: 100 },
  )
  if (found === undefined) throw new Error(`not well after 20 s: ${last}`)
  return found
}

async function writerThrough(trial: Trial): Promise<WriterHandle> {
  const writer = await startWriter({ kind: 'local', entry }, { host: trialIp, port: trial.ports.write, passwordFile: trial.passwordFile })
  expect(await writer.steady({ acks: 300, withinMs: 10_000 }), 'writes flow through HAProxy before anything is broken').toBe(true)
  return writer
}

/** Steady writes → `act` → felt → steady writes → well again; then every acknowledged write is read back. */
async function incident(trial: Trial, label: string, act: () => Promise<unknown>, mayBeUnfelt = false): Promise<void> {
  const writer = await writerThrough(trial)
  try {
    await writer.mark(label)
    const before = await writer.stats()
    await act()
    const felt = mayBeUnfelt || (await poll(async () => ((await writer.stats()).errors > before.errors ? true : undefined), { withinMs: 10_000, everyMs: 5 }))
    expect(felt, `felt by the client: ${label}`).toBe(true)
    expect(await writer.steady({ acks: 200, withinMs: 10_000 }), `writes flow again after: ${label}`).toBe(true)
    const { marks } = await writer.stop()
    const verified = await writer.verify()
    const outageMs = marks[0]?.longestOutage.lengthMs ?? Number.NaN
    console.info(`${label} behind HAProxy, on loopback: outage ${outageMs.toFixed(0)} ms; ${verified.acked} acknowledged, ${verified.lost} lost`)
    expect(verified, 'acknowledged and gone').toMatchObject({ complete: true, lost: 0, rejectedPresent: 0 })
    expect(outageMs, `outage: ${label}`).toBeLessThanOrEqual(noticedMs)
  } finally {
    await writer.close()
  }
}

/** Where the processes of the trial listen. */
async function listeners({ dir }: Stage): Promise<readonly string[]> {
  const pids = processesIn(dir).map(({ pid }) => pid)
  const lines = (await must(['ss', '-Hltunp'], 'who listens')).split('\n')
  const theirs = lines.filter((line) => [...line.matchAll(/pid=(\d+)/g)].some(([, pid]) => pids.includes(Number(pid))))
  return theirs.map((line) => line.split(/\s+/)[4] ?? '').sort()
}

async function brokenRules({ dir }: Stage): Promise<readonly string[]> {
  const found: string[] = []
  for (const { name } of trialHosts) {
    const text = await readFile(join(dir, name, 'state', 'sessions', 'journal.jsonl'), 'utf8')
    found.push(...text.split('\n').filter((line) => line.includes('"assertion":')))
  }
  return found
}

describe.skipIf(problems.length > 0)(
  `three hosts on loopback addresses, without a privilege${problems.map((why) => ` (skipped: ${why})`).join('')}`,
  { timeout: 90_000 },
  () => {
    let raised: Stage | undefined
    beforeAll(async () => {
      raised = await raise()
    }, 60_000)
    afterAll(async () => {
      if (raised !== undefined) await clear(raised)
    }, 30_000)
    const theStage = (): Stage => {
      if (raised === undefined) throw new Error('the trial is not up')
      const { dir } = raised
      onTestFailed(async () => {
        for (const { name } of trialHosts) console.warn((await readFile(join(dir, name, 'output.log'), 'utf8')).slice(-3000))
      })
      return raised
    }

    test('each program listens at the address of its host alone, and none is root', async () => {
      const stage = theStage()
      const { api, redis, sentinel, write, read } = stage.trial.ports
      const wanted = trialHosts.flatMap(({ ip }) => [api, redis, sentinel].map((port) => `${ip}:${port}`))
      expect(await listeners(stage)).toEqual([...wanted, `${trialIp}:${write}`, `${trialIp}:${read}`].sort())
      const owners = await Promise.all(processesIn(stage.dir).map(async ({ pid }) => (await stat(`/proc/${pid}`)).uid))
      expect(owners.length).toBeGreaterThanOrEqual(10)
      expect(owners.filter((uid) => uid === 0)).toEqual([])
    })

    test('each redis is known to the primary by the address of its host', async () => {
      const { trial } = theStage()
      const { primary } = await untilOk(trial)
      const ip = trialHosts.find(({ name }) => name === primary)?.ip ?? ''
      const auth = ['-a', (await readFile(trial.passwordFile, 'utf8')).trim(), '--no-auth-warning']
      const ask = (...words: string[]): Promise<string> => must(['redis-cli', '-h', ip, '-p', String(trial.ports.redis), ...auth, ...words], 'the primary')
      const others = trialHosts.filter(({ name }) => name !== primary).map((host) => host.ip)
      const told = [...(await ask('INFO', 'replication')).matchAll(/^slave\d:ip=([\d.]+)/gm)].map(([, found]) => found)
      expect(told.sort(), 'as they announce themselves').toEqual(others)
      const sources = [...(await ask('CLIENT', 'LIST', 'TYPE', 'replica')).matchAll(/ addr=([\d.]+):/g)].map(([, found]) => found)
      expect(sources.sort(), 'as they come').toEqual(others)
    })

    test('redis of the primary is killed', async () => {
      const stage = theStage()
      const { primary } = await untilOk(stage.trial)
      await incident(stage.trial, 'kill -9', () => stage.trial.kill(primary, 'redis'))
      expect((await untilOk(stage.trial)).primary).not.toBe(primary)
    })

    test('a switchover', async () => {
      const { trial } = theStage()
      const { primary } = await untilOk(trial)
      await incident(trial, 'switchover', async () => expect(await trial.cli(['switchover', 'sessions'])).toMatchObject({ code: 0 }))
      expect((await untilOk(trial)).primary).not.toBe(primary)
    })

    test('a host is lost, and comes back', async () => {
      const stage = theStage()
      const { primary } = await untilOk(stage.trial)
      await incident(stage.trial, 'host killed', () => stage.trial.kill(primary, 'all'))
      await stage.trial.startAgent(primary)
      expect((await untilOk(stage.trial)).primary).not.toBe(primary)
    })

    test('every agent is killed and started again: redis, Sentinel and epoch stay as they are', async () => {
      const stage = theStage()
      const { primary, epoch } = await untilOk(stage.trial)
      const servers = (): readonly number[] =>
        processesIn(stage.dir)
          .filter(({ name }) => name.startsWith('redis-'))
          .map(({ pid }) => pid)
          .sort()
      const before = servers()
      const restart = async (): Promise<void> => {
        for (const { name } of trialHosts) {
          await stage.trial.kill(name, 'agent')
          await stage.trial.startAgent(name)
        }
      }
      await incident(stage.trial, 'three agents killed', restart, true)
      expect(await untilOk(stage.trial)).toMatchObject({ primary, epoch })
      // Polled: a redis that saves has a child of its own name for a moment.
      await expect.poll(servers, { timeout: 10_000 }).toEqual(before)
      expect(before).toHaveLength(6)
    })

    test('no decision broke a rule', async () => {
      expect(await brokenRules(theStage())).toEqual([])
    })
  },
)

describe.skipIf(problems.length > 0)(`the demo of an ordinary user${problems.map((why) => ` (skipped: ${why})`).join('')}`, { timeout: 120_000 }, () => {
  /** `until`: a word after which it is told to stop. */
  async function play(until?: string): Promise<{ readonly code: number | null; readonly said: string; readonly left: readonly string[] }> {
    const folder = await ownFolder('hf-e2e-loop-')
    const tmp = join(folder, 'tmp')
    await mkdir(tmp)
    if (isRoot) await chown(tmp, nobody, nobody)
    const [program = '', ...args] = [...asUser, process.execPath, demo, '--loopback']
    const child = spawn(program, args, { env: { ...process.env, TMPDIR: tmp }, stdio: ['ignore', 'pipe', 'pipe'] })
    let said = ''
    const hear = (chunk: Buffer): void => {
      const before = said
      said += chunk.toString()
      if (until !== undefined && said.includes(until) && !before.includes(until)) child.kill('SIGINT')
    }
    child.stdout.on('data', hear)
    child.stderr.on('data', hear)
    const code = await new Promise<number | null>((resolve) => child.once('close', (found) => resolve(found)))
    const left = [...(await readdir(tmp)), ...processesIn(tmp).map(({ name }) => name)]
    // A demo that forgot something fails this test, and must not stay in the way of the next.
    await endProcesses(() => processesIn(tmp), 0)
    await rm(folder, { recursive: true, force: true })
    return { code, said, left }
  }

  test('plays the whole story, loses nothing, and leaves nothing', async () => {
    const { code, said, left } = await play()
    expect(code, said).toBe(0)
    expect(left).toEqual([])
    expect(said.match(/decided +(failover|switchover):/g), said).toHaveLength(3)
    expect(said).not.toContain('GONE')
    expect(said.match(/gone\? +nothing: all \d+ acknowledged writes/g), said).toHaveLength(5)
  })

  test('ends cleanly on Ctrl-C in the middle', async () => {
    const { code, said, left } = await play('foretold')
    expect(code, said).toBe(130)
    expect(left).toEqual([])
  })
})
