/**
 * The configuration files of a lab: the user's own YAML, once per host, with only what must differ changed (state and run
 * directories; secrets that do not exist are made). Comments, order and unknown keys stay, so what a lab runs is what the
 * user wrote. It never writes outside the lab's directory and never changes a file of the user's.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { type Document, isMap, parseDocument } from 'yaml'
import { loadConfig } from '../config/load.ts'
import type { Config } from '../model/config.ts'
import { exists } from './record.ts'

export interface LabFiles {
  /** As the hosts will load it. */
  readonly config: Config
  readonly notes: readonly string[]
  /** Writes NODE/holdfast.yaml for one host or client. */
  readonly writeFor: (node: string) => Promise<void>
}

/** Reads the configuration, makes what it names but lacks, and checks the result by loading it as an agent would. */
export async function prepareFiles(configFile: string, labDir: string): Promise<LabFiles> {
  // First as it is: what is wrong with it is told with the user's own file, line and column.
  await loadConfig(configFile)
  const document = parseDocument(await readFile(configFile, 'utf8'))
  const notes = await absolutePaths(document, dirname(resolve(configFile)), labDir)
  const writeFor = async (node: string): Promise<void> => {
    const copy = document.clone() as Document
    copy.setIn(['paths', 'state'], join(labDir, node, 'state'))
    copy.setIn(['paths', 'run'], join(labDir, node, 'run'))
    await mkdir(join(labDir, node), { recursive: true })
    await writeFile(join(labDir, node, 'holdfast.yaml'), copy.toString())
  }
  await writeFor('client')
  const { config, warnings } = await loadConfig(join(labDir, 'client', 'holdfast.yaml'))
  return { config, notes: [...notes, ...warnings], writeFor }
}

/** Below a group: files that a lab cannot make. A backup that looks for its key beside the copy of a host would fail on all of them. */
const namedFiles: readonly (readonly string[])[] = [
  ['redis_conf'],
  ['backup', 'directory'],
  ['backup', 'encryption_key_file'],
  ['migration', 'hook'],
  ['backup', 's3', 'credentials_file'],
  ['backup', 'sftp', 'key_file'],
  ['backup', 'sftp', 'password_file'],
  ['backup', 'sftp', 'known_hosts_file'],
]

/** Changes `document`: every named file becomes absolute (the copy lies elsewhere), and missing secrets are made. */
async function absolutePaths(document: Document, base: string, labDir: string): Promise<string[]> {
  const notes: string[] = []
  const provide = async (path: readonly string[], name: string, what: string): Promise<void> => {
    const given = document.getIn(path)
    const file = typeof given === 'string' ? resolve(base, given) : undefined
    if (file !== undefined && (await exists(file))) {
      document.setIn(path, file)
      return
    }
    const own = join(labDir, name)
    await writeFile(own, `${randomBytes(24).toString('hex')}\n`, { mode: 0o600 })
    document.setIn(path, own)
    notes.push(`${what} ${file === undefined ? 'is not named' : `${file} does not exist`}: the lab uses its own, ${own}`)
  }
  await provide(['api', 'secret_file'], 'api.secret', 'the secret file')
  const groups = document.get('groups')
  for (const pair of isMap(groups) ? groups.items : []) {
    const group = String(pair.key)
    const own = ['groups', group]
    if (document.hasIn([...own, 'password_file'])) {
      await provide([...own, 'password_file'], `${group.replace(/[^\w.-]/g, '_')}.password`, `the password file of ${group}`)
    }
    const ofSentinels = [...own, 'sentinel', 'password_file']
    if (document.hasIn(ofSentinels)) {
      await provide(ofSentinels, `${group.replace(/[^\w.-]/g, '_')}.sentinel-password`, `the password file of the Sentinels of ${group}`)
    }
    for (const named of namedFiles) {
      const given = document.getIn([...own, ...named])
      if (typeof given === 'string') document.setIn([...own, ...named], resolve(base, given))
    }
  }
  return notes
}
