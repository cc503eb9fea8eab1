import { describe, expect, test } from 'vitest'
import { parseCredentials } from '../../src/store/s3-credentials.ts'

const both = { accessKeyId: 'AKIA1', secretAccessKey: 'a+b/c==' }
const own = 'aws_access_key_id = AKIA1\naws_secret_access_key=a+b/c==\n'

describe('credentials as the AWS tools write them', () => {
  test.each([
    ['of the profile default', `[default]\n${own}`, both],
    ['without a profile', own, both],
    [
      'among others, with comments',
      `# mine\n[other]\naws_access_key_id = x\naws_secret_access_key = y\n\n[ default ]\n; here\n${own}[last]\naws_access_key_id = z\n`,
      both,
    ],
    ['from Windows', `[default]\n${own}`.replaceAll('\n', '\r\n'), both],
    ['with a token', `${own}aws_session_token = t\n`, { ...both, sessionToken: 't' }],
  ])('%s', (_, text, value) => {
    expect(parseCredentials(text, '/etc/s3')).toEqual({ ok: true, value })
  })

  test.each([
    ['only another profile', `[other]\n${own}`, 'aws_access_key_id'],
    ['no secret', '[default]\naws_access_key_id = AKIA1\n', 'aws_secret_access_key'],
    ['an empty secret', '[default]\naws_access_key_id = AKIA1\naws_secret_access_key =\n', 'aws_secret_access_key'],
  ])('%s: what is missing, and nothing of what is there', (_, text, missing) => {
    const answer = parseCredentials(text, '/etc/s3')
    expect(answer).toMatchObject({ ok: false, why: expect.stringContaining(`/etc/s3 has no ${missing} in its profile [default]`) as string })
    expect(JSON.stringify(answer)).not.toContain('AKIA1')
  })
})
