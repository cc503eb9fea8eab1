/** `holdfast adopt propose`: of what `look` found on both hosts, what is dangerous in it, the configuration, and the steps. It touches no host. */
import type { Command } from '@commander-js/extra-typings'
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { adoptionOf, type Adoption } from '../adopt/adoption.ts'
import { isHostFound, type HostFound } from '../adopt/found.ts'
import { passwordFileName } from '../adopt/proposal.ts'
import { defaultConfigFile } from '../config/defaults.ts'
import { failureOf } from '../config/files.ts'
import { parseConfig } from '../config/parse.ts'
import { OperatorError } from '../model/error.ts'
import { drawAdoption } from './adopt-draw.ts'

export function registerPropose(adopt: Command): void {
  adopt
    .command('propose')
    .description('what is dangerous in the pair, a configuration that would look after it, and how it is taken over step by step')
    .argument('<found...>', 'the files of `look`, one of each host')
    .requiredOption('--name <group>', 'of the group')
    .option('--out-dir <dir>', 'writes holdfast.yaml, a secret for the agents and the password file there')
    .option('--vip <address>', 'the address that leads clients to the master, where keepalived has several')
    .option('--reader-vip <address>', 'one for reads, which is to become the reader address')
    .option('--json', 'machine-readable')
    .action(async (files, options) => {
      const found = await Promise.all(files.map(foundIn))
      const judged = adoptionOf(found, { name: options.name, etc: dirname(defaultConfigFile), vip: options.vip, readerVip: options.readerVip })
      if (!judged.ok) throw new OperatorError(judged.code, judged.why, judged.hint)
      const { adoption } = judged
      const { problems, warnings } = parseConfig(adoption.yaml, 'holdfast.yaml')
      if (problems.length > 0)
        throw new OperatorError(
          'HF916',
          problems.map(({ path, message, accepted }) => `${path}: ${message}${accepted === undefined ? '' : ` (${accepted})`}`).join('; '),
          'mend the pair, or name what is meant: --name, --vip, --reader-vip, and --name of `look` for a host',
        )
      const written = options.outDir === undefined || adoption.stops.length > 0 ? [] : await write(options.outDir, options.name, adoption)
      process.stdout.write(
        options.json === true ? `${JSON.stringify(inJson(adoption, warnings, written), null, 2)}\n` : drawAdoption(adoption, warnings, written),
      )
      if (adoption.stops.length > 0) process.exitCode = 1
    })
}

async function foundIn(file: string): Promise<HostFound> {
  let value: unknown
  try {
    value = JSON.parse(await readFile(file, 'utf8'))
  } catch (error) {
    throw new OperatorError(
      'HF910',
      `${file} ${error instanceof SyntaxError ? 'is not what `holdfast adopt look` writes' : failureOf(error)}`,
      'name the files that `look` has written',
      2,
    )
  }
  if (!isHostFound(value))
    throw new OperatorError('HF910', `${file} is not what \`holdfast adopt look\` of this version writes`, 'look again on that host, with this version', 2)
  return value
}

/** Nothing that is there is written over: it may be what a group runs with. */
async function write(dir: string, name: string, { yaml, pair }: Adoption): Promise<readonly string[]> {
  const password = pair.primary.found.passwords.own
  const files = [
    ['holdfast.yaml', yaml, 0o640],
    ['secret', `${randomBytes(32).toString('hex')}\n`, 0o600],
    ...(password === null ? [] : ([[passwordFileName(name), `${password}\n`, 0o600]] as const)),
  ] as const
  const written: string[] = []
  try {
    await mkdir(dir, { recursive: true, mode: 0o700 })
    for (const [file, text, mode] of files) {
      await writeFile(join(dir, file), text, { mode, flag: 'wx' })
      written.push(join(dir, file))
    }
  } catch (error) {
    const there = (error as NodeJS.ErrnoException).code === 'EEXIST'
    throw new OperatorError(
      'HF917',
      there ? `${dir} has such files already` : `${dir} ${failureOf(error)}`,
      '--out-dir names a folder that is empty, or not there yet',
    )
  }
  return written
}

function inJson({ pair, findings, stops, yaml, takeover }: Adoption, warnings: readonly string[], written: readonly string[]): object {
  const { primary, replica, vip, reader } = pair
  const brief = ({ name, ip, interface: device, found: { redis } }: Adoption['pair']['primary']): object => ({
    host: name,
    ip,
    interface: device,
    version: redis.version,
    runId: redis.runId,
    keys: redis.keys,
    offset: redis.offset,
  })
  return { may: stops.length === 0, primary: brief(primary), replica: brief(replica), vip, reader, findings, yaml, warnings, ...takeover, written }
}
