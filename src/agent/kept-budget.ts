/** Keeps the kept copies of a group within their budget: looks now and then, removes what salvage/budget.ts allows, and says so. */
import { readdir, rm, stat } from 'node:fs/promises'
import type { Event } from '../model/action.ts'
import type { SalvageConfig } from '../model/config.ts'
import { keptGraceMs } from '../model/policy.ts'
import { syncFolder } from '../act/durable.ts'
import { tidy, type KeptLimits } from '../salvage/budget.ts'
import type { KeptStore } from './kept-store.ts'

const everyMs = 10 * 60_000
const firstMs = 60_000
/** Left by an agent that died in the middle of a capture; a living one is done long before. */
const partMaxAgeMs = 24 * 3_600_000

type Tell = (kind: Event['kind'], text: string) => void

export async function tidyKept(dir: string, store: KeptStore, limits: KeptLimits, nowWallMs: number, tell: Tell): Promise<string | null> {
  const names = await readdir(dir).catch((): string[] => [])
  if (names.length === 0) return null
  const kept = await store.list()
  const { remove, alarm } = tidy(kept, limits, nowWallMs)
  for (const { id, why } of remove) {
    const entry = kept.find((k) => k.id === id)
    // The journal stays: it is the record of who replayed what. The manifest goes last, so that half of it is tried again.
    for (const end of ['resp', 'rdb', 'aof', 'json']) await rm(`${dir}/${id}.${end}`, { recursive: true, force: true })
    tell(
      'kept',
      `${id} was removed: ${why}; seen by ${entry?.seenBy ?? 'nobody'}${entry?.replay == null ? ', not replayed' : `, ${entry.replay.applied} items replayed by ${entry.replay.by}`}`,
    )
  }
  for (const name of names.filter((n) => n.endsWith('.part') || n.endsWith('.new'))) {
    const found = await stat(`${dir}/${name}`).catch(() => null)
    if (found !== null && nowWallMs - found.mtimeMs > partMaxAgeMs) await rm(`${dir}/${name}`, { force: true })
  }
  if (remove.length > 0) await syncFolder(dir)
  return alarm
}

export function keepBudget(dir: string, store: KeptStore, budget: SalvageConfig, tell: Tell, complain: (why: string) => void): { readonly stop: () => void } {
  const limits: KeptLimits = { ...budget, graceMs: keptGraceMs }
  let said = ''
  const look = (): void => {
    void tidyKept(dir, store, limits, Date.now(), tell).then(
      (alarm) => {
        if (alarm !== null && alarm !== said) tell('alarm', alarm)
        said = alarm ?? ''
      },
      (error: unknown) => complain(`what is kept could not be looked through: ${(error as Error).message}`),
    )
  }
  const first = setTimeout(look, firstMs)
  const timer = setInterval(look, everyMs)
  return {
    stop: () => {
      clearTimeout(first)
      clearInterval(timer)
    },
  }
}
