/**
 * A fail point: with HOLDFAST_CRASH_AT=LABEL in its environment the agent kills itself (SIGKILL) when it first comes by
 * that label. The end-to-end tests stop it between any two steps of a failover with this; nothing else may use it.
 * Labels: `PHASE/saved`, `PHASE/before:ACTION`, `PHASE/after:ACTION`, where PHASE is the phase that was just decided.
 */
const wanted = process.env.HOLDFAST_CRASH_AT

export function crashPoint(label: string): void {
  if (wanted !== undefined && wanted === label) process.kill(process.pid, 'SIGKILL')
}
