/** A list of moves, a line each: from where, to which group, and the file with the password of that source. PURE. */

export interface Listed {
  readonly line: number
  readonly from: string
  readonly group: string
  /** As it stands there; null: none. */
  readonly passwordFile: string | null
}

/** `FROM GROUP [PASSWORD_FILE]`; what follows a `#` at the beginning of a word is a comment. Every problem at once, with its line. */
export function parseList(text: string): { readonly moves: readonly Listed[]; readonly problems: readonly string[] } {
  const moves: Listed[] = []
  const problems: string[] = []
  for (const [index, raw] of text.split('\n').entries()) {
    const line = index + 1
    const words = raw
      .replace(/(^|\s)#.*$/, '')
      .trim()
      .split(/\s+/)
      .filter((word) => word !== '')
    if (words.length === 0) continue
    const [from, group, passwordFile] = words
    if (from === undefined || group === undefined || words.length > 3) {
      problems.push(`line ${line}: redis://HOST:PORT GROUP [PASSWORD_FILE]`)
      continue
    }
    const same = moves.find((one) => one.group === group)
    const twice = moves.find((one) => one.from === from)
    if (same !== undefined) problems.push(`line ${line}: ${group} stands in line ${same.line} already: one group takes one redis`)
    else if (twice !== undefined) problems.push(`line ${line}: that redis stands in line ${twice.line} already`)
    else moves.push({ line, from, group, passwordFile: passwordFile ?? null })
  }
  if (moves.length === 0 && problems.length === 0) problems.push('no line of it names a move')
  return { moves, problems }
}
