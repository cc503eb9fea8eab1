/**
 * A STAND-IN for redis 3.0.4, 3.2.4 and 4.0.10, which no package brings any more: it knows the words that a move sends to its source, under the names
 * and with the refusals of that version, and plays the role, the limits and the pause that come of them. It holds no data. What the real ones do was
 * measured elsewhere; this only keeps the names right.
 */
import { createServer, type AddressInfo, type Socket } from 'node:net'

export type OldVersion = '3.0.4' | '3.2.4' | '4.0.10'

export interface OldRedisStandIn {
  readonly port: number
  readonly config: Map<string, string>
  /** Each command that came, in its words. */
  readonly heard: string[]
  readonly role: () => string
  readonly close: () => Promise<void>
}

const clientWords = 'Syntax error, try CLIENT (LIST | KILL | GETNAME | SETNAME | PAUSE | REPLY)'

export async function playOldRedis(version: OldVersion): Promise<OldRedisStandIn> {
  const config = new Map([
    ['slave-read-only', 'yes'],
    ['min-slaves-to-write', '0'],
    ['min-slaves-max-lag', '10'],
    ['masterauth', ''],
    ['repl-backlog-size', '1048576'],
    ['client-output-buffer-limit', 'normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60'],
    ['repl-timeout', '60'],
  ])
  const heard: string[] = []
  let primary: { readonly host: string; readonly port: string } | null = null

  const info = (): string => {
    const replid = version === '4.0.10' ? ['master_replid:4444444444444444444444444444444444444444', 'second_repl_offset:-1'] : []
    const role =
      primary === null
        ? ['role:master', 'master_repl_offset:700']
        : [
            'role:slave',
            `master_host:${primary.host}`,
            `master_port:${primary.port}`,
            'master_link_status:down',
            'master_link_down_since_seconds:1',
            'slave_repl_offset:1',
            'master_repl_offset:0',
          ]
    return [
      '# Server',
      `redis_version:${version}`,
      'run_id:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
      'loading:0',
      ...role,
      ...replid,
      'connected_slaves:0',
      'db0:keys=3,expires=1,avg_ttl=0',
    ].join('\r\n')
  }

  const set = (name = '', value = ''): string => {
    if (!config.has(name)) return `-ERR Unsupported CONFIG parameter: ${name}\r\n`
    config.set(name, value)
    return '+OK\r\n'
  }

  const client = ([sub = '', ...rest]: readonly string[]): string => {
    if (sub === 'PAUSE' && rest.length === 1) return '+OK\r\n'
    if (sub === 'KILL' && rest[0] === 'TYPE') return ['normal', 'slave', 'pubsub'].includes(rest[1] ?? '') ? ':0\r\n' : "-ERR Unknown client type 'x'\r\n"
    return `-ERR ${clientWords}\r\n`
  }

  const answer = (words: readonly string[]): string => {
    const [name = '', ...args] = words
    switch (name.toUpperCase()) {
      case 'PING':
        return '+PONG\r\n'
      case 'INFO': {
        const text = info()
        return `$${text.length}\r\n${text}\r\n`
      }
      case 'SLAVEOF':
        primary = args[0] === 'NO' ? null : { host: args[0] ?? '', port: args[1] ?? '' }
        return '+OK\r\n'
      case 'CLIENT':
        return client(args)
      case 'CONFIG': {
        if (args[0] === 'SET') return set(args[1], args[2])
        if (args[0] === 'REWRITE') return '-ERR The server is running without a config file\r\n'
        const like = new RegExp(`^${(args[1] ?? '').replace('*', '.*')}$`)
        const found = [...config].filter(([key]) => like.test(key)).flat()
        return `*${found.length}\r\n${found.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`
      }
      default:
        return `-ERR unknown command '${name}'\r\n`
    }
  }

  const sockets = new Set<Socket>()
  // As redis has it: or an answer would wait for the word that the one before it has arrived.
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket)
    let rest = ''
    socket.on('error', () => {})
    socket.on('data', (data) => {
      rest += data.toString()
      for (let taken = takeCommand(rest); taken !== null; taken = takeCommand(rest)) {
        rest = taken.rest
        heard.push(taken.words.join(' '))
        socket.write(answer(taken.words))
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    config,
    heard,
    role: () => (primary === null ? 'master' : `slave of ${primary.host}:${primary.port}`),
    close: () => {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}

/** ASCII only: lengths are of characters. null: not whole yet. */
function takeCommand(text: string): { readonly words: readonly string[]; readonly rest: string } | null {
  const head = /^\*(\d+)\r\n/.exec(text)
  if (head === null) return null
  const words: string[] = []
  let at = head[0].length
  for (let i = 0; i < Number(head[1]); i += 1) {
    const length = /^\$(\d+)\r\n/.exec(text.slice(at))
    if (length === null) return null
    at += length[0].length
    const word = text.slice(at, at + Number(length[1]))
    at += Number(length[1]) + 2
    if (at > text.length) return null
    words.push(word)
  }
  return { words, rest: text.slice(at) }
}
