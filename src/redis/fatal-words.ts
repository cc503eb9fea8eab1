/**
 * What a redis-server says before it ends because of its configuration: the directive, and why. Redis up to 7 and Valkey refuse a directive
 * that they do not know while they read; Redis 8 takes it for one of a module until all modules are loaded. Text in, data out.
 */

export interface FatalWord {
  /** The line of the file that it names, from 1; null: it names none. */
  readonly line: number | null
  /** The directive with its arguments, or as much of it as redis tells; '' where it tells none. */
  readonly text: string
  readonly why: string
}

/** `*** FATAL CONFIG FILE ERROR (Redis 7.0.15) ***`, in Valkey `(Version 8.1.1)`: only the first one is told. */
const refusedLine = /FATAL CONFIG FILE ERROR[^\n]*\n(?:Reading the configuration file, at line (\d+)\n>>> '([^\n]*)'\n)?([^\n]+)/

/** Empty: it did not end because of its configuration, as far as it says. */
export function fatalWords(output: string): readonly FatalWord[] {
  const refused = refusedLine.exec(output)
  if (refused !== null) return [{ line: refused[1] === undefined ? null : Number(refused[1]), text: refused[2] ?? '', why: refused[3] ?? '' }]
  const lines = output.split('\n').map((line) => line.replace(/^\S+ \d+ \w+ \d+ [\d:.]+ [#*.-] /, '').trim())
  const unresolved = lines.some((line) => line.startsWith('Unresolved Configuration(s) Detected'))
  if (unresolved)
    return lines.flatMap((line) => {
      const text = /^>>> '(.*)'$/.exec(line)?.[1]
      return text === undefined ? [] : [{ line: null, text, why: 'neither redis nor a module has such a directive' }]
    })
  for (const line of lines) {
    const rule = /^Error loading ACL rule '.*' for the user named '(.*?)': (.*)$/.exec(line)
    if (rule !== null) return [{ line: null, text: `user ${rule[1] ?? ''}`, why: rule[2] ?? '' }]
    const module = /^Can't load module from (.*): server aborting$/.exec(line)?.[1]
    if (module !== undefined) return [{ line: null, text: `loadmodule ${module}`, why: before(lines, line) }]
    if (line.startsWith('Failed to configure TLS')) return [{ line: null, text: 'tls-port', why: before(lines, line) }]
    if (line.startsWith('Failed to configure LOCALE')) return [{ line: null, text: 'locale-collate', why: line }]
  }
  return []
}

function before(lines: readonly string[], line: string): string {
  return lines[lines.indexOf(line) - 1] ?? line
}

/** For people, and for logs: a user's rules hold his password. */
export function withoutSecrets(word: FatalWord): FatalWord {
  const [name = '', first = ''] = word.text.split(' ')
  return name.toLowerCase() === 'user' ? { ...word, text: `${name} ${first} …`, why: word.why.replace(/'.*'/, "'…'") } : word
}
