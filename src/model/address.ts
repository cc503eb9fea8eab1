/** The words on who holds a group's address, and what an agent reports of it. PURE: what they mean stands in decide/address.ts. */

export const wrongWords = ['nobody', 'two', 'not the primary', 'a stranger'] as const
export type WrongWord = (typeof wrongWords)[number]
/** `unknown`: this member knows of nobody who serves, and then the address may be anywhere. */
export type AddressWord = 'with the primary' | 'unknown' | WrongWord
export const addressWords: readonly AddressWord[] = ['with the primary', ...wrongWords, 'unknown']

export type AddressRepair = 'removed' | 'returned' | 'keepalived restarted'

/** Totals begin anew with the agent. */
export interface AddressReport {
  readonly word: AddressWord
  readonly why: string
  readonly forMs: number
  readonly incidents: Readonly<Record<WrongWord, number>>
  /** The one that lasts included. */
  readonly wrongMs: number
  readonly repairs: Readonly<Record<AddressRepair, number>>
}
