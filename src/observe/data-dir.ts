/**
 * The data directory of a redis, looked at before it starts: which files there are, who wrote them, where they stand. Reads a header
 * and a tail, never a whole file. Read-only; what is to become of it is decided in decide/disk.ts.
 */
import { open, readFile, readdir, stat } from 'node:fs/promises'
import type { AofSeen, DataDir, RdbSeen } from '../model/disk.ts'
import type { RedisFiles } from './redis-files.ts'
import { endsWell, parseRdbHeader, rdbHeaderBytes, rdbTailBytes } from '../redis/rdb-header.ts'

export async function observeDataDir(files: RedisFiles): Promise<DataDir> {
  const [rdb, aof, mount] = await Promise.all([seeRdb(`${files.dir}/${files.rdb}`), seeAof(files), isMount(files.dir)])
  return { rdb, aof, ...(mount ? { mount } : {}) }
}

async function isMount(dir: string): Promise<boolean> {
  const [own, above] = await Promise.all([stat(dir).catch(() => null), stat(`${dir}/..`).catch(() => null)])
  return own !== null && above !== null && own.dev !== above.dev
}

async function seeRdb(file: string): Promise<RdbSeen | null> {
  const seen = await ends(file)
  if (seen === null) return null
  if (!seen.ok) return { ...seen, bytes: 0, changedAtMs: 0 }
  const { bytes, changedAtMs, head, tail } = seen
  const header = parseRdbHeader(head)
  if (!header.ok) return { ok: false, bytes, changedAtMs, why: header.why }
  if (!endsWell(tail)) return { ok: false, bytes, changedAtMs, why: 'it is torn: its end is missing' }
  const { format, writtenBy, savedAtS, replid, offset, empty, fields } = header.value
  const summed = tail.subarray(1).some((byte) => byte !== 0)
  return { ok: true, bytes, changedAtMs, format, writtenBy, savedAtS, replid, offset, empty, fields, summed }
}

/**
 * Without a manifest there is no AOF for redis 7, whatever lies in its folder: it begins an empty one, over files of the same names. The
 * identity of an AOF is the header of its base, because names and sizes come again.
 */
async function seeAof({ dir, aofDir, aof }: RedisFiles): Promise<AofSeen | null> {
  const bad = (why: string, changedAtMs = 0, bytes = 0): AofSeen => ({ ok: false, bytes, changedAtMs, why })
  const manifest = await ends(`${dir}/${aofDir}/${aof}.manifest`)
  if (manifest === null) {
    const old = await ends(`${dir}/${aof}`)
    if (old?.ok === false) return { ...bad(old.why), ...old }
    if (old === null) {
      const orphans = await withoutManifest(`${dir}/${aofDir}`, aof)
      if (!orphans.ok) return { ...bad(orphans.why), ...orphans }
      return orphans.bytes === 0 ? null : bad(`its manifest is missing, and ${orphans.names.join(', ')} lie there`, 0, orphans.bytes)
    }
    const { bytes, changedAtMs, head } = old
    const header = parseRdbHeader(head)
    return { ok: true, bytes, changedAtMs, base: header.ok ? header.value.fields : aof, empty: bytes === 0, last: { file: aof, bytes } }
  }
  if (!manifest.ok) return { ...bad(manifest.why), ...manifest }
  const text = manifest.bytes > rdbHeaderBytes ? await readFile(`${dir}/${aofDir}/${aof}.manifest`, 'utf8').catch(unread) : manifest.head.toString('utf8')
  if (typeof text !== 'string') return { ...bad(text.why), ...text }
  const files = parts(text)
  if (files === null) return bad('its manifest is torn or no manifest', manifest.changedAtMs)
  let bytes = 0
  let base = ''
  let empty = true
  let last = { file: '', bytes: 0 }
  let { changedAtMs } = manifest
  for (const { name, kind } of files) {
    const seen = await ends(`${dir}/${aofDir}/${name}`)
    if (seen === null) return bad(`${name} stands in its manifest and is missing`, changedAtMs, bytes)
    if (!seen.ok) return { ...bad(seen.why, changedAtMs, bytes), ...seen }
    bytes += seen.bytes
    last = { file: `${aofDir}/${name}`, bytes: seen.bytes }
    changedAtMs = Math.max(changedAtMs, seen.changedAtMs)
    const header = kind === 'b' ? parseRdbHeader(seen.head) : null
    // A base of the older form is a list of commands. An RDB that is none would be read as such, and end redis.
    if (header?.ok === false && name.endsWith('.rdb')) return bad(`${name}: ${header.why}`, changedAtMs, bytes)
    if (header?.ok === true && name.endsWith('.rdb') && !endsWell(seen.tail)) return bad(`${name} is torn: its end is missing`, changedAtMs, bytes)
    if (kind === 'b') base = `${name} ${header?.ok === true ? header.value.fields : ''}`
    if (header?.ok === true ? !header.value.empty : seen.bytes > 0) empty = false
  }
  return { ok: true, bytes, changedAtMs, base, empty, last }
}

/** Files with data that redis would not look at, and may write over. A start that was cut short leaves such files without data. */
async function withoutManifest(
  folder: string,
  aof: string,
): Promise<Unread | { readonly ok: true; readonly names: readonly string[]; readonly bytes: number }> {
  const all = await readdir(folder).catch((error: NodeJS.ErrnoException) => (error.code === 'ENOENT' || error.code === 'ENOTDIR' ? [] : unread(error)))
  // Not seen is not empty: redis would begin an AOF over what lies there.
  if (!Array.isArray(all)) return all
  const names: string[] = []
  let bytes = 0
  for (const name of all.filter((n) => n.startsWith(`${aof}.`) && /\.(base|incr)\.(rdb|aof)$/.test(n))) {
    const seen = await ends(`${folder}/${name}`)
    if (seen?.ok === false && seen.host === true) return seen
    const header = seen?.ok === true ? parseRdbHeader(seen.head) : null
    if (seen === null || (seen.ok && seen.bytes === 0) || (header?.ok === true && header.value.empty)) continue
    names.push(name)
    bytes += seen.ok ? seen.bytes : 1
  }
  return { ok: true, names, bytes }
}

/** `file NAME seq N type b|h|i`, and from redis 8 on offsets behind it; h is history, which redis deletes. null: not a manifest. */
function parts(text: string): readonly { readonly name: string; readonly kind: string }[] | null {
  const lines = text.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'))
  const found = lines.map((line) => /^file (\S+) seq \d+ type ([bhi])(?: \w+ \d+)*\s*$/.exec(line))
  if (lines.length === 0 || found.some((match) => match === null || (match[1] ?? '').includes('/'))) return null
  return found.flatMap((match) => (match?.[2] === 'h' ? [] : [{ name: match?.[1] ?? '', kind: match?.[2] ?? '' }]))
}

type Ends = { readonly ok: true; readonly bytes: number; readonly changedAtMs: number; readonly head: Buffer; readonly tail: Buffer } | Unread

interface Unread {
  readonly ok: false
  readonly why: string
  readonly host?: true
}

/** What lies there is no file: all else that hinders is the host's fault. */
const noFile: readonly (string | undefined)[] = ['EISDIR', 'ENOTDIR', 'ELOOP']

function unread(error: NodeJS.ErrnoException): Unread {
  return { ok: false, why: error.message, ...(noFile.includes(error.code) ? {} : { host: true }) }
}

/** null: no such file. */
async function ends(file: string): Promise<Ends | null> {
  try {
    const handle = await open(file, 'r')
    try {
      const { size, mtimeMs } = await handle.stat()
      const read = async (from: number, length: number): Promise<Buffer> => {
        const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, from)
        return buffer.subarray(0, bytesRead)
      }
      return {
        ok: true,
        bytes: size,
        changedAtMs: Math.round(mtimeMs),
        head: await read(0, rdbHeaderBytes),
        tail: await read(Math.max(0, size - rdbTailBytes), rdbTailBytes),
      }
    } finally {
      await handle.close()
    }
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? null : unread(error as NodeJS.ErrnoException)
  }
}
