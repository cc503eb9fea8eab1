/**
 * A trial without privileges: three hosts that are loopback addresses of this machine, each with an agent, a real redis and a real Sentinel, behind a real
 * HAProxy that asks the agents. No namespace, no rule, no address is made. What belongs to a host is found by the folder that it works in, which
 * nobody else has: never by name, and never anything outside the trial.
 */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, open, readFile, realpath, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { OperatorError } from '../model/error.ts'
import { redisDataDir } from '../model/paths.ts'
import { endProcesses, processesIn, signalProcess } from './processes.ts'
import { must, poll, run, type RunOptions, type RunResult } from './run.ts'

export const trialHosts: readonly { readonly name: string; readonly ip: string }[] = [
  { name: 'redis-a', ip: '127.0.1.1' },
  { name: 'redis-b', ip: '127.0.1.2' },
  { name: 'redis-c', ip: '127.0.1.3' },
]
/** Where the clients' HAProxy listens. */
export const trialIp = '127.0.0.1'

const group = 'sessions'
const startWithinMs = 10_000
const startupTailBytes = 2000

export interface TrialPorts {
  readonly api: number
  readonly redis: number
  readonly sentinel: number
  readonly write: number
  readonly read: number
}

export interface TrialPlan {
  readonly dir: string
  readonly ports: TrialPorts
  readonly passwordFile: string
}

export interface TrialOptions {
  /** How holdfast is called. */
  readonly entry: readonly string[]
  /** Stands before every command: `setpriv …`, for one that root runs as somebody else. */
  readonly as?: readonly string[]
}

export interface Trial extends TrialPlan {
  readonly group: string
  readonly cli: (argv: readonly string[], options?: RunOptions) => Promise<RunResult>
  /** What clients connect to. */
  readonly startBalancer: () => Promise<void>
  readonly startAgent: (host: string) => Promise<void>
  readonly kill: (host: string, what: 'redis' | 'agent' | 'all') => Promise<void>
  /** Ends everything. Returns what would not die, which should be nothing. */
  readonly end: () => Promise<readonly string[]>
}

const programs: readonly (readonly [program: string, debianPackage: string])[] = [
  ['redis-server', 'redis-server'],
  ['haproxy', 'haproxy'],
]

/** What is missing for a trial, each with the way out. redis-server plays the Sentinels too. */
export function trialProblems(): string[] {
  if (process.platform !== 'linux') return ['a trial needs Linux, where all of 127.0.0.0/8 is this machine']
  const dirs = (process.env['PATH'] ?? '').split(':')
  const missing = programs.filter(([program]) => !dirs.some((dir) => existsSync(join(dir, program))))
  return missing.map(([program, debianPackage]) => `the program ${program} is missing: apt-get install ${debianPackage}`)
}

/** The files of a trial, in a folder that is its own. Starts nothing. */
export async function layTrial(folder: string): Promise<TrialPlan> {
  const dir = await realpath(folder)
  const ports = await freePorts()
  for (const file of ['secret', 'password', 'sentinel-password']) await writeFile(join(dir, file), `${randomBytes(24).toString('hex')}\n`, { mode: 0o600 })
  for (const { name } of trialHosts) {
    for (const sub of ['state', 'run']) await mkdir(join(dir, name, sub), { recursive: true })
    await writeFile(configFile(dir, name), configuration(dir, name, ports))
  }
  await mkdir(join(dir, 'haproxy'))
  // Filled when it is started: it holds a password.
  await writeFile(balancerFile(dir), '', { mode: 0o600 })
  return { dir, ports, passwordFile: join(dir, 'password') }
}

export function openTrial(plan: TrialPlan, { entry, as = [] }: TrialOptions): Trial {
  const { dir, ports } = plan
  const holdfast = [...as, ...entry]
  const cli = (argv: readonly string[], options: RunOptions = {}): Promise<RunResult> =>
    run([...holdfast, '--config', configFile(dir, 'redis-a'), ...argv], options)
  return {
    ...plan,
    group,
    cli,
    startBalancer: async () => {
      const rendered = ['render', 'haproxy', group, '--with-passwords', '--write-port', String(ports.write), '--read-port', String(ports.read)]
      const file = balancerFile(dir)
      const text = await must([...holdfast, '--config', configFile(dir, 'redis-a'), ...rendered], 'a configuration for HAProxy')
      await writeFile(file, text)
      await start([...as, 'haproxy', '-db', '-f', file], join(dir, 'haproxy'), () => reaches(ports.write))
    },
    startAgent: (host) =>
      start(
        [...holdfast, '--config', configFile(dir, host), 'agent', '--host', host],
        join(dir, host),
        async () => (await fetch(`http://${ipOf(host)}:${ports.api}/liveness`).catch(() => null))?.status === 200,
      ),
    kill: (host, what) => kill(join(dir, host), what),
    end: async () => (await endProcesses(() => processesIn(dir), 0)).map(({ name, pid }) => `${name} (pid ${pid})`),
  }
}

/** The files of all hosts differ in `paths` alone: on machines of their own, one and the same file would do. */
function configuration(dir: string, host: string, ports: TrialPorts): string {
  return `# Three hosts that are one machine, without a privilege: no address of the group, HAProxy in front.
api: { port: ${ports.api}, secret_file: ${dir}/secret }
paths: { state: ${dir}/${host}/state, run: ${dir}/${host}/run }
hosts:
${trialHosts.map(({ name, ip }) => `  ${name}: { ip: ${ip} }`).join('\n')}
groups:
  ${group}:
    mode: sentinel
    members: [${trialHosts.map(({ name }) => name).join(', ')}]
    port: ${ports.redis}
    password_file: ${dir}/password
    sentinel: { port: ${ports.sentinel}, password_file: ${dir}/sentinel-password }
`
}

function configFile(dir: string, host: string): string {
  return join(dir, host, 'holdfast.yaml')
}

function balancerFile(dir: string): string {
  return join(dir, 'haproxy', 'haproxy.cfg')
}

function ipOf(host: string): string {
  const found = trialHosts.find(({ name }) => name === host)
  if (found === undefined) throw new OperatorError('HF503', `the trial has no host ${host}`, `Its hosts: ${trialHosts.map(({ name }) => name).join(', ')}`)
  return found.ip
}

/** Detached: Ctrl-C is for whoever runs the trial, who then ends it. */
async function start(argv: readonly string[], cwd: string, isUp: () => Promise<boolean>): Promise<void> {
  const [program = '', ...args] = argv
  const logFile = join(cwd, 'output.log')
  const log = await open(logFile, 'a')
  const child = spawn(program, args, { stdio: ['ignore', log.fd, log.fd], detached: true, cwd })
  let ended = ''
  child.once('error', (error) => (ended = error.message))
  child.once('exit', (code, signal) => (ended = `it ended (${signal ?? `exit code ${code}`})`))
  child.unref()
  await log.close()
  const up = await poll(async () => (ended !== '' || (await isUp()) ? true : undefined), { withinMs: startWithinMs, everyMs: 20 })
  if (up === true && ended === '') return
  const tail = (await readFile(logFile, 'utf8')).slice(-startupTailBytes).trim()
  throw new OperatorError('HF503', `${program} does not run: ${ended || `nothing after ${startWithinMs / 1000} s`}`, tail || 'It has said nothing.')
}

/** `all`: as a power cut. Looked for until nothing is left, because an agent starts again what died before it did. */
async function kill(hostDir: string, what: 'redis' | 'agent' | 'all'): Promise<void> {
  if (what === 'all') {
    const left = await endProcesses(() => processesIn(hostDir), 0)
    if (left.length > 0) throw new OperatorError('HF503', `${left.map(({ pid }) => pid).join(', ')} cannot be killed`, 'Are they of another user?')
    return
  }
  const dir = what === 'redis' ? redisDataDir({ state: join(hostDir, 'state') }, group) : hostDir
  const found = processesIn(dir).filter(({ cwd }) => cwd === dir)
  if (found.length === 0) throw new OperatorError('HF503', `no ${what} runs in ${dir}`, 'It may have been killed a moment ago.')
  for (const id of found) signalProcess(id, 'SIGKILL')
}

async function reaches(port: number): Promise<boolean> {
  const socket = connect(port, trialIp)
  try {
    return await new Promise((resolve) => {
      socket.once('error', () => resolve(false))
      socket.once('connect', () => resolve(true))
    })
  } finally {
    socket.destroy()
  }
}

/** Five in a row, below those that the kernel gives to outgoing connections. At all addresses: one that listens everywhere takes a port at each. */
async function freePorts(): Promise<TrialPorts> {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    const first = 10_000 + Math.floor(Math.random() * 20_000)
    const ports = [0, 1, 2, 3, 4].map((offset) => first + offset)
    const free = await Promise.all(ports.map(isFree))
    if (free.every(Boolean)) return { api: first, redis: first + 1, sentinel: first + 2, write: first + 3, read: first + 4 }
  }
  throw new OperatorError('HF503', 'no five free ports in a row', 'See what listens: ss -ltn')
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  const free = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false))
    server.listen(port, '0.0.0.0', () => resolve(true))
  })
  if (free) await new Promise((resolve) => server.close(resolve))
  return free
}
