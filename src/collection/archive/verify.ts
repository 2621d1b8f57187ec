import type { Codecs } from "../../runtime.ts"
import { openArchive } from "./open-archive.ts"
import type { ArchiveSource, VerifyOptions, VerifyReport } from "./options.ts"
import { verifyPortable } from "./portable.ts"
import { verifySnapshot } from "./snapshot.ts"
import { viewSegments } from "./view-archive.ts"

/** Reads a whole archive of any format without restoring it. Throws as a restore would; only of a snapshot that comes as a
 *  stream the headers of its segment files are not looked at. */
export async function verifyArchive(
  source: ArchiveSource,
  options: VerifyOptions,
  codecs: Codecs,
): Promise<VerifyReport> {
  const { keys = [], sizeBytes, signal } = options
  await using archive = await openArchive(source, { codecs, keys, sizeBytes, signal })
  if (archive.format === "portable") return await verifyPortable(archive, options, codecs.createSha256)
  const report = await verifySnapshot(archive, options, codecs)
  if (!(source instanceof ReadableStream)) {
    const view = await viewSegments(source, keys, codecs)
    if (view && view !== "portable") {
      await using snapshot = view
      await snapshot.check()
    }
  }
  return report
}
