// The library: what a program that embeds Prism imports. Each runtime adds `Prism` itself (runtime-*/index.ts).
export { type ErrorCode, PrismError, type Problem } from "./base/errors.ts"
export type {
  ArchiveFormat,
  ArchiveSource,
  EncryptionOptions,
  ExportOptions,
  ExportReport,
  RestoreOptions,
  RestoreReport,
  VerifyReport,
} from "./collection/archive/options.ts"
export type {
  AddReport,
  Collection,
  CollectionStats,
  Document,
  OptimizeReport,
  SegmentStats,
} from "./collection/collection.ts"
export type { OptimizeOptions } from "./collection/compactor.ts"
export type {
  AttachOptions,
  AttachReport,
  DetachOptions,
  DetachReport,
  ReattachOptions,
} from "./collection/detach-options.ts"
export type { DetachedArchive, DetachedCopy } from "./collection/detached.ts"
export type { DocumentInput } from "./collection/document.ts"
export type { ExpandedDocument, ExpandRequest } from "./collection/expansion.ts"
export type {
  BfsRequest,
  BfsResponse,
  CollectionGraph,
  CollectionGraphStats,
  EdgesRequest,
  EdgesResponse,
  GraphEdgeResult,
  ShortestPathRequest,
  ShortestPathResponse,
} from "./collection/graph.ts"
export type { EdgeInput, EdgeKey, NodeInput } from "./collection/graph-record.ts"
export type { CollectionSummary, OpenOptions } from "./collection/prism.ts"
export type { Progress } from "./collection/progress.ts"
export type { RecallOptions, RecallReport } from "./collection/recall.ts"
export type { FieldInput, FieldsOf, SchemaInput } from "./collection/schema-types.ts"
export type { SearchRequest, SearchResponse, SearchResult } from "./collection/search-request.ts"
export { generateKey, type Key, parseKey } from "./formats/key.ts"
