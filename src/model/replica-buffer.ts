/** `client-output-buffer-limit` of replicas, as CONFIG GET tells it. PURE. */
import type { RedisSettings } from './view.ts'

/** `normal 0 0 0 slave 268435456 67108864 60 pubsub …` */
export function bufferIn(text: string): RedisSettings['replicaBuffer'] {
  const match = /(?:slave|replica) (\d+) (\d+) (\d+)/.exec(text)
  return match === null ? null : { hardBytes: Number(match[1]), softBytes: Number(match[2]), softS: Number(match[3]) }
}
