// Writes docs/admin/permissions.md from the built contract of the HTTP interface: npm run docs:permissions
import { writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const PAGE = new URL("../docs/admin/permissions.md", import.meta.url)
const ROLES = ["read", "write", "delete", "admin"]

const INTRODUCTION = `# Who may do what

An API key has roles: permissions on the collections whose names match a pattern, in which \`*\` stands for any characters. \`admin\`
implies the other three. Without any key in the configuration a server answers this machine alone, and lets it do everything.

Each line is an operation of the HTTP interface. A dot stands under each role that may ask for it. "On" says which collections
the pattern must cover; "all" takes the pattern \`*\`. An archive that brings its own name (\`-\` in the path, no
\`target_collection\`) may become any collection, which takes \`*\` too; so does every request that names a file of the server, where
archives of any collection lie. Keys of some collections stream their archives instead: \`GET\` and \`PUT …/archive\`.

\`test/api-permissions.test.ts\` asks for each operation without a key, and with a key of each role on the collection, on another
one, and on all, and holds what it is answered against this page; it also holds the page against the routes that are there.

`

/**
 * @param {Record<string, import("../src/api/contract.ts").Operation>} operations
 * @returns {string} the page
 */
export function renderPermissions(operations) {
  const lines = Object.values(operations).map((operation) => {
    const { method, path, permission } = operation
    const allowed = ROLES.map((role) => (isAllowed(role, operation) ? "●" : ""))
    return `| \`${method}\` | \`${path}\` | ${placeOf(operation)} | ${permission === "public" ? "●" : ""} | ${allowed.join(" | ")} |`
  })
  const head = ["| Method | Path | On | no key | read | write | delete | admin |", "|---|---|---|---|---|---|---|---|"]
  return `${INTRODUCTION}${[...head, ...lines].join("\n")}\n`
}

/** @param {string} role @param {import("../src/api/contract.ts").Operation} operation */
function isAllowed(role, { permission, scope }) {
  return permission === "public" || scope === "own" || role === "admin" || role === permission
}

/** @param {import("../src/api/contract.ts").Operation} operation */
function placeOf({ permission, scope, serverFile }) {
  if (permission === "public") return "—"
  if (scope === undefined || serverFile) return "all"
  if (scope === "own") return `any for what the key began; for the rest \`${permission}\` on all`
  if (scope === "path") return "`{collection}`"
  return scope === "answer" ? "any; it answers what the key may see" : `\`${scope.body}\` of the body`
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { OPERATIONS } = await import(new URL("../dist/api/contract.js", import.meta.url).href)
  writeFileSync(PAGE, renderPermissions(OPERATIONS))
}
