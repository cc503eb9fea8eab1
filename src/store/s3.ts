/**
 * Backups in a bucket: of Amazon's S3, or of a server that speaks as it does. Small objects go in one request, others in parts of which two
 * are in memory; the object appears when the last request has put them together. Nothing here is tried again, except when the server asks
 * to go slower. Parts of writers that were killed are removed by whoever lists.
 */
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
  paginateListObjectsV2,
  PutObjectCommand,
  S3Client,
  type S3ClientConfig,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import type { Readable } from 'node:stream'
import { assert } from '../model/assert.ts'
import type { StoreConfig } from '../model/config.ts'
import type { Observed } from '../model/outcome.ts'
import { given, InWords, patience, tidied, whole, within, type Patience } from './patience.ts'
import { readCredentials } from './s3-credentials.ts'
import { s3Words, type S3Place } from './s3-words.ts'
import { byName, isName, type Store, type StoredObject } from './store.ts'

type S3Config = Extract<StoreConfig, { kind: 's3' }>

const mib = 1024 * 1024
/** There may be 10,000 parts: 195 GiB. All of one size as long as possible, because some servers want that. */
const sizes = { partBytes: 8 * mib, lateBytes: 32 * mib, lateFrom: 5001, most: 10_000 }

/** Of a writer that was killed. Nobody uploads for so long. */
const abandonedMs = 7 * 24 * 3_600_000

const attempts = 5

interface Bucket {
  /** Ends by itself what has been silent for too long while something is asked or sent. */
  readonly client: S3Client
  /** For what is read: whoever reads may take his time, and then it is not the server that is silent. */
  readonly reader: S3Client
  readonly name: string
  readonly keyOf: (name: string) => string
  readonly nameOf: (key: string) => string
  readonly words: (error: unknown) => string
}

export async function openS3(config: S3Config, patient: Patience = patience): Promise<Observed<Store>> {
  if (config.endpoint !== undefined && !(URL.canParse(config.endpoint) && /^https?:/i.test(config.endpoint))) {
    return { ok: false, why: `the endpoint ${config.endpoint} is no address such as https://s3.example.net` }
  }
  // A word to developers, which else stands in every log of an operator.
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true'
  const credentials = config.credentialsFile === undefined ? null : await readCredentials(config.credentialsFile)
  if (credentials?.ok === false) return credentials
  const settings: S3ClientConfig = {
    region: config.region,
    ...(config.endpoint === undefined ? {} : { endpoint: config.endpoint, forcePathStyle: true }),
    ...(credentials === null ? {} : { credentials: credentials.value }),
    maxAttempts: attempts,
    // Checksums of a later S3 than most servers speak. Each body is signed with its SHA-256 already.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    expectContinueHeader: false,
  }
  const { connectMs, silentMs } = patient
  const client = await unretrying(new S3Client({ ...settings, requestHandler: { connectionTimeout: connectMs, socketTimeout: silentMs } }))
  const reader = await unretrying(new S3Client({ ...settings, requestHandler: { connectionTimeout: connectMs } }))
  const base = config.prefix === '' ? '' : `${config.prefix}/`
  const place: S3Place = {
    bucket: config.bucket,
    region: config.region,
    server: config.endpoint === undefined ? `S3 in ${config.region}` : new URL(config.endpoint).host,
    credentials: config.credentialsFile ?? 'the environment',
  }
  const bucket: Bucket = {
    client,
    reader,
    name: config.bucket,
    keyOf: (name) => {
      assert(isName(name), `a name in a store: ${name}`)
      return base + name
    },
    nameOf: (key) => key.slice(base.length),
    words: (error) => s3Words(error, place),
  }
  return { ok: true, value: storeOf(bucket, `s3://${config.bucket}/${config.prefix}`, base, silentMs) }
}

/** An error is told, not hidden by another try: except that a server which has too much to do asks for one. */
async function unretrying(client: S3Client): Promise<S3Client> {
  const usual = await client.config.retryStrategy()
  assert('refreshRetryTokenForRetry' in usual, 'a retry strategy of the second version')
  const ours: typeof usual = {
    acquireInitialRetryToken: (scope) => usual.acquireInitialRetryToken(scope),
    recordSuccess: (token) => usual.recordSuccess(token),
    refreshRetryTokenForRetry: (token, info) => {
      const status = (info.error as { $metadata?: { httpStatusCode?: number } } | undefined)?.$metadata?.httpStatusCode
      return info.errorType === 'THROTTLING' || status === 503 ? usual.refreshRetryTokenForRetry(token, info) : Promise.reject(new Error('not tried again'))
    },
  }
  client.config.retryStrategy = () => Promise.resolve(ours)
  return client
}

function storeOf(bucket: Bucket, where: string, base: string, silentMs: number): Store {
  const tried = async <T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<Observed<T>> => {
    try {
      signal?.throwIfAborted()
      return { ok: true, value: await work() }
    } catch (error) {
      // The library would set its own clock by the server's answer, and the next request would pass: once yes, once no tells nobody what is wrong.
      for (const client of [bucket.client, bucket.reader]) client.config.systemClockOffset = 0
      if (signal?.aborted === true) return { ok: false, why: (signal.reason as Error).message }
      return { ok: false, why: error instanceof InWords ? error.message : bucket.words(error) }
    }
  }
  let swept = false
  return {
    where,
    list: (under, signal) =>
      tried(signal, async () => {
        const prefix = under === '' ? base : `${bucket.keyOf(under)}/`
        const found = await objectsBelow(bucket, prefix, signal)
        if (!swept) await sweep(bucket, base, signal)
        swept = true
        return found
      }),
    put: (name, chunks, signal) => tried(signal, () => put(bucket, bucket.keyOf(name), chunks, signal)),
    get: (name, signal) => tried(signal, () => get(bucket, name, silentMs, signal)),
    remove: (name, signal) =>
      tried(signal, async () => {
        const command = new DeleteObjectCommand({ Bucket: bucket.name, Key: bucket.keyOf(name) })
        await bucket.client.send(command, calledOffBy(signal)).catch((error: Error) => {
          if (error.name !== 'NoSuchKey') throw error
        })
        return null
      }),
    close: () => {
      bucket.client.destroy()
      bucket.reader.destroy()
      return Promise.resolve()
    },
  }
}

function calledOffBy(signal: AbortSignal | undefined): { abortSignal?: AbortSignal } {
  return signal === undefined ? {} : { abortSignal: signal }
}

async function objectsBelow({ client, name: Bucket, nameOf }: Bucket, Prefix: string, signal: AbortSignal | undefined): Promise<StoredObject[]> {
  const found: StoredObject[] = []
  for await (const page of paginateListObjectsV2({ client }, { Bucket, Prefix }, calledOffBy(signal))) {
    for (const { Key = '', Size = 0 } of page.Contents ?? []) if (isName(nameOf(Key))) found.push({ name: nameOf(Key), bytes: Size })
  }
  return found.sort(byName)
}

/** They cost money and are in no list of objects. Who may not see or remove them leaves that to the bucket's own rules. */
async function sweep({ client, name: Bucket, nameOf }: Bucket, Prefix: string, signal: AbortSignal | undefined): Promise<void> {
  try {
    const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket, Prefix }), calledOffBy(signal))
    for (const { Key = '', UploadId, Initiated } of Uploads) {
      if (Initiated === undefined || Date.now() - Initiated.getTime() < abandonedMs || !isName(nameOf(Key))) continue
      await client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }), calledOffBy(signal))
    }
  } catch {
    signal?.throwIfAborted()
  }
}

async function put({ client, name: Bucket }: Bucket, Key: string, chunks: AsyncIterable<Buffer>, signal: AbortSignal): Promise<null> {
  const failed = new AbortController()
  const abortSignal = AbortSignal.any([signal, failed.signal])
  let UploadId: string | undefined
  let sending: Promise<void> = Promise.resolve()
  const done: { PartNumber: number; ETag: string | undefined }[] = []
  const send = async (Body: Buffer, PartNumber: number): Promise<void> => {
    const { ETag } = await client.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body }), { abortSignal })
    done.push({ PartNumber, ETag })
  }
  try {
    for await (const { bytes, number, last } of parts(given(chunks, abortSignal))) {
      if (last && number === 1) {
        await client.send(new PutObjectCommand({ Bucket, Key, Body: bytes }), { abortSignal })
        return null
      }
      UploadId ??= (await client.send(new CreateMultipartUploadCommand({ Bucket, Key }), { abortSignal })).UploadId
      await sending
      sending = send(bytes, number)
      // Else it would be noticed only when the next part is full, and a slow source may take its time for that.
      sending.catch((error: unknown) => failed.abort(error))
    }
    await sending
    await client.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts: done } }), { abortSignal })
    return null
  } catch (error) {
    const first: unknown = failed.signal.aborted ? failed.signal.reason : error
    failed.abort(error)
    // A part that arrives after that would lie there until the sweep.
    await tidied(sending)
    if (UploadId !== undefined) await tidied(client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId })))
    throw first
  }
}

interface Part {
  readonly bytes: Buffer
  readonly number: number
  readonly last: boolean
}

/** Each part's bytes are overwritten while the one after the next is filled: by then it has to be sent. There is always a last one. */
async function* parts(chunks: AsyncIterable<Buffer>): AsyncGenerator<Part, void, undefined> {
  const room: Buffer[] = []
  const roomFor = (number: number): Buffer => {
    const bytes = number < sizes.lateFrom ? sizes.partBytes : sizes.lateBytes
    const kept = room[number % 2]
    const own = kept?.length === bytes ? kept : Buffer.allocUnsafeSlow(bytes)
    room[number % 2] = own
    return own
  }
  let number = 1
  let filling = roomFor(number)
  let filled = 0
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length; ) {
      if (filled === filling.length) {
        if (number === sizes.most) throw new InWords(`an object of more than 195 GiB: no S3 takes it in ${sizes.most} parts of ours`)
        yield { bytes: filling, number, last: false }
        number += 1
        filling = roomFor(number)
        filled = 0
      }
      const copied = chunk.copy(filling, filled, at)
      filled += copied
      at += copied
    }
  }
  yield { bytes: filling.subarray(0, filled), number, last: true }
}

async function get(
  { reader, name: Bucket, keyOf, words: inWords }: Bucket,
  name: string,
  silentMs: number,
  signal: AbortSignal,
): Promise<AsyncIterable<Buffer>> {
  const over = new AbortController()
  const abortSignal = AbortSignal.any([signal, over.signal])
  try {
    const { Body, ContentLength } = await within(silentMs, signal, reader.send(new GetObjectCommand({ Bucket, Key: keyOf(name) }), { abortSignal }))
    const stream = Body as Readable
    // Between two reads nobody listens, and an error that nobody listens to ends the process.
    stream.on('error', () => undefined)
    const hangUp = (): void => void stream.destroy()
    return whole(stream, { bytes: ContentLength ?? null, silentMs, signal, inWords, hangUp })
  } catch (error) {
    over.abort()
    if ((error as Error).name === 'NoSuchKey') throw new InWords(`${name} is not there`)
    throw error
  }
}
