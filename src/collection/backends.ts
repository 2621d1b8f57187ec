/** Names of the backends that a collection has. */
export function backendNames(backends: { text: boolean; vector: boolean; graph: boolean }): string[] {
  return (["text", "vector", "graph"] as const).filter((name) => backends[name])
}
