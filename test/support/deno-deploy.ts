// A program for `deno run --allow-net --allow-env`: the entry point for Deno Deploy behind a real connection, with one API key or
// with none (argument "keyless"). Its last line is what was answered, as JSON.
import process from "node:process"
import { generateApiKey, hashApiKey } from "../../src/api/api-key.ts"
import { createSha256 } from "../../src/runtime-deno/sha256.ts"

const API_KEY = generateApiKey()
const roles = [{ permissions: ["read", "write", "delete", "admin"], collections: "*" }]
const apiKeys = [{ name: "all", hash: hashApiKey(API_KEY, createSha256), roles }]
if (process.argv[2] !== "keyless") process.env["PRISM_API_KEYS"] = JSON.stringify(apiKeys)
process.env["PRISM_LOG"] = "off"

// Only now: it reads the environment when it is loaded.
const { default: deployment } = await import("../../src/runtime-deno/deploy.ts")

type Handler = typeof deployment.fetch
interface Server extends AsyncDisposable {
  readonly addr: { readonly port: number }
}
const { Deno: deno } = globalThis as unknown as { Deno: { serve(options: object, handler: Handler): Server } }

const answers: Record<string, unknown> = {}
{
  await using server = deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, deployment.fetch)
  const ask = async (method: string, path: string, body?: BodyInit, type = "application/json", key = API_KEY) => {
    const headers = { "content-type": type, authorization: `Bearer ${key}` }
    const url = `http://127.0.0.1:${server.addr.port}${path}`
    return await fetch(url, { method, headers, ...(body !== undefined && { body }) })
  }
  const keep = async (name: string, asked: Promise<Response>) => {
    const response = await asked
    answers[name] = { status: response.status, body: await response.json() }
  }
  const search = JSON.stringify({ query: "darkness" })
  const fields = [{ name: "title", type: "text" }]
  await keep("nobody", ask("GET", "/admin/collections", undefined, undefined, "prism_no"))
  await keep("create", ask("PUT", "/collections/books", JSON.stringify({ backends: { text: { fields } } })))
  await keep("add", ask("POST", "/collections/books/documents", '[{"id":"left","title":"The Left Hand of Darkness"}]'))
  await keep("search", ask("POST", "/collections/books/search", search))
  const archive = await ask("GET", "/_admin/collections/books/archive?format=snapshot")
  const bytes = await archive.arrayBuffer()
  await keep("restore", ask("PUT", "/_admin/collections/again/archive", bytes, "application/octet-stream"))
  await keep("search again", ask("POST", "/collections/again/search", search))
  await keep(
    "to a file",
    ask("POST", "/_admin/export", '{"collection":"books","format":"snapshot","output_path":"/tmp/a"}'),
  )
}
console.log(JSON.stringify({ answers }))
