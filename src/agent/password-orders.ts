/** What a redis, or a Sentinel, is told in each step of a change of its password. PURE. When, and by whom, is password-change.ts. */
import type { PasswordOf } from '../model/password.ts'

export type Orders = readonly (readonly string[])[]

export interface PasswordOrders {
  readonly name: string
  /** Changes nothing: refused by one that could not carry out the others. */
  readonly probe: Orders
  readonly takeBoth: (one: string, two: string) => Orders
  /** It comes to the others with this one. */
  readonly comeWith: (password: string) => Orders
  /** Who is connected stays so. */
  readonly takeOnly: (password: string) => Orders
  /** Of what is refused as a password. */
  readonly noPassword: string
}

/** A Sentinel writes its file by itself only where it changes what it remembers of others: not after an ACL order. */
const flush = ['SENTINEL', 'FLUSHCONFIG']

export const passwordOrders: Readonly<Record<PasswordOf, PasswordOrders>> = {
  redis: {
    name: 'its redis',
    probe: [['ACL', 'WHOAMI']],
    takeBoth: (one, two) => [['ACL', 'SETUSER', 'default', `>${one}`, `>${two}`]],
    comeWith: (password) => [['CONFIG', 'SET', 'masterauth', password]],
    // One that was started with both has this `requirepass` already, and CONFIG SET of what is set does nothing: the user is told too.
    takeOnly: (password) => [
      ['CONFIG', 'SET', 'requirepass', password],
      ['ACL', 'SETUSER', 'default', 'resetpass', `>${password}`],
    ],
    noPassword: 'not a password: empty, or with a line break or control character',
  },
  // A Sentinel has no CONFIG: `requirepass` stays in its file, and the user `default`, which stands there too from now on, goes before it.
  sentinels: {
    name: 'its Sentinel',
    probe: [
      ['ACL', 'WHOAMI'],
      ['SENTINEL', 'CONFIG', 'GET', 'sentinel-pass'],
    ],
    takeBoth: (one, two) => [['ACL', 'SETUSER', 'default', `>${one}`, `>${two}`], flush],
    comeWith: (password) => [['SENTINEL', 'CONFIG', 'SET', 'sentinel-pass', password]],
    takeOnly: (password) => [['ACL', 'SETUSER', 'default', 'resetpass', `>${password}`], flush],
    noPassword: 'not a password of Sentinels: empty, or with a space, a quote, a line break or control character',
  },
}
