/**
 * The data directory of a redis, looked at before it starts: which files there are, who wrote them, where they stand. Reads a header
 * and a tail, never a whole file. Read-only; what is to become of it is decided in decide/disk.ts.
 */
import { open, readFile, stat } from 'node:fs/promises'
import type { AofSeen, DataDir, RdbSeen } from '../model/disk.ts'
import { endsWell, parseRdbHeader, rdbHeaderBytes, rdbTailBytes } from '../redis/rdb-header.ts'

/** The names that every redis.conf of Holdfast has. */
export const rdbName = 'dump.rdb'
export const aofDirName = 'appendonlydir'
export const oldAofName = 'appendonly.aof'

const maxManifestBytes = 65_536

export async function observeDataDir(dir: string): Promise<DataDir> {
  const [rdb, aof] = await Promise.all([seeRdb(`${dir}/${rdbName}`), seeAof(dir)])
  return { rdb, aof }
}

async function seeRdb(file: string): Promise<RdbSeen | null> {
  const seen = await ends(file)
  if (seen === null) return null
  if (!seen.ok) return { ok: false, bytes: 0, why: seen.why }
  const { bytes, head, tail } = seen
  const header = parseRdbHeader(head)
  if (!header.ok) return { ok: false, bytes, why: header.why }
  if (!endsWell(tail)) return { ok: false, bytes, why: 'it is torn: its end is missing' }
  const { format, writtenBy, savedAtS, replid, offset, empty, fields } = header.value
  return { ok: true, bytes, format, writtenBy, savedAtS, replid, offset, empty, fields }
}

/**
 * Without a manifest there is no AOF for redis 7, whatever lies in its folder: it begins an empty one. The identity of an AOF is the
 * header of its base, because names and sizes come again.
 */
async function seeAof(dir: string): Promise<AofSeen | null> {
  const old = await ends(`${dir}/${oldAofName}`)
  let text: string
  try {
    const file = `${dir}/${aofDirName}/${oldAofName}.manifest`
    if ((await stat(file)).size > maxManifestBytes) return { ok: false, bytes: 0, why: 'its manifest is no manifest' }
    text = await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return { ok: false, bytes: 0, why: (error as Error).message }
    return old === null ? null : singleFile(old)
  }
  const files = parts(text)
  if (files === null) return { ok: false, bytes: 0, why: 'its manifest is torn or no manifest' }
  let bytes = 0
  let base = ''
  let empty = true
  for (const { name, kind } of files) {
    const seen = await ends(`${dir}/${aofDirName}/${name}`)
    if (seen === null) return { ok: false, bytes, why: `${name} stands in its manifest and is missing` }
    if (!seen.ok) return { ok: false, bytes, why: seen.why }
    bytes += seen.bytes
    const header = kind === 'b' ? parseRdbHeader(seen.head) : null
    // A base of the older form is a list of commands. An RDB that is none would be read as such, and end redis.
    if (header?.ok === false && name.endsWith('.rdb')) return { ok: false, bytes, why: `${name}: ${header.why}` }
    if (header?.ok === true && name.endsWith('.rdb') && !endsWell(seen.tail)) return { ok: false, bytes, why: `${name} is torn: its end is missing` }
    if (kind === 'b') base = `${name} ${header?.ok === true ? header.value.fields : ''}`
    if (header?.ok === true ? !header.value.empty : seen.bytes > 0) empty = false
  }
  return { ok: true, bytes, base, empty }
}

function singleFile(seen: Ends): AofSeen {
  if (!seen.ok) return { ok: false, bytes: 0, why: seen.why }
  const header = parseRdbHeader(seen.head)
  return { ok: true, bytes: seen.bytes, base: header.ok ? header.value.fields : oldAofName, empty: seen.bytes === 0 }
}

/** `file NAME seq N type b|h|i`; h is history, which redis deletes. null: not a manifest. */
function parts(text: string): readonly { readonly name: string; readonly kind: string }[] | null {
  const lines = text.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'))
  const found = lines.map((line) => /^file (\S+) seq \d+ type ([bhi])\s*$/.exec(line))
  if (lines.length === 0 || found.some((match) => match === null || (match[1] ?? '').includes('/'))) return null
  return found.flatMap((match) => (match?.[2] === 'h' ? [] : [{ name: match?.[1] ?? '', kind: match?.[2] ?? '' }]))
}

type Ends = { readonly ok: true; readonly bytes: number; readonly head: Buffer; readonly tail: Buffer } | { readonly ok: false; readonly why: string }

/** null: no such file. */
async function ends(file: string): Promise<Ends | null> {
  try {
    const handle = await open(file, 'r')
    try {
      const { size } = await handle.stat()
      const read = async (from: number, length: number): Promise<Buffer> => {
        const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, from)
        return buffer.subarray(0, bytesRead)
      }
      return { ok: true, bytes: size, head: await read(0, rdbHeaderBytes), tail: await read(Math.max(0, size - rdbTailBytes), rdbTailBytes) }
    } finally {
      await handle.close()
    }
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? null : { ok: false, why: (error as Error).message }
  }
}
