import type { Engine } from "./engine.ts"
import { allocated } from "./memory.ts"

const encoder = new TextEncoder()

/** Writes a string as UTF-8 where the engine's next call reads it (lone surrogates become U+FFFD); returns its bytes. */
export function writeInput(engine: Engine, text: string): number {
  // A UTF-16 unit takes three bytes at most.
  const input = allocated(engine.abi.textInput(text.length * 3))
  return encoder.encodeInto(text, engine.bytes.subarray(input, input + text.length * 3)).written
}

/** The same for bytes. */
export function writeInputBytes(engine: Engine, bytes: Uint8Array): number {
  const input = allocated(engine.abi.textInput(bytes.length))
  engine.bytes.set(bytes, input)
  return bytes.length
}
