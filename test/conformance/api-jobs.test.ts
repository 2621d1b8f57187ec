// Long work as jobs: it goes on without whoever asked for it, can be followed and cancelled, and leaves nothing behind.
import { describe, expect, test } from "vitest"
import { hashApiKey } from "../../src/api/api-key.ts"
import type { BackupRoots } from "../../src/api/backup-roots.ts"
import type { ApiKey } from "../../src/api/config.ts"
import type { JobAnswer } from "../../src/api/contract.ts"
import type { JobTools } from "../../src/api/job.ts"
import { Jobs } from "../../src/api/jobs.ts"
import { PrismError } from "../../src/base/errors.ts"
import { generateKey } from "../../src/formats/key.ts"
import type { Files } from "../../src/runtime.ts"
import type { Storage } from "../../src/storage/storage.ts"
import { testApi } from "../support/api.ts"
import { type AnswerBody, ApiServer } from "../support/api-server.ts"
import { documentsOf, fillSmall } from "../support/archives.ts"
import { LastingStorage } from "../support/lasting-storage.ts"
import { refusal } from "../support/refusal.ts"
import { runtime, system, temporaryFolder } from "../support/runtime.ts"

/** Between two calls at which long work is cancelled: an import makes hundreds. */
const STRIDES: Record<string, number> = { import: 23, attach: 23, detach: 4 }

/** Something that a test lets happen. */
class Latch {
  open: () => void = () => {}
  readonly opened = new Promise<void>((resolve) => {
    this.open = resolve
  })
}

/** Work that runs until it is let go, or cancelled. */
function held(): { work: (tools: JobTools) => Promise<string>; latch: Latch; begun: Latch } {
  const latch = new Latch()
  const begun = new Latch()
  const work = async ({ signal }: JobTools) => {
    begun.open()
    const aborted = new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason as Error))
    })
    await Promise.race([latch.opened, aborted])
    return "done"
  }
  return { work, latch, begun }
}

const about = (kind: string, collection: string) => ({ kind, collection, started_by: "local" })

function failing(error: Error): never {
  throw error
}

const openJobs = async (concurrent = 2, now?: () => number) =>
  await Jobs.open({ storage: new LastingStorage(), concurrent, ...(now && { now }) })

describe("jobs", () => {
  test("a job runs, can be asked for, and keeps what it came to", async () => {
    const jobs = await openJobs()
    const { work, latch } = held()
    const job = jobs.start(about("exportArchive", "c"), work)
    expect(job.answer()).toEqual({
      id: expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
      kind: "exportArchive",
      collection: "c",
      state: "running",
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      finished_at: null,
      progress: null,
      result: null,
      error: null,
    })
    expect(jobs.running).toBe(1)
    latch.open()
    expect(await jobs.wait(job)).toBe("done")
    expect(jobs.get(job.id).answer()).toMatchObject({
      state: "done",
      result: "done",
      finished_at: expect.stringMatching(/^\d{4}/),
    })
    expect(jobs.running).toBe(0)
    await jobs.cancel(job)
    expect(job.state).toBe("done")
  })

  test("an error has the shape that every answer gives it, and a bug tells nothing", async () => {
    const jobs = await openJobs()
    const fail = (error: Error) => jobs.start(about("optimize", "c"), async () => failing(error))
    const told = fail(new PrismError("CORRUPT", "it is damaged", { hint: "restore it", place: "a" }))
    expect((await refusal(jobs.wait(told))).code).toBe("CORRUPT")
    expect(told.answer()).toMatchObject({
      state: "failed",
      error: { code: "CORRUPT", message: "it is damaged", hint: "restore it", place: "a" },
    })
    const bug = fail(new Error("secret"))
    await expect(jobs.wait(bug)).rejects.toThrow("secret")
    expect(bug.answer().error?.code).toBe("INTERNAL")
    expect(JSON.stringify(bug.answer())).not.toContain("secret")
  })

  test("progress has a rate of the last seconds and the time that is left; each stage by itself", async () => {
    let at = 0
    const jobs = await openJobs(1, () => at)
    const seen: JobAnswer["progress"][] = []
    const job = jobs.start(about("exportArchive", "c"), async ({ onProgress }) => {
      const tell = (stage: "measuring" | "writing", done: number, total: number | undefined) => {
        onProgress({ stage, unit: "documents", done, total })
        seen.push(jobs.list()[0]!.answer().progress)
      }
      tell("measuring", 0, 1000)
      at = 1000
      tell("measuring", 200, 1000)
      at = 2000
      tell("measuring", 600, 1000)
      tell("writing", 0, undefined)
    })
    await jobs.wait(job)
    const common = { stage: "measuring", unit: "documents", total: 1000 }
    expect(seen).toEqual([
      { ...common, done: 0, rate: null, seconds_left: null },
      { ...common, done: 200, rate: 200, seconds_left: 4 },
      { ...common, done: 600, rate: 300, seconds_left: 4 / 3 },
      { stage: "writing", unit: "documents", done: 0, total: null, rate: null, seconds_left: null },
    ])
  })

  test("no more than so many run at once", async () => {
    const jobs = await openJobs(2)
    const [one, two] = [held(), held()]
    const first = jobs.start(about("optimize", "c"), one.work)
    jobs.start(about("optimize", "c"), two.work)
    expect(() => jobs.start(about("optimize", "c"), held().work)).toThrow(/no more may/)
    one.latch.open()
    await jobs.wait(first)
    const third = jobs.start(about("optimize", "c"), async () => 3)
    expect(await jobs.wait(third)).toBe(3)
    two.latch.open()
    await jobs.close()
  })

  test("cancelling waits for the work to clear up", async () => {
    const jobs = await openJobs()
    const cleared = new Latch()
    const begun = new Latch()
    let isClear = false
    const job = jobs.start(about("exportArchive", "c"), async ({ signal }) => {
      begun.open()
      await new Promise((resolve) => {
        signal.addEventListener("abort", resolve)
      })
      await cleared.opened
      isClear = true
      throw signal.reason
    })
    await begun.opened
    const waiting = refusal(jobs.wait(job))
    const cancelled = jobs.cancel(job).then(() => isClear)
    queueMicrotask(cleared.open)
    expect(await cancelled).toBe(true)
    expect(job.answer()).toMatchObject({ state: "cancelled", error: { code: "INTERRUPTED" } })
    expect((await waiting).code).toBe("INTERRUPTED")
  })

  test("one that is cancelled before it began does nothing", async () => {
    const jobs = await openJobs()
    let ran = false
    const job = jobs.start(about("optimize", "c"), async () => {
      ran = true
    })
    await jobs.cancel(job)
    expect([job.state, ran]).toEqual(["cancelled", false])
  })

  test("the last thousand that ended are told of, and all that run", async () => {
    const jobs = await openJobs(2)
    const { work, latch } = held()
    const first = jobs.start(about("optimize", "c"), work)
    const ids: string[] = []
    for (let i = 0; i < 1003; i++) {
      const job = jobs.start(about("optimize", "c"), async () => i)
      await jobs.wait(job)
      ids.push(job.id)
    }
    expect(jobs.list().map(({ id }) => id)).toEqual([first.id, ...ids.slice(3)])
    expect(() => jobs.get(ids[2]!)).toThrow("there is no such job")
    latch.open()
    await jobs.wait(first)
    expect(jobs.list().map(({ id }) => id)).toEqual([first.id, ...ids.slice(4)])
    expect(new Set(ids).size).toBe(1003)
  })

  test("at the server's end those that run are cancelled, and no more are taken", async () => {
    const jobs = await openJobs()
    const { work } = held()
    const job = jobs.start(about("optimize", "c"), work)
    await jobs.close()
    expect(job.state).toBe("cancelled")
    expect(() => jobs.start(about("optimize", "c"), held().work)).toThrow("the server is ending")
  })
})

describe("after a crash", () => {
  /** A storage in a folder, seen by another process after this one died without a word. */
  const after = async (folder: string): Promise<Storage> => await runtime.openStorage(folder, { create: false })

  test("a job is told of as interrupted, and what it left beside its output is removed", async () => {
    await using folder = await temporaryFolder()
    const data = system.path(folder.path, "data")
    const secret = generateKey()
    const stall = new Latch()
    const files = hooked(runtime.files, "write", async (call) => {
      const sink = (await call()) as WritableStream<Uint8Array>
      const writer = sink.getWriter()
      return new WritableStream({
        write: async (chunk: Uint8Array) => {
          await writer.write(chunk)
          begun.open()
          await stall.opened
        },
        close: () => writer.close(),
        abort: (reason) => writer.abort(reason),
      })
    })
    const begun = new Latch()
    await using api = await ApiServer.open({
      storage: await runtime.openStorage(data, { create: true }),
      backupRoots: [folder.path],
      files,
    })
    await fillSmall(api.service.prism)
    const body = { collection: "c", key: secret, output_path: `${folder.path}/new/c.enc`, wait: false }
    const { status, body: accepted } = await api.post("/_admin/export/encrypted", body)
    expect(status).toBe(202)
    await begun.opened
    const { id } = accepted.job
    const record = await system.read(`${data}/jobs/${id}.json`)
    expect(record).not.toContain(secret)
    const [temporary] = await system.list(`${folder.path}/new`)
    expect(temporary).toMatch(/^\.prism-[0-9a-f]{32}\.tmp$/)
    await system.write(`${folder.path}/new/other`, "mine")
    // What a crash may leave besides.
    await system.write(`${data}/jobs/${id}.new`, "{")
    await system.write(`${data}/jobs/damaged.json`, "{")

    let finished_at: unknown = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
    for (const _ of ["once", "and again"]) {
      const jobs = await Jobs.open({ storage: await after(data), files: runtime.files, concurrent: 1 })
      expect(jobs.list().map((job) => job.answer())).toMatchObject([
        { id, kind: "exportEncrypted", collection: "c", state: "interrupted", finished_at, result: null },
      ])
      finished_at = jobs.get(id).answer().finished_at
      expect(await system.list(`${folder.path}/new`)).toEqual(["other"])
      expect(await system.list(`${data}/jobs`)).toEqual([`${id}.json`])
      await jobs.cancel(jobs.get(id))
      expect(jobs.get(id).state).toBe("interrupted")
    }
    stall.open()
  })

  test("a record cannot make the server remove anything else", async () => {
    await using folder = await temporaryFolder()
    const victim = `${folder.path}/victim`
    await system.write(victim, "mine")
    const storage = await runtime.openStorage(`${folder.path}/data`, { create: true })
    await Jobs.open({ storage, concurrent: 1 })
    const id = crypto.randomUUID()
    const record = { id, ...about("exportArchive", "c"), created_at: "2026-01-01T00:00:00Z" }
    const temporaries = [victim, `${folder.path}/.prism-../victim`, `${folder.path}/.prism-ab.tmp/../victim`]
    await system.write(`${folder.path}/data/jobs/${id}.json`, JSON.stringify({ ...record, temporaries }))
    const jobs = await Jobs.open({ storage, files: runtime.files, concurrent: 1 })
    expect(jobs.get(id).state).toBe("interrupted")
    expect(await system.read(victim)).toBe("mine")
  })

  test("a job is told of for seven days, then forgotten", async () => {
    await using folder = await temporaryFolder()
    const storage = await runtime.openStorage(folder.path, { create: true })
    await Jobs.open({ storage, concurrent: 1 })
    const DAY_MS = 24 * 60 * 60 * 1000
    const ago = (days: number) => new Date(Date.now() - days * DAY_MS).toISOString()
    const foundAt = { fresh: ago(6), old: ago(8), unreadable: "yesterday" }
    for (const [name, found_at] of Object.entries(foundAt)) {
      const record = { ...about("optimize", "c"), id: name, created_at: ago(99), temporaries: [], found_at }
      await system.write(`${folder.path}/jobs/${name}.json`, JSON.stringify(record))
    }
    const jobs = await Jobs.open({ storage, concurrent: 1 })
    expect(jobs.list().map((job) => job.answer())).toMatchObject([{ id: "fresh", finished_at: foundAt.fresh }])
    expect(await system.list(`${folder.path}/jobs`)).toEqual(["fresh.json"])
  })

  test("jobs that ended leave no record; those that the server's end cut off do", async () => {
    await using folder = await temporaryFolder()
    const storage = await runtime.openStorage(folder.path, { create: true })
    const jobs = await Jobs.open({ storage, concurrent: 9 })
    await jobs.wait(jobs.start(about("optimize", "a"), async () => 1))
    await jobs.wait(jobs.start(about("optimize", "b"), async () => failing(new Error("no")))).catch(() => {})
    const cancelled = jobs.start(about("optimize", "c"), held().work)
    await jobs.cancel(cancelled)
    const last = jobs.start(about("optimize", "d"), held().work)
    await jobs.close()
    const left = await Jobs.open({ storage, concurrent: 1 })
    expect(left.list().map((job) => job.answer())).toMatchObject([
      { id: last.id, collection: "d", state: "interrupted" },
    ])
  })
})

describe("over HTTP", () => {
  const server = async (folder: string, files?: Files, storage: Storage = new LastingStorage()) => {
    const api = await ApiServer.open({ storage, backupRoots: [folder], ...(files && { files }) })
    await fillSmall(api.service.prism)
    return api
  }

  test("with wait false a job is answered at once, and found with its result", async () => {
    await using folder = await temporaryFolder()
    await using api = await server(folder.path)
    const body = { collection: "c", format: "snapshot", output_path: `${folder.path}/c.tar.zst`, wait: false }
    const { status, body: accepted } = await api.post("/_admin/export", body)
    expect(status).toBe(202)
    expect(accepted.job).toMatchObject({ kind: "exportArchive", collection: "c", state: "running" })
    const { jobs } = api.service
    await jobs.wait(jobs.get(accepted.job.id))
    const found = await api.get(`/_admin/jobs/${accepted.job.id}`)
    expect(found).toMatchObject({ status: 200, body: { job: { state: "done", result: { document_count: 5 } } } })
    expect((await api.get("/_admin/jobs")).body.jobs).toEqual([found.body.job])
    expect(await api.get("/_admin/jobs/none")).toMatchObject({
      status: 404,
      body: { error: { code: "JOB_NOT_FOUND" } },
    })
    expect((await api.call("DELETE", "/_admin/jobs/none")).status).toBe(404)
  })

  test("what is wrong with a request that does not wait is in its job", async () => {
    await using folder = await temporaryFolder()
    await using api = await server(folder.path)
    const { body } = await api.post("/_admin/export", { collection: "c", output_path: "/etc/c", wait: false })
    const { jobs } = api.service
    await jobs.wait(jobs.get(body.job.id)).catch(() => {})
    const found = await api.get(`/_admin/jobs/${body.job.id}`)
    expect(found.body.job).toMatchObject({ state: "failed", error: { code: "PATH_NOT_ALLOWED" } })
  })

  test("a bug in a job that nobody waits for is in the log", async () => {
    const bug = new Error("a bug")
    const resolve = async () => failing(bug)
    const jobs = await openJobs()
    await using api = await testApi({ service: { jobs, backupRoots: { resolve } as unknown as BackupRoots } })
    await fillSmall(api.prism)
    const accepted = await api.send("POST", "/_admin/export", { collection: "c", output_path: "/x", wait: false })
    expect(accepted.status).toBe(202)
    await jobs.idle()
    expect(api.failures).toEqual([bug])
    expect(jobs.list()[0]!.answer()).toMatchObject({ state: "failed", error: { code: "INTERNAL" } })
  })

  test("are shown to whoever started them, and to whoever administers everything", async () => {
    const keys = { reader: "read:logs-*", twin: "read:logs-*", owner: "admin:logs-*", root: "admin:*" }
    const apiKeys = Object.entries(keys).map(([name, role]): ApiKey => {
      const [permission, collections] = role.split(":") as ["read" | "admin", string]
      return {
        name,
        hash: hashApiKey(name, runtime.createSha256),
        roles: [{ permissions: [permission], collections }],
      }
    })
    const storage = new LastingStorage()
    const jobs = await Jobs.open({ storage, concurrent: 2 })
    await using api = await testApi({ apiKeys, service: { jobs } })
    const ask = async (key: string, method: string, path = "", body?: unknown) => {
      const response = await api.send(method, `/_admin/jobs${path}`, body, { "x-api-key": key })
      const { jobs: shown, job, error } = (await response.json()) as Partial<AnswerBody>
      return shown?.map(({ id }) => id) ?? job?.state ?? error?.code
    }
    const { work, latch, begun } = held()
    const { id } = jobs.start({ ...about("verifyCollection", "logs-a"), started_by: "reader" }, work)
    await begun.opened
    for (const key of ["twin", "owner"]) {
      expect(await ask(key, "GET")).toEqual([])
      expect(await ask(key, "GET", `/${id}`)).toBe("JOB_NOT_FOUND")
      expect(await ask(key, "DELETE", `/${id}`)).toBe("JOB_NOT_FOUND")
    }
    for (const key of ["reader", "root"]) {
      expect(await ask(key, "GET")).toEqual([id])
      expect(await ask(key, "GET", `/${id}`)).toBe("running")
    }
    expect(await ask("reader", "DELETE", `/${id}`)).toBe("cancelled")
    latch.open()
  })

  test("know who started them by the request, also after a crash", async () => {
    await using folder = await temporaryFolder()
    const storage = await runtime.openStorage(folder.path, { create: true })
    const jobs = await Jobs.open({ storage, concurrent: 1 })
    const role = { permissions: ["read"] as const, collections: "*" }
    const apiKeys = [{ name: "reader", hash: hashApiKey("reader", runtime.createSha256), roles: [role] }]
    await using api = await testApi({ apiKeys, service: { jobs } })
    await fillSmall(api.prism)
    const body = { wait: false }
    const started = await api.send("POST", "/collections/c/verify", body, { "x-api-key": "reader" })
    const { job } = (await started.json()) as AnswerBody
    expect(jobs.get(job.id).startedBy).toBe("reader")
    await jobs.idle()
    jobs.start({ ...about("optimize", "c"), started_by: "reader" }, held().work)
    await jobs.close()
    const left = await Jobs.open({ storage, concurrent: 1 })
    expect(left.list().map(({ startedBy }) => startedBy)).toEqual(["reader"])
  })

  test("beyond the limit it is 429, with what to do", async () => {
    await using folder = await temporaryFolder()
    await using api = await server(folder.path)
    const { jobs } = api.service
    const [one, two] = [held(), held()]
    jobs.start(about("optimize", "c"), one.work)
    jobs.start(about("optimize", "c"), two.work)
    expect(await api.post("/collections/c/optimize", {})).toMatchObject({
      status: 429,
      body: { error: { code: "TOO_MANY_REQUESTS", hint: expect.stringContaining("/_admin/jobs") } },
    })
    one.latch.open()
    two.latch.open()
  })

  test("a client that waits and goes leaves its job running", async () => {
    await using folder = await temporaryFolder()
    const go = new Latch()
    const asked = new Latch()
    const files = hooked(runtime.files, "write", async (call) => {
      asked.open()
      await go.opened
      return await call()
    })
    await using api = await server(folder.path, files)
    const client = new AbortController()
    const request = new Request("http://localhost/_admin/export", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ collection: "c", output_path: `${folder.path}/c.prism.jsonl` }),
      signal: client.signal,
    })
    const response = api.fetch(request).catch(() => undefined)
    await asked.opened
    client.abort()
    const [job] = api.service.jobs.list()
    go.open()
    await api.service.jobs.wait(job!)
    await response
    expect(job!.state).toBe("done")
    expect(await system.list(folder.path)).toEqual(["c.prism.jsonl"])
  })

  test.each([
    ["portable export", "/_admin/export", { collection: "c", format: "portable" }],
    ["snapshot export", "/_admin/export", { collection: "c", format: "snapshot" }],
    ["encrypted export", "/_admin/export/encrypted", { collection: "c", key: generateKey() }],
    ["detach", "/_admin/collections/c/detach", { delete_data: false }],
    ["detach with delete_data", "/_admin/collections/c/detach", { delete_data: true }],
    ["portable import", "/_admin/import", { target_collection: "d", from: "portable" }],
    ["snapshot import", "/_admin/import", { target_collection: "d", from: "snapshot" }],
    ["attach", "/_admin/collections/attach", { target_collection: "d", from: "snapshot" }],
  ])(
    "cancelled at any call, a %s is done or leaves nothing",
    async (_, path, { from, ...given }: Record<string, unknown>) => {
      await using folder = await temporaryFolder()
      const outcomes = new Set<string>()
      const isImport = path.endsWith("import") || path.endsWith("attach")
      for (let point = 0; ; point += STRIDES[path.split("/").at(-1) as string] ?? 1) {
        const root = system.path(folder.path, String(point))
        const output = `${root}/out/archive`
        let calls = 0
        let cancelled: Promise<void> | undefined
        let isArmed = false
        const count = () => {
          if (!isArmed || calls++ !== point) return
          const [job] = api.service.jobs.list().slice(-1)
          cancelled = api.service.jobs.cancel(job!)
        }
        const storage = watched(new LastingStorage(), count)
        const files = watched(runtime.files, count)
        await (await runtime.files.write(`${root}/in`, { replace: false })).close()
        await using api = await server(root, files, storage)
        const before = await documentsOf(await api.service.prism.collection("c"))
        if (from !== undefined) await api.post("/_admin/export", { collection: "c", format: from, output_path: output })
        const file = { type: "file", path: output }
        const body = {
          ...given,
          ...(path.includes("/export") && { output_path: output }),
          ...(path.endsWith("/import") && { input_path: output }),
          ...(path.endsWith("/detach") && { destination: file }),
          ...(path.endsWith("/attach") && { source: file }),
        }
        isArmed = true
        const answer = await api.post(path, body)
        isArmed = false
        await cancelled
        const [job] = api.service.jobs.list().slice(-1)
        const names = await api.service.prism.collectionNames()
        const isDone = job!.state === "done"
        outcomes.add(job!.state)
        expect([answer.status, job!.answer().error]).toEqual(
          isDone ? [200, null] : [499, expect.objectContaining({ code: "INTERRUPTED" })],
        )
        if (isImport) {
          expect(names).toEqual(isDone ? ["c", "d"] : ["c"])
          if (isDone) expect(await documentsOf(await api.service.prism.collection("d"))).toEqual(before)
        } else {
          expect(names).toEqual(isDone && path.endsWith("/detach") ? [] : ["c"])
          const there = (await runtime.files.isDirectory(`${root}/out`)) ? await system.list(`${root}/out`) : undefined
          expect([point, there]).toEqual([point, isDone ? ["archive"] : undefined])
          const { key } = given as { key?: string }
          const route = key === undefined ? "/_admin/import" : "/_admin/import/encrypted"
          const back = { input_path: output, target_collection: "e", ...(key !== undefined && { key }) }
          if (isDone) expect((await api.post(route, back)).status).toBe(200)
        }
        if (names.includes("c")) {
          expect(await documentsOf(await api.service.prism.collection("c"))).toEqual(before)
          expect((await api.post("/collections/c/documents", [{ id: "after", words: "w" }])).status).toBe(201)
        }
        for (const place of ["staging", "trash"]) expect([point, await storage.list(place)]).toEqual([point, []])
        if (calls <= point) break
      }
      expect(outcomes).toEqual(new Set(["cancelled", "done"]))
    },
  )
})

/** The same, but that every call of one method goes through `around`. */
function hooked<T extends object>(
  target: T,
  method: keyof T,
  around: (call: () => Promise<unknown>) => Promise<unknown>,
): T {
  return new Proxy(target, {
    get(_, name) {
      const member: unknown = Reflect.get(target, name)
      if (typeof member !== "function") return member
      if (name !== method) return member.bind(target) as unknown
      return (...args: unknown[]) => around(async () => (await Reflect.apply(member, target, args)) as unknown)
    },
  })
}

/** The same, but that each call of it, and of the files that it opens, is told of before it is made. */
function watched<T extends object>(target: T, onCall: () => void): T {
  return new Proxy(target, {
    get(_, name) {
      const member: unknown = Reflect.get(target, name)
      if (typeof member !== "function") return member
      return (...args: unknown[]) => {
        onCall()
        const result: unknown = Reflect.apply(member, target, args)
        if (!(result instanceof Promise) || !["open", "create", "append"].includes(String(name))) return result
        return result.then((file: unknown) => (typeof file === "object" && file ? watched(file, onCall) : file))
      }
    },
  })
}
