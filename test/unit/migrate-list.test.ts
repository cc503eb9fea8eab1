/** The list of `migrate many`: what is understood of it, and every line that is not. */
import { describe, expect, test } from 'vitest'
import { parseList } from '../../src/migrate/list.ts'

describe('a list of moves', () => {
  test('comments, empty lines, a password file', () => {
    const text = [
      '# six ports on two hosts',
      '',
      'redis://10.0.0.5:6379 sessions',
      '  rediss://mover@old:6380\tcache  ./cache.password  # asks for a password',
      '',
    ].join('\n')
    expect(parseList(text)).toEqual({
      moves: [
        { line: 3, from: 'redis://10.0.0.5:6379', group: 'sessions', passwordFile: null, tls: {}, plainWayBack: false },
        { line: 4, from: 'rediss://mover@old:6380', group: 'cache', passwordFile: './cache.password', tls: {}, plainWayBack: false },
      ],
      problems: [],
    })
  })

  test('certificates of a source with TLS, by name and in any order', () => {
    const { moves, problems } = parseList('rediss://old:6380 a tls-ca=ca.pem ./a.password\nrediss://old:6381 b tls-key=k.pem tls-cert=c.pem')
    expect([moves.map(({ passwordFile, tls }) => ({ passwordFile, tls })), problems]).toEqual([
      [
        { passwordFile: './a.password', tls: { tlsCa: 'ca.pem' } },
        { passwordFile: null, tls: { tlsCert: 'c.pem', tlsKey: 'k.pem' } },
      ],
      [],
    ])
    expect(parseList('rediss://old:6380 a tls-ca=ca.pem tls-ca=other.pem').problems).toHaveLength(1)
    expect(parseList('rediss://old:6380 a plain-way-back ./a.password').moves).toMatchObject([{ passwordFile: './a.password', plainWayBack: true }])
  })

  test('a # within a word is part of it', () => {
    expect(parseList('redis://mover:a#b@old:6379 sessions').moves).toMatchObject([{ from: 'redis://mover:a#b@old:6379' }])
  })

  test('a line too short or too long, one group for two, one redis twice: each by its line', () => {
    const { problems } = parseList('redis://a:1\nredis://a:1 x\nredis://b:1 x\nredis://a:1 y\nredis://c:1 z f g')
    expect(problems).toEqual([
      'line 1: redis://HOST:PORT GROUP [PASSWORD_FILE] [tls-ca=FILE] [tls-cert=FILE tls-key=FILE] [plain-way-back]',
      'line 3: x stands in line 2 already: one group takes one redis',
      'line 4: that redis stands in line 2 already',
      'line 5: redis://HOST:PORT GROUP [PASSWORD_FILE] [tls-ca=FILE] [tls-cert=FILE tls-key=FILE] [plain-way-back]',
    ])
  })

  test('nothing', () => {
    expect(parseList('# only words\n').problems).toEqual(['no line of it names a move'])
  })
})
