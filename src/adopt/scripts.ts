/** What the scripts of a keepalived do to redis, as far as their text tells. PURE. A script that was not read is not known to be harmless. */
import type { HostFound, ScriptFound } from './found.ts'

export interface ScriptDeeds {
  readonly command: string
  readonly isRead: boolean
  /** Makes redis a primary. */
  readonly promotes: boolean
  /** Makes redis a replica of somebody. */
  readonly follows: boolean
  /** Looks at what the data are before it does either. */
  readonly compares: boolean
  readonly sleepsS: number
  readonly startsRedis: boolean
  /** A password stands among the arguments of redis-cli. */
  readonly tellsPassword: boolean
  /** Asks redis; else it only looks whether a process is there. */
  readonly asksRedis: boolean
  readonly looksForProcess: boolean
  readonly namesRedis: boolean
}

export function deedsOf(command: string, scripts: readonly ScriptFound[]): ScriptDeeds {
  const script = scripts.find((one) => one.command === command)
  const text = script?.text ?? null
  const all = `${command}\n${text ?? ''}`
    .split('\n')
    .filter((line) => !/^\s*#/.test(line))
    .join('\n')
  const has = (pattern: RegExp): boolean => pattern.test(all)
  const inline = has(/redis-cli|killall|pidof|pgrep|\btest\b/)
  return {
    command,
    isRead: text !== null || inline,
    promotes: has(/\b(slaveof|replicaof)["']?\s+["']?no["']?\s+["']?one/i),
    follows: has(/\b(slaveof|replicaof)["']?\s+(?!["']?no\b)["'$\w]/i),
    compares: has(/master_link_status|repl_offset|master_sync_in_progress|master_last_io|master_replid/),
    sleepsS: [...all.matchAll(/\bsleep\s+(\d+(?:\.\d+)?)/g)].reduce((sum, [, seconds]) => sum + Number(seconds), 0),
    startsRedis: has(
      /(systemctl|service)\s+\S*\s*\S*(re)?start\S*.*redis|service\s+redis\S*\s+(re)?start|init\.d\/redis\S*\s+(re)?start|^\s*\S*redis-server\s/im,
    ),
    tellsPassword: has(/redis-cli[^\n|;]*\s(-a|--pass)[\s=]*["']?[^\s"']/i),
    asksRedis: has(/redis-cli|\/dev\/tcp|\bnc\b|PING/i),
    looksForProcess: has(/killall\s+-0|pidof|pgrep|\bps\s|kill\s+-0|systemctl\s+(-q\s+)?is-active/),
    namesRedis: has(/redis|sentinel|slaveof|replicaof|6379/i),
  }
}

/** Those of one instance, by the word that keepalived calls them with. */
export function notifiesOf(
  instance: { readonly notifies: readonly { readonly kind: string; readonly command: string }[] },
  { scripts }: HostFound,
): readonly (ScriptDeeds & { readonly kind: string })[] {
  return instance.notifies.map(({ kind, command }) => ({ kind, ...deedsOf(command, scripts) }))
}
