/** What is left on the disks after an incident: copies that were kept, and what is in them. Reads only. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Rig } from './rig.ts'

/** The kept datasets of a host, oldest first. */
export async function keptFiles(rig: Rig, host: string, group = 'sessions'): Promise<readonly string[]> {
  const dir = rig.file(host, 'state', group, 'kept')
  const names = await readdir(dir).catch((): string[] => [])
  const dated = await Promise.all(names.map(async (name) => ({ file: join(dir, name), atMs: (await stat(join(dir, name))).mtimeMs })))
  return dated.sort((x, y) => x.atMs - y.atMs).map(({ file }) => file)
}

/** How many of PREFIX:first … PREFIX:last a kept RDB holds: a redis of its own, in the second client's namespace, loads a copy. */
export async function countIn(rig: Rig, file: string, prefix: string, first: number, last: number): Promise<number> {
  const script = `
    dir=$(mktemp -d) && cp "${file}" $dir/dump.rdb || exit 1
    redis-server --port 7777 --dir $dir --save '' --daemonize yes --pidfile $dir/pid --logfile $dir/log >/dev/null
    for i in $(seq 50); do [ "$(redis-cli -p 7777 PING 2>/dev/null)" = PONG ] && break; sleep 0.1; done
    redis-cli -p 7777 EVAL "local n = 0 for i = ${first}, ${last} do n = n + redis.call('exists', '${prefix}:' .. i) end return n" 0
    kill $(cat $dir/pid); rm -rf $dir`
  return Number((await rig.lab.exec('client2', ['sh', '-c', script])).stdout.trim())
}
