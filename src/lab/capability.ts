/**
 * Can this machine run a lab? Not asked of version numbers but tried out: a namespace, a veth pair, a bridge and the fault
 * rules are made inside a namespace of their own and removed again. Every problem is said at once, in plain words, with the
 * way out. Nothing outside that namespace is touched.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { baseRules, lossyRules } from './rules.ts'

const programs: readonly (readonly [program: string, debianPackage: string])[] = [
  ['ip', 'iproute2'],
  ['ss', 'iproute2'],
  ['nft', 'nftables'],
]
const capabilities: readonly (readonly [name: string, bit: number])[] = [
  ['CAP_NET_ADMIN', 12],
  ['CAP_SYS_ADMIN', 21],
]
const tryWithinMs = 5000

export function labProblems(): string[] {
  if (process.platform !== 'linux') return ['a lab is made of Linux network namespaces, and this is not Linux']
  const problems = [...missingPrograms(), ...missingPrivileges()]
  return problems.length > 0 ? problems : tryOut()
}

function missingPrograms(): string[] {
  const missing = programs.filter(([program]) => attempt([program, program === 'nft' ? '-v' : '-V']) !== null)
  const packages = [...new Set(missing.map(([, name]) => name))].join(' ')
  return missing.map(([program]) => `the program ${program} is missing: apt-get install ${packages}`)
}

export function missingPrivileges(): string[] {
  const effective = /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'
  const missing = capabilities.filter(([, bit]) => ((BigInt(`0x${effective}`) >> BigInt(bit)) & 1n) === 0n)
  if (missing.length === 0) return []
  const names = missing.map(([name]) => name).join(' and ')
  return [
    process.getuid?.() === 0
      ? `root here lacks ${names}: start the container with --privileged, or with --cap-add NET_ADMIN --cap-add SYS_ADMIN`
      : `this user lacks ${names}: run as root, for example with sudo`,
  ]
}

function tryOut(): string[] {
  const netns = `hf-try-${process.pid}`
  const made = attempt(['ip', 'netns', 'add', netns])
  if (made !== null) {
    return [`namespaces cannot be made (${made}): in a container, start it with --privileged; elsewhere, see user.max_net_namespaces`]
  }
  try {
    const inside = ['ip', '-n', netns]
    const steps: readonly (readonly [argv: readonly string[], input: string | undefined, problem: string])[] = [
      [[...inside, 'link', 'add', 'try0', 'type', 'veth', 'peer', 'name', 'try1'], undefined, 'the kernel has no veth pairs: modprobe veth'],
      [[...inside, 'link', 'add', 'br0', 'type', 'bridge'], undefined, 'the kernel has no bridge: modprobe bridge'],
      [
        ['ip', 'netns', 'exec', netns, 'nft', '-f', '-'],
        baseRules(['try0']) + lossyRules('try0', 50),
        'nftables cannot filter on a bridge: modprobe nf_tables nft_numgen nf_tables_bridge (kernel 5.3 or newer)',
      ],
    ]
    return steps.flatMap(([argv, input, problem]) => {
      const why = attempt(argv, input)
      return why === null ? [] : [`${problem} (${why})`]
    })
  } finally {
    attempt(['ip', 'netns', 'del', netns])
  }
}

/** null: it worked. Otherwise why not. */
function attempt(argv: readonly string[], input?: string): string | null {
  const [program = '', ...args] = argv
  const result = spawnSync(program, args, {
    encoding: 'utf8',
    timeout: tryWithinMs,
    ...(input === undefined ? {} : { input }),
  })
  if (result.error !== undefined) return result.error.message
  if (result.status === 0) return null
  return result.stderr.trim().split('\n')[0] || `exit code ${result.status ?? 'none'}`
}
