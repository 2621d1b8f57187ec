// The contract as one page for people. It loads nothing from elsewhere, and its policy lets it run nothing but its own script.
import { encodeUtf8, toBase64 } from "../../base/bytes.ts"
import { VERSION } from "../../base/version.ts"
import { type DescribedOperation, describedPaths, type JsonSchema, TAGS } from "../openapi.ts"
import { SCRIPT } from "./script.ts"
import { shapeText } from "./shape-text.ts"
import { STYLE } from "./style.ts"

interface Shown extends DescribedOperation {
  readonly path: string
  readonly method: string
}

/** Where a server is that nobody has set up. The page's script puts the page's own origin there. */
const ORIGIN = "http://localhost:3080"

/** `needsKey`: whether the examples must carry one. */
export function docsPage(needsKey: boolean): string {
  const operations = Object.entries(describedPaths()).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]): Shown => ({ ...operation, path, method: method.toUpperCase() })),
  )
  const tags = grouped(operations)
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Prism ${VERSION}</title>
<link rel="icon" href="data:,">
<style>${STYLE}</style>
</head>
<body>
<nav>
<p class="name">Prism <span class="soft">${escape(VERSION)}</span></p>
<input id="find" type="search" placeholder="Find an operation  (/)" aria-label="Find an operation" autocomplete="off">
${tags.map(([tag, of]) => navigation(tag, of)).join("\n")}
</nav>
<main>
<h1>Prism over HTTP</h1>
<p>JSON in and out; long integers are exact. Every answer has an <code>X-Request-Id</code>. An error has a true status and is
<code>{"error":{"code","message","hint"}}</code>. The same as <a href="/openapi.json">OpenAPI 3.1</a>.</p>
<p>${
    needsKey
      ? "Send an API key as <code>Authorization: Bearer KEY</code> or <code>X-API-Key: KEY</code>, never in a URL."
      : "This server has no API keys: it answers this machine alone."
  }</p>
<label class="soft"${needsKey ? "" : " hidden"}>API key for the forms below
<input id="key" type="password" autocomplete="off" spellcheck="false"></label>
${tags.map(([tag, of]) => section(tag, of, needsKey)).join("\n")}
</main>
<script>${SCRIPT}</script>
</body>
</html>
`
}

/** What the page may do (https://www.w3.org/TR/CSP3/). */
export async function docsPolicy(): Promise<string> {
  const [style, script] = await Promise.all([sourceHash(STYLE), sourceHash(SCRIPT)])
  return [
    "default-src 'none'",
    `style-src ${style}`,
    `script-src ${script}`,
    "connect-src 'self'",
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; ")
}

async function sourceHash(text: string): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", encodeUtf8(text) as Uint8Array<ArrayBuffer>)
  return `'sha256-${toBase64(new Uint8Array(hash))}'`
}

/** In the order in which the document describes the tags. */
function grouped(operations: readonly Shown[]): [tag: string, operations: Shown[]][] {
  return Object.keys(TAGS)
    .map((tag): [string, Shown[]] => [tag, operations.filter(({ tags: [of] }) => of === tag)])
    .filter(([, of]) => of.length > 0)
}

function navigation(tag: string, operations: readonly Shown[]): string {
  const links = operations.map(
    ({ operationId, method, summary }) =>
      `<a href="#${operationId}"><span class="method ${method}">${method}</span><span>${escape(summary)}</span></a>`,
  )
  return `<div data-tag="${tag}"><h2>${tag}</h2>${links.join("")}</div>`
}

function section(tag: string, operations: readonly Shown[], needsKey: boolean): string {
  const articles = operations.map((operation) => article(operation, needsKey))
  return `<section data-tag="${tag}"><h2 class="tag">${tag}</h2>${articles.join("")}</section>`
}

function article(operation: Shown, needsKey: boolean): string {
  const { operationId, method, path, summary, description, parameters, requestBody, responses } = operation
  const words = `${operationId} ${method} ${path} ${summary} ${description}`.toLowerCase()
  const [permission] = /`(\w+)`(?= on)/.exec(description) ?? ["anybody"]
  const bodies = Object.entries(requestBody?.content ?? {})
  const [status, answer] = Object.entries(responses)[0] as [string, DescribedOperation["responses"][string]]
  const errors = Object.keys(responses).filter((of) => /^[45]/.test(of))
  const answers = "content" in answer ? Object.entries(answer.content) : []
  return `<article id="${operationId}" data-words="${escape(words)}">
<h3>${escape(summary)}</h3>
<div class="route"><span class="method ${method}">${method}</span><span class="path">${escape(path)}</span>
<span class="badge">${permission.replaceAll("`", "")}</span></div>
<p class="soft">${prose(description)}</p>
${parameters.length > 0 ? `<h4>Parameters</h4><table>${parameters.map(parameterRow).join("")}</table>` : ""}
${bodies.map(([mediaType, { schema }]) => shape("Body", mediaType, schema)).join("")}
<h4>Example</h4><pre class="curl">${escape(curl(operation, needsKey))}</pre>
${answers.map(([mediaType, { schema }]) => shape(`Answer ${status}`, mediaType, schema)).join("")}
${"202" in responses ? '<p class=soft>With <code>"wait": false</code> it answers 202 with a job at once.</p>' : ""}
<p class="soft">Errors: ${errors.join(", ")}</p>
${tryForm(operation)}
</article>`
}

function parameterRow({ name, in: place, description = "", schema, required }: Shown["parameters"][number]): string {
  const type = `${shapeText(schema)}${schema.default === undefined ? "" : `, default ${String(schema.default)}`}`
  return `<tr><td><code>${name}</code>${required ? "" : " <span class=soft>optional</span>"}</td><td class="soft">${place}</td>
<td><code>${escape(type)}</code></td><td>${prose(description)}</td></tr>`
}

function shape(title: string, mediaType: string, schema: JsonSchema): string {
  const text = shapeText(schema)
  const heading = `<h4>${title} <code>${escape(mediaType)}</code></h4>`
  // One word says no more than the media type.
  return /^\w+$/.test(text) ? heading : `${heading}<pre>${escape(text)}</pre>`
}

/** A command that does it, as far as an example is known. */
function curl({ method, path, requestBody, responses, security }: Shown, needsKey: boolean): string {
  const words = ["curl", ...(method === "GET" ? [] : ["-X", method]), `${ORIGIN}${examplePath(path)}`]
  const lines = [words.join(" ")]
  if (needsKey && security.length > 0) lines.push(`-H "Authorization: Bearer $PRISM_API_KEY"`)
  const [mediaType, content] = Object.entries(requestBody?.content ?? {})[0] ?? []
  if (content?.example !== undefined) {
    lines.push(`-H 'Content-Type: ${mediaType}'`, `-d '${JSON.stringify(content.example)}'`)
  } else if (requestBody?.required) {
    lines.push(`-H 'Content-Type: ${mediaType}'`, "-T products.prism.jsonl")
  }
  if (responses[200] && mediaTypesOf(responses[200]).includes("application/octet-stream"))
    lines.push("-o products.prism.jsonl")
  return lines.join(" \\\n  ")
}

function examplePath(path: string): string {
  const id = path.includes("/jobs/") ? "JOB" : "p1"
  return path.replace("{collection}", "products").replace("{id}", id)
}

/** Nothing to try where a file goes in or out. */
function tryForm({ method, path, parameters, requestBody, responses }: Shown): string {
  const media = [...Object.keys(requestBody?.content ?? {}), ...Object.values(responses).flatMap(mediaTypesOf)]
  if (media.includes("application/octet-stream")) return ""
  const fields = parameters.filter(({ in: place }) => place !== "header")
  const inputs = fields.map(
    ({ name, in: place, required }) =>
      `<label>${name}<input name="${name}" data-in="${place}"${required ? " required" : ""} autocomplete="off"></label>`,
  )
  const example = Object.values(requestBody?.content ?? {})[0]?.example
  const body = example === undefined ? "" : JSON.stringify(example, null, 2)
  return `<details><summary>Try it</summary><form data-method="${method}" data-path="${escape(path)}">
${inputs.join("")}
${requestBody ? `<label>body<textarea spellcheck="false">${escape(body)}</textarea></label>` : ""}
<div class="send"><button>Send</button><output class="soft"></output></div><pre hidden></pre></form></details>`
}

function mediaTypesOf(answer: Shown["responses"][string]): string[] {
  return "content" in answer ? Object.keys(answer.content) : []
}

/** Text with `code` in it. */
function prose(text: string): string {
  return escape(text).replace(/`([^`]+)`/g, "<code>$1</code>")
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;").replaceAll("'", "&#39;")
}
