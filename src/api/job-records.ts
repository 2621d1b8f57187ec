import * as z from "zod"
import { decodeUtf8, encodeUtf8 } from "../base/bytes.ts"
import type { Storage } from "../storage/storage.ts"

// What a process that dies leaves of its jobs, in the data folder:
//
//   jobs/<id>.json    one that ran: a line of JSON, see `record`; the next process tells of it as interrupted
//   jobs/<id>.new     such a file, not finished
//
// No key of a request is in them.

const FOLDER = "jobs"

const record = z.object({
  id: z.string(),
  kind: z.string(),
  collection: z.string().nullable(),
  /** As `Caller.name`. */
  started_by: z.string(),
  /** RFC 3339, UTC. */
  created_at: z.string(),
  /** Likewise: when the first process after it told of it as interrupted. */
  found_at: z.string().optional(),
  /** Files outside the data folder that it may leave behind; absolute paths. */
  temporaries: z.array(z.string()),
})

export type JobRecord = Readonly<z.output<typeof record>>

/** The records of jobs in one storage, for the holder of its lock. */
export class JobRecords {
  readonly #storage: Storage

  private constructor(storage: Storage) {
    this.#storage = storage
  }

  /** The records that are there, the oldest job first, and where new ones go. A damaged one is removed: it tells nothing. */
  static async open(storage: Storage): Promise<{ records: JobRecords; left: JobRecord[] }> {
    await storage.makeDirectory(FOLDER)
    const left: JobRecord[] = []
    for (const { name, kind } of await storage.list(FOLDER)) {
      if (kind !== "file") continue
      const path = `${FOLDER}/${name}`
      const found = name.endsWith(".json") ? parse(decodeUtf8(await storage.read(path))) : undefined
      if (found && pathOf(found.id) === path) left.push(found)
      else await storage.remove(path)
    }
    left.sort((a, b) => (a.created_at < b.created_at ? -1 : 1))
    return { records: new JobRecords(storage), left }
  }

  /** Writes or replaces a record, durably. */
  async write(job: JobRecord): Promise<void> {
    const unfinished = `${FOLDER}/${job.id}.new`
    // Of an attempt that failed.
    await this.#storage.remove(unfinished)
    {
      await using file = await this.#storage.create(unfinished)
      await file.append(encodeUtf8(`${JSON.stringify(job)}\n`))
      await file.sync()
    }
    await this.#storage.rename(unfinished, pathOf(job.id))
    await this.#storage.syncDirectory(FOLDER)
  }

  async remove(id: string): Promise<void> {
    await this.#storage.remove(pathOf(id))
    await this.#storage.syncDirectory(FOLDER)
  }
}

function pathOf(id: string): string {
  return `${FOLDER}/${id}.json`
}

function parse(text: string): JobRecord | undefined {
  try {
    return record.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}
