/** The files of an old pair: redis.conf and keepalived.conf with what they include, and the scripts that keepalived calls. Reads only; what cannot be read is said. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join } from 'node:path'
import type { HostFound, RedisLine, ScriptFound } from '../adopt/found.ts'
import { includesOf, parseKeepalived, withIncluded, type ConfNode } from '../adopt/keepalived-conf.ts'
import { vrrpSetupOf } from '../adopt/vrrp.ts'
import { failureOf } from '../config/files.ts'
import { OperatorError } from '../model/error.ts'
import { readConf } from '../render/redis-directives.ts'

/** A file of a person, and no dataset. */
const maxBytes = 1024 * 1024
/** Files that include each other. */
const maxDepth = 8

async function textOf(file: string, option: string): Promise<string> {
  try {
    const { size } = await stat(file)
    if (size > maxBytes) throw new OperatorError('HF910', `${file} is larger than ${maxBytes} bytes`, `${option} FILE names another one`)
    return await readFile(file, 'utf8')
  } catch (error) {
    if (error instanceof OperatorError) throw error
    throw new OperatorError('HF910', `${file} ${failureOf(error)}`, `${option} FILE names another one; run the command as root`)
  }
}

export async function redisConfOf(file: string): Promise<HostFound['redisConf']> {
  const unread: string[] = []
  const lines = await redisLines(file, await textOf(file, '--redis-conf'), unread, 0)
  return { file, lines, unread }
}

async function redisLines(file: string, text: string, unread: string[], depth: number): Promise<readonly RedisLine[]> {
  const conf = readConf(text)
  const [broken] = conf.broken
  if (broken !== undefined)
    throw new OperatorError('HF913', `${file}:${broken.line}: ${broken.why}`, 'redis itself would not start with it: mend the line, and look again')
  const all: RedisLine[] = []
  for (const { directive, args } of conf.lines) {
    if (directive !== 'include') all.push([directive, ...args])
    else for (const one of await included(args[0] ?? '', file, unread, depth)) all.push(...(await redisLines(one.file, one.text, unread, depth + 1)))
  }
  return all
}

export async function keepalivedConfOf(file: string): Promise<NonNullable<HostFound['keepalivedConf']>> {
  const unread: string[] = []
  const nodes = await keepalivedNodes(file, await textOf(file, '--keepalived-conf'), unread, 0)
  if (!nodes.some(({ words }) => words[0] === 'vrrp_instance') && unread.length === 0)
    throw new OperatorError(
      'HF913',
      `${file} has no vrrp_instance`,
      'name the file that keepalived runs with (--keepalived-conf FILE; ps shows its -f), or --no-keepalived where there is none',
    )
  return { file, nodes, unread }
}

async function keepalivedNodes(file: string, text: string, unread: string[], depth: number): Promise<readonly ConfNode[]> {
  const { nodes, problems } = parseKeepalived(text)
  if (problems.length > 0)
    throw new OperatorError(
      'HF913',
      `${file}: ${problems.join('; ')}`,
      'keepalived reads such a file as something else than was meant: mend it (keepalived -t), and look again',
    )
  const found = new Map<string, readonly ConfNode[]>()
  for (const named of includesOf(nodes)) {
    const its: ConfNode[] = []
    for (const one of await included(named, file, unread, depth)) its.push(...(await keepalivedNodes(one.file, one.text, unread, depth + 1)))
    found.set(named, its)
  }
  return withIncluded(nodes, (named) => found.get(named) ?? [])
}

/** The files of an `include`, in the order of their names; `*` and `?` in the last part. */
async function included(named: string, from: string, unread: string[], depth: number): Promise<readonly { readonly file: string; readonly text: string }[]> {
  const path = isAbsolute(named) ? named : join(dirname(from), named)
  const found: { readonly file: string; readonly text: string }[] = []
  try {
    if (depth >= maxDepth) throw new Error('too many files that include each other')
    const pattern = /[*?]/.test(basename(path))
      ? new RegExp(
          `^${basename(path)
            .replace(/[.+^${}()|[\]\\]/g, '\\$&')
            .replace(/\*/g, '.*')
            .replace(/\?/g, '.')}$`,
        )
      : null
    const files =
      pattern === null
        ? [path]
        : (await readdir(dirname(path)))
            .filter((one) => pattern.test(one))
            .sort()
            .map((one) => join(dirname(path), one))
    for (const file of files) found.push({ file, text: await readFile(file, 'utf8') })
  } catch {
    unread.push(path)
  }
  return found
}

/** Of each command its text, where one of its words is a file that holds text. */
export async function scriptsOf(nodes: readonly ConfNode[]): Promise<readonly ScriptFound[]> {
  const { instances } = vrrpSetupOf(nodes)
  const commands = new Set(instances.flatMap(({ checks, notifies }) => [...checks, ...notifies].map(({ command }) => command)))
  return Promise.all([...commands].map(scriptOf))
}

async function scriptOf(command: string): Promise<ScriptFound> {
  const files = command.split(/\s+/).filter((word) => isAbsolute(word))
  let why = 'it names no file'
  for (const file of files) {
    try {
      const { size } = await stat(file)
      const text = size > maxBytes ? '\0' : await readFile(file, 'utf8')
      // A program, such as redis-cli or sh.
      if (text.includes('\0')) why = `${file} is no script`
      else return { command, text, why: '' }
    } catch (error) {
      why = `${file} ${failureOf(error)}`
    }
  }
  return { command, text: null, why }
}
