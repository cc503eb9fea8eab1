/** What DUMP answers ends with: the format of the RDB (two bytes) and a checksum (eight). PURE. What lies before it is the value as that server packs it. */
const footerBytes = 10

/** null: it is too short to be one. */
export function formatOfDump(dump: Buffer): number | null {
  return dump.length < footerBytes ? null : dump.readUInt16LE(dump.length - footerBytes)
}

export function payloadOf(dump: Buffer): Buffer {
  return dump.subarray(0, dump.length - footerBytes)
}
