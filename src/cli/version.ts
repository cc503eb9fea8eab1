/** The version, put in by the build. */
declare const HOLDFAST_VERSION: string | undefined

export const version: string = typeof HOLDFAST_VERSION === 'string' ? HOLDFAST_VERSION : '0.0.0-dev'
