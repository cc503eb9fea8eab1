/** Whether the rules of an ACL let their user read the stream. PURE. For redis 6, which has no `ACL DRYRUN`. */

/** Of PSYNC, in redis 6.0 and 6.2. */
const categories = new Set(['@all', '@admin', '@dangerous', '@slow'])

/** `+@all -psync`, as `ACL GETUSER` tells them: the last word on it counts. */
export function mayReadStream(rules: string): boolean {
  let may = false
  for (const rule of rules.toLowerCase().split(/\s+/)) {
    const what = rule.slice(1)
    if (rule === 'allcommands') may = true
    else if (rule === 'nocommands') may = false
    else if (what === 'psync' || categories.has(what)) may = rule.startsWith('+') ? true : rule.startsWith('-') ? false : may
  }
  return may
}
