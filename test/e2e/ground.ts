/**
 * Where the end-to-end tests stand: what they need of this machine, the command they run, and the configurations that most of
 * them share. Starts nothing.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { labProblems } from '../../src/lab/capability.ts'

/** The built command, because that is what runs in production; script/test builds it first. */
const built = fileURLToPath(new URL('../../dist/main.js', import.meta.url))
export const entry: readonly string[] = [process.execPath, '--enable-source-maps', built]

/** Why these tests cannot run here; empty: they can. */
function e2eProblems(): readonly string[] {
  const problems = labProblems()
  for (const [program, packageName] of [
    ['redis-server', 'redis-server'],
    ['redis-cli', 'redis-tools'],
    ['keepalived', 'keepalived'],
    ['ping', 'iputils-ping'],
  ] as const) {
    const found = (process.env['PATH'] ?? '').split(':').some((dir) => existsSync(join(dir, program)))
    if (!found) problems.push(`the program ${program} is missing: apt-get install ${packageName}`)
  }
  if (!existsSync(built)) problems.push('dist/main.js is missing: npm run build')
  return problems
}

export const problems = e2eProblems()

/** Two hosts, one group: what most incidents need. `group` and `tail` are further YAML lines. */
export function twoHosts(group: readonly string[] = [], tail: readonly string[] = []): string {
  return [
    'hosts:',
    '  red-a: { ip: 192.168.77.1, interface: eth0 }',
    '  red-b: { ip: 192.168.77.2, interface: eth0 }',
    'groups:',
    '  sessions:',
    '    members: [red-a, red-b]',
    '    vip: 192.168.77.9/24',
    ...group.map((line) => `    ${line}`),
    ...tail,
    '',
  ].join('\n')
}

/** Hosts red-a, red-b, … at 192.168.77.1, .2, … */
export function hostLines(count: number): string {
  const lines = Array.from({ length: count }, (_, i) => `  red-${String.fromCharCode(97 + i)}: { ip: 192.168.77.${i + 1}, interface: eth0 }`)
  return ['hosts:', ...lines].join('\n')
}

export const vip = '192.168.77.9'

/** Two members and a witness. */
export const pairAndWitness = `${hostLines(2)}
  red-w: { ip: 192.168.77.3 }
groups:
  sessions:
    members: [red-a, red-b]
    witness: red-w
    vip: 192.168.77.9/24
`

/** Three members, each with a Sentinel beside its redis. */
export function threeWithSentinels(group: readonly string[] = []): string {
  return [
    hostLines(3),
    'groups:',
    '  sessions:',
    '    mode: sentinel',
    '    members: [red-a, red-b, red-c]',
    '    vip: 192.168.77.9/24',
    ...group.map((line) => `    ${line}`),
    '',
  ].join('\n')
}

/** Two members with data, and a Sentinel on each of three hosts. */
export const pairWithSentinels = `${hostLines(2)}
  red-w: { ip: 192.168.77.3 }
groups:
  sessions:
    mode: sentinel
    members: [red-a, red-b]
    sentinels: [red-a, red-b, red-w]
    vip: 192.168.77.9/24
`
