/**
 * The files that a configuration names: the secret, the passwords, the users' redis.conf. Read on demand and never kept, so
 * that a changed password counts at the next use. Must not put what they hold into any message.
 */
import { open } from 'node:fs/promises'
import type { Config, GroupConfig } from '../model/config.ts'
import { OperatorError } from '../model/error.ts'
import type { PasswordOf } from '../model/password.ts'
import { maxFileBytes, minSecretBytes } from './defaults.ts'
import type { Finding, KeyPath } from './problem.ts'

type Content = { readonly ok: true; readonly text: string; readonly mode: number } | { readonly ok: false; readonly why: string; readonly hint: string }

export interface FileFindings {
  readonly problems: readonly Finding[]
  readonly warnings: readonly Finding[]
}

export async function readSecret(config: Config): Promise<string> {
  return textOf(config.api.secretFile, 'secret', await secretContent(config.api.secretFile))
}

/** A secret that is to take the place of another. */
export async function readNewSecret(file: string): Promise<string> {
  return textOf(file, 'new secret', await secretContent(file))
}

/** undefined: the group has no password. */
export async function readPassword(group: Pick<GroupConfig, 'name' | 'passwordFile'>): Promise<string | undefined> {
  const file = group.passwordFile
  return file === undefined ? undefined : textOf(file, `password of group ${group.name}`, await passwordContent(file))
}

/** A password that is to take the place of another. */
export async function readNewPassword(file: string, of: PasswordOf): Promise<string> {
  return textOf(file, 'new password', await (of === 'redis' ? passwordContent(file) : sentinelPasswordContent(file)))
}

/** undefined: the Sentinels of the group have no password. It is their own, not that of redis. */
export async function readSentinelPassword(group: GroupConfig): Promise<string | undefined> {
  const file = group.sentinel?.passwordFile
  return file === undefined ? undefined : textOf(file, `password of the Sentinels of group ${group.name}`, await sentinelPasswordContent(file))
}

/** undefined: the group has no redis.conf of the user's own. */
export async function readUserRedisConf(group: GroupConfig): Promise<string | undefined> {
  const file = group.redisConf
  return file === undefined ? undefined : textOf(file, `redis.conf of group ${group.name}`, await readContent(file))
}

/** Every file at once, each at the key that names it. */
export async function checkFiles(config: Config): Promise<FileFindings> {
  const problems: Finding[] = []
  const warnings: Finding[] = []
  const check = async (path: KeyPath, file: string, content: Promise<Content>, isPrivate: boolean): Promise<void> => {
    const found = await content
    if (!found.ok) problems.push({ path, message: `${file} ${found.why}`, accepted: found.hint })
    else if (isPrivate && (found.mode & 0o004) !== 0) warnings.push({ path, message: `${file} can be read by every user of this machine: chmod 600 ${file}` })
  }
  await check(['api', 'secret_file'], config.api.secretFile, secretContent(config.api.secretFile), true)
  for (const { name, passwordFile, redisConf, sentinel } of Object.values(config.groups)) {
    if (passwordFile !== undefined) await check(['groups', name, 'password_file'], passwordFile, passwordContent(passwordFile), true)
    const own = sentinel?.passwordFile
    if (own !== undefined) await check(['groups', name, 'sentinel', 'password_file'], own, sentinelPasswordContent(own), true)
    if (redisConf !== undefined) await check(['groups', name, 'redis_conf'], redisConf, readContent(redisConf), false)
  }
  return { problems, warnings }
}

function textOf(file: string, what: string, content: Content): string {
  if (content.ok) return content.text
  throw new OperatorError('HF103', `the ${what} cannot be read: ${file} ${content.why}`, content.hint, 2)
}

async function secretContent(file: string): Promise<Content> {
  const hint = `a file with at least ${minSecretBytes} bytes, the same on every host, such as: openssl rand -hex 32 > ${file} && chmod 600 ${file}`
  const content = await readPrivate(file, hint)
  if (!content.ok) return content
  return isSecret(content.text) ? content : { ok: false, why: `holds ${Buffer.byteLength(content.text)} bytes; that can be guessed`, hint }
}

/** As it would be read from a file. */
export function isSecret(text: string): boolean {
  return Buffer.byteLength(text) >= minSecretBytes
}

async function passwordContent(file: string): Promise<Content> {
  const hint = 'a file with the password on one line, mode 0600'
  const content = await readPrivate(file, hint)
  // redis.conf ends a line at a line break: what follows would be read as a directive.
  if (content.ok && !isPassword(content.text)) return { ok: false, why: 'holds a line break or control character within the password', hint }
  return content
}

/** As it would be read from a file. */
export function isPassword(text: string, of: PasswordOf = 'redis'): boolean {
  return text !== '' && !/\p{Cc}/u.test(text) && (of === 'redis' || !/[\s"']/.test(text))
}

/** A Sentinel that writes its file anew puts no quotes around it: it would not read its own file at the next start. */
async function sentinelPasswordContent(file: string): Promise<Content> {
  const content = await passwordContent(file)
  if (content.ok && !isPassword(content.text, 'sentinels')) {
    const why = 'holds a space or a quote, which a Sentinel cannot keep in its own file'
    return { ok: false, why, hint: 'a file with the password on one line, without spaces and quotes, mode 0600' }
  }
  return content
}

async function readPrivate(file: string, hint: string): Promise<Content> {
  const content = await readContent(file)
  if (!content.ok) return { ...content, hint }
  const text = content.text.replace(/\r?\n$/, '')
  return text === '' ? { ok: false, why: 'is empty', hint } : { ...content, text }
}

async function readContent(file: string): Promise<Content> {
  const hint = 'a file that this user may read'
  try {
    const handle = await open(file, 'r')
    try {
      const stat = await handle.stat()
      if (!stat.isFile()) return { ok: false, why: 'is not a file', hint }
      if (stat.size > maxFileBytes) return { ok: false, why: `is larger than ${maxFileBytes} bytes`, hint }
      const text = await handle.readFile('utf8')
      return { ok: true, text, mode: stat.mode }
    } finally {
      await handle.close()
    }
  } catch (error) {
    return { ok: false, why: failureOf(error), hint }
  }
}

export function failureOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (code === 'ENOENT' || code === 'ENOTDIR') return 'does not exist'
  if (code === 'EACCES' || code === 'EPERM') return 'may not be read by this user'
  if (code === 'EISDIR') return 'is a directory'
  return `cannot be read (${error instanceof Error ? error.message : String(error)})`
}
