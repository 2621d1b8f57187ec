import type { Flag } from "./command.ts"

/** Flags that every command takes, before or after its name. */
export const GLOBAL_FLAGS = {
  "data-dir": {
    type: "string",
    alias: "d",
    valueHint: "DIR",
    description: "Where collections live (else PRISM_DATA_DIR, prism.toml, ./data, /var/lib/prism/data)",
  },
  "api-url": {
    type: "string",
    valueHint: "URL",
    description: "Server whose collections are meant, instead of a data directory (else PRISM_API_URL)",
  },
  "api-key-file": {
    type: "string",
    valueHint: "FILE",
    description: "File with the API key for the server (else PRISM_API_KEY)",
  },
  json: { type: "boolean", description: "Print results and errors as JSON" },
  quiet: { type: "boolean", alias: "q", description: "Print results and errors only" },
  "no-color": { type: "boolean", description: "Print without colors (also NO_COLOR)" },
  help: { type: "boolean", alias: "h", description: "Show help" },
  version: { type: "boolean", alias: "V", description: "Show the version" },
} as const satisfies Record<string, Flag>

export interface Globals {
  readonly dataDir: string | undefined
  readonly apiUrl: string | undefined
  readonly apiKeyFile: string | undefined
  readonly json: boolean
  readonly quiet: boolean
  readonly color: boolean
}
