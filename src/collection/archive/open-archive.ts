// From the bytes of an archive to what it holds: tells its format by its first bytes, decrypts, decompresses.
import { concatBytes, decodeUtf8 } from "../../base/bytes.ts"
import { assert, PrismError } from "../../base/errors.ts"
import { chunksOf, sequential } from "../../base/streams.ts"
import { decrypt } from "../../formats/encrypted.ts"
import { encryptedVersion, VERSION_HEAD_BYTES } from "../../formats/encrypted-header.ts"
import { decryptV1 } from "../../formats/encrypted-v1.ts"
import type { Key } from "../../formats/key.ts"
import { sniffArchive } from "../../formats/portable.ts"
import { decompressSeekable } from "../../formats/seekable-zstd.ts"
import type { Codecs, RandomAccess, Sha256 } from "../../runtime.ts"
import type { ArchiveFormat, ArchiveSource } from "./options.ts"

export interface OpenArchive extends AsyncDisposable {
  readonly format: ArchiveFormat
  /** Of a portable archive the file, of any other the tar. To be read to its end, once: only then is it known to be whole. */
  readonly content: AsyncIterable<Uint8Array>
  /** Bytes taken from the file so far. */
  readonly bytesRead: number
  /** Of the whole file, where it is known. */
  readonly sizeBytes: number | undefined
  /** Of the file, once `content` was read to its end: lowercase hex. Not of a portable one, which is hashed as it is read. */
  fileSha256(): string
}

export interface OpenArchiveOptions {
  readonly codecs: Codecs
  readonly keys?: readonly Key[] | undefined
  /** Given: INVALID_FORMAT for an archive of another one. */
  readonly format?: "portable" | "snapshot" | undefined
  /** Of a stream, where it is known. */
  readonly sizeBytes?: number | undefined
  readonly signal?: AbortSignal | undefined
  /** Keeps bytes of a stream, encrypted as they are, where they can be read at any place. */
  readonly spool?: ((bytes: AsyncIterable<Uint8Array>) => Promise<RandomAccess & AsyncDisposable>) | undefined
}

/** Bytes that tell what an archive is. */
export const HEAD_BYTES = 64

/** INVALID_FORMAT for anything that is no archive; what opens an encrypted one wrongly is told by `decrypt`. The source is
 *  closed with the archive, also where this fails. */
export async function openArchive(source: ArchiveSource, options: OpenArchiveOptions): Promise<OpenArchive> {
  const { codecs, keys, signal, spool } = options
  const input = new Input(source, signal)
  let spooled: AsyncDisposable | undefined
  const close = async () => {
    await input.close()
    await spooled?.[Symbol.asyncDispose]()
  }
  try {
    const head = await input.peek(HEAD_BYTES, { orLine: true })
    const archive = (format: ArchiveFormat, content: AsyncIterable<Uint8Array>): OpenArchive => ({
      format,
      content,
      get bytesRead() {
        return input.bytesRead
      },
      sizeBytes: source instanceof ReadableStream ? options.sizeBytes : source.size,
      fileSha256: () => input.sha256(),
      [Symbol.asyncDispose]: close,
    })
    const kind = archiveKind(head)
    const found = kind === "portable" ? "portable" : "snapshot"
    if (options.format !== undefined && options.format !== found) {
      const names = { portable: "a portable archive", snapshot: "a snapshot" }
      throw notAnArchive(`is ${names[found]}, not ${names[options.format]}`, "leave the format out: the file tells it")
    }
    // Its reader hashes it line by line.
    if (kind === "portable") return archive("portable", input)
    input.hash(codecs.createSha256())
    if (kind === "zstd") return archive("snapshot", checked(decompressSeekable(input, codecs.zstd), checkTar))
    if (!keys || keys.length === 0) throw keyMissing()
    if (encryptedVersion(await input.peek(VERSION_HEAD_BYTES)) !== 1) {
      return archive("encrypted", decompressSeekable(checked(decrypt(input, keys), checkSnapshot), codecs.zstd))
    }
    let plain: AsyncIterable<Uint8Array>
    if (!(source instanceof ReadableStream)) {
      plain = draining(decryptV1(source, keys, codecs.createGcm), input)
    } else if (spool) {
      const file = await spool(input)
      spooled = file
      plain = decryptV1(file, keys, codecs.createGcm)
    } else {
      throw new PrismError("INVALID_REQUEST", "an encrypted archive of version 1 is read twice, which a pipe cannot", {
        hint: "write it to a file first",
      })
    }
    return archive("encrypted", decompressSeekable(checked(plain, checkSnapshot), codecs.zstd))
  } catch (error) {
    await close()
    throw error
  }
}

/** What begins so. INVALID_FORMAT for what is none. */
export function archiveKind(head: Uint8Array): "portable" | "zstd" | "encrypted" {
  if (head.length === 0) throw notAnArchive("is empty", "check that the export was written whole")
  const kind = sniffArchive(head)
  if (kind) return kind
  // It may be a portable archive whose header was written another way: its reader knows.
  if (/^\ufeff?\s*\{/.test(decodeUtf8(head))) return "portable"
  throw notAnArchive(
    "is no archive of Prism",
    'a portable archive starts with {"format":"prism-portable-v1"; documents come in with prism document import',
  )
}

/** The same bytes, after `check` has seen the first of them. */
async function* checked(
  content: AsyncIterable<Uint8Array>,
  check: (beginning: Uint8Array) => void,
): AsyncGenerator<Uint8Array> {
  let isFirst = true
  for await (const bytes of content) {
    if (isFirst && bytes.length > 0) {
      isFirst = false
      check(bytes)
    }
    yield bytes
  }
}

/** Many a file is compressed with zstd. */
function checkTar(beginning: Uint8Array): void {
  if (sniffArchive(beginning.subarray(0, HEAD_BYTES)) === "portable") {
    throw notAnArchive(
      "is a portable archive that is compressed with zstd",
      "decompress it: zstd -dc FILE | prism collection restore -f -",
    )
  }
  // A whole header is in the first bytes, but of a file that was cut in an odd way.
  const magic = beginning.subarray(TAR_MAGIC_OFFSET, TAR_MAGIC_OFFSET + TAR_MAGIC.length)
  if (magic.length === TAR_MAGIC.length && decodeUtf8(magic) !== TAR_MAGIC) {
    throw notAnArchive("is compressed with zstd, but is no snapshot", "check that it is the file that you mean")
  }
}

/** POSIX.1-1988, ustar. */
const TAR_MAGIC = "ustar"
const TAR_MAGIC_OFFSET = 257

function checkSnapshot(beginning: Uint8Array): void {
  if (sniffArchive(beginning) === "zstd") return
  throw notAnArchive("holds something else than a snapshot", "it was encrypted by something else than an export")
}

/** Reads `input` to its end after what comes of it, for its hash. */
async function* draining(bytes: AsyncIterable<Uint8Array>, input: Input): AsyncGenerator<Uint8Array> {
  yield* bytes
  for await (const _ of input);
}

function notAnArchive(what: string, hint: string): PrismError {
  return new PrismError("INVALID_FORMAT", `the file ${what}`, { hint })
}

export function keyMissing(): PrismError {
  return new PrismError("INVALID_KEY", "the archive is encrypted, and no key is given", {
    hint: "give the file of its key with --key-file, or of its passphrase with --passphrase-file",
  })
}

/** The bytes of a source from its beginning, counted and hashed. */
class Input implements AsyncIterable<Uint8Array> {
  bytesRead = 0
  readonly #chunks: AsyncGenerator<Uint8Array>
  readonly #ahead: Uint8Array[] = []
  #sha256: Sha256 | undefined

  constructor(source: ArchiveSource, signal: AbortSignal | undefined) {
    this.#chunks = source instanceof ReadableStream ? chunksOf(source, signal) : sequential(source, { signal })
  }

  /** Hashes what is read from now on. */
  hash(sha256: Sha256): void {
    this.#sha256 = sha256
  }

  /** The first bytes, which stay to be read; fewer where the source is shorter. `orLine`: what there is when a line ends
   *  is enough, so that a pipe that brings one short line now and the next one later is not waited for. */
  async peek(length: number, { orLine = false } = {}): Promise<Uint8Array> {
    let seen = this.#ahead.reduce((sum, bytes) => sum + bytes.length, 0)
    while (seen < length && !(orLine && this.#ahead.some((bytes) => bytes.includes(LINE_FEED)))) {
      const { done, value } = await this.#chunks.next()
      if (done) break
      this.#ahead.push(value)
      seen += value.length
    }
    return concatBytes(this.#ahead).subarray(0, length)
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const bytes = this.#ahead.shift() ?? (await this.#chunks.next()).value
      if (!bytes) return
      this.#sha256?.update(bytes)
      this.bytesRead += bytes.length
      yield bytes
    }
  }

  sha256(): string {
    assert(this.#sha256, "what was not hashed has no hash")
    return this.#sha256.digestHex()
  }

  async close(): Promise<void> {
    await this.#chunks.return(undefined)
  }
}

const LINE_FEED = 0x0a
