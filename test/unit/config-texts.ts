/** Short configurations for the tests of `src/config`, and their problems as a reader sees them. */
import { parseConfig } from '../../src/config/load.ts'

export const head = `hosts:
  a: { ip: 10.0.0.1, interface: eth0 }
  b: { ip: 10.0.0.2, interface: eth0 }
  c: { ip: 10.0.0.3, interface: eth0 }
  w: { ip: 10.0.0.9 }
groups:
`

export const minimal = `${head}  g: { members: [a, b], vip: 10.0.0.100/24 }\n`

export function group(keys: string): string {
  return `${head}  g: ${keys}\n`
}

/** `line «what stands at that column» path: message` of each problem, so that a reader can see that the place is right. */
export function problems(text: string): string[] {
  const lines = text.split('\n')
  return parseConfig(text, '/x/holdfast.yaml').problems.map(({ line, column, path, message }) => {
    const there = lines[line - 1]?.slice(column - 1) ?? ''
    return `${line} «${/^[\w./-]+|^.?/.exec(there)?.[0]}» ${path}: ${message}`
  })
}
