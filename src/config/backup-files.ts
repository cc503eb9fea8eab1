/**
 * The files that a group's backups need: the key that they are encrypted with, and what a store asks for. Read on demand and never kept.
 * Must not put what they hold into any message.
 */
import { open, stat, statfs } from 'node:fs/promises'
import type { GroupConfig } from '../model/config.ts'
import type { Observed } from '../model/outcome.ts'
import { maxFileBytes } from './defaults.ts'
import { failureOf, type FileFindings } from './files.ts'
import type { Finding } from './problem.ts'

const keyBytes = 32

/** statfs(2): NFS, SMB, CIFS, Ceph, FUSE (which is sshfs, s3fs and others). */
const networkFileSystems: ReadonlySet<number> = new Set([0x6969, 0xfe534d42, 0xff534d42, 0x00c36400, 0x65735546])

/** 32 bytes as they are, or 64 hex digits. A key that others can read protects nothing. */
export async function readBackupKey(file: string): Promise<Observed<Buffer>> {
  const content = await readPrivate(file)
  if (!content.ok) return content
  const bytes = content.value
  if (bytes.length === keyBytes) return { ok: true, value: bytes }
  const text = bytes.toString('latin1').trim()
  if (/^[0-9a-f]{64}$/i.test(text)) return { ok: true, value: Buffer.from(text, 'hex') }
  return { ok: false, why: `${file} holds neither ${keyBytes} bytes nor ${2 * keyBytes} hex digits` }
}

export async function checkBackupFiles({ name, backup }: GroupConfig): Promise<FileFindings> {
  if (backup === undefined) return { problems: [], warnings: [] }
  const path = ['groups', name, 'backup']
  const problems: Finding[] = []
  const { store, encryptionKeyFile } = backup
  const check = async (key: readonly string[], file: string | undefined, read: (file: string) => Promise<Observed<unknown>>, hint: string): Promise<void> => {
    if (file === undefined || file === '') return
    const found = await read(file)
    if (!found.ok) problems.push({ path: [...path, ...key], message: found.why, accepted: hint })
  }
  const hint = `such as: openssl rand -hex 32 > FILE && chmod 600 FILE, the same on every host, and a copy where the backups are not`
  await check(['encryption_key_file'], encryptionKeyFile, readBackupKey, hint)
  if (store.kind === 's3') await check(['s3', 'credentials_file'], store.credentialsFile, readPrivate, 'a file that only its owner may read')
  if (store.kind === 'sftp') {
    await check(['sftp', 'key_file'], store.keyFile, readPrivate, 'a private key that only its owner may read')
    await check(['sftp', 'password_file'], store.passwordFile, readPrivate, 'a file that only its owner may read')
    await check(['sftp', 'known_hosts_file'], store.knownHostsFile, readFile, 'lines as in ~/.ssh/known_hosts')
  }
  const warning = store.kind === 'directory' ? await goesWithTheHost(store.path) : null
  return { problems, warnings: warning === null ? [] : [{ path: [...path, 'directory'], message: warning }] }
}

async function goesWithTheHost(directory: string): Promise<string | null> {
  const found = await stat(directory).catch(() => null)
  if (found === null) return `${directory} is not there: it is not made for you, so that nothing fills the disk below one that is not mounted`
  if (!found.isDirectory()) return `${directory} is not a directory`
  if (networkFileSystems.has((await statfs(directory)).type)) return null
  return `${directory} is on a disk of this host: what lies there goes with the host, and the others do not see it. Mount another machine's disk there, or use s3 or sftp`
}

async function readPrivate(file: string): Promise<Observed<Buffer>> {
  return read(file, (mode) => ((mode & 0o077) === 0 ? null : `${file} is open to others: chmod 600 ${file}`))
}

function readFile(file: string): Promise<Observed<Buffer>> {
  return read(file, () => null)
}

async function read(file: string, refuse: (mode: number) => string | null): Promise<Observed<Buffer>> {
  try {
    const handle = await open(file, 'r')
    try {
      const found = await handle.stat()
      if (!found.isFile()) return { ok: false, why: `${file} is not a file` }
      if (found.size > maxFileBytes) return { ok: false, why: `${file} is larger than ${maxFileBytes} bytes` }
      const why = refuse(found.mode)
      if (why !== null) return { ok: false, why }
      return found.size === 0 ? { ok: false, why: `${file} is empty` } : { ok: true, value: await handle.readFile() }
    } finally {
      await handle.close()
    }
  } catch (error) {
    return { ok: false, why: `${file} ${failureOf(error)}` }
  }
}
