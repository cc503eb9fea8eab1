/**
 * `holdfast lab …`: words in, words out. Everything a lab can do is in src/lab; here it is only named, and told to people.
 * Also registers `__writer`, the hidden command under which the writing client runs in the client's namespace.
 */
import type { Command } from '@commander-js/extra-typings'
import { InvalidArgumentError, Option } from '@commander-js/extra-typings'
import { createReadStream } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { constants } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { Target } from '../lab/hosts.ts'
import type { Lab } from '../lab/lab.ts'
import { labExists, listLabs, openLab, raiseLab, takeDown } from '../lab/lab.ts'
import { nodeDir } from '../lab/record.ts'
import { runWriterProcess } from '../lab/writer-process.ts'
import { OperatorError } from '../model/error.ts'

const defaultConfig = '/etc/holdfast/holdfast.yaml'
const targets = ['redis', 'sentinel', 'keepalived', 'agent', 'all'] as const

export function register(program: Command): void {
  const lab = program.command('lab').description('raise the hosts of a configuration as network namespaces on this machine, and break them')
  registerUp(lab)
  registerDown(lab)
  registerLook(lab)
  registerWires(lab)
  registerProcesses(lab)
  registerWriter(program)
}

function named<Usage extends string>(lab: Command, nameAndArgs: Usage, description: string) {
  return lab.command(nameAndArgs).description(description).option('--name <name>', 'which lab', 'lab')
}

function registerUp(lab: Command): void {
  named(lab, 'up', 'raise a lab from the configuration (--config)')
    .option('--no-agents', 'make the hosts, but start nothing on them')
    .option('--clients <count>', 'how many client machines', wholeNumber, 1)
    .action(async (options, command) => {
      const { config } = command.optsWithGlobals() as { config?: string }
      const interrupt = new AbortController()
      const abort = (): void => interrupt.abort()
      // Ctrl-C in the middle takes down what stands already, instead of leaving half a lab behind.
      process.on('SIGINT', abort)
      process.on('SIGTERM', abort)
      try {
        const raised = await raiseLab({
          name: options.name,
          configFile: config ?? defaultConfig,
          startAgents: options.agents,
          clients: options.clients,
          progress: say,
          signal: interrupt.signal,
        })
        sayHowToUse(raised, options.agents)
      } finally {
        process.off('SIGINT', abort)
        process.off('SIGTERM', abort)
      }
    })
}

function registerDown(lab: Command): void {
  named(lab, 'down', 'end what runs in a lab and remove it')
    .option('--all', 'every lab')
    .option('--keep-logs', "keep the lab's directory under another name")
    .action(async (options) => {
      const names = options.all === true ? (await listLabs()).map((found) => found.name) : [options.name]
      if (options.all === true && names.length === 0) say('there is no lab')
      for (const name of names) {
        const found = await labExists(name)
        const kept = await takeDown(name, { keepLogs: options.keepLogs ?? false })
        say(found ? `${name}: down${kept === null ? '' : `; its logs are in ${kept}`}` : `${name}: there is no such lab`)
      }
    })
}

function registerLook(lab: Command): void {
  lab
    .command('list')
    .description('the labs of this machine')
    .option('--json', 'as JSON')
    .action(async (options) => {
      const labs = await listLabs()
      if (options.json === true) {
        say(JSON.stringify(labs.map(({ name, record }) => ({ name, ready: record?.ready ?? false, configFile: record?.configFile ?? null }))))
        return
      }
      if (labs.length === 0) say('there is no lab')
      for (const { name, record } of labs) {
        const hosts = record?.plan.nodes
          .filter((node) => node.kind === 'host')
          .map((node) => node.name)
          .join(', ')
        say(record?.ready === true ? `${name}: ${hosts} (${record.configFile})` : `${name}: raised by half; holdfast lab down --name ${name}`)
      }
    })
  named(lab, 'status', 'hosts, what runs on them, and the faults that are on')
    .option('--json', 'as JSON')
    .action(async (options) => {
      const opened = await openLab(options.name)
      const [hosts, faults] = [await opened.status(), await opened.faults()]
      if (options.json === true) {
        say(JSON.stringify({ name: options.name, hosts, faults: withNames(opened, faults) }))
        return
      }
      for (const host of hosts) {
        const running = host.processes.map((found) => `${found.name} ${found.pid}`).join(', ')
        const agent = host.kind === 'client' ? '' : `  agent ${host.agent}`
        say(`${host.name}  ${host.ip}  power ${host.power}${agent}  ${running}`)
      }
      const { cut, isolated, lossy } = withNames(opened, faults)
      for (const name of cut) say(`cut off: ${name}`)
      for (const [from, to] of isolated) say(`lost: everything from ${from} to ${to}`)
      for (const [name, percent] of Object.entries(lossy)) say(`lost: ${percent} % of the packets of ${name}`)
    })
  named(lab, 'logs <host>', 'print every log of a host').action(async (host, options) => {
    await printLogs(nodeDir((await openLab(options.name)).record, host))
  })
  named(lab, 'exec <host> <command...>', 'run a command on a host or on the client: lab exec HOST -- CMD …').action(async (host, argv, options) => {
    const code = await (await openLab(options.name)).execInTerminal(host, argv)
    // The command has said itself what was wrong; its exit code is passed on as ssh does.
    process.exitCode = code
  })
}

function registerWires(lab: Command): void {
  named(lab, 'cut <host>', 'lose every packet from and to a host; its interface stays up').action(async (host, options) => {
    await (await openLab(options.name)).cut(host)
    say(`${host} is cut off`)
  })
  named(lab, 'isolate <a> <b>', 'lose every packet between two hosts')
    .option('--one-way', 'only those from A to B')
    .action(async (a, b, options) => {
      await (await openLab(options.name)).isolate(a, b, { oneWay: options.oneWay ?? false })
      say(options.oneWay === true ? `${b} hears nothing from ${a}` : `${a} and ${b} hear nothing of each other`)
    })
  named(lab, 'lossy <host> <percent>', 'lose some of the packets from and to a host').action(async (host, percent, options) => {
    await (await openLab(options.name)).lossy(host, Number(percent))
    say(`${percent} % of the packets of ${host} are lost`)
  })
  named(lab, 'heal [host]', 'end the faults of the wires, of one host or all').action(async (host, options) => {
    await (await openLab(options.name)).heal(host)
    say(`${host ?? 'every wire'} is healed`)
  })
  named(lab, 'power <host> <state>', 'switch a host off (as a power cut) or on').action(async (host, state, options) => {
    if (state !== 'on' && state !== 'off') throw new OperatorError('HF503', `"${state}" is no power state`, 'Use on or off.', 2)
    await (await openLab(options.name)).power(host, state)
    say(`${host} is ${state}`)
  })
}

function registerProcesses(lab: Command): void {
  const group = (): Option<'--group <group>'> => new Option('--group <group>', 'only the redis, or the Sentinel, of this group')
  named(lab, 'kill <host> [what]', `signal what runs on a host: ${targets.join(', ')} (default redis)`)
    .option('--signal <signal>', 'which signal', signalName, 'SIGKILL')
    .addOption(group())
    .action(async (host, what, options) => {
      const opened = await openLab(options.name)
      const { pids } = await opened.kill(host, targetOf(what ?? 'redis'), { signal: options.signal, ...groupOf(options) })
      say(`${options.signal} sent on ${host} to pid ${pids.join(', ')}`)
    })
  named(lab, 'freeze <host> [what]', 'stop what runs on a host (SIGSTOP; default redis)')
    .addOption(group())
    .action(async (host, what, options) => {
      const { pids } = await (await openLab(options.name)).freeze(host, targetOf(what ?? 'redis'), groupOf(options))
      say(`frozen on ${host}: pid ${pids.join(', ')}`)
    })
  named(lab, 'thaw <host> [what]', 'let it run again (SIGCONT)')
    .addOption(group())
    .action(async (host, what, options) => {
      const { pids } = await (await openLab(options.name)).thaw(host, targetOf(what ?? 'redis'), groupOf(options))
      say(`running again on ${host}: pid ${pids.join(', ')}`)
    })
  named(lab, 'start <host>', 'start the agent of a host').action(async (host, options) => {
    const { pid } = await (await openLab(options.name)).start(host, 'agent')
    say(`the agent of ${host} runs: pid ${pid}`)
  })
}

function registerWriter(program: Command): void {
  program
    .command('__writer', { hidden: true })
    .requiredOption('--host <ip>')
    .requiredOption('--port <port>', '', wholeNumber)
    .requiredOption('--prefix <prefix>')
    .requiredOption('--interval-ms <ms>', '', wholeNumber)
    .requiredOption('--connect-timeout-ms <ms>', '', wholeNumber)
    .requiredOption('--command-timeout-ms <ms>', '', wholeNumber)
    .requiredOption('--threshold-ms <ms>', '', wholeNumber)
    .option('--password-file <file>')
    .option('--reconnect-on-readonly', 'reconnect when a server says READONLY', false)
    .option('--identify', 'ask each connection which redis it reached', false)
    .action(async ({ passwordFile, ...options }) => {
      const target = { ...options, ...(passwordFile === undefined ? {} : { passwordFile }) }
      await runWriterProcess(target, process.stdin, process.stdout)
    })
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

function sayHowToUse(lab: Lab, agents: boolean): void {
  const { name, plan, groups, dir } = lab.record
  const suffix = name === 'lab' ? '' : ` --name ${name}`
  const host = plan.nodes[0]?.name ?? 'HOST'
  const group = groups[0]
  say('')
  say(`The lab ${name} is up. Its files and logs are in ${dir}`)
  for (const node of plan.nodes) say(`  ${node.name.padEnd(16)} ${node.ip}`)
  for (const found of groups) say(`  group ${found.name.padEnd(10)} ${found.vip ?? 'no vip'}:${found.port}`)
  say('Try:')
  if (agents) say(`  holdfast --config ${join(dir, 'client', 'holdfast.yaml')} status      (from: holdfast lab exec${suffix} client -- …)`)
  if (group?.vip) say(`  holdfast lab exec${suffix} client -- redis-cli -h ${group.vip} -p ${group.port} ping`)
  say(`  holdfast lab kill ${host} redis${suffix}      holdfast lab cut ${host}${suffix}      holdfast lab heal${suffix}`)
  if (agents && group) say(`  holdfast drill crash ${group.name} --lab ${name}`)
  say(`  holdfast lab down${suffix}`)
}

function withNames(lab: Lab, faults: Awaited<ReturnType<Lab['faults']>>) {
  const nameOf = (port: string): string => lab.record.plan.nodes.find((node) => node.port === port)?.name ?? port
  return {
    cut: faults.cut.map(nameOf),
    isolated: faults.pairs.map(([from, to]) => [nameOf(from), nameOf(to)] as const),
    lossy: Object.fromEntries(Object.entries(faults.lossyPercent).map(([port, percent]) => [nameOf(port), percent])),
  }
}

async function printLogs(dir: string): Promise<void> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    throw new OperatorError('HF503', `${dir}: ${error.message}`, 'See the hosts with: holdfast lab status')
  })
  const files = entries.filter((entry) => entry.isFile() && entry.name.endsWith('.log')).map((entry) => join(entry.parentPath, entry.name))
  if (files.length === 0) say(`no log yet under ${dir}`)
  for (const file of files.sort()) {
    say(`==> ${file} <==`)
    await pipeline(createReadStream(file), process.stdout, { end: false })
  }
}

function targetOf(what: string): Target {
  const found = targets.find((target) => target === what)
  if (found !== undefined) return found
  throw new OperatorError('HF503', `"${what}" is nothing that runs on a host`, `Use one of: ${targets.join(', ')}`, 2)
}

function groupOf(options: { readonly group?: string | undefined }): { readonly group?: string } {
  return options.group === undefined ? {} : { group: options.group }
}

function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('Use a whole number.')
  return Number(text)
}

function signalName(text: string): NodeJS.Signals {
  const name = text.toUpperCase().replace(/^(SIG)?/, 'SIG')
  const byNumber = Object.entries(constants.signals).find(([, number]) => String(number) === text)?.[0]
  if (name in constants.signals) return name as NodeJS.Signals
  if (byNumber !== undefined) return byNumber as NodeJS.Signals
  throw new InvalidArgumentError("Use a signal's name or number, such as SIGTERM or 15.")
}
