/** What operators ask of the loop of a group: in order until it takes them up, and who asked is told of the end. Decides nothing. */
import type { RequestResult } from '../model/state.ts'
import type { Request } from '../model/view.ts'

const maxWaiting = 16

export interface Requests {
  readonly first: () => Request | null
  /** The loop has taken up the first one. */
  readonly taken: () => void
  readonly ended: (result: RequestResult) => void
  readonly ask: (request: Request, deadlineMs: number) => Promise<RequestResult>
}

export function openRequests(wake: () => void): Requests {
  const waiting: Request[] = []
  const askers = new Map<string, (result: RequestResult) => void>()
  return {
    first: () => waiting[0] ?? null,
    taken: () => void waiting.shift(),
    ended: (result) => {
      askers.get(result.id)?.(result)
      askers.delete(result.id)
    },
    ask: (request, deadlineMs) => {
      if (waiting.length >= maxWaiting) return Promise.resolve({ id: request.id, ok: false, message: 'too many requests are waiting' })
      return new Promise((resolve) => {
        const late = setTimeout(() => {
          askers.delete(request.id)
          resolve({ id: request.id, ok: false, late: true, message: `no result within ${deadlineMs} ms` })
        }, deadlineMs)
        askers.set(request.id, (result) => {
          clearTimeout(late)
          resolve(result)
        })
        waiting.push(request)
        wake()
      })
    },
  }
}
