/** Whether one redis has its data from another, as both tell it. PURE. */
import type { RedisFacts } from '../model/view.ts'

type Told = Pick<RedisFacts, 'role' | 'replid' | 'runId' | 'upstream'>

/** Before 4.0 there are no replication ids: a replica of a later version calls the history by the run id of its primary. */
export function historyOf({ replid, runId }: Pick<RedisFacts, 'replid' | 'runId'>): string {
  return replid === '' ? runId : replid
}

/**
 * Is what the source has sent by some offset what the target has from then on? Only of a primary: of two replicas either may be ahead. `at`: where the source
 * is reached, for a target before 4.0, which can only be asked whom it follows.
 */
export function follows(target: Told, source: Told, at: { readonly host: string; readonly port: number }): boolean {
  if (source.role !== 'primary' || target.role !== 'replica') return false
  if (target.replid !== '') return target.replid === historyOf(source)
  return target.upstream?.host === at.host && target.upstream.port === at.port
}
