/** Sizes, ages and moments of backups, as people read them. */

export function sizeWords(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const unit = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, bytes)) / 10)))
  const value = bytes / 1024 ** unit
  return `${unit === 0 || value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${units[unit]}`
}

export function spanWords(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  const [days, hours, minutes] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60]
  return days > 0 ? `${days} d${hours > 0 ? ` ${hours} h` : ''}` : hours > 0 ? `${hours} h ${minutes} min` : minutes > 0 ? `${minutes} min` : `${seconds} s`
}

export function tookWords(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`
}

export function momentWords(atWallMs: number): string {
  return `${new Date(atWallMs).toISOString().replace('T', ' ').slice(0, 19)} UTC`
}

export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`
}

/** How far a walk over keys has come in so many milliseconds, how quickly, and how long the rest will take. */
export function keysWords(done: number, of: number, forMs: number): string {
  const perS = (done * 1000) / Math.max(1, forMs)
  const left = perS > 0 && of > done ? `, ${spanWords(((of - done) / perS) * 1000)} left` : ''
  return `${done} of ${of} keys, ${Math.round(perS)}/s${left}`
}

/** One line that is written over; nothing where nobody watches. */
export interface Progress {
  readonly tell: (bytes: number) => void
  readonly end: () => void
}

const everyMs = 200

/** `of`: all bytes that are to come. */
export function progressLine(what: string, of: number): Progress {
  if (!process.stderr.isTTY) return { tell: () => undefined, end: () => undefined }
  const beganMs = performance.now()
  let toldMs = 0
  return {
    tell: (bytes) => {
      const nowMs = performance.now()
      if (nowMs - toldMs < everyMs) return
      toldMs = nowMs
      const perS = (bytes / Math.max(1, nowMs - beganMs)) * 1000
      const left = perS > 0 && of > bytes ? `, ${spanWords(((of - bytes) / perS) * 1000)} left` : ''
      process.stderr.write(`\r\x1b[K${what}: ${sizeWords(bytes)} of ${sizeWords(of)}, ${sizeWords(perS)}/s${left}`)
    },
    end: () => void process.stderr.write('\r\x1b[K'),
  }
}
