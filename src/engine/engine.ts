import type { Abi } from "./generated/abi.ts"
import { PRISM_WASM_BASE64 } from "./generated/prism-wasm.ts"

/** What the addresses of linear memory reach. */
const MEMORY_BYTES = 2 ** 32

let compiled: WebAssembly.Module | undefined

/** One instance of the WebAssembly engine with a memory of its own. A collection owns one and drops it when it is
 *  closed: linear memory never shrinks, so dropping the instance is what gives memory back. */
export class Engine {
  readonly abi: Abi
  #bytes: Uint8Array

  constructor() {
    compiled ??= new WebAssembly.Module(
      Uint8Array.from(atob(PRISM_WASM_BASE64), (character) => character.charCodeAt(0)),
    )
    this.abi = new WebAssembly.Instance(compiled, {}).exports as unknown as Abi
    this.#bytes = new Uint8Array(this.abi.memory.buffer)
  }

  /** All of linear memory. Never keep it over a call into the engine: growing memory detaches it. */
  get bytes(): Uint8Array {
    if (this.#bytes.buffer !== this.abi.memory.buffer) this.#bytes = new Uint8Array(this.abi.memory.buffer)
    return this.#bytes
  }

  /** Makes room for `bytes` at once, where there can be so much. Growing in small steps costs the same in memory that is
   *  touched, but V8 collects garbage at many of them: for 39 files of a million documents 230 ms. */
  reserve(bytes: number): void {
    if (bytes < MEMORY_BYTES) this.abi.regionFree(this.abi.regionReserve(bytes))
  }

  /** Bytes of linear memory that open structures hold. */
  get memoryInUse(): number {
    return this.abi.regionPagesInUse() * 65_536
  }
}

/** Whether a call ended because the module touched memory that it does not have: only bytes that were forged so that their
 *  checksums fit can bring that about. */
export function isTrap(error: unknown): boolean {
  return error instanceof WebAssembly.RuntimeError
}
