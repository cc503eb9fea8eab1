/** Names as YAML takes them for names. PURE. */

const yamlWords = new Set(['true', 'false', 'null', 'yes', 'no', 'on', 'off', 'y', 'n'])

export function quotedName(name: string): string {
  return /^[A-Za-z][A-Za-z0-9_.-]*$/.test(name) && !yamlWords.has(name.toLowerCase()) ? name : JSON.stringify(name)
}
