/** What a plan goes by: which version a server is, and what its rules let a user read. */
import { expect, test } from 'vitest'
import { mayReadStream } from '../../src/migrate/acl.ts'
import { isAtLeast, rdbFormatOf, readsFormat, versionFrom } from '../../src/migrate/versions.ts'

test('versions: Valkey says what it is beside the redis that it stands for; a number that is none is not guessed', () => {
  expect(
    versionFrom(
      new Map([
        ['redis_version', '7.2.4'],
        ['valkey_version', '8.1.1'],
      ]),
    ),
  ).toMatchObject({ product: 'valkey', major: 8, minor: 1 })
  expect(versionFrom(new Map([['redis_version', 'unstable']]))).toBeNull()
  expect(rdbFormatOf({ product: 'redis', text: '9.0.0', major: 9, minor: 0, patch: 0 })).toBeNull()
  expect(isAtLeast({ product: 'valkey', text: '8.0.0', major: 8, minor: 0, patch: 0 }, 7, 2)).toBe(true)
  expect(readsFormat({ product: 'valkey', text: '9.0.0', major: 9, minor: 0, patch: 0 }, 80, 12), 'foreign to it').toBe(false)
})

test.each([
  ['+@all', true],
  ['-@all', false],
  ['-@all +psync +replconf +ping', true],
  ['+@all -@dangerous', false],
  ['+@all -@admin +psync', true],
  ['allcommands', true],
  ['+@all -flushall', true],
])('an ACL of redis 6 (%s) lets read the stream: %s', (rules, may) => {
  expect(mayReadStream(rules)).toBe(may)
})
