/** What is wrong between the keys of a group's backups, and what they will not do although it looks so. */
import type { GroupConfig } from '../model/config.ts'
import type { Checked } from './checked.ts'
import type { Finding } from './problem.ts'

const stores = ['directory', 's3', 'sftp'] as const

const needed: Readonly<Record<(typeof stores)[number], readonly string[]>> = {
  directory: [],
  s3: ['bucket'],
  sftp: ['host', 'user', 'path', 'known_hosts_file'],
}

export function checkBackup(checked: Checked, group: GroupConfig): readonly Finding[] {
  const path = ['groups', group.name, 'backup']
  if (!checked.has(path) || checked.kindOf(path) !== 'map') return []
  return [...checkStore(checked, path), ...checkStream(group, path)]
}

function checkStream({ backup }: GroupConfig, path: readonly string[]): readonly Finding[] {
  if (backup?.stream == null || backup.schedule !== null) return []
  const message = 'what is archived is restored on top of a backup, and with `schedule: false` none is made: neither the first one nor one behind a gap'
  return [{ path: [...path, 'stream'], message, accepted: 'with a `schedule`, such as "0 * * * *"', atKey: true }]
}

function checkStore({ has, kindOf }: Checked, path: readonly string[]): readonly Finding[] {
  const written = stores.filter((store) => has([...path, store]))
  const [first, second] = written
  const accepted = 'exactly one of directory, s3, sftp'
  if (first === undefined) return [{ path, message: 'does not say where backups go', accepted, atKey: true }]
  if (second !== undefined) return [{ path: [...path, second], message: `beside \`${first}\``, accepted, atKey: true }]
  const at = [...path, first]
  if (first !== 'directory' && kindOf(at) !== 'map') return []
  const missing = needed[first]
    .filter((key) => !has([...at, key]))
    .map((key): Finding => {
      const accepted =
        key === 'known_hosts_file'
          ? 'the keys of the server, so that nobody else can pass for it: ssh-keyscan HOST, compared with what its owner says'
          : undefined
      return { path: at, message: `\`${key}\` is missing`, accepted, atKey: true }
    })
  const signsIn = first !== 'sftp' || has([...at, 'key_file']) || has([...at, 'password_file'])
  return signsIn ? missing : [...missing, { path: at, message: 'nothing to sign in with', accepted: '`key_file` or `password_file`', atKey: true }]
}

export function warningsOfBackup({ name, backup }: GroupConfig): readonly Finding[] {
  if (backup === undefined) return []
  const path = ['groups', name, 'backup']
  const found: Finding[] = []
  const { store, keep, test, encryptionKeyFile } = backup
  if (store.kind === 's3' && store.endpoint?.startsWith('http:') === true && encryptionKeyFile === undefined)
    found.push({ path: [...path, 's3', 'endpoint'], message: 'the data cross the network in plain text: https, or an `encryption_key_file`' })
  if (!test)
    found.push({
      path: [...path, 'test'],
      message:
        'no backup counts as good before a redis has loaded it: without the test none is ever removed, and the alarm stays. `holdfast backup test` does it by hand',
    })
  if (test && Math.max(...Object.values(keep)) === 0)
    found.push({ path: [...path, 'keep'], message: 'no period is kept: each good backup takes the place of the one before', atKey: true })
  return found
}
