/** One machine that plays all hosts: what would bind every address, or 127.0.0.1, has the address of its host; and only there. */
import { describe, expect, test } from 'vitest'
import { findGroup, parseConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/model/config.ts'
import { listenIp, localIp } from '../../src/model/local-address.ts'
import { renderHaproxy } from '../../src/render/haproxy.ts'
import { renderRedisConf } from '../../src/render/redis-conf.ts'
import { readConf } from '../../src/render/redis-directives.ts'
import { renderSentinelConf } from '../../src/render/sentinel-conf.ts'

function hostsAt(ips: readonly string[]): Config {
  const hosts = ips.map((ip, index) => `  h${index}: { ip: ${ip} }`).join('\n')
  const members = ips.map((_, index) => `h${index}`).join(', ')
  const { config, problems } = parseConfig(`hosts:\n${hosts}\ngroups: { g: { mode: sentinel, members: [${members}] } }\n`, '/etc/h.yaml')
  if (config === undefined) throw new Error(JSON.stringify(problems))
  return config
}

const loopback = hostsAt(['127.0.1.1', '127.0.1.2', '127.0.1.3'])
const network = hostsAt(['10.0.0.1', '10.0.0.2', '10.0.0.3'])

/** The lines that say where something listens, connects from, or calls itself. */
function addressesIn(text: string): readonly string[] {
  return readConf(text)
    .lines.map((one) => [one.directive, ...one.args].join(' '))
    .filter((line) => /^(bind|bind-source-addr|replicaof|replica-announce-ip|sentinel announce-ip) /.test(line))
}

function redisConf(config: Config, host: string, version = { major: 7, minor: 0 }): string {
  const group = findGroup(config, 'g')
  const member = group.members.find((one) => one.host === host)
  if (member === undefined) throw new Error(`${host} is no member`)
  return renderRedisConf({ config, group, member, password: undefined, serverVersion: version }).text
}

describe('where the programs of a host are', () => {
  test('on loopback, at its own address', () => {
    expect([localIp(loopback, 'h1'), listenIp(loopback, 'h1')]).toEqual(['127.0.1.2', '127.0.1.2'])
  })

  test('in a network, at every address, and asked at 127.0.0.1', () => {
    expect([localIp(network, 'h1'), listenIp(network, 'h1')]).toEqual(['127.0.0.1', '0.0.0.0'])
  })
})

describe('redis.conf', () => {
  test('on loopback it binds its address and comes from it, and is born fenced as ever', () => {
    expect(addressesIn(redisConf(loopback, 'h1'))).toEqual([
      ...['bind 127.0.1.2', 'bind-source-addr 127.0.1.2', 'replica-announce-ip 127.0.1.2', 'replicaof 127.0.0.1 1'],
    ])
  })

  test('redis before 7.0 has no word for where it comes from: it is where it is bound', () => {
    expect(addressesIn(redisConf(loopback, 'h1', { major: 6, minor: 2 }))).not.toContainEqual(expect.stringContaining('bind-source-addr'))
  })

  test('in a network nothing is changed', () => {
    expect(addressesIn(redisConf(network, 'h1'))).toEqual(['bind 0.0.0.0', 'replica-announce-ip 10.0.0.2', 'replicaof 127.0.0.1 1'])
  })
})

test('a Sentinel binds its address on loopback, and every address in a network', () => {
  const of = (config: Config): readonly string[] =>
    addressesIn(renderSentinelConf({ config, group: findGroup(config, 'g'), host: 'h2', userPassword: 'pw', password: undefined, watched: null }))
  expect(of(loopback)).toEqual(['bind 127.0.1.3', 'sentinel announce-ip 127.0.1.3'])
  expect(of(network)).toEqual(['sentinel announce-ip 10.0.0.3'])
})

test('HAProxy before a trial is reached from nowhere else, and leaves the port free at the addresses of the hosts', () => {
  const of = (config: Config): readonly string[] =>
    renderHaproxy({ config, group: findGroup(config, 'g'), auth: undefined, writePort: 6379, readPort: 6380 })
      .split('\n')
      .filter((line) => line.includes(' bind '))
      .map((line) => line.trim())
  expect(of(loopback)).toEqual(['bind 127.0.0.1:6379', 'bind 127.0.0.1:6380'])
  expect(of(network)).toEqual(['bind :6379', 'bind :6380'])
})
