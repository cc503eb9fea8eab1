/** What each redis says before it ends because of its configuration, as it was recorded, and what is made of that. */
import { describe, expect, test } from 'vitest'
import { fatalWords, withoutSecrets } from '../../src/redis/fatal-words.ts'

const fatal = (version: string, text: string, why: string): string => `
*** FATAL CONFIG FILE ERROR (${version}) ***
Reading the configuration file, at line 4
>>> '${text}'
${why}
`
const log = (...lines: readonly string[]): string => lines.map((line) => `15800:M 21 Nov 2026 18:53:08.091 ${line}\n`).join('')
const boot = log('# oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo', "# WARNING overcommit_memory is set to 0! To fix this issue add 'vm.overcommit_memory = 1'")

describe('a line that is refused while it is read', () => {
  test.each([
    ['Redis 6.0.16', 'maxmemry 1gb', 'Bad directive or wrong number of arguments'],
    ['Redis 7.0.15', 'maxmemory lots', 'argument must be a memory value'],
    ['Redis 8.0.2', 'maxmemory-policy foo', 'argument(s) must be one of the following: volatile-lru, allkeys-lru, noeviction'],
    ['Version 8.1.1', 'save "a', 'Unbalanced quotes in configuration line'],
  ])('%s: %s', (version, text, why) => {
    expect(fatalWords(fatal(version, text, why))).toEqual([{ line: 4, text, why }])
  })
})

describe('what is refused only when all is read', () => {
  test('redis 8 takes what it does not know for directives of modules, and tells all of them', () => {
    const output = log(
      '# Unresolved Configuration(s) Detected:',
      "# >>> 'maxmemry 1gb'",
      "# >>> 'hash-max-zip 3'",
      '# Module Configuration detected without loadmodule directive or no ApplyConfig call: aborting',
    )
    expect(fatalWords(boot + output).map(({ text }) => text)).toEqual(['maxmemry 1gb', 'hash-max-zip 3'])
  })

  test.each([
    [
      [
        "# Error loading ACL rule '+nocmd' for the user named 'alice': Unknown command or category name in ACL",
        '# Critical error while loading ACLs. Exiting.',
      ],
      'user alice',
      'Unknown command or category name in ACL',
    ],
    [
      ['# Module /nope.so failed to load: /nope.so: cannot open shared object file', "# Can't load module from /nope.so: server aborting"],
      'loadmodule /nope.so',
      'Module /nope.so failed to load: /nope.so: cannot open shared object file',
    ],
    [['# No tls-cert-file configured!', '# Failed to configure TLS. Check logs for more info.'], 'tls-port', 'No tls-cert-file configured!'],
    [['# Failed to configure LOCALE for invalid locale name.'], 'locale-collate', 'Failed to configure LOCALE for invalid locale name.'],
  ])('%j', (lines, text, why) => {
    expect(fatalWords(boot + log(...lines))).toEqual([{ line: null, text, why }])
  })
})

test('an end for another reason says nothing against the configuration', () => {
  expect(fatalWords('')).toEqual([])
  expect(fatalWords(boot + log('# Bad file format reading the append only file', '# Fatal error loading the DB, check server logs. Exiting.'))).toEqual([])
})

test('the password that stands in the rules of a user is told to nobody', () => {
  const word = { line: 3, text: 'user alice on secret +@all', why: "Error in user declaration 'secret': Syntax error" }
  expect(JSON.stringify(withoutSecrets(word))).not.toContain('secret')
  expect(withoutSecrets(word)).toMatchObject({ text: 'user alice …', why: expect.stringContaining('Syntax error') })
})
