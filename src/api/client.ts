/** How the CLI asks an agent: one HTTP request over TLS-PSK. Every failure is an OperatorError that says what to do. */
import { request as httpRequest } from 'node:http'
import type { Config } from '../model/config.ts'
import { OperatorError } from '../model/error.ts'
import { isWrongSecret, secureConnect } from '../agent/secure.ts'

const maxAnswerBytes = 16 * 1024 * 1024

export interface Call {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly body?: object
  readonly deadlineMs?: number
}

export function callAgent(config: Config, secret: string, host: string, call: Call): Promise<unknown> {
  const target = config.hosts[host]
  const deadlineMs = call.deadlineMs ?? 2000
  if (target === undefined)
    return Promise.reject(new OperatorError('HF104', `no host ${host} in ${config.file}`, `known hosts: ${Object.keys(config.hosts).join(', ')}`, 2))
  return new Promise((resolve, reject) => {
    const socket = secureConnect(target.ip, config.api.port, secret, 'cli')
    const fail = (error: Error) => {
      clearTimeout(timer)
      socket.destroy()
      reject(error)
    }
    const timer = setTimeout(
      () =>
        fail(
          new OperatorError(
            'HF304',
            `the agent of ${host} (${target.ip}:${config.api.port}) gave no answer within ${deadlineMs} ms`,
            'is the host up, and the port open between here and there?',
          ),
        ),
      deadlineMs,
    )
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (isWrongSecret(error))
        fail(
          new OperatorError(
            'HF302',
            `the agent of ${host} does not accept the secret in ${config.api.secretFile}`,
            'all hosts need the same secret file; copy it from one that works',
          ),
        )
      else
        fail(
          new OperatorError(
            'HF301',
            `no agent answers on ${host} (${target.ip}:${config.api.port}): ${isTls(error) ? 'what answers there is no agent of this group' : error.message}`,
            `start it there: holdfast agent --host ${host}`,
          ),
        )
    })
    socket.once('secureConnect', () => {
      const body = call.body === undefined ? undefined : JSON.stringify(call.body)
      const request = httpRequest({
        createConnection: () => socket,
        method: call.method,
        path: call.path,
        headers: body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
      })
      request.once('error', (error) =>
        fail(
          new OperatorError(
            'HF301',
            `the agent of ${host} broke off: ${error.message}`,
            'it has ended or was ended: start it again, and it ends what it had begun; see its log and holdfast status',
          ),
        ),
      )
      request.once('response', (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => {
          text += chunk
          if (text.length > maxAnswerBytes) fail(new OperatorError('HF301', `the agent of ${host} answers without end`, 'see its log'))
        })
        response.once('end', () => {
          clearTimeout(timer)
          socket.destroy()
          finish(host, response.statusCode ?? 0, text, resolve, reject)
        })
      })
      request.end(body)
    })
  })
}

function finish(host: string, status: number, text: string, resolve: (value: unknown) => void, reject: (error: Error) => void): void {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    reject(new OperatorError('HF301', `the agent of ${host} answered with ${status} and no JSON`, 'do agent and CLI have the same version?'))
    return
  }
  if (status >= 400) reject(new OperatorError('HF303', `the agent of ${host} refused: ${(value as { error?: string }).error ?? status}`, 'see its log'))
  else resolve(value)
}

/** OpenSSL's own words tell an operator nothing. */
function isTls(error: NodeJS.ErrnoException): boolean {
  return error.code?.startsWith('ERR_SSL') === true || /SSL routines/.test(error.message)
}
