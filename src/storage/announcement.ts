import { encodeUtf8 } from "../base/bytes.ts"
import { crc32c } from "../base/crc32c.ts"
import { PrismError } from "../base/errors.ts"

// What the holder of a lock tells whoever can read its file: a server, its address and a token. It stands behind the
// slots (owner-file.ts), always as many bytes, so that nothing of an earlier one is left:
//
//   CRC-32C of the rest of the line in 8 hex digits, a space, the text as a JSON string, a line end, then spaces
//
// One that is half written, or changed while it is read, does not match its checksum and is none.

/** With the owner's line and the slots it stays within what is read of a lock file. */
const ANNOUNCEMENT_BYTES = 2048

/** The bytes of an announcement; of none, where `text` is undefined. LIMIT_EXCEEDED where it is too long. */
export function renderAnnouncement(text: string | undefined): Uint8Array {
  const bytes = new Uint8Array(ANNOUNCEMENT_BYTES).fill(0x20)
  if (text === undefined) return bytes
  const json = encodeUtf8(JSON.stringify(text))
  const line = encodeUtf8(`${checksumOf(json)} ${JSON.stringify(text)}\n`)
  if (line.length > ANNOUNCEMENT_BYTES) {
    throw new PrismError(
      "LIMIT_EXCEEDED",
      `the announcement takes ${line.length} bytes, at most ${ANNOUNCEMENT_BYTES} are possible`,
      { hint: "announce a shorter text" },
    )
  }
  bytes.set(line)
  return bytes
}

/** Undefined where there is none, or none that is whole. */
export function parseAnnouncement(content: string): string | undefined {
  const [, checksum, json] = /^([0-9a-f]{8}) (".*")\n *$/.exec(content) ?? []
  if (json === undefined || checksumOf(encodeUtf8(json)) !== checksum) return undefined
  return JSON.parse(json) as string
}

function checksumOf(bytes: Uint8Array): string {
  return crc32c(bytes).toString(16).padStart(8, "0")
}
