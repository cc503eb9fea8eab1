/**
 * A word that many know (a password, the agents' secret) while it is changed, on this host, in steps between which the old one and the new one are valid:
 * remembered DURABLY BEFORE whoever asks for it hears of it, so that one that is started meanwhile takes both. After each step the agent starts anew in
 * place with what is remembered. In which order hosts go is cli/password-steps.ts; what the word opens is password-change.ts and secret-change.ts.
 */
import { readFile } from 'node:fs/promises'
import { OperatorError } from '../model/error.ts'
import type { PasswordAnswer, PasswordChange, PasswordRequest, PasswordWord } from '../model/password.ts'
import { removeDurably, writeDurably } from '../act/durable.ts'
import { replaceFile } from './own-config.ts'

/** The answer must reach whoever asked before the port is closed. */
const answerFirstMs = 100

export interface Passwords<Word extends string | undefined = string | undefined> {
  /** With which this host comes. */
  readonly current: Word
  /** Valid beside it, while it is changed. */
  readonly other?: string | undefined
}

/** Who asks for it here. Each answer: null, done; else why not. `known`: one of these lets in. */
export interface Guard {
  /** Changes nothing: refused by one that could not carry out the others. */
  readonly probe: (known: readonly string[]) => Promise<string | null>
  readonly takeBoth: (one: string, two: string) => Promise<string | null>
  /** It comes to the others with this one. */
  readonly comeWith: (word: string, known: readonly string[]) => Promise<string | null>
  /** `old`: must be refused afterwards. */
  readonly takeOnly: (word: string, old: string | null) => Promise<string | null>
  /** null: nobody asks for it here, or there is no answer. */
  readonly takes: (word: string) => Promise<boolean | null>
  /** It lets in anybody. */
  readonly isOpen: () => Promise<boolean>
  /** Does it come to others with this one? null: it comes to nobody. */
  readonly comes: (word: string) => Promise<boolean | null>
}

export interface TwoStepOptions {
  /** Holds it on one line; undefined: there is none. */
  readonly file: string | undefined
  readonly changeFile: string
  readonly inFile: () => Promise<string | undefined>
  /** It can be compared, and not be told from it. */
  readonly id: (word: string) => string
  /** Why it cannot be this one; null: it can. */
  readonly refuses: (word: string) => string | null
  readonly guard: Guard
  /** Start anew. */
  readonly changed: () => void
}

export interface PasswordKeeper {
  /** Two are valid, as this agent was started. */
  readonly isChanging: boolean
  readonly word: () => Promise<PasswordWord | null>
  readonly step: (request: PasswordRequest) => Promise<PasswordAnswer>
}

/** What is remembered goes before the file: it may have been half-way between the two. */
export async function rememberedOr<Word extends string | undefined>(changeFile: string, inFile: () => Promise<Word>): Promise<Passwords<Word | string>> {
  const change = await readChange(changeFile)
  if (change === null) return { current: await inFile() }
  return change.stage === 'using' ? { current: change.new, other: change.old } : { current: change.old, other: change.new }
}

async function readChange(file: string): Promise<PasswordChange | null> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  const change = JSON.parse(text) as Partial<PasswordChange>
  const isSound = (change.stage === 'offered' || change.stage === 'using') && typeof change.old === 'string' && typeof change.new === 'string'
  if (!isSound) throw new OperatorError('HF206', `${file} is damaged`, 'put the word that is taken into its file, and move this file away')
  return change as PasswordChange
}

export async function keepTwoStep({ file, changeFile, inFile, id, refuses, guard, changed }: TwoStepOptions): Promise<PasswordKeeper> {
  const read = (): Promise<PasswordChange | null> => readChange(changeFile)
  const known = (): Promise<Passwords> => rememberedOr(changeFile, inFile)
  const isChanging = (await read()) !== null
  let isTaking = false

  async function word(): Promise<PasswordWord | null> {
    const { current, other } = await known()
    if (current === undefined) return null
    const change = await read()
    return {
      stage: change?.stage ?? 'none',
      current: id(current),
      other: other === undefined ? null : id(other),
      takesCurrent: await guard.takes(current),
      takesOther: other === undefined ? null : await guard.takes(other),
      isOpen: await guard.isOpen(),
      comes: await guard.comes(current),
    }
  }

  async function step({ step: what, password }: PasswordRequest): Promise<PasswordAnswer> {
    if (file === undefined) return { ok: false, why: 'no file for it is configured' }
    const against = refuses(password)
    if (against !== null) return { ok: false, why: against }
    if (isTaking) return { ok: false, why: 'another step is under way' }
    isTaking = true
    try {
      const why = await { offer, use, finish }[what](password)
      // Also where it was refused half-way: what is remembered counts.
      setTimeout(changed, answerFirstMs)
      return { ok: why === null, why: why ?? '' }
    } catch (error) {
      isTaking = false
      return { ok: false, why: (error as Error).message }
    }
  }

  async function remember(change: PasswordChange): Promise<void> {
    await writeDurably(changeFile, JSON.stringify(change), 0o600)
  }

  async function offer(password: string): Promise<string | null> {
    const change = await read()
    const { current } = await known()
    if (current === password && change === null) return null
    if (change !== null && password !== change.new && password !== change.old)
      return 'a change to another one is under way: finish it first, or give the file of the old one to go back'
    if (await guard.isOpen()) return 'anybody is let in here: first --finish, then change it'
    // Back to the old one, in the same steps.
    // Before anything is remembered: one that does not know ACLs would not start from a file with both.
    const unable = await guard.probe([current ?? '', change?.new ?? current ?? ''])
    if (unable !== null) return unable
    const isBack = change !== null && password === change.old
    const next: PasswordChange = change === null ? { stage: 'offered', old: current ?? '', new: password } : isBack ? swapped(change) : change
    await remember(next)
    return guard.takeBoth(next.old, next.new)
  }

  async function use(password: string): Promise<string | null> {
    const change = await read()
    if (change === null) return (await inFile()) === password ? guard.comeWith(password, [password]) : 'it was not offered here'
    if (change.new !== password) return 'another password was offered here'
    await remember({ ...change, stage: 'using' })
    if (file !== undefined) await replaceFile(file, `${password}\n`)
    return guard.comeWith(password, [change.new, change.old])
  }

  async function finish(password: string): Promise<string | null> {
    const change = await read()
    if (change !== null && (change.stage !== 'using' || change.new !== password)) return 'it is not in use here yet'
    if (change === null && (await inFile()) !== password) return 'it was not offered here'
    // Before it is forgotten: should this end in the middle, the next try does it again.
    const why = await guard.takeOnly(password, change?.old ?? null)
    if (why !== null) return why
    await removeDurably(changeFile)
    return null
  }

  return { isChanging, word, step }
}

/** What was in use stays so: the old one of now is the one that agents and replication came with. */
function swapped(change: PasswordChange): PasswordChange {
  return change.stage === 'using' ? { stage: 'offered', old: change.new, new: change.old } : { stage: 'using', old: change.new, new: change.old }
}
