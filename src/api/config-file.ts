import { parse as parseToml, TomlError } from "smol-toml"
import { PrismError } from "../base/errors.ts"
import { chunksOf, readText } from "../base/streams.ts"
import type { Files } from "../runtime.ts"

/** Where a prism.toml is looked for, the nearest first. */
const USUAL_PLACES = ["prism.toml", "/etc/prism/prism.toml"]

const CONFIG_BYTES_MAX = 1024 * 1024

/** A prism.toml as it stands, its keys not looked at. */
export interface ConfigFile {
  readonly path: string
  readonly values: Readonly<Record<string, unknown>>
}

/** What finding a configuration needs of a runtime. */
export interface ConfigSources {
  readonly files: Pick<Files, "size" | "read">
  readonly env: (name: string) => string | undefined
}

/** The files that apply, the nearest first: the one that is named (`--config`, else PRISM_CONFIG_PATH), which must be there,
 *  or those in the usual places. @throws PrismError FILE_NOT_FOUND, PERMISSION_DENIED, INVALID_FORMAT */
export async function readConfigFiles({ files, env }: ConfigSources, named?: string): Promise<ConfigFile[]> {
  const path = named ?? (env("PRISM_CONFIG_PATH") || undefined)
  if (path !== undefined) return [await readConfigFile(files, path)]
  const found: ConfigFile[] = []
  for (const place of USUAL_PLACES) {
    if ((await files.size(place)) !== undefined) found.push(await readConfigFile(files, place))
  }
  return found
}

async function readConfigFile(files: Pick<Files, "read">, path: string): Promise<ConfigFile> {
  const text = await readText(chunksOf(await files.read(path)), CONFIG_BYTES_MAX, path)
  try {
    return { path, values: parseToml(text) }
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const what = error.message.split("\n", 1)[0]!.replace(/^Invalid TOML document: /, "")
    throw new PrismError("INVALID_FORMAT", `${path} is not valid TOML: ${what}`, {
      place: `${path}, line ${error.line}, column ${error.column}`,
      hint: "repair the file, or name another one with --config FILE or PRISM_CONFIG_PATH",
    })
  }
}

/** A path that stands in a file: a relative one starts at the folder of the file, `~/` at the home folder. */
export function pathFrom({ path: file }: ConfigFile, path: string, env: ConfigSources["env"]): string {
  const home = path.startsWith("~/") ? env("HOME") : undefined
  if (home !== undefined) return home + path.slice(1)
  const isAbsolute = path.startsWith("/") || path.startsWith("~/") || /^[A-Za-z]:[\\/]/.test(path)
  return isAbsolute ? path : file.slice(0, file.lastIndexOf("/") + 1) + path
}

/** The data directory that the nearest file names: `data_dir` under `[storage]`, where the original program has it, or at
 *  the top. @throws PrismError INVALID_FORMAT, also where it stands in both places */
export function configuredDataDirectory(
  files: readonly ConfigFile[],
  env: ConfigSources["env"],
): { readonly path: string; readonly file: string } | undefined {
  for (const file of files) {
    const storage = file.values["storage"]
    const nested =
      typeof storage === "object" && storage !== null ? (storage as Record<string, unknown>)["data_dir"] : undefined
    const top = file.values["data_dir"]
    if (nested !== undefined && top !== undefined) {
      throw new PrismError("INVALID_FORMAT", `${file.path}: data_dir stands at the top and under [storage]`, {
        hint: "leave one of them out: which one was meant?",
        place: file.path,
      })
    }
    const directory = nested ?? top
    if (directory === undefined) continue
    if (typeof directory !== "string" || directory === "") {
      throw new PrismError("INVALID_FORMAT", `${file.path}: data_dir must be the path of a folder`, {
        hint: 'write it as text: data_dir = "/var/lib/prism/data"',
      })
    }
    return { path: pathFrom(file, directory, env), file: file.path }
  }
  return undefined
}
