/** How far a long piece of work is. */
export interface Progress {
  readonly stage: "measuring" | "writing" | "restoring" | "verifying" | "optimizing" | "comparing"
  /** Lines of an archive are documents, nodes and edges. */
  readonly unit: "documents" | "lines" | "bytes"
  readonly done: number
  /** Unknown where the source does not tell its length. */
  readonly total: number | undefined
}
