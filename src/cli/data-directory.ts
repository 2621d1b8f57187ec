// Where collections live: -d, else PRISM_DATA_DIR, else prism.toml, else ./data or /var/lib/prism/data if there.

import { type ConfigFile, configuredDataDirectory, readConfigFiles } from "../api/config-file.ts"
import { PrismError } from "../base/errors.ts"
import type { Runtime } from "../runtime.ts"

const DEFAULT_DIRECTORIES = ["./data", "/var/lib/prism/data"]

export interface DataDirectory {
  readonly path: string
  readonly exists: boolean
}

/** The data directory; where none exists it is the one to make. `configs`: where they have been read already.
 *  @throws PrismError INVALID_FORMAT for a bad prism.toml */
export async function findDataDirectory(
  runtime: Runtime,
  option: string | undefined,
  configs?: readonly ConfigFile[],
): Promise<DataDirectory & { named?: string }> {
  const { files, terminal } = runtime
  const named = async (path: string, by: string) => ({ path, exists: await files.isDirectory(path), named: by })
  if (option !== undefined) return named(option, "--data-dir")
  const variable = terminal.env("PRISM_DATA_DIR")
  if (variable) return named(variable, "PRISM_DATA_DIR")
  const env = (name: string) => terminal.env(name)
  const configured = configuredDataDirectory(configs ?? (await readConfigFiles({ files, env })), env)
  if (configured !== undefined) return named(configured.path, configured.file)
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
