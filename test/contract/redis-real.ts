/**
 * Real redis-servers behind the words of a contract: on loopback, in a folder of their own, gone with it, ended by pid. They are
 * started with the settings that Holdfast writes (render/redis-conf.ts) where these decide about replication, and look after
 * their children and replicas more often than usual, so that a contract takes less of everyone's time.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { factsFromInfo } from '../../src/redis/info.ts'
import { encode, fetchPiece } from '../../src/redis/psync.ts'
import { openRedis } from '../../src/redis/link.ts'
import type { Observed } from '../../src/model/outcome.ts'
import { streamParser } from '../../src/salvage/stream.ts'
import { poll } from '../../src/lab/run.ts'
import type { Attempt, PsyncAnswer, RedisGroup, RedisUnderTest, Reply } from './redis-under-test.ts'

const limitMs = 15_000
const answerMs = 5000
/** A client of a paused or frozen redis hangs up after so long. */
const clientMs = 400

const settings = [
  '--bind 127.0.0.1 --protected-mode no --daemonize no --hz 100 --dynamic-hz no',
  '--repl-diskless-sync no --repl-diskless-sync-delay 0 --repl-backlog-ttl 0 --repl-backlog-size 1mb',
  '--rdbcompression no',
]
  .join(' ')
  .split(' ')

const replies: readonly (readonly [string, Reply])[] = [
  ['+OK', 'OK'],
  ['-READONLY', 'READONLY'],
  ['-NOREPLICAS', 'NOREPLICAS'],
  ['-LOADING', 'LOADING'],
]

export async function openReal(program: string): Promise<RedisGroup> {
  const dir = mkdtempSync(`${tmpdir()}/holdfast-contract-`)
  let keys = 0
  const newKey = (): string => {
    keys += 1
    return `k${keys}`
  }
  const all = new Map<string, RealRedis>()
  for (const name of ['a', 'b', 'c']) all.set(name, new RealRedis(name, program, await quietPort(), `${dir}/${name}`, newKey))
  return {
    redis: (name) => {
      const found = all.get(name)
      if (found === undefined) throw new Error(`no redis ${name}`)
      return found
    },
    until: async (what, isSo) => {
      const found = await poll(async () => ((await isSo()) ? true : undefined), { withinMs: limitMs, everyMs: 10 })
      if (found === undefined) throw new Error(`redis-server: not within ${limitMs} ms: ${what}`)
    },
    close: async () => {
      for (const redis of all.values()) await redis.kill()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

/** Of each of the files that run at a time: a port whose redis is down must not be found free by another. */
const portsEach = 5000
const firstPort = 20_000 + (Number(process.env['VITEST_POOL_ID'] ?? 0) % 2) * portsEach
let nextPort = firstPort + ((process.pid * 7) % portsEach)

/** Below the ports that the kernel gives to clients: one of those would be taken while its redis is down. */
export async function quietPort(): Promise<number> {
  for (let tries = 0; tries < 1000; tries += 1) {
    nextPort = nextPort + 1 >= firstPort + portsEach ? firstPort : nextPort + 1
    const port = nextPort
    const server = createServer()
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => resolve(true))
    })
    if (!free) continue
    await new Promise((resolve) => server.close(resolve))
    return port
  }
  throw new Error(`no port is free between ${firstPort} and ${firstPort + portsEach}`)
}

class RealRedis implements RedisUnderTest {
  readonly name: string
  readonly #program: string
  readonly #port: number
  readonly #dir: string
  readonly #newKey: () => string
  #child: ChildProcess | null = null

  constructor(name: string, program: string, port: number, dir: string, newKey: () => string) {
    this.name = name
    this.#program = program
    this.#port = port
    this.#dir = dir
    this.#newKey = newKey
    mkdirSync(dir)
  }

  async start(born: 'fenced' | 'primary', how?: 'slowly'): Promise<void> {
    const role = born === 'fenced' ? ['--replicaof', '127.0.0.1', '1'] : []
    const pace = how === 'slowly' ? ['--key-load-delay', '50000', '--loading-process-events-interval-bytes', '1024'] : []
    const own = ['--port', String(this.#port), '--dir', this.#dir, '--logfile', 'redis.log', '--save', '']
    this.#child = spawn(this.#program, [...settings, ...own, ...role, ...pace], { stdio: 'ignore' })
    const up = await poll(
      async () => {
        const answer = await this.#ask(answerMs, 'INFO')
        if (!answer.ok) return undefined
        return how === 'slowly' || factsFromInfo(String(answer.value))?.loading === false ? true : undefined
      },
      { withinMs: limitMs, everyMs: 5 },
    )
    if (up === undefined) throw new Error(`redis ${this.name} does not start:\n${this.#log()}`)
  }

  async kill(): Promise<void> {
    const child = this.#child
    this.#child = null
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await gone
  }

  async save(): Promise<void> {
    await this.#must('SAVE')
  }

  async emptyDisk(): Promise<void> {
    rmSync(`${this.#dir}/dump.rdb`, { force: true })
    return Promise.resolve()
  }

  async replicaOf(upstream: RedisUnderTest | 'nobody' | null): Promise<void> {
    if (upstream === null) await this.#must('REPLICAOF', 'NO', 'ONE')
    else await this.#must('REPLICAOF', '127.0.0.1', String(upstream === 'nobody' ? 1 : (upstream as RealRedis).#port))
  }

  async write(count = 1): Promise<Reply> {
    let reply: Reply = 'no answer'
    for (let i = 0; i < count; i += 1) reply = await this.#set()
    return reply
  }

  async writeBeyondBacklog(): Promise<void> {
    await this.shrinkBacklog()
    for (let i = 0; i < 20; i += 1) await this.#must('SET', this.#newKey(), 'x'.repeat(5000))
  }

  async shrinkBacklog(): Promise<void> {
    await this.#must('CONFIG', 'SET', 'repl-backlog-size', '16384')
  }

  /** By hand: a client that has hung up may still have been heard, and a library would say more than the one word. */
  async #set(): Promise<Reply> {
    const socket = connect({ port: this.#port, host: '127.0.0.1', noDelay: true })
    try {
      socket.write(encode(['SET', this.#newKey(), '1']))
      const answer = await nextLine(socket, clientMs)
      for (const [start, reply] of replies) if (answer.startsWith(start)) return reply
      throw new Error(`${this.name} answers to a SET: ${answer}`)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ECONNREFUSED') return 'no answer'
      if (!(error instanceof NoAnswer)) throw error
      return (await this.#ask(clientMs, 'PING')).ok ? 'paused' : 'no answer'
    } finally {
      socket.destroy()
    }
  }

  async facts(): Promise<NonNullable<ReturnType<typeof factsFromInfo>>> {
    const facts = factsFromInfo(String(await this.#must('INFO')))
    if (facts === null) throw new Error('no INFO')
    return facts
  }

  async keys(): Promise<readonly string[]> {
    return ((await this.#must('KEYS', '*')) as readonly string[]).toSorted()
  }

  /** redis tells it in its log and nowhere else. */
  attempts(): Promise<readonly Attempt[]> {
    const attempts: Attempt[] = []
    for (const line of this.#log().split('\n')) {
      if (/Full resync from (?:master|primary)/i.test(line)) attempts.push('full')
      else if (line.includes('Successful partial resynchronization')) attempts.push('partial')
      else if (line.includes('NOMASTERLINK') && attempts.at(-1) !== 'NOMASTERLINK') attempts.push('NOMASTERLINK')
    }
    return Promise.resolve(attempts)
  }

  async psync(replid: string, from: number): Promise<PsyncAnswer> {
    const socket = connect({ port: this.#port, host: '127.0.0.1', noDelay: true })
    try {
      let answer = ''
      for (const words of [
        ['REPLCONF', 'listening-port', '0'],
        ['REPLCONF', 'capa', 'psync2'],
        ['PSYNC', replid, String(from)],
      ]) {
        socket.write(encode(words))
        answer = await nextLine(socket, answerMs)
      }
      for (const word of ['CONTINUE', 'FULLRESYNC', 'NOMASTERLINK'] as const) if (answer.startsWith(word, 1)) return word
      throw new Error(`${this.name} answers ${answer} to a PSYNC`)
    } finally {
      socket.destroy()
    }
  }

  async streamFrom(replid: string, from: number): Promise<readonly string[]> {
    const { offset } = await this.facts()
    const piece = await fetchPiece(
      { host: '127.0.0.1', port: this.#port, password: undefined },
      { replid, from, to: offset },
      { deadlineMs: answerMs, maxBytes: 1e6 },
    )
    if (!piece.ok) throw new Error(piece.why)
    const commands = streamParser(from, null).push(piece.value.toString('latin1'))
    return commands.filter((c) => c.name === 'SET').map((c) => c.args[0] ?? '')
  }

  async refuseWrites(refuses: boolean): Promise<void> {
    await this.#must('CONFIG', 'SET', 'min-replicas-to-write', refuses ? '99' : '0')
  }

  async pauseWrites(ms: number | null): Promise<void> {
    if (ms === null) await this.#must('CLIENT', 'UNPAUSE')
    else await this.#must('CLIENT', 'PAUSE', String(ms), 'WRITE')
  }

  async freeze(): Promise<void> {
    this.#child?.kill('SIGSTOP')
    const stopped = await poll(() => (/^State:\s+T/m.test(readFileSync(`/proc/${this.#child?.pid}/status`, 'utf8')) ? true : undefined), { withinMs: answerMs })
    if (stopped === undefined) throw new Error(`${this.name} does not stand still`)
  }

  async thaw(): Promise<void> {
    this.#child?.kill('SIGCONT')
    await poll(async () => ((await this.#ask(answerMs, 'PING')).ok ? true : undefined), { withinMs: answerMs })
  }

  async idle(): Promise<void> {
    await this.#must('CONFIG', 'SET', 'repl-ping-replica-period', '1')
    await delay(2500)
  }

  async giveSlowly(): Promise<void> {
    await this.#must('CONFIG', 'SET', 'rdb-key-save-delay', '200000')
  }

  #log(): string {
    return readFileSync(`${this.#dir}/redis.log`, 'utf8')
  }

  async #ask(deadlineMs: number, ...words: readonly string[]): Promise<Observed<unknown>> {
    const opened = await openRedis({ host: '127.0.0.1', port: this.#port, password: undefined }, deadlineMs, () => {})
    if (!opened.ok) return opened
    try {
      return await opened.value.call(words, deadlineMs)
    } finally {
      opened.value.close()
    }
  }

  async #must(...words: readonly string[]): Promise<unknown> {
    const answer = await this.#ask(answerMs, ...words)
    if (!answer.ok) throw new Error(`${this.name}: ${words.join(' ')}: ${answer.why}`)
    return answer.value
  }
}

class NoAnswer extends Error {}

/** One line is all that redis says to what is asked here, and one packet. */
function nextLine(socket: Socket, withinMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new NoAnswer(`no answer within ${withinMs} ms`)), withinMs)
    const end = (what: () => void): void => {
      clearTimeout(timer)
      socket.removeAllListeners()
      what()
    }
    socket.once('error', (error) => end(() => reject(error)))
    socket.once('data', (chunk: Buffer) => end(() => resolve(chunk.toString('latin1').trimStart())))
  })
}
