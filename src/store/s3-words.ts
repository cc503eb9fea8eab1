/** What an S3 server refuses, and why none is reached, in words that say what to do. */
import { networkWords } from './network-words.ts'
import { Silent } from './patience.ts'

export interface S3Place {
  readonly bucket: string
  readonly region: string
  /** `s3.example.net:9000`. */
  readonly server: string
  /** Where the credentials are from. */
  readonly credentials: string
}

interface S3Error {
  readonly name?: string
  readonly message?: string
  readonly code?: string
  readonly $metadata?: { readonly httpStatusCode?: number }
  readonly $response?: { readonly statusCode?: number }
}

export function s3Words(thrown: unknown, place: S3Place): string {
  const error = thrown as S3Error
  const { bucket, region, server, credentials } = place
  if (thrown instanceof Silent) return `${server} hangs: ${thrown.message}`
  switch (error.name) {
    case 'NoSuchBucket':
      return `there is no bucket ${bucket} on ${server}: it is not made by Holdfast`
    case 'InvalidAccessKeyId':
    case 'SignatureDoesNotMatch':
      return `${server} does not accept the access key in ${credentials}, or not with this secret key (${error.name})`
    case 'ExpiredToken':
    case 'InvalidToken':
      return `${server} does not accept the session token in ${credentials} (any more)`
    case 'CredentialsProviderError':
      return `no credentials for ${server}: none in the environment of this machine (${error.message}); s3.credentials_file names a file of them`
    case 'AccessDenied':
    case 'AllAccessDisabled':
    case 'AccountProblem':
      return `${server} denies access to the bucket ${bucket}: whoever has the access key in ${credentials} needs to list, read, write and delete in it (${error.message})`
    case 'RequestTimeTooSkewed':
    case 'RequestExpired':
      return `the clock of this machine and that of ${server} differ by too much: set the clock right`
    case 'PermanentRedirect':
    case 'TemporaryRedirect':
    case 'AuthorizationHeaderMalformed':
    case 'IllegalLocationConstraintException':
      return `the bucket ${bucket} is not in the region ${region} (${error.message})`
    case 'XMinioStorageFull':
    case 'QuotaExceeded':
    case 'QuotaExceededException':
    case 'InsufficientStorage':
      return `no space is left in the bucket ${bucket} on ${server}`
    case 'SlowDown':
    case 'ServiceUnavailable':
    case 'TooManyRequests':
      return `${server} is overloaded, also when asked again: ${error.message}`
  }
  return networkWords(thrown, server) ?? timeoutWords(error, server) ?? answerWords(error, place)
}

/** The library gives all three the same name, and only its text tells them apart. */
function timeoutWords({ name, message = '' }: S3Error, server: string): string | null {
  if (name !== 'TimeoutError') return null
  if (message.includes('did not establish a connection')) return `${server} does not answer: no connection in time (a firewall?)`
  const ms = /timed out after (\d+) ms/.exec(message)?.[1]
  return ms === undefined ? `the connection to ${server} broke in the middle (${message})` : `${server} hangs: ${new Silent(Number(ms)).message}`
}

function answerWords(error: S3Error, { bucket, server }: S3Place): string {
  const status = error.$metadata?.httpStatusCode ?? error.$response?.statusCode
  // Only its first line: the library adds advice for programmers.
  const said = `${error.name ?? 'Error'}: ${error.message?.split('\n')[0] ?? ''}`
  if (status === undefined) return `${server}: ${said}`
  if (status === 507) return `no space is left in the bucket ${bucket} on ${server}`
  if (status >= 500) return `${server} fails: HTTP ${status}, ${said}`
  // Somebody else's answer is no XML, and nothing of it can be named.
  return error.name === undefined || /^(Unknown|SyntaxError|Error$)/.test(error.name)
    ? `${server} answers with HTTP ${status}, and not as S3 does (${said}): is the endpoint right?`
    : `${server} refuses: ${said}`
}
