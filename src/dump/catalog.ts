/**
 * Reads what lies in the store of a group. Only small papers are read, never a dataset. What is written in them is judged in
 * ../backup/catalog.ts. A store that cannot be read in part is not read at all: what is not seen must not look as if it were not there.
 */
import { catalogOf, type Catalog, type Folder, type Found } from '../backup/catalog.ts'
import { isBackupId, papers, paperName, type Paper } from '../backup/manifest.ts'
import type { Observed } from '../model/outcome.ts'
import type { Store } from '../store/store.ts'
import { allOf, readPaper, type Papers } from './paper.ts'
import { readEach } from './read-each.ts'
import { keyId } from './seal.ts'

/** `key`: of the configuration; papers of backups that another one encrypted are read, and not proven by it. */
export async function readCatalog(store: Store, group: string, signal: AbortSignal, key: Buffer | null): Promise<Observed<Catalog>> {
  const listed = await store.list(group)
  if (!listed.ok) return listed
  const sizes = new Map<string, Record<string, number>>()
  for (const { name, bytes } of listed.value) {
    if (!name.startsWith(`${group}/`)) continue
    const [folder = '', ...rest] = name.slice(group.length + 1).split('/')
    sizes.set(folder, { ...sizes.get(folder), [rest.join('/')]: bytes })
  }
  const folders = await readEach([...sizes.keys()], (id) => readFolder(store, group, id, sizes.get(id) ?? {}, key, signal), signal)
  return folders.ok ? { ok: true, value: catalogOf(group, folders.value) } : folders
}

/** null: it has been removed meanwhile. */
export async function readFolder(
  store: Store,
  group: string,
  id: string,
  bytes: Readonly<Record<string, number>>,
  key: Buffer | null,
  signal: AbortSignal,
): Promise<Observed<Folder | null>> {
  const fetched = async (paper: Paper): Promise<Buffer | null> => {
    if (!isBackupId(id) || bytes[papers[paper]] === undefined) return null
    const got = await store.get(paperName(group, id, paper), signal)
    if (!got.ok) throw new Error(got.why)
    return allOf(got.value)
  }
  const read = <P extends Paper>(paper: P, raw: Buffer | null, own: Buffer | null): Found<Papers[P]> => (raw === null ? null : readPaper(paper, raw, own))
  try {
    const raw = await fetched('manifest')
    // Which key it was written with, it says itself.
    const manifest = read('manifest', raw, null)
    const ours = key !== null && manifest?.ok === true && manifest.value.encryption?.keyId === keyId(key) ? key : null
    return {
      ok: true,
      value: {
        id,
        bytes,
        manifest: ours === null ? manifest : read('manifest', raw, ours),
        tested: read('tested', await fetched('tested'), ours),
        condemned: read('condemned', await fetched('condemned'), ours),
        held: read('held', await fetched('held'), ours),
      },
    }
  } catch (error) {
    const now = await store.list(`${group}/${id}`)
    const gone = now.ok && Object.keys(bytes).some((name) => !now.value.some((object) => object.name === `${group}/${id}/${name}`))
    // Somebody removes it at this moment. What is left of it is seen next time.
    return gone ? { ok: true, value: null } : { ok: false, why: `${group}/${id}: ${(error as Error).message}` }
  }
}
