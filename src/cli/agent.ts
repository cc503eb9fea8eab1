/**
 * `holdfast agent`: runs the agent of this host in the foreground until it is told to stop. Given another configuration, it starts anew in this
 * process, so that whoever looks after it sees no end; one with which it cannot start is taken back.
 */
import type { Command } from '@commander-js/extra-typings'
import { hostname } from 'node:os'
import pino from 'pino'
import { startAgent } from '../agent/agent.ts'
import { replaceFile } from '../agent/own-config.ts'
import { listen } from '../api/server.ts'
import { loadConfig, type Loaded } from '../config/load.ts'
import { version } from './version.ts'

export function register(program: Command): void {
  program
    .command('agent')
    .description('run the agent of this host (stopping it stops neither redis nor keepalived)')
    .option('--host <name>', "this host's name in the configuration", hostname())
    .action(async (options, command) => {
      const { config: file } = command.optsWithGlobals() as unknown as { config: string }
      const log = pino({ base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: (label) => ({ level: label }) } })
      const stopped = new Promise<'stop'>((resolve) => {
        process.once('SIGTERM', () => resolve('stop'))
        process.once('SIGINT', () => resolve('stop'))
      })
      let before: Loaded | null = null
      for (;;) {
        const { loaded, agent, reconfigured } = await start(file, options.host, log, before)
        const next = await Promise.race([stopped, reconfigured])
        log.info(next === 'stop' ? 'stopping; redis and keepalived go on as they are' : 'starting anew with another configuration')
        await agent.stop()
        if (next === 'stop') break
        before = loaded
      }
      process.exitCode = 0
    })
}

/** `before`: it ran with that, and is started with that again if it cannot be started with what the file says now. */
async function start(file: string, host: string, log: pino.Logger, before: Loaded | null) {
  const attempt = async (loaded: Loaded, problem: string | null) => {
    for (const warning of loaded.warnings) log.warn(warning)
    let change: () => void = () => {}
    const reconfigured = new Promise<'change'>((resolve) => {
      change = () => resolve('change')
    })
    const { config, text } = loaded
    const tell = (level: 'info' | 'warn' | 'error', said: string, data?: object): void => log[level](data ?? {}, said)
    const agent = await startAgent({ config, text, host, version, log: tell, openDoor: listen, problem, reconfigured: change })
    return { loaded, agent, reconfigured }
  }
  try {
    return await attempt(await loadConfig(file, { files: true }), null)
  } catch (error) {
    if (before === null) throw error
    const why = `it could not be started with the configuration that it was given: ${(error as Error).message}`
    log.error(why)
    await replaceFile(before.config.file, before.text)
    return attempt(before, why)
  }
}
