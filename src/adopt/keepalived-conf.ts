/**
 * The language of keepalived.conf: words, blocks, quotes, comments, `$NAME=value`. PURE. What the words mean is vrrp.ts; which files an `include` names,
 * and their text, is handed in.
 */

export interface ConfNode {
  /** Of its own file. */
  readonly line: number
  readonly words: readonly string[]
  readonly children: readonly ConfNode[]
}

export interface KeepalivedConf {
  readonly nodes: readonly ConfNode[]
  /** Why it cannot be understood, each with its line. Then nothing of it is to be relied on. */
  readonly problems: readonly string[]
}

interface Token {
  readonly text: string
  readonly line: number
  readonly kind: 'word' | 'open' | 'close' | 'end'
}

interface Draft {
  readonly line: number
  readonly words: string[]
  readonly children: Draft[]
}

export function parseKeepalived(text: string): KeepalivedConf {
  const problems: string[] = []
  const top: Draft = { line: 0, words: [], children: [] }
  const open: Draft[] = [top]
  let statement: Draft | null = null
  const end = (): void => {
    if (statement !== null) open.at(-1)?.children.push(statement)
    statement = null
  }
  for (const { text: word, line, kind } of tokensOf(withDefinitions(text), problems)) {
    if (kind === 'end') end()
    else if (kind === 'word') {
      const begun: Draft = statement ?? { line, words: [], children: [] }
      begun.words.push(word)
      statement = begun
    } else if (kind === 'open') {
      // The brace may stand on the line after the words that it belongs to.
      const here: Draft[] = open.at(-1)?.children ?? []
      if (statement === null && here.at(-1)?.children.length === 0) statement = here.pop() ?? null
      const block: Draft = statement ?? { line, words: [], children: [] }
      statement = null
      open.at(-1)?.children.push(block)
      open.push(block)
    } else {
      end()
      if (open.length === 1) problems.push(`line ${line}: a closing brace without an opening one`)
      else open.pop()
    }
  }
  end()
  for (const { line, words } of open.slice(1)) problems.push(`line ${line}: the brace of \`${words.join(' ')}\` is never closed`)
  return { nodes: top.children, problems }
}

/** `#` and `!` begin a comment where a word could begin; quotes hold a word together, also with braces in it. */
function tokensOf(text: string, problems: string[]): readonly Token[] {
  const tokens: Token[] = []
  for (const [index, raw] of text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .entries()) {
    const line = index + 1
    let at = 0
    while (at < raw.length) {
      const char = raw[at] ?? ''
      if (/\s/.test(char)) at += 1
      else if (char === '#' || char === '!') break
      else if (char === '{' || char === '}') {
        tokens.push({ text: char, line, kind: char === '{' ? 'open' : 'close' })
        at += 1
      } else if (char === '"') {
        const close = raw.indexOf('"', at + 1)
        if (close < 0) problems.push(`line ${line}: the quotes are not balanced`)
        const to = close < 0 ? raw.length : close
        tokens.push({ text: raw.slice(at + 1, to), line, kind: 'word' })
        at = to + 1
      } else {
        const word = /^[^\s"{}]+/.exec(raw.slice(at))?.[0] ?? char
        tokens.push({ text: word, line, kind: 'word' })
        at += word.length
      }
    }
    tokens.push({ text: '', line, kind: 'end' })
  }
  return tokens
}

/** `$NAME=value` on a line of its own, and `$NAME` or `${NAME}` afterwards. */
function withDefinitions(text: string): string {
  const values = new Map<string, string>()
  return text
    .split('\n')
    .map((line) => {
      const put = line.replace(/\$\{?(\w+)\}?(?!\w*=)/g, (whole, name: string) => values.get(name) ?? whole)
      const defined = /^\s*\$(\w+)=(.*)$/.exec(put)
      if (defined === null) return put
      values.set(defined[1] ?? '', (defined[2] ?? '').trim())
      return ''
    })
    .join('\n')
}

/** The files that it includes, as they are named. */
export function includesOf(nodes: readonly ConfNode[]): readonly string[] {
  return nodes.flatMap(({ words, children }) => [...(words[0] === 'include' && words[1] !== undefined ? [words[1]] : []), ...includesOf(children)])
}

/** What each `include` names, in its place. */
export function withIncluded(nodes: readonly ConfNode[], of: (named: string) => readonly ConfNode[]): readonly ConfNode[] {
  return nodes.flatMap((node) => {
    if (node.words[0] === 'include' && node.words[1] !== undefined) return of(node.words[1])
    return [{ ...node, children: withIncluded(node.children, of) }]
  })
}
