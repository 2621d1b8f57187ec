import { PrismError } from "../../base/errors.ts"
import { EncryptedFile } from "../../formats/encrypted-file.ts"
import type { Key } from "../../formats/key.ts"
import type { Codecs, RandomAccess } from "../../runtime.ts"
import type { ArchiveView } from "./archive-view.ts"
import { archiveKind, HEAD_BYTES, keyMissing } from "./open-archive.ts"
import { PortableView } from "./portable-view.ts"
import { SnapshotView } from "./snapshot-view.ts"

/** Looks into an archive, and reads hardly more than its head. A snapshot must be one that can be read at any place, as every
 *  export is; what other tools packed is INVALID_FORMAT. Errors as of a restore for what is damaged where it is looked at;
 *  the rest of the file is not. */
export async function viewArchive(file: RandomAccess, keys: readonly Key[], runtime: Codecs): Promise<ArchiveView> {
  const view = await viewSegments(file, keys, runtime)
  if (view === "portable") return await PortableView.open(file, runtime)
  if (view) return view
  throw new PrismError("INVALID_FORMAT", "the archive cannot be looked into: it has no seek table at its end", {
    hint: "its end is missing, or other tools packed it: prism collection verify tells which",
  })
}

/** Undefined where a snapshot cannot be read at any place. */
export async function viewSegments(
  file: RandomAccess,
  keys: readonly Key[],
  runtime: Codecs,
): Promise<SnapshotView | "portable" | undefined> {
  const kind = archiveKind(await file.read(0, Math.min(HEAD_BYTES, file.size)))
  if (kind === "portable") return "portable"
  if (kind === "zstd") return await SnapshotView.open("snapshot", file, runtime)
  if (keys.length === 0) throw keyMissing()
  return await SnapshotView.open("encrypted", await EncryptedFile.open(file, keys, runtime.createGcm), runtime)
}
