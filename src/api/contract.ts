// The HTTP contract as data: each operation with its path, permission and shapes. Routing, validation, the OpenAPI document,
// the client and the test that no route is without a permission are all made of this table.
import * as z from "zod"

/** What a key must be allowed to do. `public`: nothing, anybody may ask. */
export type Permission = "public" | "read" | "write" | "delete" | "admin"

/** Bodies that are no JSON value to validate: they are streamed, or parsed by what they are for. */
export type RawBody = "documents" | "archive" | "schema"

export interface Operation {
  readonly method: "GET" | "POST" | "PUT" | "DELETE"
  /** With parameters as OpenAPI spells them: `/collections/{collection}/search`. */
  readonly path: string
  readonly permission: Permission
  /** Where the collection stands that the permission is about: as `collection` in the path; at this place of the body, such
   *  as `searches[].collection`; or nowhere, because the answer holds what its asker may see. Without a scope, and where
   *  the body names no collection, the permission is about all of them. `own`: so it is, but any key does for what was begun
   *  with that key. */
  readonly scope?: "path" | "answer" | "own" | { readonly body: string }
  /** True where the request names a file of the server. Archives of any collection lie there, for anybody with its path to
   *  read or replace: so the permission is about all collections, whichever the request is about. */
  readonly serverFile?: true
  readonly tag: "Collections" | "Documents" | "Search" | "Graph" | "Archives" | "Jobs" | "Server"
  readonly summary: string
  readonly description?: string
  readonly query?: z.ZodObject
  readonly headers?: z.ZodObject
  readonly body?: z.ZodType | RawBody
  /** Of a body, for those who read: `products`, `p1` and `p2` stand for a collection and ids. */
  readonly example?: unknown
  /** Status of success, and what it answers: JSON of this shape, or bytes of this media type. */
  readonly status: 200 | 201
  readonly answer: z.ZodType | { readonly mediaType: string }
  /** True where each of many is taken or refused by itself: with all refused it is a 422, which is the answer as it would
   *  be, and an error beside it. */
  readonly eachByItself?: true
  /** True of long work that needs nothing of its client: with `"wait":false` in the body it is answered by 202 and a job.
   *  Archives that stream are waited for, by the connection that they come or go by. */
  readonly long?: true
}

/** As ARCHITECTURE's limits have it; checked before any I/O. */
export const collectionName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$/, {
  error: "a collection's name has 1 to 128 letters, digits, - and _, and begins with a letter or digit",
})
const count = z.int().min(0)
const sha256 = z.string().regex(/^[0-9a-f]{64}$/)
const filePath = z.string().min(1).max(4096).describe("A path on the server, under one of its backup roots")
const key = z.string().describe("64 hex characters: 32 bytes")
const backends = z.object({ text: z.boolean(), vector: z.boolean(), graph: z.boolean() })
const fields = z.record(z.string(), z.unknown())
const wait = z.boolean().default(true).describe("false: answer 202 with a job at once")

export const problem = z.object({
  place: z.string(),
  code: z.string(),
  message: z.string(),
  hint: z.string().optional(),
})

export const errorAnswer = z.object({
  error: z.object({
    code: z.string(),
    message: z.string(),
    hint: z.string().optional(),
    place: z.string().optional(),
    problems: z.array(problem).optional(),
  }),
})

const edgeTypes = z.union([z.string(), z.array(z.string()).min(1)]).describe("One type or several; all where missing")

export const searchRequest = z.strictObject({
  query: z.string().optional().describe("Lucene's classic query syntax"),
  vector: z.array(z.number()).max(65_536).optional().describe("As many numbers as the schema's dimension"),
  filter: z.string().optional().describe("A query that documents must match without being scored by it"),
  fields: z.array(z.string()).min(1).optional().describe("Fields that bare words search"),
  limit: z.int().min(0).max(10_000).optional().describe("Default 10"),
  offset: z.int().min(0).max(10_000).optional().describe("Default 0"),
  merge_strategy: z.enum(["weighted", "rrf"]).optional(),
  text_weight: z.number().min(0).optional(),
  vector_weight: z.number().min(0).optional(),
  rrf_k: z.number().min(0).optional(),
  ef: z.int().min(1).max(10_000).optional().describe("Candidates of the vector search"),
  min_score: z.number().optional(),
  expand: z
    .strictObject({
      edge_type: edgeTypes.optional(),
      depth: z.int().min(1).max(100).describe("Edges at most"),
      limit: z.int().min(1).max(1000).optional().describe("Documents at most. Default 100"),
    })
    .optional()
    .describe("Goes on along edges of the graph from the results of the page"),
})

export const searchAnswer = z.object({
  results: z.array(z.object({ id: z.string(), score: z.number(), fields })),
  total: count.describe("Matching documents"),
  expanded: z
    .array(z.object({ id: z.string(), depth: count, via: z.string(), fields }))
    .optional()
    .describe("Documents that the results lead to, nearest first, each with the result that it was reached from"),
  expanded_truncated: z
    .literal(true)
    .optional()
    .describe("There may be more of them, behind the limit or behind the 10,000 nodes that are looked at"),
  latency_ms: z.number(),
})

const document = z.object({ id: z.string(), fields, vector: z.array(z.number()).optional() })

const edgeKey = { from: z.string(), to: z.string(), edge_type: z.string() }
const edge = z.object({ ...edgeKey, weight: z.number() })
const direction = z.enum(["out", "in", "both"])
const graphAddition = z.object({
  added: count,
  failed: count,
  errors: z.array(problem),
})

const job = z.object({
  id: z.string(),
  kind: z.string(),
  collection: z.string().nullable(),
  state: z.enum(["running", "done", "failed", "cancelled", "interrupted"]),
  created_at: z.string(),
  finished_at: z.string().nullable(),
  progress: z
    .object({
      stage: z.string(),
      unit: z.enum(["documents", "lines", "bytes"]),
      done: count,
      total: count.nullable(),
      /** Units a second. */
      rate: z.number().nullable(),
      seconds_left: z.number().nullable(),
    })
    .nullable(),
  result: z.unknown().nullable(),
  error: errorAnswer.shape.error.nullable(),
})

export const accepted = z.object({ job })

const archiveMetadata = z.object({
  version: z.string(),
  collection: z.string(),
  document_count: count,
  exported_at: z.string(),
  checksum: sha256,
  file_sha256: sha256,
  size_bytes: count,
  backends,
})
const place = z.strictObject({ type: z.literal("file"), path: filePath })

const ARCHIVE_KEY_HEADERS = z.object({
  "prism-key": z.string().optional().describe("Key of an encrypted archive: 64 hex characters"),
  "prism-passphrase": z.string().optional().describe("Passphrase of an encrypted archive, in base64 of its UTF-8"),
})

/** What an import answers. */
const imported = z.object({
  success: z.literal(true),
  collection: z.string(),
  documents_imported: count,
  files_extracted: count,
  bytes_extracted: count,
  warnings: z.array(z.string()),
})

export const OPERATIONS = {
  // Server
  health: {
    method: "GET",
    path: "/health",
    permission: "public",
    tag: "Server",
    summary: "Whether the process lives",
    status: 200,
    answer: z.object({
      status: z.literal("ok"),
      version: z.string(),
      collections: count,
      uptime_secs: z.number(),
    }),
  },
  ready: {
    method: "GET",
    path: "/ready",
    permission: "public",
    tag: "Server",
    summary: "Whether it takes requests: 503 while it drains",
    status: 200,
    answer: z.object({ status: z.literal("ready") }),
  },
  metrics: {
    method: "GET",
    path: "/metrics",
    permission: "read",
    tag: "Server",
    summary: "Figures for Prometheus",
    status: 200,
    answer: { mediaType: "text/plain; version=0.0.4; charset=utf-8" },
  },
  serverStats: {
    method: "GET",
    path: "/stats/server",
    permission: "read",
    tag: "Server",
    summary: "Figures as JSON",
    status: 200,
    answer: z.object({
      version: z.string(),
      runtime: z.object({ name: z.string(), version: z.string() }),
      uptime_secs: z.number(),
      collections: count,
      requests_total: count,
      requests_in_flight: count,
      errors_total: count,
      jobs_running: count,
      memory_peak_bytes: count.nullable(),
    }),
  },
  openapi: {
    method: "GET",
    path: "/openapi.json",
    permission: "public",
    tag: "Server",
    summary: "This interface as an OpenAPI 3.1 document",
    status: 200,
    answer: fields,
  },
  docs: {
    method: "GET",
    path: "/docs",
    permission: "public",
    tag: "Server",
    summary: "This interface as a page",
    status: 200,
    answer: { mediaType: "text/html; charset=utf-8" },
  },

  // Collections
  listCollections: {
    method: "GET",
    path: "/admin/collections",
    permission: "admin",
    scope: "answer",
    tag: "Collections",
    summary: "Names of the collections",
    description: "With `details=true` also what each holds, and with `all=true` the detached ones.",
    query: z.strictObject({
      details: z.stringbool().optional(),
      all: z.stringbool().optional(),
    }),
    status: 200,
    answer: z.object({
      collections: z.array(z.string()),
      details: z
        .array(
          z.object({
            name: z.string(),
            document_count: count,
            size_bytes: count,
            backends,
            error: z.object({ code: z.string(), message: z.string() }).optional(),
          }),
        )
        .optional(),
      detached: z
        .array(
          z.object({
            name: z.string(),
            copy: z.string().describe("Of one name several may be kept"),
            detached_at: z.string().optional(),
            document_count: count.optional(),
            size_bytes: count.optional(),
            archive: z.object({ path: z.string().optional(), file_sha256: sha256 }).optional(),
            error: z.object({ code: z.string(), message: z.string() }).optional(),
          }),
        )
        .optional(),
    }),
  },
  createCollection: {
    method: "PUT",
    path: "/collections/{collection}",
    permission: "admin",
    scope: "path",
    tag: "Collections",
    summary: "Makes a collection",
    description: "The body is its schema, in JSON or (as `application/yaml`) in YAML.",
    body: "schema",
    example: {
      backends: {
        text: {
          fields: [
            { name: "title", type: "text", stored: true, indexed: true },
            { name: "price", type: "f64", stored: true, indexed: true },
          ],
        },
        vector: { embedding_field: "embedding", dimension: 3, distance: "cosine" },
        graph: {},
      },
    },
    status: 201,
    answer: z.object({ collection: z.string(), status: z.literal("created"), backends: z.array(z.string()) }),
  },
  deleteCollection: {
    method: "DELETE",
    path: "/collections/{collection}",
    permission: "delete",
    scope: "path",
    tag: "Collections",
    summary: "Deletes a collection with its data",
    query: z.strictObject({
      detached: z.string().optional().describe("Instead this kept copy of the collection, as the list of all tells it"),
    }),
    status: 200,
    answer: z.object({ collection: z.string(), status: z.literal("deleted") }),
  },
  schema: {
    method: "GET",
    path: "/collections/{collection}/schema",
    permission: "read",
    scope: "path",
    tag: "Collections",
    summary: "The schema as it was given",
    status: 200,
    answer: z.object({ collection: z.string(), schema: z.unknown(), source: z.string() }),
  },
  stats: {
    method: "GET",
    path: "/collections/{collection}/stats",
    permission: "read",
    scope: "path",
    tag: "Collections",
    summary: "What the collection holds, on disk and in memory",
    query: z.strictObject({
      recall: z.stringbool().optional().describe("true: also recall of the vector index on a sample"),
    }),
    status: 200,
    answer: z.looseObject({
      name: z.string(),
      document_count: count,
      size_bytes: count,
      backends,
      recall: fields.optional(),
    }),
  },
  optimize: {
    method: "POST",
    path: "/collections/{collection}/optimize",
    permission: "write",
    scope: "path",
    tag: "Collections",
    summary: "Merges segments and drops what was deleted",
    body: z.strictObject({ wait }),
    status: 200,
    answer: z.object({
      segments_before: count,
      segments_after: count,
      documents: count,
      bytes_before: count,
      bytes_after: count,
    }),
    long: true,
  },
  verifyCollection: {
    method: "POST",
    path: "/collections/{collection}/verify",
    permission: "read",
    scope: "path",
    tag: "Collections",
    summary: "Reads every file of the collection and checks it",
    body: z.strictObject({ wait }),
    status: 200,
    answer: z.object({ files: count, bytes: count, documents: count }),
    long: true,
  },

  // Documents
  addDocuments: {
    method: "POST",
    path: "/collections/{collection}/documents",
    permission: "write",
    scope: "path",
    tag: "Documents",
    summary: "Adds documents, each replacing the one with its id",
    description:
      "JSON: a list of documents, or an object with the list as `documents`. `application/x-ndjson`: a document a line, streamed. " +
      "What is acknowledged is durable and visible to the next search. A bad document is refused by itself. Where lines end " +
      "early (a disk that is full, a body that stops) the error has beside it what became of those before.",
    body: "documents",
    example: [
      { id: "p1", title: "Wireless keyboard", price: 49.9, embedding: [0.1, 0.9, 0.2] },
      { id: "p2", title: "Wired mouse", price: 19.9, embedding: [0.8, 0.1, 0.3] },
    ],
    status: 201,
    eachByItself: true,
    answer: z.object({
      indexed: count,
      failed: count,
      errors: z.array(
        z.object({
          doc_id: z.string().nullable(),
          error: z.string(),
          code: z.string(),
          hint: z.string().optional(),
          line: count.optional(),
        }),
      ),
    }),
  },
  getDocument: {
    method: "GET",
    path: "/collections/{collection}/documents/{id}",
    permission: "read",
    scope: "path",
    tag: "Documents",
    summary: "One document",
    status: 200,
    answer: document,
  },
  deleteDocument: {
    method: "DELETE",
    path: "/collections/{collection}/documents/{id}",
    permission: "delete",
    scope: "path",
    tag: "Documents",
    summary: "Deletes one document",
    status: 200,
    answer: z.object({ id: z.string(), status: z.literal("deleted") }),
  },
  getDocuments: {
    method: "POST",
    path: "/collections/{collection}/documents/_get",
    permission: "read",
    scope: "path",
    tag: "Documents",
    summary: "Several documents by their ids, whatever characters those have",
    body: z.strictObject({ ids: z.array(z.string()).min(1).max(1000) }),
    example: { ids: ["p1", "p2"] },
    status: 200,
    answer: z.object({ documents: z.array(document), missing: z.array(z.string()).describe("Ids of no document") }),
  },
  deleteDocuments: {
    method: "POST",
    path: "/collections/{collection}/documents/_delete",
    permission: "delete",
    scope: "path",
    tag: "Documents",
    summary: "Deletes several documents in one step",
    body: z.strictObject({ ids: z.array(z.string()).min(1) }),
    example: { ids: ["p1", "p2"] },
    status: 200,
    answer: z.object({ deleted: count, missing: z.array(z.string()).describe("Ids of no document") }),
  },
  exportDocuments: {
    method: "GET",
    path: "/collections/{collection}/documents",
    permission: "read",
    scope: "path",
    tag: "Documents",
    summary: "Every document as a line of JSON",
    status: 200,
    answer: { mediaType: "application/x-ndjson" },
  },

  // Search
  search: {
    method: "POST",
    path: "/collections/{collection}/search",
    permission: "read",
    scope: "path",
    tag: "Search",
    summary: "Searches by text, by vector, or by both",
    body: searchRequest,
    example: { query: "wireless keyboard", filter: "price:[10 TO 50]", limit: 5 },
    status: 200,
    answer: searchAnswer,
  },
  multiSearch: {
    method: "POST",
    path: "/_msearch",
    permission: "read",
    scope: { body: "searches[].collection" },
    tag: "Search",
    summary: "Several searches at once, each answered by itself",
    body: z.strictObject({
      searches: z
        .array(searchRequest.extend({ collection: collectionName }))
        .min(1)
        .max(100),
    }),
    example: {
      searches: [
        { collection: "products", query: "mouse" },
        { collection: "products", vector: [0.1, 0.9, 0.2], limit: 1 },
      ],
    },
    status: 200,
    answer: z.object({ responses: z.array(z.union([searchAnswer, errorAnswer])) }),
  },

  // Graph
  addNodes: {
    method: "POST",
    path: "/collections/{collection}/graph/nodes",
    permission: "write",
    scope: "path",
    tag: "Graph",
    summary: "Adds nodes, each replacing the one with its id",
    body: z.strictObject({
      nodes: z.array(
        z.looseObject({
          id: z.string(),
          node_type: z.string().optional(),
          title: z.string().optional(),
          payload: z.unknown().optional(),
        }),
      ),
    }),
    example: {
      nodes: [
        { id: "p1", node_type: "product" },
        { id: "acme", node_type: "brand", title: "Acme" },
      ],
    },
    status: 201,
    eachByItself: true,
    answer: graphAddition,
  },
  getNode: {
    method: "GET",
    path: "/collections/{collection}/graph/nodes/{id}",
    permission: "read",
    scope: "path",
    tag: "Graph",
    summary: "What was added of a node",
    status: 200,
    answer: z.object({
      id: z.string(),
      node_type: z.string().optional(),
      title: z.string().optional(),
      payload: z.unknown().optional(),
    }),
  },
  deleteNode: {
    method: "DELETE",
    path: "/collections/{collection}/graph/nodes/{id}",
    permission: "delete",
    scope: "path",
    tag: "Graph",
    summary: "Deletes what was added of a node, with the edges that were added at it",
    status: 200,
    answer: z.object({ id: z.string(), status: z.literal("deleted"), edges_deleted: count }),
  },
  nodeEdges: {
    method: "GET",
    path: "/collections/{collection}/graph/nodes/{id}/edges",
    permission: "read",
    scope: "path",
    tag: "Graph",
    summary: "The edges at a node",
    query: z.strictObject({
      direction: direction.optional().describe("Default both"),
      edge_type: z.string().optional(),
      limit: z.coerce.number().int().min(0).max(10_000).optional().describe("Default 100"),
      offset: z.coerce.number().int().min(0).optional(),
    }),
    status: 200,
    answer: z.object({ edges: z.array(edge), total: count }),
  },
  addEdges: {
    method: "POST",
    path: "/collections/{collection}/graph/edges",
    permission: "write",
    scope: "path",
    tag: "Graph",
    summary: "Adds edges, each replacing the one with its ends and type",
    body: z.strictObject({
      edges: z.array(z.looseObject({ ...edgeKey, weight: z.number().optional().describe("Not negative. Default 1") })),
    }),
    example: {
      edges: [
        { from: "p1", to: "acme", edge_type: "made_by" },
        { from: "p2", to: "acme", edge_type: "made_by" },
      ],
    },
    status: 201,
    eachByItself: true,
    answer: graphAddition,
  },
  deleteEdges: {
    method: "DELETE",
    path: "/collections/{collection}/graph/edges",
    permission: "delete",
    scope: "path",
    tag: "Graph",
    summary: "Deletes edges that were added",
    body: z.strictObject({ edges: z.array(z.strictObject(edgeKey)) }),
    example: { edges: [{ from: "p2", to: "acme", edge_type: "made_by" }] },
    status: 200,
    answer: z.object({ deleted: count }),
  },
  bfs: {
    method: "POST",
    path: "/collections/{collection}/graph/bfs",
    permission: "read",
    scope: "path",
    tag: "Graph",
    summary: "What can be reached from a node, nearest first",
    body: z.strictObject({
      start: z.string(),
      edge_type: edgeTypes.optional(),
      max_depth: z.int().min(0).max(100_000),
      direction: direction.optional().describe("Default out"),
      limit: z.int().min(1).max(100_000).optional().describe("Nodes at most. Default 10,000"),
    }),
    example: { start: "p1", edge_type: "made_by", max_depth: 2 },
    status: 200,
    answer: z.object({
      nodes: z.array(z.object({ id: z.string(), depth: count })),
      count,
      truncated: z.boolean(),
    }),
  },
  shortestPath: {
    method: "POST",
    path: "/collections/{collection}/graph/shortest-path",
    permission: "read",
    scope: "path",
    tag: "Graph",
    summary: "The way along edges whose weights come to the least",
    body: z.strictObject({ start: z.string(), target: z.string(), edge_types: z.array(z.string()).min(1).optional() }),
    example: { start: "p1", target: "acme" },
    status: 200,
    answer: z.object({
      path: z.array(z.string()).nullable(),
      length: count.nullable().describe("Edges of the path"),
      weight: z.number().nullable().describe("Sum of their weights"),
    }),
  },
  graphStats: {
    method: "GET",
    path: "/collections/{collection}/graph/stats",
    permission: "read",
    scope: "path",
    tag: "Graph",
    summary: "How large the graph is",
    status: 200,
    answer: z.looseObject({ node_count: count, edge_count: count }),
  },

  // Archives
  exportArchive: {
    method: "POST",
    path: "/_admin/export",
    permission: "admin",
    scope: { body: "collection" },
    serverFile: true,
    tag: "Archives",
    summary: "Writes an archive of a collection to a file of the server",
    body: z.strictObject({
      collection: collectionName,
      format: z.enum(["portable", "snapshot"]).default("portable"),
      output_path: filePath,
      overwrite: z.boolean().default(false).describe("true: also over a file that is no archive of ours"),
      wait,
    }),
    example: { collection: "products", format: "portable", output_path: "/backup/products.prism.jsonl" },
    status: 200,
    answer: z.object({
      success: z.literal(true),
      collection: z.string(),
      format: z.enum(["portable", "snapshot"]),
      output_path: z.string(),
      size_bytes: count,
      document_count: count,
      checksum: sha256,
      file_sha256: sha256,
    }),
    long: true,
  },
  importArchive: {
    method: "POST",
    path: "/_admin/import",
    permission: "admin",
    scope: { body: "target_collection" },
    serverFile: true,
    tag: "Archives",
    summary: "Restores a collection from an archive on the server",
    body: z.strictObject({
      input_path: filePath,
      format: z.enum(["portable", "snapshot"]).optional(),
      target_collection: collectionName.nullish(),
      mode: z.enum(["fail", "replace", "merge"]).default("fail"),
      wait,
    }),
    example: { input_path: "/backup/products.prism.jsonl", target_collection: "products" },
    status: 200,
    answer: imported,
    long: true,
  },
  generateKey: {
    method: "POST",
    path: "/_admin/encryption/generate-key",
    permission: "admin",
    tag: "Archives",
    summary: "A new key for encrypted archives; the server does not keep it",
    status: 200,
    answer: z.object({ key, key_bytes: z.literal(32), algorithm: z.literal("AES-256-GCM") }),
  },
  exportEncrypted: {
    method: "POST",
    path: "/_admin/export/encrypted",
    permission: "admin",
    scope: { body: "collection" },
    serverFile: true,
    tag: "Archives",
    summary: "Writes an encrypted archive of a collection to a file of the server",
    body: z.strictObject({
      collection: collectionName,
      key,
      output_path: filePath,
      overwrite: z.boolean().default(false).describe("true: also over a file that is no archive of ours"),
      wait,
    }),
    example: {
      collection: "products",
      key: "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
      output_path: "/backup/products.enc",
    },
    status: 200,
    answer: z.object({
      success: z.literal(true),
      collection: z.string(),
      output_path: z.string(),
      size_bytes: count,
      document_count: count,
      checksum: sha256,
      file_sha256: sha256,
    }),
    long: true,
  },
  importEncrypted: {
    method: "POST",
    path: "/_admin/import/encrypted",
    permission: "admin",
    scope: { body: "target_collection" },
    serverFile: true,
    tag: "Archives",
    summary: "Restores a collection from an encrypted archive on the server",
    body: z.strictObject({
      input_path: filePath,
      key,
      target_collection: collectionName.nullish(),
      mode: z.enum(["fail", "replace", "merge"]).default("fail"),
      wait,
    }),
    example: {
      input_path: "/backup/products.enc",
      key: "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    },
    status: 200,
    answer: imported,
    long: true,
  },
  detach: {
    method: "POST",
    path: "/_admin/collections/{collection}/detach",
    permission: "admin",
    scope: "path",
    serverFile: true,
    tag: "Archives",
    summary: "Writes a snapshot of a collection, verifies it, then unloads the collection",
    body: z.strictObject({
      destination: place,
      delete_data: z.boolean().default(false).describe("true: the data goes; false: it is kept aside, unloaded"),
      overwrite: z.boolean().default(false).describe("true: also over a file that is no archive of ours"),
      wait,
    }),
    example: { destination: { type: "file", path: "/backup/products.tar.zst" } },
    status: 200,
    answer: z.object({
      collection: z.string(),
      destination: place,
      metadata: archiveMetadata,
      data_deleted: z.boolean(),
    }),
    long: true,
  },
  attach: {
    method: "POST",
    path: "/_admin/collections/attach",
    permission: "admin",
    scope: { body: "target_collection" },
    serverFile: true,
    tag: "Archives",
    summary: "Brings a collection back, from an archive or from what a detach kept",
    description: "Without `source`, `target_collection` names a detached collection whose kept data is loaded again.",
    body: z.strictObject({
      source: place.nullish(),
      target_collection: collectionName.nullish(),
      wait,
    }),
    example: { source: { type: "file", path: "/backup/products.tar.zst" } },
    status: 200,
    answer: z.object({
      collection: z.string(),
      source: place.nullable(),
      files_extracted: count,
      bytes_extracted: count,
    }),
    long: true,
  },
  downloadArchive: {
    method: "GET",
    path: "/_admin/collections/{collection}/archive",
    permission: "admin",
    scope: "path",
    tag: "Archives",
    summary: "Streams an archive of a collection",
    query: z.strictObject({
      format: z.enum(["portable", "snapshot", "encrypted"]).default("portable"),
      enc_version: z.enum(["1", "2"]).optional(),
    }),
    headers: ARCHIVE_KEY_HEADERS,
    status: 200,
    answer: { mediaType: "application/octet-stream" },
  },
  uploadArchive: {
    method: "PUT",
    path: "/_admin/collections/{collection}/archive",
    permission: "admin",
    scope: "path",
    tag: "Archives",
    summary: "Restores a collection from the archive in the body",
    description:
      "The name `-` stands for the archive's own name. It is a job as long as it runs, one of those that may at the same time.",
    query: z.strictObject({
      format: z.enum(["portable", "snapshot"]).optional(),
      mode: z.enum(["fail", "replace", "merge"]).default("fail").describe("What to do with a collection that is there"),
      on_bad_line: z.enum(["fail", "skip"]).default("fail"),
      where: z.string().optional().describe("Only documents that match this query"),
      ids: z.string().optional().describe("Only documents with these ids: a list in JSON"),
      dry_run: z.stringbool().optional(),
    }),
    headers: ARCHIVE_KEY_HEADERS,
    body: "archive",
    status: 200,
    answer: z.object({
      success: z.literal(true),
      collection: z.string(),
      format: z.string(),
      documents_imported: count,
      documents_skipped: count,
      ids_missing: z.array(z.string()),
      checksum: z.string(),
      header: z.string(),
      file_sha256: sha256,
      files_extracted: count,
      bytes_extracted: count,
      warnings: z.array(z.string()),
      problems: z.array(
        problem.extend({
          line: z.string().optional().describe("The bad line itself, where it is text within the limits"),
        }),
      ),
    }),
  },

  // Jobs
  listJobs: {
    method: "GET",
    path: "/_admin/jobs",
    permission: "admin",
    scope: "own",
    tag: "Jobs",
    summary: "Jobs that run, and those that ended lately",
    status: 200,
    answer: z.object({ jobs: z.array(job) }),
  },
  getJob: {
    method: "GET",
    path: "/_admin/jobs/{id}",
    permission: "admin",
    scope: "own",
    tag: "Jobs",
    summary: "How far a job is, and what became of it",
    status: 200,
    answer: accepted,
  },
  cancelJob: {
    method: "DELETE",
    path: "/_admin/jobs/{id}",
    permission: "admin",
    scope: "own",
    tag: "Jobs",
    summary: "Cancels a job that runs; what it was making is taken away",
    status: 200,
    answer: accepted,
  },
} as const satisfies Record<string, Operation>

export type OperationId = keyof typeof OPERATIONS
type Of<Id extends OperationId> = (typeof OPERATIONS)[Id]

/** The names in braces of a path. */
type ParametersOf<Path extends string> = Path extends `${string}{${infer Name}}${infer Rest}`
  ? Name | ParametersOf<Rest>
  : never

export type PathParameters<Id extends OperationId> = Readonly<Record<ParametersOf<Of<Id>["path"]>, string>>
export type QueryOf<Id extends OperationId> =
  Of<Id> extends { query: infer Q extends z.ZodType } ? z.output<Q> : undefined
/** As a client writes it: what has a default may be left out. */
export type QueryInputOf<Id extends OperationId> =
  Of<Id> extends { query: infer Q extends z.ZodType }
    ? { readonly [K in keyof z.input<Q>]: K extends keyof z.output<Q> ? z.output<Q>[K] | undefined : never }
    : undefined
export type HeadersOf<Id extends OperationId> =
  Of<Id> extends { headers: infer H extends z.ZodType } ? Readonly<z.output<H>> : undefined
export type BodyOf<Id extends OperationId> =
  Of<Id> extends { body: infer B extends z.ZodType } ? z.output<B> : undefined
/** As a client writes it: what has a default may be left out. */
export type BodyInputOf<Id extends OperationId> =
  Of<Id> extends { body: infer B extends z.ZodType } ? z.input<B> : undefined
export type AnswerOf<Id extends OperationId> =
  Of<Id> extends { answer: infer A extends z.ZodType } ? z.output<A> : Response
export type JobAnswer = z.output<typeof job>
