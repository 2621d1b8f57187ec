import type { OPERATIONS, OperationId } from "../api/contract.ts"

type Operations = typeof OPERATIONS
/** Method, path and, where the body is no JSON value, its media type: all that a client knows of the contract when it runs.
 *  The contract itself would bring its validation along. The compiler holds the two together. */
type Route<Id extends OperationId> = Operations[Id] extends { body: string }
  ? readonly [method: Operations[Id]["method"], path: Operations[Id]["path"], mediaType: string]
  : readonly [method: Operations[Id]["method"], path: Operations[Id]["path"]]

export const ROUTES: { readonly [Id in OperationId]: Route<Id> } = {
  // Server
  health: ["GET", "/health"],
  ready: ["GET", "/ready"],
  metrics: ["GET", "/metrics"],
  serverStats: ["GET", "/stats/server"],
  openapi: ["GET", "/openapi.json"],
  docs: ["GET", "/docs"],

  // Collections
  listCollections: ["GET", "/admin/collections"],
  createCollection: ["PUT", "/collections/{collection}", "application/yaml"],
  deleteCollection: ["DELETE", "/collections/{collection}"],
  schema: ["GET", "/collections/{collection}/schema"],
  stats: ["GET", "/collections/{collection}/stats"],
  optimize: ["POST", "/collections/{collection}/optimize"],
  verifyCollection: ["POST", "/collections/{collection}/verify"],

  // Documents
  addDocuments: ["POST", "/collections/{collection}/documents", "application/x-ndjson"],
  getDocument: ["GET", "/collections/{collection}/documents/{id}"],
  deleteDocument: ["DELETE", "/collections/{collection}/documents/{id}"],
  getDocuments: ["POST", "/collections/{collection}/documents/_get"],
  deleteDocuments: ["POST", "/collections/{collection}/documents/_delete"],
  exportDocuments: ["GET", "/collections/{collection}/documents"],

  // Search
  search: ["POST", "/collections/{collection}/search"],
  multiSearch: ["POST", "/_msearch"],

  // Graph
  addNodes: ["POST", "/collections/{collection}/graph/nodes"],
  getNode: ["GET", "/collections/{collection}/graph/nodes/{id}"],
  deleteNode: ["DELETE", "/collections/{collection}/graph/nodes/{id}"],
  nodeEdges: ["GET", "/collections/{collection}/graph/nodes/{id}/edges"],
  addEdges: ["POST", "/collections/{collection}/graph/edges"],
  deleteEdges: ["DELETE", "/collections/{collection}/graph/edges"],
  bfs: ["POST", "/collections/{collection}/graph/bfs"],
  shortestPath: ["POST", "/collections/{collection}/graph/shortest-path"],
  graphStats: ["GET", "/collections/{collection}/graph/stats"],

  // Archives
  exportArchive: ["POST", "/_admin/export"],
  importArchive: ["POST", "/_admin/import"],
  generateKey: ["POST", "/_admin/encryption/generate-key"],
  exportEncrypted: ["POST", "/_admin/export/encrypted"],
  importEncrypted: ["POST", "/_admin/import/encrypted"],
  detach: ["POST", "/_admin/collections/{collection}/detach"],
  attach: ["POST", "/_admin/collections/attach"],
  downloadArchive: ["GET", "/_admin/collections/{collection}/archive"],
  uploadArchive: ["PUT", "/_admin/collections/{collection}/archive", "application/octet-stream"],

  // Jobs
  listJobs: ["GET", "/_admin/jobs"],
  getJob: ["GET", "/_admin/jobs/{id}"],
  cancelJob: ["DELETE", "/_admin/jobs/{id}"],
}
