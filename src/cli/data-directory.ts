// Where collections live: -d, else PRISM_DATA_DIR, else prism.toml, else ./data or /var/lib/prism/data if there.

import { parse as parseToml, TomlError } from "smol-toml"
import { PrismError } from "../base/errors.ts"
import { chunksOf } from "../base/streams.ts"
import type { Runtime } from "../runtime.ts"
import { readText } from "./streams.ts"

const CONFIG_FILES = ["prism.toml", "/etc/prism/prism.toml"]
const DEFAULT_DIRECTORIES = ["./data", "/var/lib/prism/data"]
const CONFIG_BYTES_MAX = 1024 * 1024

export interface DataDirectory {
  readonly path: string
  readonly exists: boolean
}

/** The data directory; where none exists it is the one to make. @throws PrismError INVALID_FORMAT for a bad prism.toml */
export async function findDataDirectory(
  runtime: Runtime,
  option: string | undefined,
): Promise<DataDirectory & { named?: string }> {
  const { files, terminal } = runtime
  const named = async (path: string, by: string) => ({ path, exists: await files.isDirectory(path), named: by })
  if (option !== undefined) return named(option, "--data-dir")
  const variable = terminal.env("PRISM_DATA_DIR")
  if (variable) return named(variable, "PRISM_DATA_DIR")
  for (const file of CONFIG_FILES) {
    const configured = await configuredDirectory(runtime, file)
    if (configured !== undefined) return named(configured, file)
  }
  for (const path of DEFAULT_DIRECTORIES) if (await files.isDirectory(path)) return { path, exists: true }
  return { path: DEFAULT_DIRECTORIES[0]!, exists: false }
}

/** As above, but one that is there. A cron job in the wrong folder must not back up nothing and report success. */
export async function requireDataDirectory(runtime: Runtime, option: string | undefined): Promise<string> {
  const found = await findDataDirectory(runtime, option)
  if (found.exists) return found.path
  if (found.named !== undefined) {
    throw new PrismError(
      "DATA_DIRECTORY_NOT_FOUND",
      `There is no data directory at ${found.path} (from ${found.named})`,
      {
        hint: "check the path, or make a collection there with prism collection create",
      },
    )
  }
  const places = ["--data-dir", "PRISM_DATA_DIR", "./prism.toml", "/etc/prism/prism.toml", ...DEFAULT_DIRECTORIES]
  throw new PrismError("DATA_DIRECTORY_NOT_FOUND", `No data directory found; looked at ${places.join(", ")}`, {
    hint: "name it with --data-dir DIR, or go to the folder that ./data is in; prism collection create makes a new one",
  })
}

/** `data_dir` under `[storage]`, where the original program has it, or at the top. A relative path starts at the
 *  folder of the file, `~/` at the home folder. */
async function configuredDirectory({ files, terminal }: Runtime, file: string): Promise<string | undefined> {
  if ((await files.size(file)) === undefined) return undefined
  const text = await readText(chunksOf(await files.read(file)), CONFIG_BYTES_MAX, file)
  let config: Record<string, unknown>
  try {
    config = parseToml(text)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const what = error.message.split("\n", 1)[0]!.replace(/^Invalid TOML document: /, "")
    throw new PrismError("INVALID_FORMAT", `${file} is not valid TOML: ${what}`, {
      place: `${file}, line ${error.line}, column ${error.column}`,
      hint: "repair the file, or name the data directory with --data-dir DIR",
    })
  }
  const storage = config["storage"]
  const nested =
    typeof storage === "object" && storage !== null ? (storage as Record<string, unknown>)["data_dir"] : undefined
  const directory = nested ?? config["data_dir"]
  if (directory === undefined) return undefined
  if (typeof directory !== "string" || directory === "") {
    throw new PrismError("INVALID_FORMAT", `${file}: data_dir must be the path of a folder`, {
      hint: 'write it as text: data_dir = "/var/lib/prism/data"',
    })
  }
  if (directory.startsWith("~/")) {
    const home = terminal.env("HOME")
    return home === undefined ? directory : home + directory.slice(1)
  }
  const folder = file.slice(0, file.lastIndexOf("/") + 1)
  return directory.startsWith("/") || /^[A-Za-z]:[\\/]/.test(directory) ? directory : folder + directory
}
