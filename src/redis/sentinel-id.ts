/** Under which run id an agent stands for election among the Sentinels: theirs are 40 hex digits, so is this, and no two hosts share one. */
import { createHash, createHmac } from 'node:crypto'

export function candidateId(group: string, host: string): string {
  return createHash('sha1').update(`holdfast\n${group}\n${host}`).digest('hex')
}

/**
 * The password of the user as whom Sentinels come to redis: every agent knows it, and nobody has to invent or keep it. One per group, so that
 * a Sentinel of one cannot give orders to another.
 */
export function sentinelUserPassword(secret: string, group: string): string {
  return createHmac('sha256', secret).update(`sentinel-user:${group}`).digest('hex')
}

/** As redis keeps it. */
export function passwordHash(password: string): string {
  return createHash('sha256').update(password).digest('hex')
}
