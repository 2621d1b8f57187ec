import { PrismError } from "../../base/errors.ts"
import { archiveKind, HEAD_BYTES } from "../../collection/archive/open-archive.ts"
import type { RestoreReport } from "../../collection/archive/options.ts"
import { viewArchive } from "../../collection/archive/view-archive.ts"
import { generateKey, KEY_BYTES, parseKey } from "../../formats/key.ts"
import type { RandomAccess } from "../../runtime.ts"
import type { AnswerOf } from "../contract.ts"
import type { Handlers } from "../service.ts"
import { exportToFile, withArchiveFile } from "./archive-files.ts"

/** Archives in files of the server. */
export const archiveHandlers: Handlers<
  "exportArchive" | "exportEncrypted" | "importArchive" | "importEncrypted" | "generateKey" | "detach" | "attach"
> = {
  exportArchive: async (call, service) => {
    const { collection, format, output_path: path, overwrite } = call.body
    const source = await service.prism.collection(collection)
    const report = await exportToFile(service, source, { path, overwrite }, { format }, call)
    const { size_bytes, document_count, checksum, file_sha256 } = report
    return {
      success: true,
      collection,
      format,
      output_path: path,
      size_bytes,
      document_count,
      checksum,
      file_sha256,
    }
  },

  exportEncrypted: async (call, service) => {
    const { collection, output_path: path, overwrite, key } = call.body
    const encryption = { keys: [parseKey(key)] }
    const source = await service.prism.collection(collection)
    const report = await exportToFile(service, source, { path, overwrite }, { encryption }, call)
    const { size_bytes, document_count, checksum, file_sha256 } = report
    return { success: true, collection, output_path: path, size_bytes, document_count, checksum, file_sha256 }
  },

  importArchive: async ({ body, signal, onProgress }, service) => {
    const { input_path, format, target_collection, mode } = body
    return await withArchiveFile(service, input_path, async (file) => {
      await assertPlain(file, input_path)
      const report = await service.prism.restore(file, {
        mode,
        signal,
        onProgress,
        ...(format && { format }),
        ...(target_collection && { target: target_collection }),
      })
      return importAnswer(report)
    })
  },

  importEncrypted: async ({ body, signal, onProgress }, service) => {
    const { input_path, target_collection, mode } = body
    const keys = [parseKey(body.key)]
    return await withArchiveFile(service, input_path, async (file) => {
      // Who gives a key trusts that nobody without it wrote the archive.
      if ((await kindOf(file)) !== "encrypted") {
        throw new PrismError("INVALID_FORMAT", `${input_path} is not encrypted`, {
          place: input_path,
          hint: "POST /_admin/import takes it, if it is to be trusted",
        })
      }
      const report = await service.prism.restore(file, {
        mode,
        keys,
        signal,
        onProgress,
        ...(target_collection && { target: target_collection }),
      })
      return importAnswer(report)
    })
  },

  generateKey: async () => ({ key: generateKey(), key_bytes: KEY_BYTES, algorithm: "AES-256-GCM" }),

  detach: async (call, service) => {
    const { destination, delete_data: deleteData, overwrite } = call.body
    const { prism } = service
    const { path } = destination
    const told = { exported_at: "", backends: { text: false, vector: false, graph: false } }
    const { collection, archive, data_deleted } = await prism.detach(call.path.collection, {
      deleteData,
      archivePath: path,
      write: async (source) => {
        told.backends = (await source.stats()).backends
        const verify = async (written: RandomAccess) => {
          await prism.verify(written, { signal: call.signal, onProgress: call.onProgress })
          await using view = await viewArchive(written, [], service.runtime)
          told.exported_at = view.exportedAt ?? ""
        }
        return await exportToFile(service, source, { path, overwrite, verify }, { format: "snapshot" }, call)
      },
    })
    const { document_count, checksum, file_sha256, size_bytes } = archive
    return {
      collection,
      destination,
      metadata: { version: "1.0", collection, document_count, ...told, checksum, file_sha256, size_bytes },
      data_deleted,
    }
  },

  attach: async ({ body, signal, onProgress }, service) => {
    const { source, target_collection: target } = body
    if (!source) {
      if (!target) {
        throw new PrismError("INVALID_REQUEST", "neither source nor target_collection is given", {
          hint: "source names an archive; without it, target_collection names a detached collection",
        })
      }
      await service.prism.reattach(target)
      return { collection: target, source: null, files_extracted: 0, bytes_extracted: 0 }
    }
    return await withArchiveFile(service, source.path, async (file) => {
      await assertPlain(file, source.path)
      const report = await service.prism.attach(file, { signal, onProgress, ...(target && { target }) })
      const { collection, files_extracted, bytes_extracted } = report
      return { collection, source, files_extracted, bytes_extracted }
    })
  },
}

/** @throws PrismError INVALID_KEY for what is encrypted, INVALID_FORMAT for what is no archive */
async function assertPlain(file: RandomAccess, path: string): Promise<void> {
  if ((await kindOf(file)) !== "encrypted") return
  throw new PrismError("INVALID_KEY", `${path} is encrypted, and no key is given`, {
    place: path,
    hint: "POST /_admin/import/encrypted takes one",
  })
}

async function kindOf(file: RandomAccess): Promise<ReturnType<typeof archiveKind>> {
  return archiveKind(await file.read(0, Math.min(HEAD_BYTES, file.size)))
}

function importAnswer(report: RestoreReport): AnswerOf<"importArchive"> {
  const { collection, documents_imported, files_extracted, bytes_extracted, warnings } = report
  return {
    success: true,
    collection,
    documents_imported,
    files_extracted,
    bytes_extracted,
    warnings: [...warnings],
  }
}
