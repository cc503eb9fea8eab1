/** A command by its name and its arguments, as an operator names it: `FLUSHALL`, `DEL user:*`. PURE. */

export interface Pattern {
  /** In upper case. */
  readonly name: string
  /** Each fits one of the arguments, whichever. */
  readonly globs: readonly string[]
}

/** null: there is no name in it. */
export function patternOf(words: string): Pattern | null {
  const [name = '', ...globs] = words.trim().split(/\s+/)
  return /^[\w.|-]+$/.test(name) ? { name: name.toUpperCase(), globs: globs.map(latin1) } : null
}

/** `args`: one character per byte. */
export function fits({ name, globs }: Pattern): (command: { readonly name: string; readonly args: readonly string[] }) => boolean {
  const tests = globs.map(asRegExp)
  return (command) => command.name === name && tests.every((test) => command.args.some((word) => test.test(word)))
}

/** As KEYS takes them: `*`, `?`, `[a-z]`, `[^a]`, and `\` before what is meant as it stands. */
function asRegExp(glob: string): RegExp {
  let pattern = ''
  for (let at = 0; at < glob.length; at += 1) {
    const char = glob.charAt(at)
    const end = char === '[' ? glob.indexOf(']', at + 1) : -1
    if (char === '*') pattern += '[^]*'
    else if (char === '?') pattern += '[^]'
    else if (char === '\\' && at + 1 < glob.length) {
      at += 1
      pattern += escaped(glob.charAt(at))
    } else if (end > at + 1) {
      const isNot = glob.charAt(at + 1) === '^'
      const set = glob.slice(at + (isNot ? 2 : 1), end).replaceAll(/[\\\]^]/g, '\\$&')
      pattern += `[${isNot ? '^' : ''}${set}]`
      at = end
    } else pattern += escaped(char)
  }
  return new RegExp(`^${pattern}$`)
}

function escaped(char: string): string {
  return char.replace(/[\\^$.*+?()[\]{}|/-]/, '\\$&')
}

/** The bytes of its UTF-8, one character each. */
function latin1(text: string): string {
  return encodeURIComponent(text).replaceAll(/%([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}
