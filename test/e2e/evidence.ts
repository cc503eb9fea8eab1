/** What is left on the disks after an incident: copies that were kept, and what is in them. Reads only. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Kept } from '../../src/model/kept.ts'
import { isWrite, streamParser, type StreamCommand } from '../../src/salvage/stream.ts'
import type { Rig } from './rig.ts'

/** What a host keeps, datasets (.rdb) and writes (.resp), oldest first. */
export async function keptFiles(rig: Rig, host: string, group = 'sessions'): Promise<readonly string[]> {
  const dir = rig.file(host, 'state', group, 'kept')
  const names = (await readdir(dir).catch((): string[] => [])).filter((name) => /\.(rdb|resp)$/.test(name))
  const dated = await Promise.all(names.map(async (name) => ({ file: join(dir, name), atMs: (await stat(join(dir, name))).mtimeMs })))
  return dated.sort((x, y) => x.atMs - y.atMs).map(({ file }) => file)
}

/** The write commands of a kept piece of the stream, and its manifest. It ends where it says, or this throws. */
export async function commandsIn(file: string): Promise<{ readonly kept: Kept; readonly commands: readonly StreamCommand[] }> {
  const kept = JSON.parse(await readFile(file.replace(/\.resp$/, '.json'), 'utf8')) as Kept
  const parser = streamParser(kept.fromOffset ?? 0, kept.startDatabase)
  const commands = parser.push(await readFile(file, 'latin1')).filter(isWrite)
  if (parser.broken() !== null || parser.position() !== (kept.toOffset ?? 0) + 1) throw new Error(`${file} is not whole`)
  return { kept, commands }
}

/** How many of PREFIX:first … PREFIX:last a kept file holds; for an RDB, a redis of its own, in the second client's namespace, loads a copy. */
export async function countIn(rig: Rig, file: string, prefix: string, first: number, last: number): Promise<number> {
  if (file.endsWith('.resp')) {
    const keys = new Set((await commandsIn(file)).commands.map((c) => c.args[0] ?? ''))
    return Array.from({ length: last - first + 1 }, (_, i) => `${prefix}:${first + i}`).filter((key) => keys.has(key)).length
  }
  const script = `
    dir=$(mktemp -d) && cp "${file}" $dir/dump.rdb || exit 1
    redis-server --port 7777 --dir $dir --save '' --daemonize yes --pidfile $dir/pid --logfile $dir/log >/dev/null
    for i in $(seq 50); do [ "$(redis-cli -p 7777 PING 2>/dev/null)" = PONG ] && break; sleep 0.1; done
    redis-cli -p 7777 EVAL "local n = 0 for i = ${first}, ${last} do n = n + redis.call('exists', '${prefix}:' .. i) end return n" 0
    kill $(cat $dir/pid); rm -rf $dir`
  return Number((await rig.lab.exec('client2', ['sh', '-c', script])).stdout.trim())
}
