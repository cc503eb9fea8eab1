/** The tool that looks through an AOF, of the same package as the server that is to read it. Decides nothing of what it says. */
import { spawn } from 'node:child_process'
import { basename, dirname, join } from 'node:path'
import type { Observed } from '../model/outcome.ts'

/** The check tool reads some 100 MB/s. */
const checkDeadlineMs = 60_000
const checkBytesPerMs = 10_000
const maxOutputChars = 65_536

/** `fix`: it cuts off what it does not read. Never anything but a copy. What it says; its exit code says no more. */
export async function runCheckAof(redisServer: string, file: string, bytes: number, fix = false): Promise<Observed<string>> {
  const [first, second] = basename(redisServer).startsWith('valkey') ? ['valkey', 'redis'] : ['redis', 'valkey']
  for (const name of [`${first}-check-aof`, `${second}-check-aof`]) {
    // Beside the server: of the same package.
    const program = redisServer.includes('/') ? join(dirname(redisServer), name) : name
    const ran = await run(program, fix ? ['--fix', file] : [file], checkDeadlineMs + bytes / checkBytesPerMs)
    if (ran !== 'missing') return ran
  }
  return { ok: false, why: missingTool }
}

export const missingTool = 'redis-check-aof is not beside redis-server (Debian: redis-tools)'

function run(program: string, args: readonly string[], deadlineMs: number): Promise<Observed<string> | 'missing'> {
  return new Promise((resolve) => {
    let timer: NodeJS.Timeout | undefined
    const failed = (error: NodeJS.ErrnoException): void => {
      clearTimeout(timer)
      resolve(error.code === 'ENOENT' || error.code === 'EACCES' ? 'missing' : { ok: false, why: `${program}: ${error.message}` })
    }
    try {
      const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] })
      child.once('error', failed)
      // Without a free descriptor it has no pipes either.
      if (child.pid === undefined) return
      let output = ''
      const hear = (chunk: Buffer): void => {
        output = (output + chunk.toString('latin1')).slice(-maxOutputChars)
      }
      timer = setTimeout(() => child.kill('SIGKILL'), deadlineMs)
      child.once('close', (_code, signal) => {
        clearTimeout(timer)
        resolve(signal === null ? { ok: true, value: output } : { ok: false, why: `${program} was ended by ${signal}` })
      })
      child.stdout.on('data', hear)
      child.stderr.on('data', hear)
      child.stdin.on('error', () => undefined) // It asked nothing, or is gone: its output says.
      child.stdin.end('y\n')
    } catch (error) {
      failed(error as Error)
    }
  })
}
