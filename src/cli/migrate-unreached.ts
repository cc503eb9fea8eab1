/** Why a redis that was named is not entered: what Node and redis say of it, as a code and what helps. Words only. */
import { OperatorError } from '../model/error.ts'
import type { Endpoint } from './migrate-source.ts'

export function unreached(end: Endpoint, why: string): OperatorError {
  const tls = 'tls' in end ? end.tls : undefined
  const [code, hint] = judged(why, tls !== undefined, tls?.cert !== undefined)
  // OpenSSL tells with it in which line of its source that was.
  const words = /:SSL routines:[^:]*:([^:]+):/.exec(why)?.[1] ?? why
  return new OperatorError(code, `${end.host}:${end.port}: ${words}`, hint)
}

/** By which a server says that it does not like our certificate: RFC 8446, 6.2. */
const ofOurs = /SSL alert number (4[0-689]|51|116)\b/

function judged(why: string, hasTls: boolean, hasCert: boolean): readonly ['HF901' | 'HF902' | 'HF933' | 'HF934', string] {
  if (/WRONGPASS|NOAUTH|invalid password/i.test(why)) return ['HF902', 'redis://USER@HOST:PORT names a user, --source-password-file the password']
  if (!hasTls) return ['HF901', 'can this machine reach it? redis-cli -h HOST -p PORT PING; where it speaks TLS: rediss://HOST:PORT']
  if (ofOurs.test(why))
    return ['HF934', hasCert ? 'a certificate that the source trusts (its tls-ca-cert-file), and its key' : '--tls-cert FILE --tls-key FILE']
  if (/certificate has expired|not yet valid/i.test(why)) return ['HF933', 'a new certificate for the source; or is the clock of this machine wrong?']
  if (/altnames|does not match/i.test(why)) return ['HF933', 'name the source as its certificate does: rediss://NAME:PORT']
  if (/wrong version number|packet length too long|record layer/i.test(why)) return ['HF901', 'it speaks no TLS there: redis://HOST:PORT, or another port']
  if (/self.signed|issuer|verify|certificate/i.test(why)) return ['HF933', '--tls-ca FILE: the authority that has signed the certificate of the source']
  return ['HF901', 'can this machine reach it? redis-cli --tls -h HOST -p PORT PING; where it speaks no TLS: redis://HOST:PORT']
}
