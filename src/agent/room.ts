/**
 * Room for so many at once. Who finds none waits in line, and is called when somebody leaves. Knows nothing of what they do.
 */
export interface Room {
  /** false: there is none; `whenFree` is called once, and may ask again. Who stands in line is not put there twice. */
  readonly enter: (whenFree: () => void) => boolean
  readonly leave: () => void
}

export function roomFor(places: number): Room {
  const line = new Set<() => void>()
  let inside = 0
  return {
    enter: (whenFree) => {
      if (inside >= places) {
        line.add(whenFree)
        return false
      }
      line.delete(whenFree)
      inside += 1
      return true
    },
    leave: () => {
      inside -= 1
      const [next] = line
      if (next === undefined) return
      line.delete(next)
      // Not from within whoever leaves: he may have more to do.
      setImmediate(next)
    },
  }
}
