import { PrismError } from "../base/errors.ts"
import type { Engine } from "./engine.ts"

/** A pointer out of the engine, unsigned; where it is 0 the 4 GiB of linear memory are used up. */
export function allocated(pointer: number): number {
  if (pointer === 0) {
    throw new PrismError("LIMIT_EXCEEDED", "the 4 GiB of the engine's memory are used up", {
      hint: "spread the documents over several collections",
    })
  }
  return pointer >>> 0
}

/** Copies bytes into a region of their own; `regionFree` gives it back. */
export function copyIn(engine: Engine, bytes: Uint8Array): number {
  const region = allocated(engine.abi.regionAlloc(bytes.length))
  engine.bytes.set(bytes, region)
  return region
}

/** A copy of bytes in the engine's memory. */
export function copyOut(engine: Engine, pointer: number, length: number): Uint8Array<ArrayBuffer> {
  return engine.bytes.slice(pointer, pointer + length)
}
