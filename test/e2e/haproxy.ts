/** A real HAProxy with the rendered configuration on a host of its own: started, and asked which servers it takes for well. */
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { expect } from 'vitest'
import type { Rig } from './rig.ts'

const program = '/usr/sbin/haproxy'
export const haproxyProblems: readonly string[] = existsSync(program) ? [] : ['the program haproxy is missing: apt-get install haproxy']
const host = 'red-h'

export async function startHaproxy(rig: Rig): Promise<void> {
  const rendered = await rig.cli('render', 'haproxy', 'sessions', '--with-passwords')
  expect(rendered.code, rendered.stderr).toBe(0)
  const file = rig.file(host, 'haproxy.cfg')
  await writeFile(file, `global\n    stats socket ${rig.file(host, 'haproxy.sock')}\n${rendered.stdout}`, { mode: 0o600 })
  const checked = await rig.lab.exec(host, [program, '-c', '-f', file])
  expect([checked.code, `${checked.stdout}${checked.stderr}`.replace(/Configuration file is valid\s*/, '')], 'without a warning').toEqual([0, ''])
  const started = await rig.lab.exec(host, [program, '-D', '-f', file, '-p', rig.file(host, 'haproxy.pid')])
  expect(started.code, started.stderr).toBe(0)
}

/** The servers that HAProxy takes for well, by its own account. */
export async function wellServers(rig: Rig): Promise<readonly string[]> {
  const ask = `const s=require('node:net').connect(process.argv[1]);let t='';s.on('data',(c)=>{t+=c});s.on('end',()=>console.log(t));s.write('show stat\\n')`
  const { stdout } = await rig.lab.exec(host, [process.execPath, '-e', ask, rig.file(host, 'haproxy.sock')])
  return stdout
    .split('\n')
    .map((line) => line.split(','))
    .flatMap(([backend, server, ...rest]) => (server?.startsWith('red-') === true && rest.includes('UP') ? [`${backend} ${server}`] : []))
}
