/**
 * YAML text → plain data, and for any key path the line and column it came from. Keeps going where it can, so that a
 * doubled key does not hide ten other mistakes. Must not know what the keys mean.
 */
import { isAlias, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument } from 'yaml'
import type { Document, Node, Pair } from 'yaml'
import type { ConfigProblem, KeyPath } from './problem.ts'

export interface Place {
  readonly line: number
  readonly column: number
}

export interface YamlFile {
  readonly data: unknown
  readonly problems: readonly ConfigProblem[]
  /** false: the text is not YAML, and what `data` holds means nothing. */
  readonly usable: boolean
  /** Where a path stands; for a missing key, its parent. */
  readonly locate: (path: KeyPath, atKey?: boolean) => Place
}

export function readYaml(text: string): YamlFile {
  const counter = new LineCounter()
  const document = parseDocument(text, { lineCounter: counter, prettyErrors: false, merge: true })
  const place = (offset: number): Place => {
    const { line, col } = counter.linePos(offset)
    return { line: Math.max(1, line), column: Math.max(1, col) }
  }
  const problems: ConfigProblem[] = document.errors.map((error) => ({
    ...place(error.pos[0]),
    path: '',
    message: error.code === 'DUPLICATE_KEY' ? duplicateMessage(text, error.pos) : `this is not YAML: ${firstLine(error.message)}`,
  }))
  const usable = document.errors.every((error) => error.code === 'DUPLICATE_KEY')
  let data: unknown
  try {
    data = usable ? document.toJS() : undefined
  } catch (error) {
    // Aliases that multiply, or that point nowhere.
    const why = error instanceof Error ? firstLine(error.message) : String(error)
    return {
      data: undefined,
      problems: [...problems, { line: 1, column: 1, path: '', message: `this is not YAML: ${why}` }],
      usable: false,
      locate: () => ({ line: 1, column: 1 }),
    }
  }
  return { data, problems, usable, locate: (path, atKey = false) => place(offsetOf(document, path, atKey)) }
}

function duplicateMessage(text: string, [from, to]: readonly [number, number]): string {
  const key = /^[^\s:]+/.exec(text.slice(from, Math.max(to, from + 64)))?.[0] ?? ''
  return `the key \`${key}\` stands twice; which one counts would be a guess`
}

function firstLine(text: string): string {
  return text.split('\n')[0] ?? text
}

function offsetOf(document: Document, path: KeyPath, atKey: boolean): number {
  let node: unknown = document.contents
  let offset = startOf(node) ?? 0
  for (const [depth, part] of path.entries()) {
    if (isAlias(node)) node = node.resolve(document)
    const pair: Pair | undefined = isMap(node) ? findPair(node.items, part) : undefined
    const value: unknown = pair?.value ?? (isSeq(node) ? node.items[Number(part)] : undefined)
    const keyOffset = startOf(pair?.key)
    const last = depth === path.length - 1
    // A block below a key starts on another line; the key is what people look for.
    const found = (last && atKey) || !isScalar(value) ? (keyOffset ?? startOf(value)) : (startOf(value) ?? keyOffset)
    if (found === undefined) return offset
    offset = found
    node = value
  }
  return offset
}

function findPair(items: readonly Pair[], part: string | number): Pair | undefined {
  return items.find((item) => String(isScalar(item.key) ? item.key.value : item.key) === String(part))
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? ((node as Node).range?.[0] ?? undefined) : undefined
}
