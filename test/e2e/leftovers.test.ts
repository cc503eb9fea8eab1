/** A test run that is killed at its deadline leaves a lab behind; the next run of it must neither stumble over that nor touch anybody else's. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { raiseLab, takeDown } from '../../src/lab/lab.ts'
import { ownedDir, removeLeftovers } from '../../src/lab/leftovers.ts'
import { namespaces } from '../../src/lab/net.ts'
import { isAlive, namespaceProcesses } from '../../src/lab/processes.ts'
import { problems, twoHosts } from './ground.ts'

describe.skipIf(problems.length > 0)('a run that is killed in the middle', { timeout: 60_000 }, () => {
  const prefix = 'hf-dead-run-'
  let base = ''
  let configFile = ''

  beforeAll(async () => {
    base = await mkdtemp(join(tmpdir(), 'hf-leftovers-'))
    configFile = join(base, 'holdfast.yaml')
    await writeFile(configFile, twoHosts())
  })
  afterAll(async () => {
    await removeLeftovers(prefix)
    await rm(base, { recursive: true, force: true })
  })

  /** In a process of its own: says where its lab lies, and stays. Something runs in it, as if left there. */
  const raiseAndStay = `
    const [{ ownedDir }, { raiseLab }] = await Promise.all(['leftovers', 'lab'].map((name) => import(process.argv[2] + name + '.ts')))
    const { dir, owner } = await ownedDir('${prefix}')
    const lab = await raiseLab({ name: process.argv[1], configFile: process.argv[3], startAgents: false, baseDir: dir, entry: [], owner })
    await lab.exec('red-a', ['sh', '-c', 'setsid sleep 600 >/dev/null 2>&1 &'])
    console.log(dir)
    setInterval(() => {}, 1000)`

  async function otherRun(name: string): Promise<{ readonly child: ChildProcess; readonly dir: string }> {
    const argv = [
      '--import',
      import.meta.resolve('tsx'),
      '--input-type=module',
      '-e',
      raiseAndStay,
      name,
      new URL('../../src/lab/', import.meta.url).href,
      configFile,
    ]
    const child = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'inherit'] })
    const dir = await new Promise<string>((resolve, reject) => {
      child.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString().trim()))
      child.once('close', () => reject(new Error('it ended')))
    })
    return { child, dir }
  }

  async function killed(run: { readonly child: ChildProcess }): Promise<void> {
    const gone = new Promise((resolve) => run.child.once('close', resolve))
    run.child.kill('SIGKILL')
    await gone
  }

  const of = async (name: string) => (await namespaces()).filter((found) => found.startsWith(`hf-${name}-`)).length

  test('is cleaned up after by the next one: its namespaces, what ran in them, its folder; a run that lives is left alone', async () => {
    const [dead, living] = [await otherRun('t-dead'), await otherRun('t-living')]
    const sleeper = (await namespaceProcesses('hf-t-dead-red-a'))[0]
    await killed(dead)
    try {
      expect([await of('t-dead'), sleeper === undefined ? null : isAlive(sleeper)], 'left behind').toEqual([4, true])
      const mine = await ownedDir(prefix)
      expect([await of('t-dead'), sleeper !== undefined && isAlive(sleeper), existsSync(dead.dir)]).toEqual([0, false, false])
      expect([await of('t-living'), existsSync(living.dir), existsSync(mine.dir)]).toEqual([4, true, true])
      await rm(mine.dir, { recursive: true })
    } finally {
      await killed(living)
    }
    expect(await removeLeftovers(prefix)).toEqual([living.dir])
    expect(await of('t-living')).toBe(0)
  })

  test('of its name there is another lab by now: that one stays, only the folder goes', async () => {
    const dead = await otherRun('t-again')
    await killed(dead)
    const record = await readFile(join(dead.dir, 't-again', 'lab.json'), 'utf8')
    await takeDown('t-again', { baseDir: dead.dir })
    await mkdir(join(dead.dir, 't-again'))
    await writeFile(join(dead.dir, 't-again', 'lab.json'), record)
    const lab = await raiseLab({ name: 't-again', configFile, startAgents: false, baseDir: base, entry: [] })
    try {
      expect(await removeLeftovers(prefix)).toEqual([dead.dir])
      expect(await of('t-again')).toBe(4)
    } finally {
      await lab.down()
    }
  })
})
