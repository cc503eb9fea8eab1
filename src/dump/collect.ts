/** Pieces of a dataset lie outside of the heap, so nothing hurries to give them back: some hundred MB would pile up. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** To be told of what has been used. A look at all of the heap is not for free: `everyBytes` of that. */
export function collector(everyBytes: number): (bytes: number) => void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  let used = 0
  return (bytes) => {
    used += bytes
    if (used < everyBytes) return
    used = 0
    collect()
  }
}
