import { generateApiKey, hashApiKey } from "../api/api-key.ts"
import type { ApiKey, Role } from "../api/config.ts"
import { command, group } from "./command.ts"
import { usageError } from "./parse.ts"

const generate = command({
  name: "generate",
  description: "Make a key for the HTTP interface of a server",
  details: [
    "The key goes to its user, once: it is stored nowhere. What a server needs of it, its hash and what it may do, goes into " +
      "prism.toml.",
    "A role is PERMISSION:PATTERN, as in read:logs-*. Permissions are read, write, delete and admin (which implies the others), " +
      "several of them joined by commas; in the pattern of names * stands for any characters.",
  ],
  examples: [
    ["prism api-key generate --name dashboard --role 'read:*'", "may search every collection"],
    ["prism api-key generate --name shipper --role 'read,write:logs-*'", "may fill those whose names begin with logs-"],
    ["prism api-key generate --name ops --role 'admin:*'", "may do everything"],
  ],
  args: {
    name: { type: "string", valueHint: "TEXT", required: true, description: "What logs call the key" },
    role: {
      type: "string",
      valueHint: "ROLE",
      required: true,
      repeatable: true,
      description: "What it may do where; may be given several times",
    },
  },
  async run(context, { name, role }) {
    const key = generateApiKey()
    const entry: ApiKey = {
      name,
      hash: hashApiKey(key, context.runtime.createSha256),
      roles: role.map(parseRole),
    }
    // Only now, as serve does: the shapes of the configuration take their time to load.
    const { API_KEYS_SHAPE } = await import("../api/config.ts")
    const { PLAIN_WORDS } = await import("../api/shape-problems.ts")
    const problem = API_KEYS_SHAPE.safeParse([entry], PLAIN_WORDS).error?.issues[0]
    if (problem) throw usageError(`--${problem.path[1] === "name" ? "name" : "role"}: ${problem.message}`, ROLE_HINT)
    if (context.json) await context.printJson({ key, entry })
    else await context.print(`${key}\n\n# for prism.toml; the key itself is stored nowhere\n${tomlOf(entry)}`)
    return 0
  },
})

const ROLE_HINT = "for example --name dashboard --role 'read:*'"

/** `read,write:logs-*`. What permissions and patterns there are, the configuration knows. */
function parseRole(text: string): Role {
  const [permissions, collections, more] = text.split(":")
  if (!permissions || !collections || more !== undefined) {
    throw usageError(`"${text}" is not a role: a role is PERMISSION:PATTERN`, ROLE_HINT)
  }
  return { permissions: permissions.split(",") as Role["permissions"], collections }
}

/** JSON's strings are TOML's basic strings too. */
function tomlOf({ name, hash, roles }: ApiKey): string {
  const lines = roles.map(
    ({ permissions, collections }) =>
      `  { permissions = ${JSON.stringify(permissions).replaceAll(",", ", ")}, collections = ${JSON.stringify(collections)} },`,
  )
  return `[[api_keys]]\nname = ${JSON.stringify(name)}\nhash = "${hash}"\nroles = [\n${lines.join("\n")}\n]`
}

export const apiKeyCommands = group({
  name: "api-key",
  description: "Keys of a server's HTTP interface",
  examples: [["prism api-key generate --name ops --role 'admin:*'", "a new key, and what prism.toml needs of it"]],
  subCommands: [generate],
})
