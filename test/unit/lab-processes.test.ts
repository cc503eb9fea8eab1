/** Which ports a process listens on, as a lab reads it: its agent is up when it does. */
import { createServer, type AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { portsOf } from '../../src/lab/processes.ts'

test.each(['127.0.0.1', '::'])('a port at %s is there from the moment it is listened on until it is closed', async (host) => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  const { port } = server.address() as AddressInfo
  expect(portsOf(process.pid)).toContain(port)
  expect(portsOf(process.ppid), 'whose it is not').not.toContain(port)
  await new Promise((resolve) => server.close(resolve))
  expect(portsOf(process.pid)).not.toContain(port)
})

test('who has ended has none', () => expect(portsOf(2 ** 22)).toEqual([]))
