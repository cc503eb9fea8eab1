/** A command for the eye. PURE. */

/** Like redis-cli: quoted where it is no plain word, and cut where it is long. */
export function shown(words: readonly string[], limit = 300): string {
  const quoted = words.map((word) => {
    if (/^[\w:.{}@/+-]+$/.test(word) && word.length <= 100) return word
    const cut = word.length > 100 ? `${word.slice(0, 100)}… (${word.length} bytes)` : word
    return JSON.stringify(cut).replaceAll(/[\u0080-\u00ff]/g, (c) => `\\x${c.charCodeAt(0).toString(16)}`)
  })
  const text = quoted.join(' ')
  return text.length > limit ? `${text.slice(0, limit)}…` : text
}
