/**
 * Ends a redis, what it has forked, and its clients' connections, so that the clients know. A child (BGSAVE, the rewrite of an AOF) has the sockets of its
 * parent open as well: what the parent closes, or the kernel when it dies, is closed for a client only when the last of them is gone. Until then it waits for
 * its own timeout, and a save may take minutes. Decides nothing.
 */
import type { Orphan } from '../model/view.ts'
import { done, failed, type Outcome } from '../model/outcome.ts'
import { childrenOf, hasThreads, isSameProcess, readProcess } from '../observe/process.ts'
import { factsFromInfo } from '../redis/info.ts'
import { killClients, type Linked, type RedisHands } from './redis.ts'

const commandDeadlineMs = 1000
/** A large process takes its time to give its memory back before its sockets are closed. */
const killDeadlineMs = 5000
/** A primary that steps down waits no longer for a child. */
const childDeadlineMs = 500

/**
 * Waits until the process is gone: the kernel then has told every client (FIN or RST), from an address that must still
 * be here. With the VIP given up first, clients of a hung redis waited for their own timeout: 5 s instead of 20 ms.
 */
export async function killRedis(pid: number): Promise<Outcome> {
  const forks = childrenOf(pid)
  try {
    if (readProcess(pid) !== null) process.kill(pid, 'SIGKILL')
  } catch (error) {
    return failed(`kill ${pid}: ${(error as Error).message}`)
  }
  for (const fork of forks) signal(fork, 'SIGKILL')
  const gone = await holdsWithin(killDeadlineMs, () => readProcess(pid) === null && !hasThreads(pid) && !forks.some(isSameProcess))
  return gone ? done : failed(`redis (pid ${pid}) did not end within ${killDeadlineMs} ms of SIGKILL`)
}

/** Nothing that has to be done after a death waits for one that does not end. */
export async function endOrphans(orphans: readonly Orphan[]): Promise<Outcome> {
  for (const orphan of orphans) signal(orphan, 'SIGKILL')
  await holdsWithin(childDeadlineMs, () => !orphans.some(isSameProcess))
  return done
}

type Away = Linked & Pick<RedisHands, 'note'> & { readonly pid: () => number | null }

/**
 * Every client but this agent. Where redis does not close beside a child, the child is ended, as redis itself does it (SIGUSR1: no save that has failed). Not
 * one that `isNeeded` (its save is what is kept before data are given up), and not where nobody was sent away: a save would never come to its end.
 */
export async function sendClientsAway(hands: Away, isNeeded: () => boolean = () => false): Promise<Outcome> {
  const killed = await killClients(hands)
  if (!killed.ok) return failed(killed.why)
  const pid = hands.pid()
  const forks = pid === null || killed.value === 0 || isNeeded() ? [] : childrenOf(pid)
  if (forks.length === 0) return done
  const info = await hands.link()?.call(['INFO'], commandDeadlineMs)
  if (info?.ok !== true || factsFromInfo(String(info.value))?.forked?.keepsClients !== true) return done
  for (const fork of forks) signal(fork, 'SIGUSR1')
  hands.note('a child of redis (a save, or the rewrite of an AOF) was ended: it kept the connections of clients open that were sent away')
  await holdsWithin(childDeadlineMs, () => !forks.some(isSameProcess))
  return done
}

/** Not to another that has its pid by now. */
function signal(one: Orphan, name: NodeJS.Signals): void {
  try {
    if (isSameProcess(one)) process.kill(one.pid, name)
  } catch {
    // It has ended by itself.
  }
}

/** Looks each millisecond. false: not by then. */
export async function holdsWithin(deadlineMs: number, holds: () => boolean): Promise<boolean> {
  const endMs = performance.now() + deadlineMs
  while (!holds()) {
    if (performance.now() > endMs) return false
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  return true
}
