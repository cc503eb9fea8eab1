/** The store that a configuration names. A library is loaded only by whoever has a store of its kind. Asks no server anything. */
import type { StoreConfig } from '../model/config.ts'
import type { Observed } from '../model/outcome.ts'
import { openDirectory } from './directory.ts'
import { patience, type Patience } from './patience.ts'
import type { Store } from './store.ts'

export async function openStore(config: StoreConfig, patient: Patience = patience): Promise<Observed<Store>> {
  switch (config.kind) {
    case 'directory':
      return { ok: true, value: openDirectory(config.path, patient) }
    case 's3':
      return (await import('./s3.ts')).openS3(config, patient)
    case 'sftp':
      return (await import('./sftp.ts')).openSftp(config, patient)
  }
}
