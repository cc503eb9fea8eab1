import { createHmac } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { fingerprint, hostName, judge, kindOf, knownKinds } from '../../src/store/known-hosts.ts'

function keyOf(kind: string, secret: string): Buffer {
  const words = [Buffer.from(kind), Buffer.from(secret)]
  return Buffer.concat(words.flatMap((word) => [Buffer.from([0, 0, 0, word.length]), word]))
}

const [ed, rsa, other] = [keyOf('ssh-ed25519', 'ours'), keyOf('ssh-rsa', 'ours'), keyOf('ssh-ed25519', 'theirs')]
const line = (names: string, key: Buffer): string => `${names} ${kindOf(key)} ${key.toString('base64')} comment`
const host = 'backup.example.net'

function hashed(name: string): string {
  const salt = Buffer.from('twenty bytes of salt')
  return `|1|${salt.toString('base64')}|${createHmac('sha1', salt).update(name).digest('base64')}`
}

describe('a known_hosts file', () => {
  test.each([
    ['its own line', line(host, ed), 'known'],
    ['among other names, and other lines', `# hosts\n\n${line('a,b', other)}\n${line(`a,${host},b`, ed)}\n`, 'known'],
    ['in capitals', line('Backup.Example.NET', ed), 'known'],
    ['a pattern', line('*.example.???', ed), 'known'],
    ['a pattern that leaves it out', line(`!${host},*.example.net`, ed), 'unknown'],
    ['a dot is a dot', line('backup-example.net', ed), 'unknown'],
    ['hashed', line(hashed(host), ed), 'known'],
    ['the hash of another name', line(hashed('other.example.net'), ed), 'unknown'],
    ['at another port', line(`[${host}]:2222`, ed), 'unknown'],
    ['one of its two keys', `${line(host, rsa)}\n${line(host, ed)}`, 'known'],
    ['another key of the same kind', line(host, other), 'changed'],
    ['only a key of another kind', line(host, rsa), 'changed'],
    ['revoked, whatever else says', `${line(host, ed)}\n@revoked ${line('*', ed)}`, 'revoked'],
    ['only the authority that signs it', `@cert-authority ${line('*', ed)}`, 'unknown'],
    ['nothing', '', 'unknown'],
    ['half a line', `${host} ssh-ed25519\n${host} ssh-ed25519 AA`, 'unknown'],
  ])('%s', (_, text, verdict) => {
    expect(judge(text, { host, key: ed })).toBe(verdict)
  })

  test('a host is named with its port where that is not 22, hashed too', () => {
    expect([hostName('Host', 22), hostName('Host', 2222)]).toEqual(['host', '[host]:2222'])
    expect(judge(line(hashed('[host]:2222'), ed), { host: hostName('host', 2222), key: ed })).toBe('known')
    expect(judge(line('[host]:2222', ed), { host: hostName('host', 2222), key: ed })).toBe('known')
  })

  test('a server is asked for the kinds of key that are known', () => {
    expect(knownKinds(`${line(host, rsa)}\n@revoked ${line(host, other)}\n${line('other', ed)}`, host)).toEqual(['ssh-rsa'])
  })

  test('a fingerprint as ssh-keygen shows it', () => {
    expect(fingerprint(ed)).toMatch(/^SHA256:[A-Za-z0-9+/]{43}$/)
  })
})
