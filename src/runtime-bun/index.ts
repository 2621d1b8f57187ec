// The library on this runtime: what `import … from "prism"` gives.
import { bindPrism, type Prism as OpenPrism } from "../collection/prism.ts"
import { runtime } from "./runtime.ts"

export * from "../index.ts"

/** `Prism.open(directory)` and `Prism.memory()`. */
export const Prism = bindPrism(runtime)
/** All collections of one folder, or of memory. */
export type Prism = OpenPrism
