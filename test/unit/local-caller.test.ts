/** As whom a port of this host was called, read from what the kernel tells. */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { expect, test } from 'vitest'
import { callerOf, uidIn, userOf } from '../../src/observe/local-caller.ts'

test('the side that has called, not the one that was', () => {
  const table = [
    '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode',
    '   0: 0100007F:02F3 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 101 1 0000000000000000 100 0 0 10 0',
    '   1: 0100007F:02F3 0100007F:B2C4 01 00000000:00000000 00:00000000 00000000     0        0 102 1 0000000000000000 20 4 30 10 -1',
    '   2: 0100007F:B2C4 0100007F:02F3 01 00000000:00000000 00:00000000 00000000   112        0 103 1 0000000000000000 20 4 30 10 -1',
  ].join('\n')
  expect([uidIn(table, 0xb2c4, 0x2f3), uidIn(table, 0xb2c5, 0x2f3), uidIn('', 1, 2)]).toEqual([112, null, null])
})

test('of a connection of this process', async () => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve))
  const socket = connect(port, '127.0.0.1')
  const near = await accepted
  try {
    expect(await callerOf(near.remotePort ?? 0, port)).toBe(process.getuid?.())
    expect([await userOf(process.pid), await userOf(2 ** 30)]).toEqual([process.getuid?.(), null])
  } finally {
    socket.destroy()
    near.destroy()
    server.close()
  }
})
