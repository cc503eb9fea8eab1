/**
 * What a good Sentinel library does inside an application, as a process beside the unmodified writing client: for each new
 * connection it asks the sentinels for the primary, checks its ROLE, and passes the bytes through; when a sentinel announces
 * `+switch-master`, or the primary's connection ends, it ends the client's, which then connects and thereby asks again.
 * That is the best case for Sentinel: many libraries do not listen for the announcement, and wait for their own timeout.
 *   node --import tsx sentinel-relay.ts PORT SENTINEL_IP:PORT…
 */
import { connect, createServer, type Socket } from 'node:net'
import { createReplyReader, encodeCommand, type Reply } from '../src/lab/resp.ts'

const name = 'bench'
const askWithinMs = 250
/** Libraries pause before they ask again; without it a refused client would ask hundreds of times a second. */
const refuseAfterMs = 20
const subscribeAgainMs = 200

interface Address {
  readonly host: string
  readonly port: number
}

const [port = '', ...rest] = process.argv.slice(2)
const sentinels = rest.map(addressOf)
/** Client sockets by the primary that they were given. */
const open = new Map<Socket, string>()

createServer({ noDelay: true }, (client) => {
  client.on('error', () => client.destroy())
  void serve(client)
}).listen(Number(port), '127.0.0.1')
for (const sentinel of sentinels) listenTo(sentinel)

async function serve(client: Socket): Promise<void> {
  const primary = await findPrimary()
  if (client.destroyed) return
  if (primary === null) {
    setTimeout(() => client.destroy(), refuseAfterMs)
    return
  }
  const server = connect({ ...primary, noDelay: true })
  const end = (): void => {
    open.delete(client)
    client.destroy()
    server.destroy()
  }
  open.set(client, `${primary.host}:${primary.port}`)
  for (const socket of [client, server]) {
    socket.on('error', end)
    socket.on('close', end)
  }
  client.pipe(server).pipe(client)
}

/** The first sentinel that answers is believed, if what it names says itself that it is a primary. */
async function findPrimary(): Promise<Address | null> {
  const answers = sentinels.map((sentinel) => ask(sentinel, ['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', name]))
  const named = await firstOf(answers, (reply) => {
    if (!Array.isArray(reply)) return null
    return { host: String(reply[0]), port: Number(reply[1]) }
  })
  if (named === null) return null
  const role = await ask(named, ['ROLE'])
  return Array.isArray(role) && role[0] === 'master' ? named : null
}

function firstOf<T>(answers: readonly Promise<Reply>[], take: (reply: Reply) => T | null): Promise<T | null> {
  return new Promise((resolve) => {
    let waiting = answers.length
    for (const answer of answers) {
      void answer.then((reply) => {
        const taken = take(reply)
        waiting -= 1
        if (taken !== null || waiting === 0) resolve(taken)
      })
    }
  })
}

/** null: no answer in time. */
function ask(address: Address, command: readonly string[]): Promise<Reply> {
  return new Promise((resolve) => {
    const socket = connect({ ...address, noDelay: true })
    const reader = createReplyReader()
    const give = (reply: Reply): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(reply)
    }
    const timer = setTimeout(give, askWithinMs, null)
    socket.on('error', () => give(null))
    socket.on('close', () => give(null))
    socket.on('connect', () => socket.write(encodeCommand(command)))
    socket.on('data', (chunk: Buffer) => {
      const [reply] = reader.push(chunk)
      if (reply !== undefined) give(reply)
    })
  })
}

function listenTo(sentinel: Address): void {
  const socket = connect({ ...sentinel, noDelay: true })
  const reader = createReplyReader()
  socket.on('connect', () => socket.write(encodeCommand(['SUBSCRIBE', '+switch-master'])))
  socket.on('data', (chunk: Buffer) => {
    for (const reply of reader.push(chunk)) if (Array.isArray(reply) && reply[0] === 'message') switched(String(reply[2]))
  })
  socket.on('error', () => socket.destroy())
  socket.on('close', () => setTimeout(listenTo, subscribeAgainMs, sentinel))
}

/** `bench OLD-IP OLD-PORT NEW-IP NEW-PORT` */
function switched(announcement: string): void {
  const [of, , , host, newPort] = announcement.split(' ')
  if (of !== name) return
  for (const [client, primary] of open) if (primary !== `${host}:${newPort}`) client.destroy()
}

function addressOf(text: string): Address {
  const [host = '', number = ''] = text.split(':')
  return { host, port: Number(number) }
}
