/**
 * keepalived's process and its track files: render, start detached, adopt after an agent restart, reload on change.
 * One keepalived per host for all groups. The track file is the fence: "1" may hold the VIP, anything else may not.
 */
import { execFile, spawn } from 'node:child_process'
import { closeSync, constants, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { Config } from '../model/config.ts'
import { done, failed, type Outcome } from '../model/outcome.ts'
import {
  groupRunDir,
  guardPlanFile,
  guardScriptFile,
  keepalivedConfFile,
  keepalivedFifo,
  keepalivedLogFile,
  keepalivedPidFile,
  keepalivedVrrpPidFile,
  readerAllowedFile,
  vipAllowedFile,
} from '../model/paths.ts'
import { commandLine, isSameProcess, readProcess, type ProcessId } from '../observe/process.ts'
import { guardedGroups, guardPlan, renderGuardScript } from '../render/guard.ts'
import { renderKeepalived, vrrpAddresses, type VrrpStanding } from '../render/keepalived.ts'

/** Written whole and renamed, so that keepalived never reads half a word. Synchronous: a fence waits for nobody. */
export function setVip(paths: Config['paths'], group: string, allowed: boolean): Outcome {
  return setGate(vipAllowedFile(paths, group), allowed)
}

export function setReaderVip(paths: Config['paths'], group: string, allowed: boolean): Outcome {
  return setGate(readerAllowedFile(paths, group), allowed)
}

function setGate(file: string, allowed: boolean): Outcome {
  try {
    writeFileSync(`${file}.new`, allowed ? '1\n' : '0\n')
    renameSync(`${file}.new`, file)
    return done
  } catch (error) {
    return failed(`cannot write ${file}: ${(error as Error).message}`)
  }
}

/** The last one seen, so that the usual question (is it still there?) takes one look. */
let known: { readonly process: ProcessId; readonly conf: string; readonly child: boolean } | null = null

/** Of the agent as it runs now: it may have been started anew in this process since it started keepalived. */
let tellEnd: () => void = () => {}

export function keepalivedPid(paths: Config['paths']): number | null {
  const conf = keepalivedConfFile(paths)
  // Also one that was started just now and has not written its pid file yet: a second one would fight with it for the address.
  if (known?.conf === conf && isSameProcess(known.process)) return known.process.pid
  try {
    const found = readProcess(Number(readFileSync(keepalivedPidFile(paths), 'utf8').trim()))
    if (found === null || !commandLine(found.pid).includes(conf)) return null
    known = { process: found, conf, child: false }
    return found.pid
  } catch {
    return null
  }
}

/** One that this agent has started: `ended` is called in the moment in which it dies. */
export function tellsItsEnd(): boolean {
  return known?.child === true
}

/**
 * Starts keepalived, or reloads the one that runs if its configuration changed. Idempotent, but never two at once for one host: both
 * would write the same file, and keepalived would be given a mixture (agent/vrrp.ts queues them).
 */
export async function ensureKeepalived(config: Config, host: string, standing: VrrpStanding, ended: () => void): Promise<Outcome> {
  const { paths } = config
  tellEnd = ended
  const text = renderKeepalived(config, host, standing)
  try {
    await mkdir(paths.run, { recursive: true, mode: 0o750 })
    for (const group of Object.keys(config.groups)) await mkdir(groupRunDir(paths, group), { recursive: true, mode: 0o750 })
    await ensureFifo(keepalivedFifo(paths))
    await writeGuard(config, host)
    const before = await readFile(keepalivedConfFile(paths), 'utf8').catch(() => '')
    const pid = keepalivedPid(paths)
    if (pid !== null && before === text) return done
    // A reload does not run init_file: a group that is new to keepalived and whose file says 1 would get the VIP at once.
    for (const { file, resumes } of vrrpAddresses(config, host, standing)) {
      if (pid === null ? !resumes : !before.includes(file)) {
        const denied = setGate(file, false)
        if (!denied.done) return denied
      }
    }
    // Checked before it takes the place of the old one: a file that was refused must not count as in force at the next look.
    const file = keepalivedConfFile(paths)
    await writeFile(`${file}.new`, text, { mode: 0o640 })
    const sound = await checkConf(paths, `${file}.new`)
    if (!sound.done) return sound
    await rename(`${file}.new`, file)
    if (pid !== null) {
      process.kill(pid, 'SIGHUP')
      return done
    }
    // A pid file left by kill -9 whose process is not reaped yet makes keepalived say "already running" and exit with 0.
    for (const stale of [keepalivedPidFile(paths), keepalivedVrrpPidFile(paths)]) await rm(stale, { force: true })
    return await startKeepalived(config)
  } catch (error) {
    return failed(`keepalived: ${(error as Error).message}`)
  }
}

/** Beside the agent's own bundle. */
export function guardProgram(): string {
  return join(dirname(process.argv[1] ?? ''), 'guard.js')
}

/** In place before keepalived may ask for it: a script that is missing counts as failed, and a failed one takes the address. */
async function writeGuard(config: Config, host: string): Promise<void> {
  const { paths } = config
  if (guardedGroups(config, host).length === 0) return
  const program = `${process.execPath} ${guardProgram()}`
  await writeFile(guardPlanFile(paths), JSON.stringify(guardPlan(config, host)), { mode: 0o600 })
  await writeFile(`${guardScriptFile(paths)}.new`, renderGuardScript(config, program), { mode: 0o700 })
  await rename(`${guardScriptFile(paths)}.new`, guardScriptFile(paths))
}

/** keepalived only logs a broken line at a reload and goes on with what is left of its configuration. */
async function checkConf(paths: Config['paths'], file: string): Promise<Outcome> {
  try {
    await promisify(execFile)(paths.keepalived, ['-t', '-f', file], { timeout: 10_000 })
    return done
  } catch (error) {
    const { stderr, message } = error as { stderr?: string; message: string }
    return failed(`keepalived refuses ${file}: ${(stderr ?? message).trim().slice(0, 500)}`)
  }
}

async function ensureFifo(file: string): Promise<void> {
  const found = await stat(file).catch(() => null)
  if (found === null) await promisify(execFile)('mkfifo', ['-m', '600', file], { timeout: 5000 })
}

function startKeepalived(config: Config): Promise<Outcome> {
  const { paths } = config
  const log = openSync(keepalivedLogFile(paths), constants.O_CREAT | constants.O_APPEND | constants.O_WRONLY, 0o640)
  const args = ['-n', '-l', '-P', '-f', keepalivedConfFile(paths), '-p', keepalivedPidFile(paths), '-r', keepalivedVrrpPidFile(paths)]
  const child = spawn(paths.keepalived, args, { detached: true, stdio: ['ignore', log, log] })
  closeSync(log)
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(failed(`cannot start ${paths.keepalived}: ${error.message}`)))
    child.once('spawn', () => {
      const process = child.pid === undefined ? null : readProcess(child.pid)
      if (process !== null) known = { process, conf: keepalivedConfFile(paths), child: true }
      resolve(done)
    })
    child.once('exit', () => tellEnd())
    child.unref()
  })
}
