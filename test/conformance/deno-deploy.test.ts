import { expect, test } from "vitest"
import { startDenoProgram } from "../support/process.ts"
import { runtime } from "../support/runtime.ts"

const isDeno = runtime.name === "deno"
const PERMISSIONS = ["--allow-net", "--allow-env"]

test.skipIf(!isDeno)("Deno Deploy's entry point serves collections, and takes and gives archives", async () => {
  await using program = startDenoProgram("deno-deploy.ts", PERMISSIONS)
  const audited: string[] = []
  let line = JSON.parse(await program.line())
  for (; line.audit !== undefined; line = JSON.parse(await program.line())) {
    audited.push(`${line.audit.operation} ${line.audit.outcome}`)
  }
  expect((await program.ended()).code).toBe(0)
  const { answers } = line
  const found = { total: 1, results: [{ id: "left", fields: { title: "The Left Hand of Darkness" } }] }
  expect(answers).toMatchObject({
    nobody: { status: 401 },
    create: { status: 201 },
    add: { status: 201, body: { indexed: 1, failed: 0 } },
    search: { status: 200, body: found },
    restore: { status: 200, body: { collection: "again", documents_imported: 1, checksum: "verified" } },
    "search again": { status: 200, body: found },
    "to a file": { status: 403, body: { error: { code: "PATH_NOT_ALLOWED" } } },
  })
  expect(audited).toContain("createCollection done")
  expect(audited).toContain("listCollections refused")
})

test.skipIf(!isDeno)("without API keys Deno Deploy's entry point does not start", async () => {
  await using program = startDenoProgram("deno-deploy.ts", PERMISSIONS, "keyless")
  const { code, stderr } = await program.ended()
  expect(code).toBe(1)
  expect(stderr).toContain("without an API key everybody who reaches 0.0.0.0 could read and delete")
})
