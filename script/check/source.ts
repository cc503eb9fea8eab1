/**
 * The sources that the checks look at, read and parsed once. Must not judge: imports.ts, purity.ts and sizes.ts do, and take
 * plain values, so that their tests need no files.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseSync } from 'oxc-parser'

export interface Source {
  /** From the root of the checkout, with forward slashes: src/decide/decide.ts */
  readonly path: string
  readonly text: string
}

export type Parsed = ReturnType<typeof parseSync>

export interface Finding {
  readonly path: string
  readonly line: number
  readonly message: string
}

export function readSources(root: string, folders: readonly string[]): readonly Source[] {
  return folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => /\.tsx?$/.test(name))
      .sort()
      .map((name) => ({ path: `${folder}/${name}`, text: readFileSync(join(root, folder, name), 'utf8') })),
  )
}

/** Throws on a file that does not parse: a check that sees nothing must not pass. */
export function parse(source: Source): Parsed {
  const parsed = parseSync(source.path, source.text, { lang: source.path.endsWith('x') ? 'tsx' : 'ts' })
  const [first] = parsed.errors
  if (first !== undefined) throw new Error(`${source.path} does not parse: ${first.message}`)
  return parsed
}

export function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length
}

export function format(finding: Finding): string {
  return `${finding.path}:${finding.line}  ${finding.message}`
}
