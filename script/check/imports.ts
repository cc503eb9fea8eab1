/**
 * Applies the table of rules.ts to every import of src/: static, dynamic, type-only and re-exports alike, because a type that
 * comes from the wrong place pulls the reader there too. Import cycles are biome's to find.
 */
import { posix } from 'node:path'
import { Visitor } from 'oxc-parser'
import { type FolderRule, homes, layers } from './rules.ts'
import { type Finding, lineAt, parse, type Source } from './source.ts'

interface Import {
  readonly specifier: string
  readonly line: number
}

export function importFindings(sources: readonly Source[], table: Readonly<Record<string, FolderRule>> = layers): readonly Finding[] {
  return sources.flatMap((source) =>
    importsOf(source).flatMap(({ specifier, line }) => judge(source.path, specifier, table).map((message) => ({ path: source.path, line, message }))),
  )
}

export function importsOf(source: Source): readonly Import[] {
  const { module, program } = parse(source)
  const found: { specifier: string; offset: number }[] = []
  for (const { moduleRequest } of module.staticImports) found.push({ specifier: moduleRequest.value, offset: moduleRequest.start })
  for (const { entries } of module.staticExports) {
    for (const { moduleRequest } of entries) if (moduleRequest !== null) found.push({ specifier: moduleRequest.value, offset: moduleRequest.start })
  }
  new Visitor({
    // What is not a plain text here cannot be checked, and is refused below for that reason.
    ImportExpression: (node) => found.push({ specifier: node.source.type === 'Literal' ? String(node.source.value) : '?', offset: node.start }),
    TSImportType: (node) => found.push({ specifier: String(node.source.value), offset: node.start }),
  }).visit(program)
  return found.sort((a, b) => a.offset - b.offset).map(({ specifier, offset }) => ({ specifier, line: lineAt(source.text, offset) }))
}

function judge(path: string, specifier: string, table: Readonly<Record<string, FolderRule>>): readonly string[] {
  const from = folderOf(path)
  const rule = from === null ? undefined : table[from]
  if (from === null || rule === undefined) return [`the folder src/${from ?? '?'} is not in script/check/rules.ts: say there what it may import, and why`]
  if (specifier === '?') return ['the name of what is imported here is computed, so nobody can check it']
  if (!specifier.startsWith('.')) return judgePackage(from, rule, specifier)
  const target = posix.normalize(posix.join(posix.dirname(path), specifier))
  const to = folderOf(target)
  if (to === null) return [`${specifier} leaves src/`]
  if (to === from) return []
  const reach = rule.may[to]
  const name = from === '' ? 'src/*.ts' : from
  if (reach === undefined) return [`${name} must not import ${to === '' ? target : to} (${specifier}): ${rule.why}`]
  const file = target.slice(`src/${to}/`.length)
  if (reach !== 'all' && !reach.includes(file)) return [`${name} may import of ${to} only ${reach.join(', ')}, not ${file}: ${rule.why}`]
  return []
}

function judgePackage(from: string, rule: FolderRule, specifier: string): readonly string[] {
  if (rule.packages === 'none') return [`${from} must not import ${specifier}: ${rule.why}`]
  const name = specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
  const allowed = homes[name]
  return allowed === undefined || allowed.includes(from) ? [] : [`${name} is imported only in ${allowed.join(', ')}, not in ${from}`]
}

/** '' for a file in src/ itself, null for one outside. */
function folderOf(path: string): string | null {
  const parts = path.split('/')
  return parts[0] !== 'src' ? null : parts.length === 2 ? '' : (parts[1] ?? null)
}
