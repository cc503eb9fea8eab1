/**
 * How long files and functions are. Beyond the aim it warns, beyond the limit it fails (both in rules.ts). In tests only the
 * files count: a suite is one long function by nature. A function's length is without the functions declared inside it, which
 * are weighed on their own: a closure is a small module, and reads like one.
 */
import { Visitor } from 'oxc-parser'
import { sizes } from './rules.ts'
import { type Finding, lineAt, parse, type Source } from './source.ts'

export interface SizeFindings {
  readonly failures: readonly Finding[]
  readonly warnings: readonly Finding[]
}

export function sizeFindings(sources: readonly Source[]): SizeFindings {
  const failures: Finding[] = []
  const warnings: Finding[] = []
  const weigh = (path: string, line: number, what: string, lines: number, warnAbove: number, failAbove: number): void => {
    if (lines <= warnAbove) return
    const list = lines > failAbove ? failures : warnings
    list.push({ path, line, message: `${what} has ${lines} lines; the aim is ${warnAbove}, the limit ${failAbove}` })
  }
  for (const source of sources) {
    weigh(source.path, 1, 'the file', source.text.trimEnd().split('\n').length, sizes.fileWarn, sizes.fileFail)
    if (source.path.startsWith('test/')) continue
    for (const { line, lines } of functionsOf(source)) weigh(source.path, line, 'the function', lines, sizes.functionWarn, sizes.functionFail)
  }
  return { failures, warnings }
}

function functionsOf(source: Source): readonly { readonly line: number; readonly lines: number }[] {
  const found: { line: number; lines: number; declaredInside: number }[] = []
  const open: (typeof found)[number][] = []
  const enter = (node: { readonly start: number; readonly end: number }): void => {
    const line = lineAt(source.text, node.start)
    const entry = { line, lines: lineAt(source.text, node.end) - line + 1, declaredInside: 0 }
    found.push(entry)
    open.push(entry)
  }
  const leave = (node: { readonly type: string }): void => {
    const entry = open.pop()
    const outer = open.at(-1)
    if (entry === undefined || outer === undefined) return
    // What is declared inside an arrow inside a function is inside the function too.
    outer.declaredInside += node.type === 'FunctionDeclaration' ? entry.lines : entry.declaredInside
  }
  new Visitor({
    FunctionDeclaration: enter,
    'FunctionDeclaration:exit': leave,
    FunctionExpression: enter,
    'FunctionExpression:exit': leave,
    ArrowFunctionExpression: enter,
    'ArrowFunctionExpression:exit': leave,
  }).visit(parse(source).program)
  return found.map(({ line, lines, declaredInside }) => ({ line, lines: lines - declaredInside }))
}
