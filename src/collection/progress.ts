/** How far a long piece of work is. */
export interface Progress {
  readonly stage: "measuring" | "writing" | "restoring" | "verifying" | "optimizing" | "comparing"
  readonly unit: "documents" | "bytes"
  readonly done: number
  /** Unknown where the source does not tell its length. */
  readonly total: number | undefined
}
