import type { Schema } from "./schema.ts"

/** Which backends a collection has; the schema says so. */
export interface Backends {
  readonly text: boolean
  readonly vector: boolean
  readonly graph: boolean
}

export function backendsOf({ text, vector, graph }: Schema): Backends {
  return { text: text !== undefined, vector: vector !== undefined, graph: graph !== undefined }
}

export function backendNames(backends: Backends): string[] {
  return (["text", "vector", "graph"] as const).filter((name) => backends[name])
}
