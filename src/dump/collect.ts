/** Pieces of a dataset lie outside of the heap, so nothing hurries to give them back: some hundred MB would pile up. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** A look at what is young takes half a millisecond; those in use just then are old afterwards, so more often leaves more behind. */
const youngEveryBytes = 8 * 1024 * 1024
/** And at all of it 10 ms. */
const largeEveryBytes = 256 * 1024 * 1024

/** To be told of what has been used. `allEveryBytes`: a look at all of the heap after so much. */
export function collector(allEveryBytes = largeEveryBytes): (bytes: number) => void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as (which?: { readonly type: 'minor' }) => void
  let [young, all] = [0, 0]
  return (bytes) => {
    young += bytes
    all += bytes
    if (all >= allEveryBytes) {
      ;[young, all] = [0, 0]
      collect()
    } else if (young >= youngEveryBytes) {
      young = 0
      collect({ type: 'minor' })
    }
  }
}
