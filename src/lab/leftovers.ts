/**
 * What a run leaves behind that is killed in the middle: labs and trials, and the folder that they lie in. The folder says who made it (pid and start
 * time), before there is anything in it; the bridge namespace of each lab says it too. So the next run can tell what a dead one has left
 * from a lab that somebody else has raised under the same name since. Removes nothing whose owner is alive or not known.
 */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { listLabs, takeDown } from './lab.ts'
import { namespaceOwner, namespaces } from './net.ts'
import { bridgeNamespace } from './plan.ts'
import { endProcesses, findProcess, isAlive, processesIn, type ProcessId } from './processes.ts'

const ownerFile = 'owner.json'

export interface OwnedDir {
  readonly dir: string
  readonly owner: ProcessId
}

/** A folder of this process for its labs, once what dead ones have left beside it is gone. */
export async function ownedDir(prefix: string): Promise<OwnedDir> {
  await removeLeftovers(prefix)
  const owner = { pid: process.pid, startTicks: findProcess(process.pid)?.startTicks ?? 0 }
  const dir = await mkdtemp(join(tmpdir(), prefix))
  await writeFile(join(dir, ownerFile), JSON.stringify(owner), { flush: true })
  return { dir, owner }
}

/** Of all folders of that prefix: returns those that were removed. */
export async function removeLeftovers(prefix: string): Promise<readonly string[]> {
  const removed: string[] = []
  for (const name of await readdir(tmpdir())) {
    if (!name.startsWith(prefix)) continue
    const dir = join(tmpdir(), name)
    const owner = await ownerOf(dir)
    if (owner === null || isAlive(owner)) continue
    for (const lab of await listLabs(dir)) {
      if (await isStillIts(lab.name, owner)) await takeDown(lab.name, { baseDir: dir })
    }
    // A trial has no namespace whose end would be theirs.
    await endProcesses(() => processesIn(dir), 0)
    await rm(dir, { recursive: true, force: true, maxRetries: 3 })
    removed.push(dir)
  }
  return removed
}

/** The bridge goes last, and comes first: without it there is nothing of that lab. */
async function isStillIts(lab: string, owner: ProcessId): Promise<boolean> {
  const bridge = bridgeNamespace(lab)
  if (!(await namespaces()).includes(bridge)) return false
  const marked = await namespaceOwner(bridge)
  return marked?.pid === owner.pid && marked.startTicks === owner.startTicks
}

async function ownerOf(dir: string): Promise<ProcessId | null> {
  try {
    const { pid, startTicks } = JSON.parse(await readFile(join(dir, ownerFile), 'utf8')) as Partial<ProcessId>
    return typeof pid === 'number' && typeof startTicks === 'number' ? { pid, startTicks } : null
  } catch {
    return null // made by something else, or half made: nobody can say whose it is
  }
}
