/**
 * A redis of its own for a kept RDB: a folder of its own, a unix socket and no network, capped in memory, nothing saved. It goes
 * with this process, however this process ends: a shell between the two kills it when its input closes.
 */
import { spawn } from 'node:child_process'
import { mkdtemp, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { OperatorError } from '../model/error.ts'
import { openRaw, RawError, type RawRedis } from '../redis/raw.ts'

const startDeadlineMs = 10 * 60_000
const callDeadlineMs = 60_000
/** What a redis needs to begin with. */
const leastBytes = 512 * 1024 * 1024

/** Waits for the word to begin, then for the end of its input; whatever it is that ends, redis and the folder go. */
const keeper = [
  'if read -r go; then ulimit -v "$1"; shift; command -v "$1" >/dev/null || echo "Fatal error: $1 is not there" > "$HOLDFAST_DIR/log"',
  '"$@" >/dev/null 2>&1 & pid=$!',
  'cat >/dev/null; kill -9 $pid 2>/dev/null; wait $pid 2>/dev/null; fi',
  'rm -rf "$HOLDFAST_DIR"',
].join('\n')

export interface Throwaway {
  readonly redis: RawRedis
  readonly close: () => Promise<void>
}

/** `fill` writes the RDB to the path that it is given. */
export async function openThrowaway(redisServer: string, databases: number, fill: (file: string) => Promise<void>): Promise<Throwaway> {
  const dir = await mkdtemp(join(tmpdir(), 'holdfast-salvage-'))
  const capKiB = Math.floor(Math.max(leastBytes, (await availableBytes()) / 2) / 1024)
  const conf = ['--port', '0', '--unixsocket', join(dir, 'sock'), '--unixsocketperm', '700', '--dir', dir, '--dbfilename', 'kept.rdb']
  const more = ['--save', '', '--appendonly', 'no', '--databases', String(databases), '--logfile', join(dir, 'log')]
  // Before the file is fetched: whoever is killed while it is leaves no half of a dataset behind. Not in the terminal's process
  // group: after Ctrl-C it is the shell that cleans up.
  const child = spawn('sh', ['-c', keeper, 'sh', String(capKiB), redisServer, ...conf, ...more], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
    env: { ...process.env, HOLDFAST_DIR: dir },
  })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const close = async (): Promise<void> => {
    child.stdin.end()
    await ended
  }
  child.stdin.on('error', () => undefined) // It is gone already: `untilLoaded` says why.
  try {
    await fill(join(dir, 'kept.rdb'))
    child.stdin.write('go\n')
    const redis = await untilLoaded(join(dir, 'sock'), join(dir, 'log'))
    return {
      redis,
      close: async () => {
        redis.close()
        await close()
      },
    }
  } catch (error) {
    await close()
    throw error
  }
}

async function untilLoaded(path: string, log: string): Promise<RawRedis> {
  const endMs = performance.now() + startDeadlineMs
  for (;;) {
    const opened = await openRaw({ path }, callDeadlineMs)
    if (opened.ok) {
      const answer = await opened.value.call('DBSIZE').catch(() => null)
      if (answer !== null && !(answer instanceof RawError)) return opened.value
      opened.value.close()
    }
    const said = await readFile(log, 'utf8').catch(() => '')
    const fatal = /Bad file format|Short read|Can't handle RDB|Fatal error|Out Of Memory|CRC error|Aborting/i.exec(said)
    if (fatal !== null || performance.now() > endMs) {
      const last = said.trimEnd().split('\n').at(-1) ?? ''
      throw new OperatorError(
        'HF604',
        `the kept dataset cannot be loaded: ${last}`,
        'is there enough memory, and is redis at least as new as the one that wrote it?',
      )
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

async function availableBytes(): Promise<number> {
  const text = await readFile('/proc/meminfo', 'utf8').catch(() => '')
  return Number(/MemAvailable:\s+(\d+) kB/.exec(text)?.[1] ?? 0) * 1024
}
