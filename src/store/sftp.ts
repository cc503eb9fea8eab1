/**
 * Backups on an SSH server. A file is written beside its name, synced where the server can, and renamed, so a crash leaves a `.part` at the
 * most; those of writers that are gone are removed by whoever lists. One connection for all; a new one when it is lost, for the next order.
 */
import { randomBytes } from 'node:crypto'
import { posix } from 'node:path'
import { assert } from '../model/assert.ts'
import type { Observed } from '../model/outcome.ts'
import { given, InWords, patience, Silent, tidied, whole, within, type Patience } from './patience.ts'
import { filesOf, Refused, status, type Files, type Handle } from './sftp-files.ts'
import { connect, readLogin, serverOf, type Connection, type Login, type SftpConfig } from './ssh.ts'
import { byName, isName, partSuffix, type Store, type StoredObject } from './store.ts'

/** Nobody writes to a part for so long without having ended. */
const abandonedMs = 24 * 3_600_000

const foldersAtOnce = 16

/** Less than that is none: a server says only "failure" when its disk is full. */
const fullBytes = 1024 * 1024

export async function openSftp(config: SftpConfig, patient: Patience = patience): Promise<Observed<Store>> {
  const login = await readLogin(config)
  return login.ok ? { ok: true, value: storeOf(login.value, patient) } : login
}

function storeOf(login: Login, patient: Patience): Store {
  const { config } = login
  const { path: root } = config
  const { silentMs } = patient
  const line = lineTo(login, patient)
  const failed = (error: unknown): string => {
    // What was asked may still be carried out some time: not on a connection that others use.
    if (error instanceof Silent) line.drop()
    return words(error, config)
  }
  const tried = async <T>(signal: AbortSignal | undefined, work: (files: Files) => Promise<T>): Promise<Observed<T>> => {
    try {
      const { sftp } = await within(null, signal, line.connection())
      const files = filesOf(sftp, silentMs, signal)
      await files.stat(root)
      return { ok: true, value: await work(files) }
    } catch (error) {
      return { ok: false, why: signal?.aborted === true ? (signal.reason as Error).message : failed(error) }
    }
  }
  const pathOf = (name: string): string => {
    assert(isName(name), `a name in a store: ${name}`)
    return posix.join(root, name)
  }
  return {
    where: `sftp://${config.user}@${serverOf(config)}${root.startsWith('/') ? '' : '/~/'}${root}`,
    list: (under, signal) => tried(signal, async (files) => (await filesBelow(files, root, under === '' ? root : pathOf(under))).sort(byName)),
    put: (name, chunks, signal) => tried(signal, (files) => put(files, root, pathOf(name), given(chunks, signal))),
    get: (name, signal) =>
      tried(signal, async (files) => {
        const handle = await files.open(pathOf(name))
        const hangUp = (): void => void tidied(handle.letGo())
        try {
          const bytes = await handle.bytes()
          return whole(handle.read(bytes), { bytes, silentMs, signal, inWords: failed, hangUp })
        } catch (error) {
          hangUp()
          throw error
        }
      }),
    remove: (name, signal) =>
      tried(signal, async (files) => {
        await unless(status.missing, files.remove(pathOf(name)))
        await removeEmpty(files, root, posix.dirname(pathOf(name)))
        return null
      }),
    close: async () => line.drop(),
  }
}

interface Line {
  readonly connection: () => Promise<Connection>
  readonly drop: () => void
}

function lineTo(login: Login, patient: Patience): Line {
  let connecting: Promise<Connection> | null = null
  let open: Connection | null = null
  return {
    connection: () => {
      if (open?.isLost() === true) [open, connecting] = [null, null]
      connecting ??= connect(login, patient).then(
        (made) => (open = made),
        (error: unknown) => {
          connecting = null
          throw error
        },
      )
      return connecting
    },
    drop: () => {
      void connecting?.then((made) => made.drop()).catch(() => undefined)
      ;[open, connecting] = [null, null]
    },
  }
}

function words(thrown: unknown, config: SftpConfig): string {
  const [server, root] = [serverOf(config), config.path]
  if (thrown instanceof InWords) return thrown.message
  if (thrown instanceof Silent) return `${server} hangs: ${thrown.message}`
  if (!(thrown instanceof Refused)) {
    const { message } = thrown as Error
    return /No response from server|Not connected|[Cc]hannel/.test(message) ? `the connection to ${server} broke in the middle` : `${server}: ${message}`
  }
  const { path } = thrown
  if (thrown.status === status.missing)
    return path === root ? `there is no directory ${root} on ${server} (a disk that is not mounted there?)` : `${path} is not there`
  if (thrown.status === status.denied) return `${config.user} has no permission for ${path} on ${server}`
  if (thrown.status === status.readOnly) return `${root} on ${server} is mounted read-only`
  if (thrown.status === status.full || thrown.status === status.quota) return noSpace(root)
  return `${server} refuses ${path} and does not say why (${thrown.message}): a quota, or a file where a folder is wanted?`
}

function noSpace(root: string): string {
  return `no space is left in ${root} on the server`
}

async function put(files: Files, root: string, path: string, chunks: AsyncIterable<Buffer>): Promise<null> {
  const part = `${path}.${randomBytes(4).toString('hex')}${partSuffix}`
  let handle: Handle | null = null
  try {
    await makeFolders(files, root, posix.dirname(path))
    handle = await files.create(part)
    await handle.write(chunks)
    await handle.sync()
    await handle.close()
    await files.rename(part, path)
    return null
  } catch (error) {
    // Asked before the part is given back: then there would be space.
    const isFull = error instanceof Refused && error.status === status.failure && ((await files.freeBytes(root)) ?? fullBytes) < fullBytes
    // Whoever says nothing any more is not asked to tidy up.
    if (handle !== null && !(error instanceof Silent)) {
      const closed = handle.letGo().catch(() => undefined)
      await tidied(closed.then(() => files.discard(part)))
    }
    throw isFull ? new InWords(noSpace(root)) : error
  }
}

/** Passes where the server refuses for that reason. */
async function unless(reason: number, work: Promise<void>): Promise<void> {
  await work.catch((error: unknown) => {
    if (!(error instanceof Refused && error.status === reason)) throw error
  })
}

/** Each one, from above. That it is there already is told as a mere failure: so it is looked whether it is. */
async function makeFolders(files: Files, root: string, dir: string): Promise<void> {
  const names = posix
    .relative(root, dir)
    .split('/')
    .filter((name) => name !== '')
  for (let n = 1; n <= names.length; n++) {
    const path = posix.join(root, ...names.slice(0, n))
    await files.makeFolder(path).catch(async (error: unknown) => {
      const found = await files.stat(path).catch(() => null)
      if (found?.isDirectory() !== true) throw error
    })
  }
}

async function removeEmpty(files: Files, root: string, dir: string): Promise<void> {
  for (let at = dir; at !== root && at !== posix.dirname(at); at = posix.dirname(at)) {
    try {
      await files.removeFolder(at)
    } catch {
      return
    }
  }
}

async function filesBelow(files: Files, root: string, top: string): Promise<StoredObject[]> {
  const found: StoredObject[] = []
  const folders = [top]
  while (folders.length > 0) {
    const looked = await Promise.all(folders.splice(0, foldersAtOnce).map(async (dir) => ({ dir, entries: await entriesOf(files, root, dir) })))
    for (const { dir, entries } of looked) {
      for (const { filename, attrs } of entries) {
        const path = posix.join(dir, filename)
        const name = posix.relative(root, path)
        if (attrs.isDirectory()) folders.push(path)
        else if (filename.endsWith(partSuffix)) await removeAbandoned(files, path, attrs.mtime * 1000)
        else if (attrs.isFile() && isName(name)) found.push({ name, bytes: attrs.size })
      }
    }
  }
  return found
}

/** A folder that somebody has removed meanwhile is empty. */
async function entriesOf(files: Files, root: string, dir: string): ReturnType<Files['folder']> {
  return files.folder(dir).catch((error: unknown) => {
    if (dir !== root && error instanceof Refused && error.status === status.missing) return []
    throw error
  })
}

/** Somebody else's cannot be removed, and is no reason to list nothing. */
async function removeAbandoned(files: Files, part: string, changedMs: number): Promise<void> {
  if (Date.now() - changedMs > abandonedMs) await files.remove(part).catch(() => undefined)
}
