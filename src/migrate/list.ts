/** A list of moves, a line each: from where, to which group, and the file with the password of that source. PURE. */

export interface Listed {
  readonly line: number
  readonly from: string
  readonly group: string
  /** As it stands there; null: none. */
  readonly passwordFile: string | null
  /** As they stand there, of a rediss:// source. */
  readonly tls: { readonly tlsCa?: string; readonly tlsCert?: string; readonly tlsKey?: string }
  /** After the cut-over it may follow, or be fed, without TLS. */
  readonly plainWayBack: boolean
}

const form = 'redis://HOST:PORT GROUP [PASSWORD_FILE] [tls-ca=FILE] [tls-cert=FILE tls-key=FILE] [plain-way-back]'

const tlsWords = { 'tls-ca': 'tlsCa', 'tls-cert': 'tlsCert', 'tls-key': 'tlsKey' } as const

/** A line is of `form`; what follows a `#` at the beginning of a word is a comment. Every problem at once, with its line. */
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
    const [from, group, ...given] = words
    const more = given.filter((word) => word !== 'plain-way-back')
    const plainWayBack = more.length < given.length
    const named = more.map((word) => /^(tls-(?:ca|cert|key))=(.+)$/.exec(word))
    const tls = Object.fromEntries(named.flatMap((one) => (one === null ? [] : [[tlsWords[one[1] as keyof typeof tlsWords], one[2]]])))
    const [passwordFile, ...rest] = more.filter((_, at) => named[at] === null)
    const twiceNamed = Object.keys(tls).length < named.filter((one) => one !== null).length
    if (from === undefined || group === undefined || rest.length > 0 || twiceNamed) {
      problems.push(`line ${line}: ${form}`)
      continue
    }
    const same = moves.find((one) => one.group === group)
    const twice = moves.find((one) => one.from === from)
    if (same !== undefined) problems.push(`line ${line}: ${group} stands in line ${same.line} already: one group takes one redis`)
    else if (twice !== undefined) problems.push(`line ${line}: that redis stands in line ${twice.line} already`)
    else moves.push({ line, from, group, passwordFile: passwordFile ?? null, tls, plainWayBack })
  }
  if (moves.length === 0 && problems.length === 0) problems.push('no line of it names a move')
  return { moves, problems }
}
