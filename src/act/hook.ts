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

export function callHook(hands: RedisHands, to: 'group' | 'source'): Outcome {
  const { group, note } = hands
  const hook = group.migration?.hook ?? null
  if (hook === null) return done
  const words = [`to-${to}`, group.name, group.vip?.ip ?? '']
  execFile(hook, words, { timeout: deadlineMs, killSignal: 'SIGKILL' }, (error, stdout, stderr) => {
    const said = `${stdout}${stderr}`.trim().slice(0, 300)
    const tail = said === '' ? '' : `: ${said}`
    if (error !== null) note(`${hook} ${words.join(' ')} has failed: ${whyFailed(error)}${tail}`, 'alarm')
    else note(`${hook} ${words.join(' ')}${tail}`)
    // Until it had let go the old host answered for the address as well. Who asked then sends there still, and what nobody answers is sent again after a second.
    if (to === 'group') announceAgain(hands, () => true, afterHookMs)
  })
  return done
}
