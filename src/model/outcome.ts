/** The world failing is data. Observers return `Observed`, executors return `Outcome`; neither throws. */

export type Observed<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly why: string }

/** `waiting`: nothing is wrong, it takes time; ask again. */
export type Outcome = { readonly done: true } | { readonly done: false; readonly why: string; readonly waiting?: true }

export const done: Outcome = { done: true }

export function failed(why: string): Outcome {
  return { done: false, why }
}

export function waiting(why: string): Outcome {
  return { done: false, why, waiting: true }
}
