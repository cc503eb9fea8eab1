/**
 * Keeps the pure folders pure: no clock, no randomness, no waiting, no console. A journalled View must replay exactly, and only
 * what is computed from its input does. Looks at the syntax tree, so words in comments and texts do not matter.
 */
import { Visitor } from 'oxc-parser'
import { pureFolders } from './rules.ts'
import { type Finding, lineAt, parse, type Source } from './source.ts'

/** What the language itself brings along. Node's own names (process, setTimeout, …) do not exist there: see tsconfig.pure.json. */
const bannedNames = new Set(['Date', 'Promise', 'Intl', 'globalThis', 'eval'])

export function purityFindings(sources: readonly Source[]): readonly Finding[] {
  return sources.filter(({ path }) => pureFolders.some((folder) => path.startsWith(`src/${folder}/`))).flatMap(findingsIn)
}

function findingsIn(source: Source): readonly Finding[] {
  const findings: Finding[] = []
  const add = (offset: number, what: string): void => {
    findings.push({ path: source.path, line: lineAt(source.text, offset), message: `${what} in a pure folder: what it needs must come in as an argument` })
  }
  // A property or a key may bear any name: { Date: 1 } is no clock.
  const harmless = new Set<number>()
  const functionNode = (node: { readonly async: boolean; readonly start: number }): void => {
    if (node.async) add(node.start, 'async')
  }
  new Visitor({
    MemberExpression: (node) => {
      if (node.computed) return
      harmless.add(node.property.start)
      if (node.object.type === 'Identifier' && node.object.name === 'Math' && node.property.name === 'random') add(node.start, 'Math.random')
    },
    VariableDeclarator: (node) => {
      if (node.init?.type === 'Identifier' && node.init.name === 'Math') add(node.start, 'taking Math apart')
    },
    Property: (node) => {
      if (!node.computed && !node.shorthand) harmless.add(node.key.start)
    },
    TSPropertySignature: (node) => void harmless.add(node.key.start),
    PropertyDefinition: (node) => void harmless.add(node.key.start),
    FunctionDeclaration: functionNode,
    FunctionExpression: functionNode,
    ArrowFunctionExpression: functionNode,
    AwaitExpression: (node) => add(node.start, 'await'),
    ForOfStatement: (node) => {
      if (node.await) add(node.start, 'for await')
    },
    Identifier: (node) => {
      if (bannedNames.has(node.name) && !harmless.has(node.start)) add(node.start, node.name)
    },
  }).visit(parse(source).program)
  return findings.sort((a, b) => a.line - b.line)
}
