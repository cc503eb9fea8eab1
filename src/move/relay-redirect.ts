/** The redirect of a relay, put up, renewed each second and taken away by nft; and the lock that lets only one relay stand at an address. */
import { execFile, type ExecFileException } from 'node:child_process'
import { createServer } from 'node:net'
import { elementMs, emptyingRules, redirectRules, removalRules, renewalRules, type RedirectPlan } from '../migrate/relay-rules.ts'
import type { SourceAt } from '../model/move.ts'
import { done, failed, type Outcome } from '../model/outcome.ts'

const nftDeadlineMs = 3000
const renewMs = elementMs / 4

export interface Redirect {
  /** Does this kernel know all of it? It is put up and taken away in one transaction. */
  readonly attempt: () => Promise<Outcome>
  /** Laid out without anything in it, for the kernel takes its time with a new table; and an nft that only waits for its text. */
  readonly ready: () => Promise<Outcome>
  readonly take: () => Promise<Outcome>
  readonly letGo: () => Promise<Outcome>
  /** Theirs stay where they are, too. Those that were led away are not led back. */
  readonly spare: (ips: readonly string[]) => Promise<Outcome>
  /** Nothing of it is left. */
  readonly clear: () => Promise<Outcome>
}

export function openRedirect(first: RedirectPlan, complain: (why: string) => void): Redirect {
  let plan = first
  let timer: NodeJS.Timeout | null = null
  let waiting: Nft | null = null
  let isLaid = false
  // One after the other: a renewal that is late would put it up again.
  let last: Promise<Outcome> = Promise.resolve(done)
  const inTurn = (run: () => Promise<Outcome>): Promise<Outcome> => (last = last.then(run))

  async function put(): Promise<Outcome> {
    const laid = await startNft().run(redirectRules(plan))
    isLaid = laid.done
    return laid
  }

  /** A firewall that was loaded anew takes the tables of others away: then all of it is put up again. */
  async function renew(nft: Nft): Promise<Outcome> {
    const renewed = await nft.run(renewalRules(plan))
    return renewed.done ? renewed : put()
  }

  return {
    attempt: () => inTurn(() => startNft().run(`${redirectRules(plan)}${removalRules(plan)}`)),
    ready: () =>
      inTurn(async () => {
        const laid = await startNft().run(`${redirectRules(plan)}${emptyingRules(plan)}`)
        isLaid = laid.done
        waiting ??= startNft()
        return laid
      }),
    take: () => {
      timer ??= setInterval(() => {
        void inTurn(async () => {
          const renewed = timer === null ? done : await renew(startNft())
          if (!renewed.done) complain(renewed.why)
          return renewed
        })
      }, renewMs)
      return inTurn(() => {
        const nft = waiting ?? startNft()
        waiting = null
        return isLaid ? renew(nft) : nft.run(redirectRules(plan))
      })
    },
    letGo: () => {
      if (timer !== null) clearInterval(timer)
      timer = null
      return inTurn(async () => {
        const emptied = await startNft().run(emptyingRules(plan))
        return emptied.done ? emptied : startNft().run(removalRules(plan))
      })
    },
    spare: (ips) =>
      inTurn(() => {
        plan = { ...plan, stay: [...new Set([...plan.stay, ...ips])] }
        isLaid = false
        return timer === null ? Promise.resolve(done) : put()
      }),
    clear: () => {
      waiting?.drop()
      waiting = null
      return inTurn(() => {
        isLaid = false
        return startNft().run(removalRules(plan))
      })
    },
  }
}

interface Nft {
  readonly run: (rules: string) => Promise<Outcome>
  readonly drop: () => void
}

/** It reads until its input ends, and does nothing before. */
function startNft(): Nft {
  let ended: (outcome: Outcome) => void = () => undefined
  const outcome = new Promise<Outcome>((resolve) => (ended = resolve))
  const child = execFile('nft', ['-f', '-'], (error, _out, stderr) => ended(error === null ? done : failed(whyNot(error, stderr))))
  child.stdin?.on('error', () => undefined)
  return {
    run: async (rules) => {
      const late = setTimeout(() => child.kill('SIGKILL'), nftDeadlineMs)
      child.stdin?.end(rules)
      try {
        return await outcome
      } finally {
        clearTimeout(late)
      }
    },
    drop: () => void child.kill('SIGKILL'),
  }
}

function whyNot(error: ExecFileException, stderr: string): string {
  const said =
    error.code === 'ENOENT'
      ? 'not found'
      : error.killed === true || error.signal != null
        ? `no answer within ${nftDeadlineMs} ms`
        : stderr.trim().split('\n')[0]
  return `nft: ${said === undefined || said === '' ? error.message : said}`
}

/** A name of the kernel's, gone with the process and of this host's network alone, as the redirect is. false: another relay stands there. */
export function claimAddress({ host, port }: SourceAt): Promise<boolean> {
  return new Promise((resolve) => {
    const lock = createServer((socket) => socket.destroy())
    lock.once('error', () => resolve(false))
    lock.listen(`\0holdfast-relay-${host}:${port}`, () => {
      lock.unref()
      resolve(true)
    })
  })
}
