/** The configuration of a lab lies elsewhere than yours: what yours names beside itself is still found. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { prepareFiles } from '../../src/lab/files.ts'

let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'holdfast-lab-files-'))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

test("the key and the directory of the backups are named beside the configuration: each host's copy names the same ones", async () => {
  await mkdir(join(dir, 'store'))
  await writeFile(join(dir, 'backup.key'), 'ab'.repeat(32), { mode: 0o600 })
  await writeFile(join(dir, 'secret'), 'ab'.repeat(32), { mode: 0o600 })
  await writeFile(
    join(dir, 'holdfast.yaml'),
    `api: { secret_file: secret }
hosts:
  red-a: { ip: 10.0.0.1, interface: eth0 }
  red-b: { ip: 10.0.0.2, interface: eth0 }
groups:
  cache: { members: [red-a, red-b], vip: 10.0.0.9/24, backup: { directory: store, encryption_key_file: backup.key } }
`,
  )
  const { config, writeFor } = await prepareFiles(join(dir, 'holdfast.yaml'), join(dir, 'lab'))
  expect(config.groups['cache']?.backup).toMatchObject({
    store: { kind: 'directory', path: join(dir, 'store') },
    encryptionKeyFile: join(dir, 'backup.key'),
  })
  await writeFor('red-a')
  expect(await readFile(join(dir, 'lab', 'red-a', 'holdfast.yaml'), 'utf8')).toContain(join(dir, 'backup.key'))
})
