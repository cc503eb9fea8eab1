/** What a Sentinel answers when it is asked for its lists, and what it publishes at a redis: words as data. It speaks to nobody. */
import type { At, Known, Watched } from '../model/sentinel-look.ts'
import { fieldsOf, flagsOf } from './sentinel-replies.ts'

/** SENTINEL MASTERS. */
export function watchedFrom(reply: unknown): readonly Watched[] {
  return rowsOf(reply).map((fields) => {
    const num = (name: string): number => Number(fields.get(name) ?? 0) || 0
    return {
      name: fields.get('name') ?? '',
      address: addressIn(fields),
      flags: flagsOf(fields),
      configEpoch: num('config-epoch'),
      settings: {
        quorum: num('quorum'),
        downAfterMs: num('down-after-milliseconds'),
        failoverTimeoutMs: num('failover-timeout'),
        parallelSyncs: num('parallel-syncs'),
      },
    }
  })
}

/** SENTINEL REPLICAS, SENTINEL SENTINELS. An address that was found wrong has port 0. */
export function knownFrom(reply: unknown): readonly Known[] {
  return rowsOf(reply).map((fields) => ({ address: addressIn(fields), id: fields.get('runid') ?? '', flags: flagsOf(fields) }))
}

export interface Hello {
  readonly address: At
  readonly id: string
  readonly group: string
  readonly primary: At
}

/** `ip,port,id,epoch,group,ip,port,epoch`. null: somebody else published something else. */
export function helloFrom(text: string): Hello | null {
  const [ip, port, id, , group, primaryIp, primaryPort, epoch] = text.split(',')
  if (ip === undefined || id === undefined || group === undefined || primaryIp === undefined || epoch === undefined) return null
  return { address: { ip, port: Number(port) || 0 }, id, group, primary: { ip: primaryIp, port: Number(primaryPort) || 0 } }
}

/** It asks each second. What is silent for longer is left of one that lost its power: redis keeps the connection for minutes. */
const askedWithinS = 5

/** A Sentinel calls itself so at each redis that it watches: CLIENT LIST. `id`: its first eight digits. */
export function sentinelClients(clientList: string): readonly { readonly ip: string; readonly id: string }[] {
  const found = clientList.split('\n').flatMap((line) => {
    // Not its other one, on which it only listens: redis counts what it sends there.
    const [, ip, id, idleS] = / addr=(\S+):\d+ .* name=sentinel-([0-9a-f]{8})-cmd .* idle=(\d+) /.exec(line) ?? []
    return ip === undefined || id === undefined || Number(idleS) > askedWithinS ? [] : [{ ip, id }]
  })
  return found.filter((client, i) => found.findIndex((other) => other.ip === client.ip && other.id === client.id) === i)
}

function rowsOf(reply: unknown): readonly ReadonlyMap<string, string>[] {
  return Array.isArray(reply) ? reply.map(fieldsOf) : []
}

function addressIn(fields: ReadonlyMap<string, string>): At {
  return { ip: fields.get('ip') ?? '', port: Number(fields.get('port')) || 0 }
}
