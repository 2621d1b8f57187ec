// The ABI: the only exports of prism.wasm, a block a structure.
import { abort } from "./abort";
abort; // named by asconfig.json ("use"); the import alone makes the compiler see it

export { regionAlloc, regionFree, regionPagesInUse } from "./region";
