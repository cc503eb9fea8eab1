/**
 * The texts of the completion scripts. All three work alike: walk the words typed so far to the command they name, then offer
 * the value of an option, an option, a subcommand or an argument. Must not read the command tree; `completion.ts` does.
 */

export type Completes = { readonly kind: 'choices'; readonly choices: readonly string[] } | { readonly kind: 'groups' | 'hosts' | 'files' | 'nothing' }

export interface OptionShape {
  readonly names: readonly string[]
  readonly description: string
  readonly takesValue: boolean
  readonly value: Completes
}

export interface CommandShape {
  /** `[]` is the program itself. */
  readonly path: readonly string[]
  readonly subcommands: readonly { readonly name: string; readonly description: string }[]
  readonly options: readonly OptionShape[]
  readonly arguments: readonly Completes[]
}

/** bash and zsh differ in arrays and in how an answer is given; the walk and the tables are one text. */
export function bashScript(commands: readonly CommandShape[]): string {
  return `# bash completion for holdfast: source <(holdfast completion bash)
${tables(commands)}
_holdfast() {
  local words_=("\${COMP_WORDS[@]:0:COMP_CWORD}") current="\${COMP_WORDS[COMP_CWORD]}" previous="" at="" index=0 config="" i word answer
  for ((i = 1; i < \${#words_[@]}; i++)); do
    word="\${words_[i]}"
${walk()}
  done
${answers()}
  case "$answer" in
    @files) COMPREPLY=($(compgen -f -- "$current")) ;;
    @*) COMPREPLY=($(compgen -W "$(holdfast __complete "\${answer#@}" \${config:+--config "$config"} 2>/dev/null)" -- "$current")) ;;
    *) COMPREPLY=($(compgen -W "$answer" -- "$current")) ;;
  esac
}
complete -F _holdfast holdfast
`
}

export function zshScript(commands: readonly CommandShape[]): string {
  return `#compdef holdfast
# zsh completion for holdfast: source <(holdfast completion zsh)
${tables(commands)}
_holdfast() {
  local current="\${words[CURRENT]}" previous="" at="" index=0 config="" i word answer
  for ((i = 2; i < CURRENT; i++)); do
    word="\${words[i]}"
${walk()}
  done
${answers()}
  case "$answer" in
    @files) _files ;;
    @*) compadd -- \${(f)"$(holdfast __complete "\${answer#@}" \${config:+--config} \${config:+"$config"} 2>/dev/null)"} ;;
    *) compadd -- \${=answer} ;;
  esac
}
(( \${+functions[compdef]} )) && compdef _holdfast holdfast
`
}

/** Option tables as shell functions: each prints its answer, "" for no such thing. */
function tables(commands: readonly CommandShape[]): string {
  const children = commands.flatMap((command) => command.subcommands.map((child) => key([...command.path, child.name])))
  const values = commands.flatMap((command) =>
    command.options
      .filter((option) => option.takesValue)
      .flatMap((option) => option.names.map((name) => [`${key(command.path)} ${name}`, answerOf(option.value)] as const)),
  )
  const args = commands.flatMap((command) => command.arguments.map((argument, index) => [`${key(command.path)} ${index}`, answerOf(argument)] as const))
  const offers = commands.map((command) => [key(command.path), command.subcommands.map(({ name }) => name).join(' ')] as const)
  const options = commands.map(
    (command) => [key(command.path), [...new Set([...command.options, ...rootOptions(commands)].flatMap(({ names }) => names))].join(' ')] as const,
  )
  return [
    table(
      '_holdfast_is_command',
      children.map((child) => [child, 'yes'] as const),
    ),
    table('_holdfast_value', values),
    table('_holdfast_argument', args),
    table('_holdfast_subcommands', offers),
    table('_holdfast_options', options),
  ].join('\n')
}

function table(name: string, rows: readonly (readonly [string, string])[]): string {
  const cases = rows.filter(([, answer]) => answer !== '').map(([pattern, answer]) => `    ${single(pattern)}) echo ${single(answer)} ;;`)
  return `${name}() {\n  case "$1" in\n${[...cases, '    *) ;;'].join('\n')}\n  esac\n}`
}

function rootOptions(commands: readonly CommandShape[]): readonly OptionShape[] {
  return commands.find((command) => command.path.length === 0)?.options ?? []
}

function key(path: readonly string[]): string {
  return ['holdfast', ...path].join('/')
}

function answerOf(value: Completes): string {
  if (value.kind === 'choices') return value.choices.join(' ')
  return value.kind === 'nothing' ? '@nothing' : `@${value.kind}`
}

/** One word: the value of the option before it, an option, a subcommand, or one more argument. Not `path`: zsh ties that to PATH. */
function walk(): string {
  return `    if [[ -n "$previous" ]]; then
      [[ "$previous" == --config ]] && config="$word"
      previous=""
    elif [[ "$word" == -* ]]; then
      [[ -n "$(_holdfast_value "holdfast$at $word")$(_holdfast_value "holdfast $word")" ]] && previous="$word"
    elif [[ -n "$(_holdfast_is_command "holdfast$at/$word")" ]]; then
      at="$at/$word" index=0
    else
      index=$((index + 1))
    fi`
}

function answers(): string {
  return `  if [[ -n "$previous" ]]; then
    answer="$(_holdfast_value "holdfast$at $previous")"
    [[ -z "$answer" ]] && answer="$(_holdfast_value "holdfast $previous")"
  elif [[ "$current" == -* ]]; then
    answer="$(_holdfast_options "holdfast$at")"
  else
    answer="$(_holdfast_subcommands "holdfast$at")"
    [[ -z "$answer" ]] && answer="$(_holdfast_argument "holdfast$at $index")"
  fi
  [[ -z "$answer" || "$answer" == @nothing ]] && return 0`
}

/** fish has its own tables: a condition for each command path, and a description for each word. */
export function fishScript(commands: readonly CommandShape[]): string {
  const lines: string[] = []
  for (const { path, subcommands, options, arguments: args } of commands) {
    const when = single(
      fishCondition(
        path,
        subcommands.map(({ name }) => name),
      ),
    )
    for (const child of subcommands) lines.push(`complete -c holdfast -f -n ${when} -a ${single(child.name)} -d ${single(child.description)}`)
    const inside = path.length === 0 ? '' : ` -n ${single(fishCondition(path, []))}`
    for (const option of options) {
      const names = option.names.map((name) => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`)).join(' ')
      lines.push(`complete -c holdfast${inside} ${names}${option.takesValue ? fishValue(option.value, '-r') : ''} -d ${single(option.description)}`)
    }
    for (const argument of args) lines.push(`complete -c holdfast -n ${single(fishCondition(path, []))}${fishValue(argument, '')}`)
  }
  return `# fish completion for holdfast: holdfast completion fish | source
function __holdfast_names
  set -l words (commandline -opc)
  set -l config
  if set -l at (contains -i -- --config $words)
    set config --config $words[(math $at + 1)]
  end
  holdfast __complete $argv[1] $config 2>/dev/null
end
complete -c holdfast -f
${lines.join('\n')}
`
}

function fishCondition(path: readonly string[], children: readonly string[]): string {
  const seen = path.map((name) => `__fish_seen_subcommand_from ${name}`)
  const none = children.length === 0 ? [] : [`not __fish_seen_subcommand_from ${children.join(' ')}`]
  return [...seen, ...none].join('; and ') || 'true'
}

function fishValue(value: Completes, required: string): string {
  const flag = required === '' ? '' : ` ${required}`
  if (value.kind === 'files') return `${flag} -F`
  if (value.kind === 'nothing') return `${flag} -f`
  const words = value.kind === 'choices' ? value.choices.join(' ') : `(__holdfast_names ${value.kind})`
  return `${flag} -f -a ${single(words)}`
}

function single(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}
