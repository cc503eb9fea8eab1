/**
 * Can this redis read a full copy of that one? While a group is upgraded host by host they differ: the stream of a newer redis is understood
 * by an older one, its RDB file is not, and a replica that needs one then asks for it for ever. Pure.
 */
import type { RedisFacts } from '../model/view.ts'

/** The version of the RDB that is written from each version on; Valkey up to 8 counts as the redis that it says it is compatible with (7.2). */
const formats: readonly (readonly [sinceVersion: number, format: number])[] = [
  [704, 12],
  [702, 11],
  [700, 10],
  [500, 9],
  [400, 8],
]

function formatOf(version: string): number | null {
  const found = /^(\d+)\.(\d+)/.exec(version)
  if (found === null) return null
  const its = Number(found[1]) * 100 + Number(found[2])
  return formats.find(([since]) => its >= since)?.[1] ?? 0
}

/** null: it can, or that is not known. */
export function whyUnreadable(own: RedisFacts | null, source: RedisFacts | null): string | null {
  if (own === null || source === null) return null
  const [reads, writes] = [formatOf(own.version), formatOf(source.version)]
  if (reads === null || writes === null || reads >= writes) return null
  return `redis ${own.version} here cannot read a full copy from redis ${source.version} (RDB version ${writes}, it knows ${reads})`
}
