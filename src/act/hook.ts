/**
 * The operator's own program that moves an address at the cut-over of a move: where the old hosts have a keepalived of their own, it is told to let
 * go. NOT WAITED FOR: it may fail or hang, and a primary that serves meanwhile has other things to do. Both sides are fenced before it is called.
 */
import { execFile, type ExecFileException } from 'node:child_process'
import { done, type Outcome } from '../model/outcome.ts'
import { announceAgain } from './address.ts'
import type { RedisHands } from './redis.ts'

const deadlineMs = 10_000
const afterHookMs = [0, 20, 100, 300]

/** One line: what node says of an exit code is the command and all that it wrote. */
function whyFailed(error: ExecFileException): string {
  if (error.killed === true) return `not within ${deadlineMs} ms`
  return typeof error.code === 'number' ? `it ended with ${error.code}` : error.message
}

/** A step that is done again because something after it had failed does not call it once more. */
const againMs = 5000

interface Called {
  readonly words: string
  /** null: it runs, or waits for the one before it. */
  endedMs: number | null
  ok: boolean
  readonly ended: Promise<void>
}

const called = new Map<string, Called>()

/** One after the other, so that the last word is the one that stands; the same word is not said twice in a row. */
export function callHook(hands: RedisHands, to: 'group' | 'source'): Outcome {
  const { group } = hands
  const hook = group.migration?.hook ?? null
  if (hook === null) return done
  const words = [`to-${to}`, group.name, group.vip?.ip ?? '']
  const key = words.join(' ')
  const before = called.get(group.name)
  const stands = before?.words === key && (before.endedMs === null || (before.ok && performance.now() - before.endedMs < againMs))
  if (stands) return done
  const ended = (before?.ended ?? Promise.resolve()).then(async () => {
    const ok = await run(hands, hook, words)
    Object.assign(now, { endedMs: performance.now(), ok })
    // Until it had let go the old host answered for the address as well. Who asked then sends there still, and what nobody answers is sent again after a second.
    if (to === 'group') announceAgain(hands, () => true, afterHookMs)
  })
  const now: Called = { words: key, endedMs: null, ok: false, ended }
  called.set(group.name, now)
  return done
}

function run({ note }: Pick<RedisHands, 'note'>, hook: string, words: readonly string[]): Promise<boolean> {
  return new Promise((resolve) => {
    execFile(hook, words, { timeout: deadlineMs, killSignal: 'SIGKILL' }, (error, stdout, stderr) => {
      const said = `${stdout}${stderr}`.trim().slice(0, 300)
      const tail = said === '' ? '' : `: ${said}`
      if (error !== null) note(`${hook} ${words.join(' ')} has failed: ${whyFailed(error)}${tail}`, 'alarm')
      else note(`${hook} ${words.join(' ')}${tail}`)
      resolve(error === null)
    })
  })
}
