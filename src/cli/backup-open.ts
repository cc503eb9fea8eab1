/**
 * The store of a group, with its key: what every `backup` command and `restore` begin with. Asks no agent, and needs no secret: they run
 * on whatever machine has the configuration, the key and a way to the store, also when all hosts of the group have burned.
 */
import { alarmsOf, latest, listed, type Backup, type Catalog } from '../backup/catalog.ts'
import type { Manifest } from '../backup/manifest.ts'
import { isCopy } from '../backup/over-copy.ts'
import { readBackupKey } from '../config/backup-files.ts'
import { loadConfig } from '../config/load.ts'
import { scheduleAt } from '../config/schedule.ts'
import { readCatalog } from '../dump/catalog.ts'
import { keyId } from '../dump/seal.ts'
import { readStream, type StreamStored } from '../dump/stream.ts'
import type { BackupConfig, Config, GroupConfig } from '../model/config.ts'
import { OperatorError } from '../model/error.ts'
import { openStore } from '../store/open.ts'
import type { Store } from '../store/store.ts'
import { groupOf } from './ask.ts'

export interface Vault {
  readonly config: Config
  readonly group: GroupConfig
  readonly backup: BackupConfig
  readonly store: Store
  /** null: none is configured, or it cannot be read (`keyWhy`). */
  readonly key: Buffer | null
  readonly keyWhy: string
  readonly signal: AbortSignal
  readonly close: () => Promise<void>
}

/** `keyFile`: instead of the one of the configuration, for backups of an earlier key. `signal`: Ctrl-C. */
export async function openVault(file: string, name: string, signal: AbortSignal, keyFile?: string): Promise<Vault> {
  const { config } = await loadConfig(file)
  const group = groupOf({ config }, name)
  const { backup } = group
  if (backup === undefined)
    throw new OperatorError('HF811', `${name} has no backup section in ${config.file}`, 'add one: where they go is enough, see docs/backup.md', 2)
  const from = keyFile ?? backup.encryptionKeyFile
  const read = from === undefined ? null : await readBackupKey(from)
  if (keyFile !== undefined && read?.ok === false) throw new OperatorError('HF813', read.why, 'name the file that holds the key with --key-file')
  const opened = await openStore(backup.store)
  if (!opened.ok) throw new OperatorError('HF814', `the store of ${name}: ${opened.why}`, 'mend that, and run the same command again')
  return {
    config,
    group,
    backup,
    store: opened.value,
    key: read?.ok === true ? read.value : null,
    keyWhy: read === null ? 'no encryption_key_file is configured' : read.ok ? '' : read.why,
    signal,
    close: opened.value.close,
  }
}

/** Opens it for one command. Ctrl-C ends the command where it can be ended; who asks again does not want to wait for that. */
export async function withVault(
  command: { readonly optsWithGlobals: () => unknown },
  group: string,
  work: (vault: Vault) => Promise<void>,
  keyFile?: string,
): Promise<void> {
  const { config } = command.optsWithGlobals() as { readonly config: string }
  const interrupt = new AbortController()
  const abort = (): void => {
    if (interrupt.signal.aborted) process.exit(130)
    interrupt.abort()
  }
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, abort)
  try {
    const vault = await openVault(config, group, interrupt.signal, keyFile)
    try {
      await work(vault)
    } finally {
      await vault.close()
    }
  } finally {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.off(name, abort)
  }
}

export async function catalogIn({ store, group, signal, key }: Vault): Promise<Catalog> {
  const read = await readCatalog(store, group.name, signal, key)
  if (!read.ok) throw new OperatorError('HF814', `${store.where}: ${read.why}`, 'mend that, and run the same command again')
  return read.value
}

/** Also where none is configured: it may have been. */
export async function streamIn({ store, group, signal, key }: Vault): Promise<StreamStored> {
  const read = await readStream(store, group.name, key, signal)
  if (!read.ok) throw new OperatorError('HF814', `${store.where}: ${read.why}`, 'mend that, and run the same command again')
  return read.value
}

/**
 * By its id, a beginning of it that no other has, or `latest`: the youngest good one, never a copy that `restore --over` has kept. `untested`: `latest`
 * may be one that was not tested yet.
 */
export function findBackup(catalog: Catalog, wanted: string, untested = false): Backup {
  const { group, backups, others } = catalog
  const list = `holdfast backup list ${group}`
  if (wanted === 'latest') {
    const last = latest(catalog, untested ? ['good', 'untested'] : ['good'], Date.now())
    if (last !== null) return last
    throw noneLatest(catalog, list)
  }
  const found = wanted === '' ? [] : backups.filter(({ manifest }) => manifest.id.startsWith(wanted))
  const aside = wanted === '' ? [] : others.filter(({ id }) => id.startsWith(wanted))
  const [one] = found
  if (found.length + aside.length > 1)
    throw new OperatorError(
      'HF812',
      `several begin with ${wanted}: ${[...found.map(({ manifest }) => manifest.id), ...aside.map(({ id }) => id)].slice(0, 5).join(', ')}`,
      list,
    )
  if (aside[0] !== undefined) throw new OperatorError('HF816', `${aside[0].id} is no backup that can be used: ${aside[0].why}`, list)
  if (one === undefined) throw new OperatorError('HF812', `${group} has no backup ${wanted}`, list)
  return one
}

function noneLatest({ group, backups }: Catalog, list: string): OperatorError {
  const own = backups.filter(({ manifest }) => !isCopy(manifest))
  const copies = backups.flatMap(({ manifest }) => (isCopy(manifest) ? [manifest.id] : []))
  const waiting = own.filter(({ state }) => state === 'untested').length
  const beside = copies.length === 0 ? '' : `; latest is never what restore --over has kept of a state that was to go: ${listed(copies)}`
  const byName = copies.length === 0 ? list : `${list}; to go back to a copy, name its id`
  return new OperatorError(
    'HF815',
    `${group} has no good backup (${own.length} in all, ${waiting} untested)${beside}`,
    waiting > 0 ? `holdfast backup test ${group} --untested` : byName,
  )
}

/** The key for this one; null: it is not encrypted. Throws where it is not the one that is needed. */
export function keyFor({ encryption, id }: Manifest, { key, keyWhy, backup }: Vault): Buffer | null {
  if (encryption === null) return null
  if (key !== null && keyId(key) === encryption.keyId) return key
  const given = key === null ? keyWhy : `the one given is ${keyId(key)}`
  throw new OperatorError(
    'HF813',
    `${id} is encrypted with the key ${encryption.keyId}; ${given}`,
    `bring the file with that key${backup.encryptionKeyFile === undefined ? '' : `, as ${backup.encryptionKeyFile}`}, or name it: --key-file FILE`,
  )
}

export function dueEveryMs({ schedule }: BackupConfig, nowWallMs: number): number {
  return schedule === null ? Number.POSITIVE_INFINITY : scheduleAt(schedule, nowWallMs).everyMs
}

export function alarmsIn(vault: Vault, catalog: Catalog, nowWallMs: number): readonly string[] {
  return alarmsOf(catalog, { dueEveryMs: dueEveryMs(vault.backup, nowWallMs), encrypted: vault.backup.encryptionKeyFile !== undefined }, nowWallMs)
}
