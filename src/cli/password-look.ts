/**
 * What each host says of a password, or of the agents' secret, while it is changed, what is left to do, and both in words. Nothing is remembered here, and
 * nothing changed.
 */
import type { GroupConfig } from '../model/config.ts'
import { OperatorError } from '../model/error.ts'
import type { PasswordStep, PasswordWord } from '../model/password.ts'
import { ask, type Session } from './ask.ts'

/** What is changed: a password of a group, that of its Sentinels, or the secret of the agents. */
export interface Subject {
  /** In a sentence. */
  readonly noun: 'password' | 'secret'
  readonly whose: string
  /** Where its agents are asked. */
  readonly path: string
  readonly hosts: readonly string[]
  /** Who is to be well between two hosts. */
  readonly groups: readonly GroupConfig[]
  /** There, somebody asks for it. */
  readonly guarded: readonly string[]
  /** Who that is. */
  readonly guard: string
  /** Who must hear each other before the next host is begun. */
  readonly talk: 'agents' | 'Sentinels' | null
  readonly plans: Readonly<Record<PasswordStep, string>>
  /** What is so on a host that was left out. */
  readonly away: string
  readonly nextCommand: string
}

export interface Change extends Subject {
  readonly session: Session
  readonly password: string
  /** Of the new one. */
  readonly id: string
  readonly without: readonly string[]
  readonly say: (text: string) => void
}

export interface Seen {
  readonly host: string
  /** null: it does not answer. */
  readonly word: PasswordWord | null
  readonly why: string
}

export function lookAll(change: Change): Promise<readonly Seen[]> {
  return Promise.all(change.hosts.map((host) => lookAt(change, host)))
}

export async function lookAt({ session, path, noun }: Change, host: string): Promise<Seen> {
  try {
    const { word } = (await ask(session, host, { method: 'GET', path })) as { word: PasswordWord | null }
    return { host, word, why: word === null ? `its agent has no such ${noun}` : '' }
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error
    return { host, word: null, why: error.message }
  }
}

/** It does not know the new one, is on the way to the other, or who asks for it there does not take what it should. */
export function needsOffer({ stage, current, takesCurrent, takesOther }: PasswordWord, id: string): boolean {
  const isOnTheWay = current === id ? stage !== 'offered' : stage === 'offered'
  return !isOnTheWay || takesCurrent === false || takesOther === false
}

/** Also where its agent was killed in the middle of that: the file has it, and who goes to others by it has not. */
export function needsUse({ current, comes }: PasswordWord, id: string): boolean {
  return current !== id || comes === false
}

/** A step at all hosts before the next one at any: whoever is asked to take the new one must be able to. */
export function stepsFor({ id }: Change, seen: readonly Seen[], finishes: boolean): readonly PasswordStep[] {
  const known = seen.flatMap((s) => (s.word === null ? [] : [s.word]))
  const old = known.filter((w) => needsUse(w, id))
  if (finishes) return known.some((w) => w.stage !== 'none' || w.isOpen) ? ['finish'] : []
  const unoffered = known.some((w) => needsOffer(w, id))
  return [...(unoffered ? (['offer'] as const) : []), ...(old.length > 0 ? (['use'] as const) : [])]
}

export function draw(change: Change, seen: readonly Seen[], finishes: boolean): readonly string[] {
  const { id, guard, plans } = change
  const words = seen.map(({ host, word, why }) => {
    if (word === null) return `${host}: does not answer (${why})`
    const now =
      word.current === id ? 'comes with the new one' : word.other === id ? 'comes with the old one; the new one is valid too' : 'knows only the old one'
    if (word.current === id && word.comes === false) return `${host}: ${now}, and ${guard} there does not yet`
    if (word.isOpen) return `${host}: ${now}; anybody is let in`
    return `${host}: ${now}${word.stage === 'using' && word.current === id ? '; the old one is still valid' : ''}`
  })
  const steps = stepsFor(change, seen, finishes)
  return [...words, ...steps.map((step) => plans[step]), ...(steps.length === 0 ? ['nothing is left to do'] : [])]
}
