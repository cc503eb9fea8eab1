/** What the figures were taken on, in one line: without it they mean nothing. */
import { readFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { run } from '../src/lab/run.ts'

export async function describeMachine(): Promise<string> {
  const [redis, keepalived] = await Promise.all([versionOf(['redis-server', '--version']), versionOf(['keepalived', '--version'])])
  const model = cpus()[0]?.model.trim() ?? 'unknown CPU'
  return [
    `Linux ${release()}`,
    `${cpus().length} × ${model}`,
    `${Math.round(totalmem() / 2 ** 30)} GB`,
    `redis ${redis}`,
    `keepalived ${keepalived}`,
    `node ${process.version}`,
  ].join(', ')
}

export function loadAverage(): number {
  return Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[0])
}

async function versionOf(argv: readonly string[]): Promise<string> {
  const { stdout, stderr, code } = await run(argv)
  return /v=?(\d+\.\d+\.\d+)/.exec(`${stdout}\n${stderr}`)?.[1] ?? `not known (exit code ${code})`
}
