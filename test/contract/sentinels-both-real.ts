/** Three real Sentinels and three real redis behind the words of a contract: on loopback, the Sentinels as the ACL user that has the valve. */
import { spawn, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { poll } from '../../src/lab/run.ts'
import { sentinelUser } from '../../src/model/sentinel.ts'
import { openEvents } from '../../src/redis/link.ts'
import { sentinelUserRules } from '../../src/render/sentinel-user.ts'
import { asks } from './sentinel-ground.ts'
import { group, openSentinels, type SentinelGroup } from './sentinels-real.ts'
import { downAfterMs, hosts, type Host, type SentinelsUnderTest, type Told } from './sentinels-under-test.ts'

const password = 'the-password-of-the-user'
const key = createHash('sha256').update(password).digest('hex')
const local = '127.0.0.1'

export async function openSentinelsReal(): Promise<SentinelsUnderTest> {
  const lines = [`sentinel auth-user ${group} ${sentinelUser}`, `sentinel auth-pass ${group} ${password}`]
  const g = await openSentinels(downAfterMs, { a: lines, b: lines, c: lines })
  const children: ChildProcess[] = []
  const told: Told[] = []
  const listeners: { readonly close: () => void }[] = []
  const redis = async (host: Host, ...words: readonly string[]): Promise<unknown> => answered(await asks(g.redis[host].port)(...words))
  const hostAt = (port: string | undefined): Host => hosts.find((h) => String(g.redis[h].port) === port) as Host
  const listen = async (host: Host): Promise<void> => {
    const heard = (channel: string, text: string): void => {
      const what = whatOf(channel, text, hostAt)
      if (what !== null) told.push({ atMs: performance.now(), by: host, what })
    }
    const opened = await openEvents({ host: local, port: g.sentinels[host].port, password: undefined }, 2000, ['*'], heard, () => {})
    if (!opened.ok) throw new Error(opened.why)
    listeners.push(opened.value)
  }
  const orders = (host: Host, open: boolean) => redis(host, 'ACL', 'SETUSER', sentinelUser, ...sentinelUserRules([key], open))
  // Those who came before the user was there are ordinary clients: they come again.
  for (const host of hosts) {
    await orders(host, true)
    for (const type of ['normal', 'pubsub']) await redis(host, 'CLIENT', 'KILL', 'TYPE', type)
    await listen(host)
  }
  await comeAs(g, redis)
  const sentinel = (host: Host, ...words: readonly string[]): Promise<unknown> => g.sentinels[host].call(...words)
  return {
    crash: async (host) => {
      process.kill(Number(/process_id:(\d+)/.exec(String(await redis(host, 'INFO', 'server')))?.[1]), 'SIGKILL')
    },
    restart: async (host) => {
      const port = String(g.redis[host].port)
      children.push(
        spawn('redis-server', ['--port', port, '--bind', local, '--save', '', '--dir', '/tmp', '--dbfilename', `none-${port}`], { stdio: 'ignore' }),
      )
      await until('redis is back', async () => (await asks(Number(port))('PING')).ok)
    },
    follow: async (host, whom) => {
      if (whom === null) await redis(host, 'REPLICAOF', 'NO', 'ONE')
      else await redis(host, 'REPLICAOF', local, whom === 'nobody' ? '1' : String(g.redis[whom].port))
    },
    pause: async (host, forMs) => void (await redis(host, 'CLIENT', 'PAUSE', String(forMs), 'WRITE')),
    priority: async (host, value) => void (await redis(host, 'CONFIG', 'SET', 'replica-priority', String(value))),
    valve: async (host, open) => void (await orders(host, open)),
    role: async (host) => {
      const [role, , port] = await roleOf(g.redis[host].port)
      return role === 'master' ? 'primary' : `replica of ${String(port) === '1' ? 'nobody' : hostAt(String(port))}`
    },
    kill: (host) => g.sentinels[host].kill(),
    start: async (host) => {
      await g.sentinels[host].start()
      await listen(host)
    },
    freeze: async (host) => void g.sentinels[host].process().kill('SIGSTOP'),
    thaw: async (host) => void g.sentinels[host].process().kill('SIGCONT'),
    ask: async (host, about, epoch, candidate) => {
      const answer = await sentinel(host, 'SENTINEL', 'IS-MASTER-DOWN-BY-ADDR', local, String(g.redis[about].port), String(epoch), candidate)
      const [down, leader, voteEpoch] = answer as readonly unknown[]
      return { down: down === 1, vote: leader === '*' ? '*' : `${String(leader)} ${String(voteEpoch)}` }
    },
    hello: async (host, from, named, epoch) => {
      const other = g.sentinels[from]
      const text = [local, other.port, other.id, epoch, group, local, g.redis[named].port, epoch].join(',')
      await sentinel(host, 'PUBLISH', '__sentinel__:hello', text)
    },
    failover: async (host) => void (await sentinel(host, 'SENTINEL', 'FAILOVER', group)),
    reset: async (host) => void (await sentinel(host, 'SENTINEL', 'RESET', group)),
    pace: async (pingMs, infoMs) => {
      for (const host of hosts) await sentinel(host, 'SENTINEL', 'DEBUG', 'PING-PERIOD', String(pingMs), 'INFO-PERIOD', String(infoMs))
    },
    facts: async (host) => {
      const [, port] = (await sentinel(host, 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME', group)) as readonly string[]
      const words = (await sentinel(host, 'SENTINEL', 'MASTER', group)) as readonly string[]
      const number = (name: string): number => Number(words[words.indexOf(name) + 1])
      return { names: hostAt(port), epoch: number('config-epoch'), others: number('num-other-sentinels'), replicas: number('num-slaves') }
    },
    told: () => told,
    nowMs: () => performance.now(),
    until,
    pass: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    close: async () => {
      for (const listener of listeners) listener.close()
      for (const host of hosts) thawed(g, host)
      await g.close()
      for (const child of children) child.kill('SIGKILL')
    },
  }
}

async function comeAs(g: SentinelGroup, redis: (host: Host, ...words: readonly string[]) => Promise<unknown>): Promise<void> {
  await until('all Sentinels have come to all as their user', async () => {
    const lists = await Promise.all(hosts.map((host) => redis(host, 'CLIENT', 'LIST')))
    return lists.every((list) => String(list).split(`user=${sentinelUser}`).length - 1 >= 2 * Object.keys(g.sentinels).length)
  })
}

function thawed(g: SentinelGroup, host: Host): void {
  try {
    g.sentinels[host].process().kill('SIGCONT')
  } catch {
    // It does not run.
  }
}

/** A Sentinel that gives an order ends all other connections with it, maybe this one: then there is another answer. */
async function roleOf(port: number): Promise<readonly unknown[]> {
  const answer = await asks(port)('ROLE')
  const again = !answer.ok && /closed|ECONNRESET/i.test(answer.why) ? await asks(port)('ROLE') : answer
  return answered(again) as readonly unknown[]
}

async function until(what: string, isSo: () => boolean | Promise<boolean>, withinMs = 15_000): Promise<void> {
  if ((await poll(async () => ((await isSo()) ? true : undefined), { withinMs, everyMs: 10 })) === undefined)
    throw new Error(`not within ${withinMs} ms: ${what}`)
}

function answered(answer: { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly why: string }): unknown {
  if (!answer.ok) throw new Error(answer.why)
  return answer.value
}

/** In the words of the model; null: of another Sentinel, or of a replica that is down. */
function whatOf(channel: string, text: string, hostAt: (port: string | undefined) => Host): string | null {
  const words = text.split(' ')
  if (channel === '+switch-master') return `${channel} ${hostAt(words[2])} ${hostAt(words[4])}`
  if (words[0] === 'slave' && !channel.includes('down')) return `${channel} ${hostAt(words[3])}`
  if (words[0] === 'master') return `${channel} ${hostAt(words[3])}`
  return words[0] === 'slave' || words[0] === 'sentinel' ? null : `${channel} ${text}`
}
