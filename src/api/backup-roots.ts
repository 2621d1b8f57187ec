import { encodeUtf8 } from "../base/bytes.ts"
import { PrismError } from "../base/errors.ts"
import type { Files } from "../runtime.ts"

/** Where archives may be when nobody says otherwise, besides `backups` in the data folder and the system's temporary folder. */
const DEFAULT_ROOTS = ["/backup", "/backups", "/archive"]
/** Of the data folder: the only part of it that a path in a request may lead to. */
const BACKUPS = "backups"
/** Of one name in a path: what the file systems of Linux and macOS take. */
const NAME_BYTES_MAX = 255

export interface BackupRootsOptions {
  readonly files: Pick<Files, "realPath" | "isDirectory" | "temporaryDirectory">
  /** Undefined: the default ones. */
  readonly configured: readonly string[] | undefined
  /** Of the collections; undefined where they are in no folder. */
  readonly dataDirectory: string | undefined
}

/** The folders of the server that paths in requests may lead to. They are looked at anew for each path: one that is made
 *  or mounted while the server runs counts. */
export class BackupRoots {
  readonly #files: Pick<Files, "realPath" | "isDirectory" | "temporaryDirectory">
  readonly #roots: readonly string[]
  readonly #dataDirectory: string | undefined

  constructor({ files, configured, dataDirectory }: BackupRootsOptions) {
    this.#files = files
    this.#dataDirectory = dataDirectory
    const own = dataDirectory === undefined ? [] : [`${dataDirectory}/${BACKUPS}`]
    const temporary = files.temporaryDirectory()
    this.#roots = configured ?? [...own, ...DEFAULT_ROOTS, ...(temporary === undefined ? [] : [temporary])]
  }

  /** The path without symbolic links, for what is there and for what may be made there. Only the last name may become a
   *  link later.
   *  @throws PrismError INVALID_REQUEST for what is no absolute path, PATH_NOT_ALLOWED for what leads out of the roots */
  async resolve(path: string): Promise<string> {
    const plain = joinPath("/", namesOf(path))
    let resolved: string
    try {
      resolved = await this.#files.realPath(plain)
    } catch (error) {
      // What stands in the way is told only of places that may be asked about.
      await this.#assertAllowed(path, plain)
      if (!(error instanceof PrismError) || error.code !== "IO_ERROR") throw error
      throw new PrismError("INVALID_REQUEST", error.message, { place: path, cause: error })
    }
    await this.#assertAllowed(path, resolved)
    return resolved
  }

  async #assertAllowed(path: string, resolved: string): Promise<void> {
    const roots = await this.#existing(this.#roots)
    const [data] = await this.#existing(this.#dataDirectory === undefined ? [] : [this.#dataDirectory])
    const isData = data !== undefined && isWithin(resolved, data) && !isWithin(resolved, joinPath(data, [BACKUPS]))
    if (!isData && roots.some((root) => isWithin(resolved, root))) return
    const folder = path.slice(0, path.lastIndexOf("/")) || "/"
    const allowed = roots.length === 0 ? "none is there now" : `now these are: ${roots.join(", ")}`
    throw new PrismError("PATH_NOT_ALLOWED", `${path} is not in a folder that archives may be in`, {
      place: path,
      hint: isData
        ? `the data of collections is out of reach; name another folder with prism serve --backup-root (${allowed})`
        : `allow it with prism serve --backup-root ${folder} (${allowed})`,
    })
  }

  async #existing(folders: readonly string[]): Promise<string[]> {
    const found: string[] = []
    for (const folder of folders) {
      // One that may not be looked at is as good as none.
      const isThere = await this.#files.isDirectory(folder).catch(() => false)
      if (isThere) found.push(await this.#files.realPath(folder))
    }
    return found
  }
}

function namesOf(path: string): string[] {
  const invalid = (message: string, hint: string) =>
    new PrismError("INVALID_REQUEST", `${JSON.stringify(path.slice(0, 200))} ${message}`, { hint })
  // Relative to what? To the server's working directory, which the client does not know.
  if (!path.startsWith("/")) throw invalid("is not an absolute path", "a path on the server begins with /")
  if (path.includes("\0")) throw invalid("holds a NUL character", "no file has such a name")
  // In UTF-8, as files have it, it would be another name.
  if (/\p{Surrogate}/u.test(path)) throw invalid("is not Unicode", "half of a pair of surrogates stands alone in it")
  const names = path.split("/").filter((name) => name !== "" && name !== ".")
  if (names.some((name) => encodeUtf8(name).length > NAME_BYTES_MAX)) {
    throw invalid("has a name of more than 255 bytes in it", "no file has such a name")
  }
  if (names.includes("..")) {
    throw new PrismError("PATH_NOT_ALLOWED", `${path} leads out of a folder with ..`, {
      place: path,
      hint: "write the path without .., in a folder that prism serve --backup-root names",
    })
  }
  return names
}

function joinPath(folder: string, names: readonly string[]): string {
  return [folder === "/" ? "" : folder, ...names].join("/") || "/"
}

/** Whether it is the folder or lies in it; both without links. */
function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder === "/" ? "/" : `${folder}/`)
}
