/** `holdfast agent`: runs the agent of this host in the foreground until it is told to stop. */
import type { Command } from '@commander-js/extra-typings'
import { hostname } from 'node:os'
import pino from 'pino'
import { startAgent } from '../agent/agent.ts'
import { listen } from '../api/server.ts'
import { loadConfig } from '../config/load.ts'
import { version } from './version.ts'

export function register(program: Command): void {
  program
    .command('agent')
    .description('run the agent of this host (stopping it stops neither redis nor keepalived)')
    .option('--host <name>', "this host's name in the configuration", hostname())
    .action(async (options, command) => {
      const { config: file } = command.optsWithGlobals() as unknown as { config: string }
      const { config, warnings } = await loadConfig(file, { files: true })
      const log = pino({ base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: (label) => ({ level: label }) } })
      for (const warning of warnings) log.warn(warning)
      const agent = await startAgent(config, options.host, version, (level, text, data) => log[level](data ?? {}, text), listen)
      await new Promise<void>((resolve) => {
        process.once('SIGTERM', () => resolve())
        process.once('SIGINT', () => resolve())
      })
      log.info('stopping; redis and keepalived go on as they are')
      await agent.stop()
      process.exitCode = 0
    })
}
